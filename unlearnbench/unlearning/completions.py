"""What a row is continued with in place of its suffix: another's suffix, or a refusal."""

from typing import TYPE_CHECKING

import torch

from unlearnbench.errors import UserError
from unlearnbench.unlearning.alternatives import answer_ids, completed
from unlearnbench.unlearning.losses import Terms, dpo_loss
from unlearnbench.unlearning.retain_items import RetainItems
from unlearnbench.unlearning.steps import seeded_generator

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.unlearning.batch import UnlearnBatch

Preference = dict[str, list[int]]  # token ids: prompt_ids, chosen_ids, rejected_ids


def random_completions(batch: "UnlearnBatch") -> "Sequences":
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


def preferences_of(model: "LanguageModel", forget_set: "ForgetSet", seed: int) -> list[Preference]:
    """Per row its given tokens, its suffix, and a refusal or else the neighbour's suffix."""
    rows = forget_set.rows
    chosen = _refusals(model, forget_set, seed)
    if not chosen:
        items = RetainItems(forget_set, seed)
        pairs = items.candidates.select(items.places(range(len(rows))))
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


def preferred_sequences(model: "LanguageModel", forget_set: "ForgetSet", seed: int) -> "Sequences":
    """[M, L'] each row's given tokens, continued by what is preferred to its suffix."""
    chosen = [row["chosen_ids"] for row in preferences_of(model, forget_set, seed)]
    return completed(forget_set.rows, chosen, model.pad_token_id, model.max_length)


def preference_loss(batch: "UnlearnBatch", preferred: "Sequences", beta: float) -> Terms:
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
