"""Sequences made of one row's prefix and another's suffix."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from unlearnbench.errors import UserError
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.unlearning.batch import UnlearnBatch


def random_completions(batch: "UnlearnBatch") -> Sequences:
    """[B, L''] each target's given tokens, continued by the suffix of a random row of the pool.

    Of the whole batch, also where it is taken in parts: what a row gets does not depend on that.
    Raises `UserError` if the pool has no suffix to offer.
    """
    pool, rows = batch.forget_set.pool, batch.whole.rows
    candidates = (pool.lengths > pool.n_given).nonzero().flatten()
    if len(candidates) == 0:
        raise UserError(
            f"the pool of {batch.forget_set.name} has no row longer than its prefix, so there is "
            "no other completion; take the neighbour's: --set protocol.llmu_mismatch=neighbour"
        )
    drawn = torch.randint(len(candidates), (len(rows),), generator=batch.random)
    suffixes = [pool.suffix(int(candidates[i])) for i in drawn]
    return completed(rows, suffixes, batch.model.pad_token_id, batch.model.max_length)


def completed(
    rows: Sequences, suffixes: Sequence[list[int]], pad_token_id: int, max_length: int
) -> Sequences:
    """The rows with other suffixes after their given tokens, cut where the model's context ends."""
    given = [rows.input_ids[i, : int(n)].tolist() for i, n in enumerate(rows.n_given)]
    tokens = [(g + s)[:max_length] for g, s in zip(given, suffixes, strict=True)]
    lengths = torch.tensor([len(t) for t in tokens])
    input_ids = torch.full((len(tokens), int(lengths.max())), pad_token_id)
    for i, row in enumerate(tokens):
        input_ids[i, : len(row)] = torch.tensor(row)
    return Sequences(input_ids, lengths, rows.n_given, rows.doc_ids, rows.n_bos)
