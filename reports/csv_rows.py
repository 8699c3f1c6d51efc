"""The document's tables as comma-separated values."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.analysis.table import ABSENT, SCORE_NAMES, Table
from unlearnbench.registry import register
from unlearnbench.reporting.document import Case, Listing, Passage, Picture
from unlearnbench.reporting.report import Report

from ._texts import fact_names, safe_name

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
        unused = next(n for n in chain([name], (f"{name}-{i}" for i in count(2))) if n not in named)
        text = io.StringIO()
        lines = ([_harmless(value) for value in line] for line in _lines(block))
        csv.writer(text, lineterminator="\n").writerows(lines)
        named[unused] = text.getvalue()
    return named


def _lines(block: "Block") -> Iterable[Iterable[object]]:
    match block:
        case Table():
            columns = (*block.columns, *block.other_columns)
            rows = [_row(g, row, columns) for g in block.groups for row in g.rows]
            return [rows[0].keys(), *(row.values() for row in rows)]
        case Listing():
            cells = [["" if cell == ABSENT else cell for cell in row] for row in block.rows]
            return [block.headers, *cells]
        case Case():
            names = fact_names(block)
            source = (Passage("prefix", block.prefix), Passage("reference", block.reference))
            lines = [
                [p.label, p.text, *(dict(p.facts).get(name, "") for name in names)]
                for p in (*source, *block.passages)
            ]
            return [["label", "text", *names], *lines]
        case Picture():
            return []


def _harmless(value: object) -> object:
    """The value, or its text as no spreadsheet takes for a formula and every file can hold."""
    if not isinstance(value, str):
        return value
    text = re.sub("[\ud800-\udfff]", "\ufffd", value)  # half characters have no bytes
    return f"'{text}" if _FORMULA.match(text) and not _NUMBERS.fullmatch(text) else text


def _row(group: "Group", row: "Row", columns: Sequence["Column"]) -> dict[str, object]:
    values: dict[str, object] = {
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
    for column in columns:
        values |= _fields(column.name, row.cells.get(column.name))
    return values


def _fields(name: str, cell: "Cell | None") -> dict[str, object]:
    # Ten digits: more than is known, and the same on every machine.
    mean, std, low, high = (
        "" if cell is None or (value := getattr(cell, part)) is None else f"{value:.10g}"
        for part in ("mean", "std", "low", "high")
    )
    fields: dict[str, object] = {name: mean}
    if name not in SCORE_NAMES:
        fields = {
            f"{name}_mean": mean,
            f"{name}_std": std,
            f"{name}_n": cell.n if cell else 0,
            f"{name}_low": low,
            f"{name}_high": high,
        }
    # Best and second best as printed, and whether a test told the best from the second.
    rank = cell.rank if cell else None
    indistinct = str(cell.indistinct).lower() if cell and rank == 1 else ""
    return {**fields, f"{name}_rank": rank or "", f"{name}_indistinct": indistinct}
