"""Tables of the paper's printed values, scored and ranked by the same code as our own results."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from unlearnbench.columns import EPOCHS, PAPER_COLUMNS
from unlearnbench.errors import UserError, unknown
from unlearnbench.result import Role
from unlearnbench.table import Cell, Group, Row, Table

_ROLES: Mapping[str, Role] = {"none": "before", "opt-dedup": "dedup"}
_SIZES = {"K": 1e3, "M": 1e6, "B": 1e9}
_PRINTED = {column.name for column in (*PAPER_COLUMNS, EPOCHS)}


def table_from_published(path: Path, table: str, source: str = "v2") -> Table:
    """The published table of that name ('table1', 'tinyllama'), one group per model size.

    `path` is a CSV with the columns source, table, model, params, method, run, metric, value;
    `source` is the paper's version.  The printed s_z and s_m are not read but computed.
    Raises `UserError` if the file holds no such table of means.
    """
    records = _read(path)
    of_source = [r for r in records if r["source"] == source and r["run"] == "mean"]
    chosen = [r for r in of_source if r["table"] == table]
    if not chosen:
        known = {r["table"] for r in of_source}
        raise unknown(f"table of {source}", table, known, f"cut -d, -f1,2 {path} | sort -u")
    sizes = dict.fromkeys(r["params"] for r in chosen)
    return Table.from_values([_group([r for r in chosen if r["params"] == s]) for s in sizes])


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; give the published CSV") from error


def _group(records: list[dict[str, str]]) -> Group:
    names = dict.fromkeys((r["model"], r["method"]) for r in records)
    rows = tuple(_row(*name, _of(records, *name)) for name in names)
    model = next((r["model"] for r in records if r["method"] not in _ROLES), records[0]["model"])
    return Group(f"{model}-{records[0]['params']}", rows, _count(records[0]["params"]))


def _of(records: Iterable[dict[str, str]], model: str, method: str) -> dict[str, str]:
    own = [r for r in records if (r["model"], r["method"]) == (model, method)]
    return {r["metric"]: r["value"] for r in own}


def _row(model: str, method: str, values: dict[str, str]) -> Row:
    cells = {name: Cell(_number(v)) for name, v in values.items() if name in _PRINTED}
    return Row(_label(model, method), _ROLES.get(method, "method"), cells, method, model)


def _label(model: str, method: str) -> str:
    role = _ROLES.get(method)
    if role is None:
        name, _, settings = method.partition("[")
        told = f" ({settings.rstrip(']').replace(',', ', ')})" if settings else ""
        return f"{model.upper()} + {name.upper()}{told}"
    return model.upper() if role == "dedup" else f"{model.upper()} (before unlearning)"


def _number(text: str) -> float:
    # '>1000' says only that the value is above the cap, which is all that a score needs.
    return math.inf if text.startswith(">") else float(text)


def _count(text: str) -> int:
    return round(float(text[:-1]) * _SIZES[text[-1]])
