"""Items made of the rows of tables."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from unlearnbench.data.benchmarks.definition import SEE, Fields
from unlearnbench.data.benchmarks.tables import Row, Tables
from unlearnbench.data.items import Item
from unlearnbench.data.row_fields import text_field
from unlearnbench.errors import UserError

Conditions = Mapping[str, str | list[str]]  # by field: a value, or several of which one is wanted


def items_of(
    tables: Tables,
    table: str,
    fields: Fields,
    needs: Sequence[str] = (),
    where: Conditions | None = None,
    asked_as: str | None = None,
) -> tuple[Item, ...]:
    """The items of a table's rows; raises `UserError` naming a row without what is needed.

    `asked_as` is lm-eval's task of multiple choice, with names of the row's fields in braces.
    """
    source, rows = tables.source(table), tables.rows(table)
    chosen = [at for at, row in enumerate(rows) if _is_wanted(row, where or {})]
    if not chosen:
        raise UserError(
            f"{source}: no row of table '{table}' has {_in_words(where or {})}; see the "
            "benchmark's file"
        )
    return tuple(
        _item(rows[at], at, f"{source}, row {at}", fields, needs, asked_as) for at in chosen
    )


def _is_wanted(row: Row, where: Conditions) -> bool:
    return all(
        any(_is_like(str(row.get(name)), value) for value in _listed(wanted))
        for name, wanted in where.items()
    )


def _is_like(value: str, wanted: str) -> bool:
    return fnmatchcase(value, wanted) if "*" in wanted else value == wanted


def _in_words(where: Conditions) -> str:
    return " and ".join(f"{name} {' or '.join(_listed(value))}" for name, value in where.items())


def _item(
    row: Row, at: int, where: str, fields: Fields, needs: Sequence[str], asked_as: str | None
) -> Item:
    question = _text(row, fields.question, where) if fields.question else ""
    answer, wrong, position = _answers(row, fields, where)
    paraphrases = _texts(row.get(fields.paraphrases)) if fields.paraphrases else ()
    for measure, found, name in (
        ("paraphrase", paraphrases, fields.paraphrases),
        ("wrong", wrong, fields.wrong),
        ("probability_normalised", wrong, fields.wrong),
        ("multiple_choice", wrong, fields.wrong),
    ):
        if measure in needs and not found:
            raise UserError(
                f"{where}: field '{name}' is missing or empty, and '{measure}' is measured with "
                "it; fill it, or remove the row from every table"
                if name
                else f"{where}: '{measure}' is measured, and no field holds what it is measured "
                f"with: name one under 'fields' of the benchmark's file; see: {SEE}"
            )
    task = _task(row, asked_as, where) if asked_as else ""
    return Item(str(at), question, answer, paraphrases, wrong, where, position, task)


def _task(row: Row, asked_as: str, where: str) -> str:
    try:
        return asked_as.format_map(row)
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(
            f"{where}: field {error} is missing, and lm-eval's task '{asked_as}' is found by it"
        ) from error


def _answers(row: Row, fields: Fields, where: str) -> tuple[str, tuple[str, ...], int | None]:
    """The right answer, the wrong ones, and of multiple choice the right one's place."""
    right, choices = row.get(fields.answer), row.get(fields.wrong) if fields.wrong else None
    if not isinstance(right, int) or isinstance(right, bool) or not isinstance(choices, list):
        return _text(row, fields.answer, where), _texts(choices), None
    if not all(isinstance(choice, str) for choice in choices):  # also of empty ones: places count
        raise UserError(f"{where}: field '{fields.wrong}' holds something else than texts")
    if not 0 <= right < len(choices):
        raise UserError(
            f"{where}: field '{fields.answer}' is {right}, and there are {len(choices)} choices"
        )
    return choices[right], tuple(w for i, w in enumerate(choices) if i != right), right


def _text(row: Row, name: str, where: str) -> str:
    value = row.get(name)
    if isinstance(value, list) and value and isinstance(value[0], str):
        value = value[0]  # of several answers that are right, the first
        return text_field({name: value}, name, where)
    return text_field(row, name, where)


def _texts(value: Any) -> tuple[str, ...]:
    """One text or several; none for what is neither."""
    if isinstance(value, str):
        return (value,) if value.strip() else ()
    if not isinstance(value, list | tuple):
        return ()
    return tuple(text for text in value if isinstance(text, str) and text.strip())


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
