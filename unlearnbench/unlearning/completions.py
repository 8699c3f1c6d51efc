"""What a row is continued with in place of its suffix: another's suffix, or a refusal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from unlearnbench.errors import UserError
from unlearnbench.models.sequences import Sequences
from unlearnbench.unlearning.losses import Terms, dpo_loss
from unlearnbench.unlearning.steps import seeded_generator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.batch import UnlearnBatch

Preference = dict[str, list[int]]  # token ids: prompt_ids, chosen_ids, rejected_ids


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
    tokens = [
        torch.tensor((g + s)[:max_length], dtype=torch.long)
        for g, s in zip(given, suffixes, strict=True)
    ]
    input_ids = pad_sequence(tokens, batch_first=True, padding_value=pad_token_id)
    lengths = torch.tensor([len(t) for t in tokens])
    return Sequences(input_ids, lengths, rows.n_given, rows.doc_ids, rows.n_bos)


def preferences_of(model: "LanguageModel", forget_set: "ForgetSet", seed: int) -> list[Preference]:
    """Per row its given tokens, its suffix, and a refusal or else the neighbour's suffix."""
    rows = forget_set.rows
    chosen = _refusals(model, forget_set, seed)
    if not chosen:
        pairs = forget_set.pairs()
        chosen = [pairs.suffix(i) for i in range(len(pairs))]
    return [
        {
            "prompt_ids": rows.input_ids[i, : int(rows.n_given[i])].tolist(),
            "chosen_ids": chosen[i][: model.max_length - int(rows.n_given[i])],
            "rejected_ids": rows.suffix(i),
        }
        for i in range(len(rows))
    ]


def _refusals(model: "LanguageModel", forget_set: "ForgetSet", seed: int) -> list[list[int]]:
    """One refusal per row, drawn once: the reference log-probabilities are computed once."""
    answers = [answer_ids(model.tokenizer, text) for text in forget_set.refusals]
    if not answers:
        return []
    generator = seeded_generator(seed, "refusals")
    drawn = torch.randint(len(answers), (len(forget_set.rows),), generator=generator)
    return [answers[i] for i in drawn.tolist()]


def answer_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """An answer as it stands after a question: with the space before it, exactly once."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    # SentencePiece vocabularies put that space there themselves.
    if tokenizer.convert_ids_to_tokens(ids[:1])[0].startswith("▁"):
        return ids
    spaced: list[int] = tokenizer(" " + text, add_special_tokens=False)["input_ids"]
    return spaced


def preferred_sequences(model: "LanguageModel", forget_set: "ForgetSet", seed: int) -> Sequences:
    """[M, L'] each row's given tokens, continued by what is preferred to its suffix."""
    chosen = [row["chosen_ids"] for row in preferences_of(model, forget_set, seed)]
    return completed(forget_set.rows, chosen, model.pad_token_id, model.max_length)


def drawn_preference_loss(
    batch: "UnlearnBatch", several: Sequence[Sequences], beta: float
) -> Tensor:
    """The sigmoid loss with one of several preferred completions, drawn anew for each row.

    Each of `several` has all rows of the forget set, with another completion [M, L'].
    """
    rows, references = batch.forget_set.rows, batch.references
    of_batch = batch.whole.index
    drawn = torch.randint(len(several), (len(of_batch),), generator=batch.random).tolist()
    chosen = [several[d].suffix(row) for d, row in zip(drawn, of_batch, strict=True)]
    model, own_rows = batch.model, rows.select(of_batch)
    preferred = completed(own_rows, chosen, model.pad_token_id, model.max_length)
    # Of all of them before the first step: later the original model is gone.
    original = torch.stack(
        [references.suffix_nll_per_row(f"alternate {i}", each) for i, each in enumerate(several)]
    )
    which = dict(zip(of_batch, drawn, strict=True))
    return dpo_loss(
        -batch.nll_of_per_row(preferred),
        -batch.nll_of_per_row(own_rows),
        -original[[which[row] for row in batch.index], batch.index],
        -references.suffix_nll_per_row("rows", rows)[batch.index],
        beta,
    )


def preference_loss(batch: "UnlearnBatch", preferred: Sequences, beta: float) -> Terms:
    """The sigmoid loss (Rafailov et al. 2023, eq. 7) on suffixes, whatever the loss span."""
    rows, references = batch.forget_set.rows, batch.references
    of_batch = batch.whole.index
    loss = dpo_loss(
        -batch.nll_of_per_row(preferred.select(of_batch)),
        -batch.nll_of_per_row(rows.select(of_batch)),
        -references.suffix_nll_per_row("preferred", preferred)[batch.index],
        -references.suffix_nll_per_row("rows", rows)[batch.index],
        beta,
    )
    return {"preference": loss}
