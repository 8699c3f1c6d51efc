"""Which printed row stands beside which of one's own, and on what grounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import Group, Row
from unlearnbench.errors import UserError
from unlearnbench.reporting.published.printed import (
    MEAN,
    PrintedRow,
    PrintedTable,
    completed,
    printed_table,
    printed_tables,
)

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Findings

# The paper's models by the names that a result may give them, and by what tells them otherwise.
_NAMES = {
    name: ("neo", size)
    for size in ("125M", "1.3B", "2.7B")
    for name in (f"neo-{size.lower()}", f"EleutherAI/gpt-neo-{size.replace('125M', '125m')}")
} | dict.fromkeys(
    ("tinyllama", "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"), ("tinyllama", "1.1B")
)
_ARCHITECTURES = {"GPTNeo": "neo", "Llama": "tinyllama"}
_N_PARAMETERS = {
    ("neo", "125M"): 125_198_592,
    ("neo", "1.3B"): 1_315_575_808,
    ("neo", "2.7B"): 2_651_307_008,
    ("tinyllama", "1.1B"): 1_100_048_384,
}
_MAIN_TABLES = {"neo": "table1", "tinyllama": "tinyllama"}  # with the same columns


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
    model: str  # 'neo' or 'tinyllama'
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
    resolved = [_beside(group, findings) for group in findings.table.groups]
    beside = tuple(one for one in resolved if one is not None)
    if not beside:
        models = ", ".join(dict.fromkeys(group.name for group in findings.table.groups))
        table = findings.published.get("table", "")
        raise UserError(
            f"the paper prints nothing{f' in {table}' if table else ''} for {models}: it has "
            "GPT-Neo 125M, 1.3B, 2.7B and TinyLlama 1.1B; let a model stand in for a size with "
            'published = { table = "table1", params = "125M" } in an experiment\'s file'
        )
    return beside


def _beside(group: Group, findings: "Findings") -> Beside | None:
    resolved = _printed_model(group, findings)
    if resolved is None:
        return None
    model, size, stands_in = resolved
    name = findings.published.get("table") or _sweep_of(group) or _MAIN_TABLES[model]
    if name in _MAIN_TABLES.values():
        name = _MAIN_TABLES[model]
    table = completed(printed_table(name, findings.published.get("source") or None))
    if not (printed := table.of(model, size)):
        return None
    beside = Beside(group, table, model, size, (), stands_in)
    if any(row.run != MEAN for row in table.rows):
        lines, unprinted = _lines_by_run(group, printed, findings)
        return replace(beside, lines=lines, unprinted=unprinted)
    rates = _rates_by_order(group, printed) if stands_in else {}
    return replace(beside, lines=_lines(group, table, printed, rates), by_order=bool(rates))


def _printed_model(group: Group, findings: "Findings") -> tuple[str, str, bool] | None:
    """Model and size of the paper that a group is about, and whether it only stands in for it."""
    if group.name in _NAMES:
        return (*_NAMES[group.name], False)
    size = findings.published.get("params")
    rows = [row for row in group.rows if row.role != "dedup" and row.runs]
    for model in (findings.results_of(row)[0].model for row in rows[:1]):
        starts = (start for start in _ARCHITECTURES if model.architecture.startswith(start))
        family = _ARCHITECTURES.get(next(starts, ""))
        if group.is_synthetic:
            llama = family == "tinyllama"
            return ("tinyllama", "1.1B", True) if llama else ("neo", size or "125M", True)
        for (printed, printed_size), n in _N_PARAMETERS.items():
            if family == printed and abs(model.n_parameters - n) < 0.02 * n:
                return printed, printed_size, False
    return ("tinyllama" if size == "1.1B" else "neo", size, True) if size else None


def _sweep_of(group: Group) -> str | None:
    """The table that varies the settings in which the group's only method stands here."""
    rows = [row for row in group.rows if row.role == "method"]
    for source, name in printed_tables():
        table = printed_table(name, source)
        methods = {row.method for row in table.rows if row.role == "method"}
        settings = {tuple(row.settings.get(n) for n in table.varied) for row in rows}
        if {row.method for row in rows} == methods and len(settings) > 1:
            return name
    return None


def _lines(
    group: Group, table: PrintedTable, printed: Sequence[PrintedRow], rates: Mapping[float, float]
) -> tuple[Line, ...]:
    """Own rows in their order, each with its printed one, then what is printed only."""
    lines, used = [], []
    for row in group.rows:
        weights = table.weights_of(row.method).items()
        # Of a method's rows those with the paper's weights count, where there are any.
        like = [r for r in group.rows if r.method == row.method
                and all(r.settings.get(name) == value for name, value in weights)]  # fmt: skip
        fitting = (p for p in printed if _is(row, p, table.varied, rates))
        match = next(fitting, None) if row in like or not like else None
        lines.append(Line(row, match, row.label))
        used.append(match)
    return (*lines, *(Line(None, p, p.label) for p in printed if p not in used))


def _is(row: Row, printed: PrintedRow, names: Sequence[str], rates: Mapping[float, float]) -> bool:
    if row.role != "method" or printed.role != "method":
        return row.role == printed.role
    wanted = {name: printed.settings.get(name) for name in names}
    return row.method == printed.method and all(
        row.settings.get(name) == (rates.get(value, value) if value else value)
        for name, value in wanted.items()
    )


def _rates_by_order(group: Group, printed: Sequence[PrintedRow]) -> dict[float, float]:
    """One's own rate for each printed one, by size, where there are as many of both."""
    method_rows = [row for row in group.rows if row.role == "method"]
    own, theirs = (
        sorted({r.settings["learning_rate"] for r in rows if "learning_rate" in r.settings})
        for rows in (method_rows, printed)
    )
    if len(own) != len(theirs) or own == theirs:
        return {}
    return dict(zip(theirs, own, strict=True))


def _lines_by_run(
    group: Group, printed: Sequence[PrintedRow], findings: "Findings"
) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Each run of each method that is printed by run, and the labels of the rows that are not.

    The paper's runs are taken to be the forget sets in their order.
    """
    lines: list[Line] = []
    unprinted = []
    for row in group.rows:
        theirs = [p for p in printed if _is(row, p, (), {})]
        if not theirs or not row.runs:
            unprinted.append(row.label)
            continue
        if theirs[0].run == MEAN:  # the row before unlearning
            lines.append(Line(row, theirs[0], row.label))
            continue
        by_run = {p.run: p for p in theirs}
        sets = sorted({run.forget_set for run in row.runs}, key=lambda name: (len(name), name))
        for position, name in enumerate(sets):
            results = tuple(r for r in findings.results_of(row) if r.forget_set.run == name)
            # As findings of their own, so that its intervals are over this run's documents.
            alone = replace(findings, results=results).table.groups[0].rows[0]
            number = int(name) + 1 if name.isdigit() else position + 1
            label = f"{row.label}, forget set {name}"
            lines.append(Line(alone, by_run.pop(str(number), None), label))
        lines += [Line(None, p, p.label) for p in by_run.values()]
    return tuple(lines), tuple(unprinted)
