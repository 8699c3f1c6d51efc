"""Tables of printed values, scored and ranked by the same code as our own results."""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from unlearnbench.analysis.build_table import table_of_means
from unlearnbench.analysis.columns import EPOCHS, PAPER_COLUMNS
from unlearnbench.analysis.table import Cell, Group, Row, Table
from unlearnbench.errors import UserError, unknown
from unlearnbench.reporting.published.printed import MEAN, PrintedRow, number

_SIZES = {"K": 1e3, "M": 1e6, "B": 1e9}
_COMPARED = {column.name for column in (*PAPER_COLUMNS, EPOCHS)}


def as_table(rows: Sequence[PrintedRow]) -> Table:
    """The comparison of printed means, one group per model size.

    The printed s_z and s_m are not read but computed.
    """
    means = [row for row in rows if row.run == MEAN]
    sizes = dict.fromkeys(row.size for row in means)
    return table_of_means([_group([r for r in means if r.size == size]) for size in sizes])


def row_of(printed: PrintedRow) -> Row:
    """A printed row as a row of a comparison; printed scores are left out."""
    cells = {n: Cell(number(v)) for n, v in printed.values.items() if n in _COMPARED}
    return Row(
        printed.label, printed.role, cells, printed.method, printed.model, dict(printed.settings)
    )


def table_from_published(path: Path, table: str, source: str = "v2") -> Table:
    """The published table of that name ('table1', 'tinyllama') in a file of printed values.

    `path` is a CSV with the columns source, table, model, params, method, run, metric, value;
    `source` is the paper's version.  Raises `UserError` if the file holds no such table of means.
    """
    records = _read(path)
    of_source = [r for r in records if r["source"] == source and r["run"] == MEAN]
    chosen = [r for r in of_source if r["table"] == table]
    if not chosen:
        known = {r["table"] for r in of_source}
        raise unknown(f"table of {source}", table, known, f"cut -d, -f1,2 {path} | sort -u")
    return as_table(_rows(chosen))


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give the published CSV") from error


def _rows(records: Iterable[dict[str, str]]) -> list[PrintedRow]:
    """One row for all records that name the same model, size and method."""
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for record in records:
        place = record["params"], record["model"], record["method"]
        rows.setdefault(place, {})[record["metric"]] = record["value"]
    return [_printed(*place, values) for place, values in rows.items()]


def _printed(size: str, model: str, written: str, values: dict[str, str]) -> PrintedRow:
    # 'icu[alpha=0.1,beta=0.5]': a method with the settings that the table varies.
    method, _, settings = written.partition("[")
    pairs = re.findall(r"(\w+)=([^,\]]+)", settings)
    return PrintedRow(size, model, method, values, {name: float(value) for name, value in pairs})


def _group(rows: Sequence[PrintedRow]) -> Group:
    model = next((row.model for row in rows if row.method != "opt-dedup"), rows[0].model)
    size = rows[0].size
    return Group(f"{model}-{size}", tuple(map(row_of, rows)), _count(size))


def _count(text: str) -> int:
    return round(float(text[:-1]) * _SIZES[text[-1]])
