"""What is preferred to what: a row's prompt, what a model is to say after it, and its suffix."""

from typing import TYPE_CHECKING

from unlearnbench.unlearning.gradient_method import seeded_generator

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel

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
