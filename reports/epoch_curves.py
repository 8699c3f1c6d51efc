"""How forgetting goes on, epoch by epoch, and what is left of utility at the end."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.reporting.continuations import ROW_FIELDS
from unlearnbench.reporting.printing import row_columns

from ._figures import drawing, quantities
from ._figures.drawing import FOREGROUND, LINE_OF_ROLE, MOST_WITH_RUNS, Mark, StyledFigure
from ._figures.quantities import PERPLEXITY, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

    from unlearnbench.analysis.table import Column, Group, Table
    from unlearnbench.reporting.document import Findings
    from unlearnbench.results.record import Outcome

TRACED = ("ma", "el10", "bertscore_f1", "entropy")
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
    mean: tuple[float, ...] = ()  # NaN where a run was not measured; none at the end


@dataclass(frozen=True)
class Panel:
    """One quantity of one group."""

    title: str
    curves: tuple[Curve, ...]
    lines: tuple[float, ...] = ()  # the stop line
    before: float | None = None  # the level before unlearning, where epoch 0 is not in the curves
    is_log: bool = False


Panels = dict[str, tuple[Panel, ...]]  # by group


def _traced_panel(findings: "Findings", group: "Group", column: "Column") -> Panel:
    """A metric of every epoch; a mean goes as far as its shortest run, NaN where any run is."""
    field, names = ROW_FIELDS[column.name], quantities.row_names(group)
    curves = []
    for row in quantities.method_rows(group):
        runs = []
        for trace in (r.trace for r in findings.results_of(row) if r.trace is not None):
            values = {e.epoch: e.metrics.get(field, math.nan) * column.scale for e in trace.epochs}
            epochs = range(max(values, default=-1) + 1)
            if any(map(math.isfinite, values.values())):
                measured = tuple(values.get(epoch, math.nan) for epoch in epochs)
                runs.append(RunCurve(measured, trace.outcome))
        if runs:
            means = map(fmean, zip(*(run.values for run in runs), strict=False))
            curves.append(Curve(names[row.label], tuple(runs), tuple(means)))
    unit = f" ({column.unit})" if column.unit and "(" not in column.label else ""
    lines = quantities.stop_lines(group, field, column.scale) if field in ("ma", "el") else ()
    return Panel(f"{column.label}{unit} {column.arrow}", tuple(curves), lines)


def _end_panel(findings: "Findings", group: "Group", utility: Quantity) -> Panel:
    curves, names = [], quantities.row_names(group)
    for row in quantities.method_rows(group):
        runs = [
            RunCurve((*[math.nan] * r.trace.n_epochs, value), r.trace.outcome)
            for r in findings.results_of(row)
            if r.trace is not None and (value := utility.of_run(r, group.cap)) is not None
        ]
        if runs:
            curves.append(Curve(names[row.label], tuple(runs)))
    levels = (utility.of_row(row, group.cap) for row in group.rows if row.role == "before")
    title, level = f"{utility.title}, at the end", next(levels, None)
    return Panel(title, tuple(curves), before=level, is_log=utility.column.capped)


@register
@dataclass(frozen=True)
class EpochCurves(StyledFigure[Panels]):
    """Forgetting over epochs, one line per row with its single runs, and utility at the end."""

    name: ClassVar[str] = "epoch-curves"
    absent = "No curves: no run that was measured has a trace of its epochs."

    def panels(self, findings: "Findings") -> Panels:
        """Per group with traces, by title: the traced metrics, then utility at the end."""
        columns = row_columns(findings.table)
        utilities = quantities.of(findings.table, AT_THE_END)
        panels = {}
        for group in findings.table.groups:
            traced = [_traced_panel(findings, group, columns[name]) for name in TRACED]
            at_end = [_end_panel(findings, group, utility) for utility in utilities]
            if any(panel.curves for panel in traced):
                panels[group.title] = tuple(p for p in (*traced, *at_end) if p.curves)
        return panels

    def sentences(self, findings: "Findings", panels: Panels) -> Iterator[str]:
        yield (
            f"Forgetting over epochs, epoch 0 being the model before unlearning: "
            f"{quantities.listed_groups(findings.table)}."
        )
        left_out = not all(map(_shows_runs, panels.values()))
        yield (
            "Strong line: the mean over runs, as long as all of them last. Thin: single runs"
            + (f", left out where there are more than {MOST_WITH_RUNS} rows." if left_out else ".")
            + " A large marker is a run's end, hollow if it did not reach the stop line (dashed)."
        )
        yield _of_gaps(panels)
        yield _of_utility(findings.table)
        yield from (_of_epochs(findings, group) for group in findings.table.groups)

    def draw_panels(self, panels: Panels, marks: dict[str, Mark]) -> "Drawing":
        """Panels per group, the lowest of each column with its axis named."""
        rest = 0.3 + 0.16 * (1 + len(marks) // 3)
        picture, by_group = drawing.lay_out(panels, 3, 1.55, rest)
        for own, drawn in zip(panels.values(), by_group, strict=True):
            longest = max(len(run.values) for p in own for c in p.curves for run in c.runs) - 1
            for panel, axes in drawn:
                _draw_panel(axes, panel, marks, _shows_runs(own))
                axes.set_xlim(-0.3, longest + 0.3)
            for _, lowest in drawn[-drawing.grid_shape(len(own), 3)[1] :]:
                lowest.set_xlabel("epoch")
        shown = [panel for own in panels.values() for panel in own]
        names = {curve.name for panel in shown for curve in panel.curves}
        handles = {name: drawing.line(color=m.colour, marker=m.marker, linestyle=m.dashes,
                                      markersize=4.5)
                   for name, m in marks.items() if name in names}  # fmt: skip
        if any(panel.lines for panel in shown):
            handles["stop line"] = drawing.line(linestyle="--", linewidth=0.8)
        if any(panel.before is not None for panel in shown):
            handles |= drawing.reference_lines(["before"])
        drawing.legend(picture, handles)
        return picture


def _shows_runs(panels: Sequence[Panel]) -> bool:
    return max(len(panel.curves) for panel in panels) <= MOST_WITH_RUNS


def _of_gaps(panels: Panels) -> str:
    gaps = {
        panel.title.partition(" (")[0]
        for own in panels.values()
        for panel in own
        if any(run.has_gaps for curve in panel.curves if curve.mean for run in curve.runs)
    }
    names = ", ".join(sorted(gaps))
    return f"{names} was not measured after every epoch; nothing is drawn there." if gaps else ""


def _of_utility(table: "Table") -> str:
    utilities = quantities.of(table, AT_THE_END)
    if not utilities:
        return ""
    names = " and ".join(q.column.label for q in utilities)
    meanings = " ".join(q.meaning for q in utilities if q.meaning)
    return (
        f"{names} are measured only after the last epoch: a point per run, the level before "
        f"unlearning dotted. {meanings}"
    ).strip()


def _of_epochs(findings: "Findings", group: "Group") -> str:
    names = quantities.row_names(group)
    by_row = {
        names[row.label]: [r.trace.n_epochs for r in findings.results_of(row) if r.trace]
        for row in quantities.method_rows(group)
    }
    if len(by_row) > MOST_WITH_RUNS:
        by_row = {f"{len(by_row)} rows": sorted({n for epochs in by_row.values() for n in epochs})}
    rows = [f"{name} {', '.join(map(str, n)) or 'no run'}" for name, n in by_row.items()]
    missed = [f"{r.label} in {r.n_not_forgotten}" for r in group.rows if r.n_not_forgotten]
    late = f" Stop line not reached: {', '.join(missed)}." if missed else ""
    return f"Epochs of each run in {group.title}: {'; '.join(rows)}.{late}" if rows else ""


def _draw_panel(axes: "Axes", panel: Panel, marks: dict[str, Mark], with_runs: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    for line in panel.lines:
        axes.axhline(line, color=FOREGROUND, linewidth=0.8, linestyle="--")
    if panel.before is not None:
        dotted = LINE_OF_ROLE["before"]
        axes.axhline(panel.before, color=FOREGROUND, linewidth=0.8, linestyle=dotted)
    for curve in panel.curves:
        _draw_curve(axes, curve, marks[curve.name], with_runs)
    axes.set_title(panel.title)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if panel.is_log:
        drawing.log_axis(axes, "y")


def _draw_curve(axes: "Axes", curve: Curve, mark: Mark, with_runs: bool) -> None:
    for run in curve.runs if with_runs else ():
        before_end = list(range(len(run.values) - 1))
        # A value between two gaps is no line; without a marker it would not be seen.
        axes.plot(run.values, color=mark.colour, linewidth=0.5, alpha=0.6, markersize=1.5,
                  marker=mark.marker if run.has_gaps else "", markevery=before_end)  # fmt: skip
    axes.plot(curve.mean, color=mark.colour, linewidth=1.4, linestyle=mark.dashes,
              marker=mark.marker, markersize=2.5)  # fmt: skip
    for run in curve.runs:
        face = "none" if run.outcome == "not_forgotten" else mark.colour
        axes.plot(len(run.values) - 1, run.values[-1], mark.marker, color=mark.colour,
                  markerfacecolor=face, markersize=4.5, zorder=4)  # fmt: skip
