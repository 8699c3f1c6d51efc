"""Which printed row stands beside which of one's own, and on what grounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import Group, Row
from unlearnbench.errors import UserError
from unlearnbench.reporting.published.models import printed_model
from unlearnbench.reporting.published.printed import (
    MEAN,
    PrintedRow,
    PrintedTable,
    completed,
    printed_table,
)

if TYPE_CHECKING:
    from unlearnbench.reporting.findings import Findings

# What the paper ran ICU with where its table does not vary it; table 5 says 0.5 and 0.5.
ICU_WEIGHTS = {"alpha": 0.5, "beta": 1.0}
ICU_WEIGHTS_BY_TABLE = {"learning-rate": {"alpha": 0.5, "beta": 0.5}}
_SWEEPS = {"alpha-beta": ("alpha", "beta"), "learning-rate": ("learning_rate",)}


@dataclass(frozen=True)
class Line:
    """A row of one's own and the printed one beside it; one of the two may be missing."""

    own: Row | None
    printed: PrintedRow | None
    label: str


@dataclass(frozen=True)
class Beside:
    """One group of one's own beside what the paper prints for its model."""

    group: Group
    table: PrintedTable
    size: str  # '125M'
    lines: tuple[Line, ...]
    stands_in: bool = False  # the group's model is not the printed one
    by_order: bool = False  # learning rates are matched by their order, not their value
    unprinted: tuple[str, ...] = ()  # own rows left out, since no run of theirs is printed

    @property
    def matched(self) -> tuple[Line, ...]:
        """The lines that have both."""
        return tuple(line for line in self.lines if line.own and line.printed)


def besides(findings: "Findings") -> tuple[Beside, ...]:
    """Every group of the findings for which the paper prints something, beside it.

    `findings.published` may name table, source and params (the size that a model which is not
    the paper's stands in for); what it leaves open follows from models and settings.  Raises
    `UserError` for a table that does not exist, and if nothing is printed for any group.
    """
    found = [_beside(group, findings) for group in findings.table.groups]
    beside = tuple(one for one in found if one is not None)
    if not beside:
        models = ", ".join(dict.fromkeys(group.name for group in findings.table.groups))
        asked = findings.published.get("table", "")
        raise UserError(
            f"the paper prints nothing{f' in {asked}' if asked else ''} for {models}: it has "
            "GPT-Neo 125M, 1.3B, 2.7B and TinyLlama 1.1B; let a model stand in for a size with "
            'published = { table = "table1", params = "125M" } in an experiment\'s file'
        )
    return beside


def weights_of(table: PrintedTable) -> dict[str, float]:
    """The weights the paper ran ICU with in a table that does not print them."""
    return ICU_WEIGHTS_BY_TABLE.get(table.name, ICU_WEIGHTS)


def _beside(group: Group, findings: "Findings") -> Beside | None:
    found = printed_model(group, findings)
    if found is None:
        return None
    model, size, stands_in = found
    table = _table(group, model, findings)
    printed = table.of(model, size)
    if not printed:
        return None
    if table.name == "per-run":
        lines, unprinted = _lines_by_run(group, printed, findings)
        return Beside(group, table, size, lines, stands_in, unprinted=unprinted)
    rates = _rates_by_order(group, printed) if stands_in and table.name == "learning-rate" else {}
    lines = _lines(group, table, printed, rates)
    return Beside(group, table, size, lines, stands_in, by_order=bool(rates))


def _table(group: Group, model: str, findings: "Findings") -> PrintedTable:
    """The table asked for; TinyLlama has the main table's columns in one of its own."""
    name = findings.published.get("table") or _guess(group)
    if name in ("table1", "tinyllama"):
        name = "tinyllama" if model == "tinyllama" else "table1"
    return completed(printed_table(name, findings.published.get("source") or None))


def _guess(group: Group) -> str:
    """A sweep if ICU is alone in several settings, else the main table."""
    rows = [row for row in group.rows if row.role == "method"]
    if {row.method for row in rows} == {"icu"}:
        for table, names in _SWEEPS.items():
            if len({tuple(row.settings.get(n) for n in names) for row in rows}) > 1:
                return table
    return "table1"


def _lines(
    group: Group,
    table: PrintedTable,
    printed: Sequence[PrintedRow],
    rates: Mapping[float, float],
) -> tuple[Line, ...]:
    """Own rows in their order, each with its printed one, then what is printed only."""
    names = _SWEEPS.get(table.name, ())
    lines, used = [], []
    for row in group.rows:
        fitting = (p for p in printed if _is(row, p, names, rates))
        match = next(fitting, None) if _has_weights(row, group.rows, table) else None
        lines.append(Line(row, match, row.label))
        used.append(match)
    return (*lines, *(Line(None, p, p.label) for p in printed if p not in used))


def _is(row: Row, printed: PrintedRow, names: Sequence[str], rates: Mapping[float, float]) -> bool:
    if row.role != "method" or printed.role != "method":
        return row.role == printed.role
    told = {name: printed.settings.get(name) for name in names}
    wanted = {name: rates.get(value, value) if value else value for name, value in told.items()}
    return row.method == printed.method and all(
        row.settings.get(name) == value for name, value in wanted.items()
    )


def _has_weights(row: Row, rows: Sequence[Row], table: PrintedTable) -> bool:
    """Of ICU's rows those with the paper's weights count, where there are any."""
    if row.method != "icu" or table.name == "alpha-beta":
        return True
    weights = weights_of(table).items()
    ours = [r for r in rows if r.method == "icu"]
    like = [r for r in ours if all(r.settings.get(n) == value for n, value in weights)]
    return row in like or not like


def _rates_by_order(group: Group, printed: Sequence[PrintedRow]) -> dict[float, float]:
    """One's own rate for each printed one, by size, where there are as many of both."""
    rates = {r.settings.get("learning_rate") for r in group.rows if r.method == "icu"}
    own = sorted(rate for rate in rates if rate is not None)
    theirs = sorted(row.settings["learning_rate"] for row in printed)
    if len(own) != len(theirs) or own == theirs:
        return {}
    return dict(zip(theirs, own, strict=True))


def _lines_by_run(
    group: Group, printed: Sequence[PrintedRow], findings: "Findings"
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Each run of each method that is printed by run, and the labels of the rows that are not."""
    lines: list[Line] = []
    unprinted = []
    for row in group.rows:
        theirs = [p for p in printed if _is(row, p, (), {})]
        if not theirs or not row.runs:
            unprinted.append(row.label)
        elif theirs[0].run == MEAN:  # the row before unlearning
            lines.append(Line(row, theirs[0], row.label))
        else:
            lines += _runs_of(row, theirs, findings)
    return tuple(lines), tuple(unprinted)


def _runs_of(row: Row, printed: Sequence[PrintedRow], findings: "Findings") -> list[Line]:
    """One line per forget set; the paper's runs are taken to be the sets in their order."""
    sets = sorted({run.forget_set for run in row.runs}, key=lambda name: (len(name), name))
    by_run = {p.run: p for p in printed}
    lines = []
    for position, name in enumerate(sets):
        results = [r for r in findings.results_of(row) if r.forget_set.run == name]
        # As findings of their own, so that its intervals are over this run's documents.
        alone = replace(findings, results=tuple(results)).table.groups[0].rows[0]
        number = int(name) + 1 if name.isdigit() else position + 1
        label = f"{row.label}, forget set {name}"
        lines.append(Line(alone, by_run.pop(str(number), None), label))
    return [*lines, *(Line(None, p, p.label) for p in by_run.values())]
