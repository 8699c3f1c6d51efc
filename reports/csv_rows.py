"""The document's tables as comma-separated values."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import ABSENT, SCORE_NAMES, Table
from unlearnbench.registry import register
from unlearnbench.reporting.document import Case, Listing, Picture
from unlearnbench.reporting.report import Report

from ._pictures import safe_name
from ._texts import fact_names

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Cell, Column, Group, Row
    from unlearnbench.reporting.document import Block, Document

# What begins a formula in spreadsheets, the last four in East Asian ones.
# Text that has an apostrophe there already gets another, so that all can be taken off again.
_FORMULA = re.compile(r"'*[=+\-@\t\r＝＋－＠]")
_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?|inf|nan|∞)"
_NUMBERS = re.compile(rf"{_NUMBER}(?: to {_NUMBER})?")  # a difference, or an interval of one


@register
@dataclass(frozen=True)
class Csv(Report):
    """One line per row of the table: mean, deviation, runs and interval of every metric."""

    name: ClassVar[str] = "csv"

    suffix: ClassVar[str] = ".csv"

    def render(self, document: "Document") -> str:
        """The tables of all blocks with an empty line between them; pictures are left out.

        Uncapped values in printed units (EL10 in percent); an empty field was not measured.
        A model's text is whole, with its line ends; but what a spreadsheet would take for a
        formula has an apostrophe in front.
        """
        return "\n".join(_by_name(document).values())

    def files(self, document: "Document", stem: str) -> dict[str, bytes]:
        """One table per file: STEM.csv for the comparison or a lone block, else STEM-NAME.csv."""
        return {
            f"{stem}{name}{self.suffix}": text.encode() for name, text in _by_name(document).items()
        }


def _by_name(document: "Document") -> dict[str, str]:
    """The text of each table by what its file's name ends in."""
    blocks = [block for block in document.blocks if not isinstance(block, Picture)]
    named: dict[str, str] = {}
    for block in blocks:
        name = ""
        if not isinstance(block, Table) and len(blocks) > 1:
            # A name of 255 characters is the most that file systems take.
            name = f"-{safe_name(block.name)[:100]}"
        numbered = (f"{name}-{i}" for i in count(2))
        unused = next(n for n in chain([name], numbered) if n not in named)
        named[unused] = _text(_lines(block))
    return named


def _lines(block: "Block") -> Iterable[Sequence[object]]:
    match block:
        case Table():
            return _table(block)
        case Listing():
            return _listing(block)
        case Case():
            return _case(block)
        case Picture():
            return []


def _text(lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([list(map(_harmless, line)) for line in lines])
    return text.getvalue()


def _harmless(value: object) -> object:
    """The value, or its text as no spreadsheet takes for a formula and every file can hold."""
    if not isinstance(value, str):
        return value
    text = re.sub("[\ud800-\udfff]", "\ufffd", value)  # half characters have no bytes
    return f"'{text}" if _FORMULA.match(text) and not _NUMBERS.fullmatch(text) else text


def _table(table: "Table") -> list[Sequence[object]]:
    columns = (*table.columns, *table.other_columns)
    lines = [
        {**_identity(group, row), **_values(row, columns)}
        for group in table.groups
        for row in group.rows
    ]
    return [list(lines[0]), *(list(line.values()) for line in lines)]


def _identity(group: "Group", row: "Row") -> dict[str, object]:
    return {
        "group": group.name,
        "parameters": group.n_parameters,
        "protocol": group.protocol_name,
        "dtype": group.dtype,
        "variant": group.variant,
        "row": row.label,
        "role": row.role,
        "method": row.method,
        "compared": row.compared,
        "n_runs": len(row.runs),
        "n_not_forgotten": row.n_not_forgotten,
        "n_failed": len(row.failures),
    }


def _values(row: "Row", columns: Sequence["Column"]) -> Mapping[str, object]:
    values: dict[str, object] = {}
    for column in columns:
        values.update(_fields(column.name, row.cells.get(column.name)))
    return values


def _fields(name: str, cell: "Cell | None") -> dict[str, object]:
    if name in SCORE_NAMES:
        return {name: _number(cell.mean if cell else None), **_place(name, cell)}
    return {
        f"{name}_mean": _number(cell.mean if cell else None),
        f"{name}_std": _number(cell.std if cell else None),
        f"{name}_n": cell.n if cell else 0,
        f"{name}_low": _number(cell.low if cell else None),
        f"{name}_high": _number(cell.high if cell else None),
        **_place(name, cell),
    }


def _place(name: str, cell: "Cell | None") -> dict[str, object]:
    """Best and second best as printed, and whether a test told the best from the second."""
    is_best = cell is not None and cell.rank == 1
    return {
        f"{name}_rank": cell.rank if cell and cell.rank else "",
        f"{name}_indistinct": str(cell.indistinct).lower() if cell and is_best else "",
    }


def _number(value: float | None) -> str:
    # Ten digits: more than is known, and the same on every machine.
    return "" if value is None else f"{value:.10g}"


def _listing(listing: "Listing") -> list[Sequence[object]]:
    rows = [["" if cell == ABSENT else cell for cell in row] for row in listing.rows]
    return [listing.headers, *rows]


def _case(case: "Case") -> list[Sequence[object]]:
    names = fact_names(case)
    given = [[label, text] + [""] * len(names) for label, text in _given(case)]
    written = [
        [p.label, p.text, *(dict(p.facts).get(name, "") for name in names)] for p in case.passages
    ]
    return [["label", "text", *names], *given, *written]


def _given(case: "Case") -> list[tuple[str, str]]:
    return [("prefix", case.prefix), ("reference", case.reference)]
