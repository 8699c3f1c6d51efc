"""What is preferred to what: a row's prompt, what a model is to say after it, and its suffix."""

from typing import TYPE_CHECKING

from unlearnbench.unlearning.completions import completed
from unlearnbench.unlearning.losses import Terms, dpo_loss
from unlearnbench.unlearning.steps import seeded_generator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.unlearning.batch import UnlearnBatch


Preference = dict[str, list[int]]  # token ids: prompt_ids, chosen_ids, rejected_ids


def preferences_of(model: "LanguageModel", forget_set: "ForgetSet", seed: int) -> list[Preference]:
    """Per row its given tokens, its suffix, and a refusal or else the neighbour's suffix."""
    rows = forget_set.rows
    chosen = _refusals(model, forget_set, seed) or _neighbour_suffixes(forget_set)
    return [
        {
            "prompt_ids": rows.input_ids[i, : int(rows.n_given[i])].tolist(),
            "chosen_ids": chosen[i][: model.max_length - int(rows.n_given[i])],
            "rejected_ids": rows.suffix(i),
        }
        for i in range(len(rows))
    ]


def _neighbour_suffixes(forget_set: "ForgetSet") -> list[list[int]]:
    pairs = forget_set.pairs()
    return [pairs.suffix(i) for i in range(len(pairs))]


def _refusals(model: "LanguageModel", forget_set: "ForgetSet", seed: int) -> list[list[int]]:
    """One refusal per row, drawn once: the reference log-probabilities are computed once."""
    import torch

    answers = [_answer_ids(model.tokenizer, text) for text in forget_set.refusals]
    if not answers:
        return []
    generator = seeded_generator(seed, "refusals")
    drawn = torch.randint(len(answers), (len(forget_set.rows),), generator=generator)
    return [answers[i] for i in drawn.tolist()]


def _answer_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """An answer as it stands after a question: with the space before it, exactly once."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    # SentencePiece vocabularies put that space there themselves.
    if tokenizer.convert_ids_to_tokens(ids[:1])[0].startswith("▁"):
        return ids
    spaced: list[int] = tokenizer(" " + text, add_special_tokens=False)["input_ids"]
    return spaced


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
