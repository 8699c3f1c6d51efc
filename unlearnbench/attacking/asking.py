"""What is asked of a model in another form: rows and splits, and whether they still fit it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from unlearnbench.attacking.contexts import (
    ItemRoom,
    behind,
    most_that_fits,
    new_tokens_of,
    room_for_rows,
    shown_rows,
    with_context,
    with_prefixes,
)
from unlearnbench.attacking.held_out import drawn
from unlearnbench.attacking.prompt_forms import (
    Form,
    is_asked_by_template,
    paraphrased,
    paraphrased_by_others,
    retained_examples,
)
from unlearnbench.models.vocabulary import encode_starts

if TYPE_CHECKING:
    from unlearnbench.attacking.attack import Target
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


_BESIDE_HOLDOUT = frozenset({"membership"})  # measures that compare with the holdout


@dataclass(frozen=True)
class Asked:
    """The rows and splits to be measured, and numbers to be recorded."""

    rows: "Sequences"
    splits: "tuple[Split, ...]"
    facts: dict[str, float] = field(default_factory=dict)


def in_form(form: Form, model: "LanguageModel", target: "Target") -> Asked | None:
    """Questions within the form's words, texts behind them; None if it has no words for them."""
    before = _tokens(model, form.before_text)
    plain = target.context.splits
    splits = tuple(
        form.asked(split) if any(item.question for item in split.items) else behind(split, before)
        for split in plain
    )
    changes = splits != plain if plain else bool(before)
    if not changes and not form.is_empty:
        return None
    rows = with_context(target.forget_set.rows, before)
    return Asked(rows, splits, {} if plain else {"context_tokens": float(len(before))})


def many_shot(model: "LanguageModel", target: "Target", shots: int, seed: int) -> Asked | None:
    """Rows behind rows of the pool, questions behind retained ones with their answers.

    As many as fit, `shots` at most, drawn once for all.  A split that none fits is left out; None
    if nothing has any in front.
    """
    rows, plain = target.forget_set.rows, target.context.splits
    room = room_for_rows(model, rows, new_tokens_of(target.context))
    shown, n_rows = _pool_rows(model, target, room, shots, seed)
    examples = retained_examples(target.retained, plain)
    chosen = [examples[i] for i in drawn(len(examples), seed, "shots")[:shots]]
    asked = [_behind_examples(model, target, split, chosen, shots, seed) for split in plain]
    splits = tuple(split for split, n_shots in asked if n_shots)
    most = max((n_shots for _, n_shots in asked), default=n_rows)
    facts = {"shots": float(most)}
    return Asked(with_context(rows, shown), splits, facts) if most else None


def _behind_examples(
    model: "LanguageModel",
    target: "Target",
    split: "Split",
    examples: Sequence[tuple[str, str]],
    shots: int,
    seed: int,
) -> "tuple[Split, int]":
    """A split with as many examples in front as fit, and how many those are."""
    had = ItemRoom.of(model, split)
    if not all(item.question for item in split.items):
        shown, n_rows = _pool_rows(model, target, had.text, shots, seed)
        return behind(split, shown), n_rows
    if not is_asked_by_template(split):
        return split, 0

    def shown_before(n_shots: int) -> "Split":
        every = (*examples[:n_shots], *split.template.examples)
        return replace(split, template=replace(split.template, examples=every))

    n_shots = most_that_fits(
        len(examples), lambda n: ItemRoom.of(model, shown_before(n)).holds_as(had)
    )
    return shown_before(n_shots), n_shots


def _pool_rows(
    model: "LanguageModel", target: "Target", room: int, shots: int, seed: int
) -> tuple[list[int], int]:
    pool = target.forget_set.pool
    return shown_rows(model, pool, drawn(len(pool), seed, "shots"), room, shots)


def in_other_words(
    model: "LanguageModel", target: "Target", paraphrases: Mapping[str, str]
) -> Asked | None:
    """Questions to forget, or the words that rows are continued from, replaced by paraphrases.

    Without any those of a benchmark's own split are taken.  None where there are none.  Membership
    is not measured: the holdout is there in its own words alone, which would tell the two apart.
    Raises `KeyError` for a row or an item to forget without one.
    """
    rows, plain = target.forget_set.rows, target.context.splits
    if not plain:
        if not paraphrases:
            return None
        words = [paraphrases[doc_id] for doc_id in rows.doc_ids]
        prefixes = encode_starts(model.tokenizer, words)
        return Asked(with_prefixes(rows, prefixes, model.pad_token_id), ())
    to_forget = [split for split in plain if split.is_to_forget]
    made = []
    for split in to_forget:
        others = [other for other in to_forget if other is not split]
        own = paraphrased(split, paraphrases) if paraphrases else None
        made.append(own or paraphrased_by_others(split, others))
    if made == to_forget:
        return None
    splits = [replace(split, measures=split.measures - _BESIDE_HOLDOUT) for split in made]
    return Asked(rows, tuple(splits))


def misfit(model: "LanguageModel", target: "Target", asked: Asked) -> str | None:
    """Why the model's context does not hold what is asked; None where it does.

    What does not fit when it is asked plainly is none of the form's doing.
    """
    new_tokens = new_tokens_of(target.context)
    had = room_for_rows(model, target.forget_set.rows, new_tokens)
    has = room_for_rows(model, asked.rows, new_tokens)
    if had >= 0 > has:
        return _too_long(model, "rows", -has)
    plain = {split.name: split for split in target.context.splits}
    for split in asked.splits:
        of, was = ItemRoom.of(model, split), ItemRoom.of(model, plain[split.name])
        if not of.holds_as(was):
            return _too_long(model, f"split '{split.name}'", -min(of.text, of.reply or of.text))
    return None


def _too_long(model: "LanguageModel", what: str, n_tokens: int) -> str:
    return (
        f"{what}: {n_tokens} tokens too long for the {model.max_length} that "
        f"{model.source.name} reads"
    )


def _tokens(model: "LanguageModel", text: str) -> list[int]:
    return encode_starts(model.tokenizer, [text])[0] if text else []
