"""Continuations of rows on their own, as an examination makes them behind its extraction."""

from unlearnbench.models.generation.branches import prefill_batches
from unlearnbench.models.generation.continuing import check_continuable, continue_prefilled
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol


def continue_rows(
    model: LanguageModel, rows: Sequences, protocol: Protocol, new_tokens: int, batch_size: int = 32
) -> list[list[int]]:
    """Each row's continuation, after passes over nothing but the given tokens."""
    check_continuable(model, rows, new_tokens)
    given = rows.input_ids[:, : int(rows.n_given.max())]
    continuations: list[list[int]] = []
    for batch, prefill in prefill_batches(model, given, batch_size):
        part = rows.select(batch)
        continuations += continue_prefilled(model, part, prefill, protocol, new_tokens, batch_size)
    return continuations
