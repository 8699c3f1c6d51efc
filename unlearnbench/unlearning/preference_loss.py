"""The preference loss in the epoch loop's own terms, for what trl's trainer does not do."""

from typing import TYPE_CHECKING

from unlearnbench.unlearning.completions import completed
from unlearnbench.unlearning.losses import Terms, dpo_loss
from unlearnbench.unlearning.preferences import preferences_of

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.unlearning.batch import UnlearnBatch


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
