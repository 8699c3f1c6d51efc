"""Other ways to ask: the forms of a TOML file, and paraphrases from a table."""

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.tables import read_table, text_of_file

if TYPE_CHECKING:
    from unlearnbench.data.items import Item, Split

DOCS = "docs/attacks.md"
QUESTION, TEXT = "{question}", "{text}"


@dataclass(frozen=True)
class Form:
    """Words around what is asked; without any, nothing changes."""

    name: str
    label: str
    question: str = QUESTION  # what is asked in a question's place
    answer_prefix: str = ""  # words put into the model's mouth; none: the template's own stay
    text: str = TEXT  # words in front of a text that is to be continued

    @property
    def is_empty(self) -> bool:
        """Whether it has no word of its own: what is asked in it is asked plainly."""
        return self == Form(self.name, self.label)

    @property
    def before_text(self) -> str:
        """The words in front of a text."""
        return self.text.removesuffix(TEXT)

    def asked(self, split: "Split") -> "Split":
        """The split's questions in this form; texts are left as they are."""
        if self.question != QUESTION:
            split = replace(split, items=tuple(map(self._asked, split.items)))
        if self.answer_prefix and is_asked_by_template(split):
            template = replace(split.template, answer_prefix=self.answer_prefix)
            split = replace(split, template=template)
        return split

    def _asked(self, item: "Item") -> "Item":
        if not item.question:
            return item
        # Not `format`: words may hold braces of their own.
        return replace(item, question=self.question.replace(QUESTION, item.question))


def is_asked_by_template(split: "Split") -> bool:
    """Whether a split's template says how it is asked, not a task of lm-eval."""
    return not any(item.asked_as for item in split.items)


def read_forms(path: Path) -> dict[str, Form]:
    """The forms of a file, a table each; raises `UserError` naming file and form."""
    try:
        tables = tomllib.loads(text_of_file(path))
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path.name} is not TOML: {error}; see {DOCS}") from error
    if not tables:
        raise UserError(f"{path.name} has no form; write one as a table of its own; see {DOCS}")
    return {name: _form(name, table, f"{path.name}, [{name}]") for name, table in tables.items()}


def _form(name: str, table: Any, where: str) -> Form:
    if not re.fullmatch(r"[\w-]+", name):
        raise UserError(f"{where}: name a form by letters, digits, - and _; see {DOCS}")
    if not isinstance(table, dict):
        raise UserError(f"{where}: not a table; write [NAME] and its words below; see {DOCS}")
    allowed = [field.name for field in fields(Form) if field.name != "name"]
    for key, value in table.items():
        if key not in allowed:
            raise unknown(f"key of {where}:", key, allowed, DOCS)
        if not isinstance(value, str):
            raise UserError(f"{where}: {key} is {type(value).__name__}, not text")
    form = Form(name, **{"label": name, **table})
    if QUESTION not in form.question:
        raise UserError(f"{where}: question has no {QUESTION} where the item's own stands")
    if not form.text.endswith(TEXT):
        raise UserError(
            f"{where}: text does not end with {TEXT}; only words in front of it leave the model "
            "something to continue"
        )
    return form


def read_paraphrases(path: Path) -> dict[str, str]:
    """Paraphrases by doc_id, from a table's fields `doc_id` and `paraphrase`.

    Raises `UserError` naming file and row.
    """
    by_row: dict[str, str] = {}
    for at, row in enumerate(read_table(path, DOCS)):
        where = f"{path.name}, row {at}"
        doc_id, paraphrase = row.get("doc_id"), row.get("paraphrase")
        if not isinstance(doc_id, str | int) or isinstance(doc_id, bool) or doc_id == "":
            raise UserError(f"{where}: field 'doc_id' is missing; it names the row to forget")
        if not isinstance(paraphrase, str) or not paraphrase.strip():
            raise UserError(f"{where}: field 'paraphrase' is missing or empty; every row needs it")
        if str(doc_id) in by_row:
            raise UserError(f"{where}: a second paraphrase of row {doc_id}; keep one")
        by_row[str(doc_id)] = paraphrase
    return by_row


def check_paraphrased(
    paraphrases: Mapping[str, str], doc_ids: Sequence[str], file: str, of: str
) -> None:
    """Raise `UserError` for a row that has no paraphrase."""
    if missing := [doc_id for doc_id in doc_ids if doc_id not in paraphrases]:
        raise UserError(
            f"{file} has no paraphrase of row {missing[0]!r:.60} of {of}, nor of "
            f"{len(missing) - 1} more of its {len(doc_ids)}; its own rows begin with "
            f"{next(iter(paraphrases))!r:.60}; give those of this forget set: "
            "--set prompts.paraphrases=FILE"
        )


def paraphrased(split: "Split", paraphrases: Mapping[str, str]) -> "Split":
    """The split with other words for its questions."""
    items = (
        replace(item, question=paraphrases[item.doc_id]) if item.question else item
        for item in split.items
    )
    return replace(split, items=tuple(items))


def paraphrased_by_others(split: "Split", others: "Sequence[Split]") -> "Split":
    """The split with its questions in another split's words, where that asks the same items.

    TOFU's questions are paraphrased in a split of their own, which is measured by less.
    """
    for other in others:
        words = {item.doc_id: item for item in other.items}
        if split.items and all(_asks_otherwise(words.get(i.doc_id), i) for i in split.items):
            return paraphrased(split, {name: item.question for name, item in words.items()})
    return split


def _asks_otherwise(other: "Item | None", item: "Item") -> bool:
    return (
        other is not None
        and bool(item.question)
        and other.answer == item.answer
        and other.question not in ("", item.question)
    )


def retained_examples(
    retained: "Sequence[Split]", measured: "Sequence[Split]"
) -> list[tuple[str, str]]:
    """Questions and answers that may be shown: those of `retained` that nobody measures."""
    taken = {_bare(item.question) for split in measured for item in split.items}
    every = (item for split in retained for item in split.items if not item.asked_as)
    shown = {_bare(i.question): (i.question, i.answer) for i in every if i.question}
    return [pair for question, pair in shown.items() if question not in taken]


def _bare(question: str) -> str:
    return " ".join(question.casefold().split())


def choose_forms(names: Collection[str], available: Collection[str]) -> None:
    """Raise `UserError` for a form that there is not."""
    for name in names:
        if name not in available:
            raise unknown("form of prompts", name, available, "unlearnbench show prompts")
