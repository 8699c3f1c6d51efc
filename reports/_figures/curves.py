"""Values over epochs: the lines of the epoch figure, and where a mean of runs ends."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from .quantities import PERPLEXITY, Quantity, quantity, row_names

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Group, Row
    from unlearnbench.reporting.findings import Findings
    from unlearnbench.results.record import Result
    from unlearnbench.results.trace import Outcome

# Of the trace: name, title, factor to printed units.
TRACED = (
    ("ma", "MA (%) ↓", 100.0),
    ("el", "EL10 (%) ↓", 100.0),
    ("bertscore_f1", "BERT (F1) ↓", 100.0),
    ("entropy", "Entropy (bits) ↑", 1.0),
)
AT_THE_END = (PERPLEXITY.name, "cls_avg")  # measured once, after the last epoch


@dataclass(frozen=True)
class RunCurve:
    """One run: a value per epoch from 0, NaN where it was not measured."""

    values: tuple[float, ...]
    outcome: "Outcome"

    @property
    def has_gaps(self) -> bool:
        """Whether it was not measured after every epoch."""
        return any(map(math.isnan, self.values))


@dataclass(frozen=True)
class Curve:
    """One row over epochs."""

    name: str
    runs: tuple[RunCurve, ...]
    mean: tuple[float, ...] = ()  # NaN where a run was not measured


@dataclass(frozen=True)
class Panel:
    """One quantity of one group."""

    title: str
    curves: tuple[Curve, ...]
    lines: tuple[float, ...] = ()  # the stop line
    before: float | None = None  # the level before unlearning, where epoch 0 is not in the curves
    is_log: bool = False


def panels_of(findings: "Findings") -> dict[str, tuple[Panel, ...]]:
    """Per group with traces, by title: the traced metrics, then utility at the end."""
    utilities = [q for name in AT_THE_END if (q := quantity(findings.table, name)) is not None]
    panels = {}
    for group in findings.table.groups:
        traced = [_traced_panel(findings, group, *what) for what in TRACED]
        at_end = [_end_panel(findings, group, utility) for utility in utilities]
        if any(panel.curves for panel in traced):
            panels[group.title] = tuple(p for p in (*traced, *at_end) if p.curves)
    return panels


def curve(name: str, runs: Sequence[RunCurve]) -> Curve:
    """The row's curve; its mean goes as far as its shortest run, NaN where any run is."""
    epochs = range(min(len(run.values) for run in runs))
    return Curve(name, tuple(runs), tuple(fmean(r.values[e] for r in runs) for e in epochs))


def _traced_panel(
    findings: "Findings", group: "Group", metric: str, title: str, factor: float
) -> Panel:
    curves = []
    for row in method_rows(group):
        runs = [_run_curve(r, metric, factor) for r in findings.results_of(row)]
        known = [run for run in runs if any(map(math.isfinite, run.values))]
        if known:
            curves.append(curve(row_names(group)[row.label], known))
    stops = [stop for row in method_rows(group) for stop in row.stops]
    lines = {"ma": {s.ma * factor for s in stops}, "el": {s.el * factor for s in stops}}
    distinct = {round(line, 2) for line in lines.get(metric, ())}
    return Panel(title, tuple(curves), tuple(sorted(distinct)))


def _run_curve(result: "Result", metric: str, factor: float) -> RunCurve:
    trace = result.trace
    if trace is None:
        return RunCurve((), "forgotten")
    values = {e.epoch: e.metrics.get(metric, math.nan) * factor for e in trace.epochs}
    return RunCurve(
        tuple(values.get(e, math.nan) for e in range(max(values, default=-1) + 1)), trace.outcome
    )


def _end_panel(findings: "Findings", group: "Group", utility: Quantity) -> Panel:
    curves = []
    for row in method_rows(group):
        runs = [
            RunCurve((*[math.nan] * r.trace.n_epochs, value), r.trace.outcome)
            for r in findings.results_of(row)
            if r.trace is not None and (value := utility.of_run(r, group.cap)) is not None
        ]
        if runs:
            curves.append(Curve(row_names(group)[row.label], tuple(runs)))
    before = [utility.of_row(row, group.cap) for row in group.rows if row.role == "before"]
    title = f"{utility.title}, at the end"
    level = before[0] if before else None
    return Panel(title, tuple(curves), before=level, is_log=utility.column.capped)


def method_rows(group: "Group") -> list["Row"]:
    """The rows that have epochs."""
    return [row for row in group.rows if row.role == "method"]
