"""The checklist on evidence: references, attacks, metrics, intervals, comparisons, power."""

import math
from collections.abc import Iterator, Mapping, Sequence

from unlearnbench.analysis.attacks.panel import Panel
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics import power
from unlearnbench.analysis.statistics.detectable import ColumnPower, power_of
from unlearnbench.analysis.statistics.paired import ALL_PAIRS_UP_TO
from unlearnbench.analysis.statistics.stability import count_common_runs
from unlearnbench.analysis.statistics.two_samples import two_samples_of
from unlearnbench.analysis.table import Column, Group, Row, Table
from unlearnbench.reporting import printing
from unlearnbench.reporting.checklist.lines import Done, Line, distinct, how_many, number
from unlearnbench.reporting.document import MANY, Findings

Powers = Mapping[Column, ColumnPower | None]
REFERENCES = {
    "before": "Model before unlearning",
    "retrained": "Retrained model (the reference)",
    "null": "Retrained model, other seed (the null)",
    "dedup": "Model trained on deduplicated text",
    "sham": "Shams (must not look like unlearning)",
}


def lines(findings: Findings) -> Iterator[Line]:
    """What the table's claims rest on."""
    yield from _references(findings)
    yield from _attacks(findings)
    yield from _metrics(findings)
    yield from _ratings(findings)
    yield from _statistics(findings)


def _references(findings: Findings) -> Iterator[Line]:
    for role, item in REFERENCES.items():
        labels = {r.label for r in findings.results if str(r.role) == role}
        done: Done = "yes" if labels else "no"
        yield Line(item, done, listed(sorted(labels)) or "no such row", "role, label")


# ---- attacks


def _attacks(findings: Findings) -> Iterator[Line]:
    panels = findings.panels
    if not any(panel.lines for panel in panels):
        answer = "none was run"
        if n_failed := sum(len(panel.failed) for panel in panels):
            answer += f" to its end; {number(n_failed, 'cell')} under attack failed"
        yield Line("Attacks", "no", answer, "attack")
        yield Line("Worst case over attacks", "no", "no attack was run", "section attacks")
        return
    for panel in panels:
        where = f" ({panel.group.title})" if len(panels) > 1 else ""
        yield _attacked(panel, where)
        for row in panel.methods:
            yield _worst(panel, row, where)


def _attacked(panel: Panel, where: str) -> Line:
    names = listed(
        f"{attack.label} ({number(len(attack.points), 'point')})" for attack in panel.attacks
    )
    methods = [row for row in panel.group.rows if row.role == "method" and row.runs]
    failed = f"; {number(len(panel.failed), 'cell')} failed" if panel.failed else ""
    on = f"on {len(panel.methods)} of {number(len(methods), 'method')}"
    done = how_many(len(panel.methods), len(methods))
    return Line(f"Attacks{where}", done, f"{names}; {on}{failed}", "attack")


def _worst(panel: Panel, row: Row, where: str) -> Line:
    item = f"Worst case over attacks: {row.label}{where}"
    worst = panel.worst(row)
    if worst is None:
        answer = "no recovery can be told: see the section for what is lacking"
        return Line(item, "no", answer, "section attacks")
    of, at = worst.estimate, worst.at
    ends = f" [{of.low:.2f}, {of.high:.2f}]" if of.low is not None and of.high is not None else ""
    answer = (
        f"recovery {of.value:.2f}{ends} in {printing.name(at.column)}, by {at.attack.label}, "
        f"{at.point.label}; the largest of {worst.n_claims}"
    )
    return Line(item, "yes", answer, "section attacks")


# ---- metrics


def _metrics(findings: Findings) -> Iterator[Line]:
    measured = _measured(findings.table)
    names = listed(printing.header(column) for column in measured)
    yield Line("Metrics", "yes" if measured else "no", names or "none was measured", "metrics")
    yield _faithfulness(findings, measured)


def _faithfulness(findings: Findings, measured: Sequence[Column]) -> Line:
    """What a test of metrics found of those in the table, if one speaks of these results."""
    item, where = "Metrics tested for faithfulness", "section metrics"
    tested = findings.tested
    if tested is None:
        answer = "no test of metrics speaks of these results; make one with: unlearnbench meta"
        return Line(item, "no", answer, where)
    found = {column: tested.of_metric(column.task, column.metric) for column in measured}
    known = [
        f"{printing.name(column)} {of.faithfulness:.2f}"
        + (f" [{of.low:.2f}, {of.high:.2f}]" if of.low is not None else "")
        + (", not told from chance" if of.is_untold else "")
        for column, of in found.items()
        if of is not None
    ]
    rest = [printing.name(column) for column, of in found.items() if of is None]
    untested = f"; not tested: {listed(rest)}" if rest else ""
    answer = f"AUC [95% interval]: {listed(known, '; ')}{untested}; made by: {tested.command}"
    return Line(item, how_many(len(known), len(found)), answer, where)


def _measured(table: Table) -> list[Column]:
    names = {name for group in table.groups for row in group.rows for name in row.cells}
    return [column for column in table.metric_columns if column.name in names]


def _measured_in(table: Table, group: Group) -> list[Column]:
    """The columns that a row of the group has."""
    return [c for c in _measured(table) if any(c.name in row.cells for row in group.rows)]


def _ratings(findings: Findings) -> Iterator[Line]:
    judges = [note.text for note in findings.notes if note.kind == "judge"]
    done: Done = "yes" if judges else "no"
    yield Line("Judge of continuations", done, " ".join(judges) or "none", "judges")
    study = findings.human
    if study is None:
        yield Line("Ratings by people", "no", "none", "section human")
        return
    what = "a rehearsal, no people" if study.is_rehearsal else "a study"
    yield Line("Ratings by people", "no" if study.is_rehearsal else "yes", what, "section human")


# ---- intervals, comparisons, power


def _statistics(findings: Findings) -> Iterator[Line]:
    table, n = findings.table, len(findings.results)
    if n > MANY:
        answer = f"none: more than {MANY} results in one table"
        for item in ("Intervals over items", "Tests between rows", "Items and power"):
            yield Line(item, "no", answer, "section pairs")
        return
    yield from _intervals(table)
    powers = [
        {column: power_of(group, column, findings.by_key) for column in _measured_in(table, group)}
        for group in table.groups
    ]
    yield from _comparisons(table, powers)
    yield _stability(findings)
    for group, of in zip(table.groups, powers, strict=True):
        where = f" ({group.title})" if len(table.groups) > 1 else ""
        yield from _power(group, of, where)
        yield from _of_samples(findings, group, where)


def _intervals(table: Table) -> Iterator[Line]:
    cells = [c for g in table.groups for row in g.rows for c in row.cells.values()]
    kinds = [note.text for note in table.notes if note.kind in ("intervals", "derived_intervals")]
    has_any = any(cell.low is not None for cell in cells)
    answer = " ".join(kinds) if has_any else "no cell has one: see docs/statistics.md"
    yield Line("Intervals over items", "yes" if has_any else "no", answer, "section table")
    answer = "no row has two runs"
    if table.has_spread:
        answer = "sample standard deviation over runs (forget sets and seeds)"
    yield Line("Spread over runs", "yes" if table.has_spread else "no", answer, "section table")


def _comparisons(table: Table, powers: Sequence[Powers]) -> Iterator[Line]:
    sizes = [len(group.compared) for group in table.groups]
    if max(sizes, default=0) < 2:
        yield Line("Tests between rows", "no", "fewer than two rows are compared", "section pairs")
        return
    counts = [{of.n_pairs for of in by_column.values() if of is not None} for by_column in powers]
    if not any(counts):
        answer = "no two compared rows have outcomes by document"
        yield Line("Tests between rows", "no", answer, "section pairs")
        return
    most = max(n for n, tested in zip(sizes, counts, strict=True) if tested)
    fewest, largest = (of(set().union(*counts)) for of in (min, max))
    pairs = f"{fewest:,} to " * (fewest < largest) + number(largest, "pair")
    rule = "Holm" if most <= ALL_PAIRS_UP_TO else f"Bonferroni above {ALL_PAIRS_UP_TO} rows, Holm"
    answer = "paired sign-flip tests over documents, two-sided, 5% level; the runs are held fixed"
    yield Line("Tests between rows", "yes", answer, "section pairs")
    answer = f"{rule}, over the {pairs} of a metric; metrics are not corrected for each other"
    yield Line("Multiple comparisons", "in part", answer, "section pairs")


def _stability(findings: Findings) -> Line:
    counts = [count_common_runs(g, findings.by_key) for g in findings.table.groups if g.scored]
    item, where = "Stability of first places", "section stability"
    if not counts:
        return Line(item, "no", "there are no s_z and s_m to rank by", where)
    n = min(counts)
    if n < 2:
        return Line(item, "no", "fewer than two runs that all rows have", where)
    return Line(item, "yes", f"s_z and s_m over resamples of {number(n, 'run')}", where)


def _power(group: Group, powers: Powers, where: str) -> Iterator[Line]:
    """Items of each metric, and what difference they could show."""
    for column, of in powers.items():
        item = f"Items and power: {printing.name(column)}{where}"
        counts = sorted(
            {n for row in group.rows if column.name in row.cells
             for n in row.cells[column.name].n_documents if n}
        )  # fmt: skip
        several = " or ".join(number(n, "item") for n in counts)
        items = f"{several} a run" if counts else "number of items not recorded"
        if of is None:
            answer = f"{items}; no two compared rows with outcomes by document"
            yield Line(item, "no", answer, "section power")
            continue
        shown = of.smallest(of.n_pairs)
        n_apart = sum(pair.is_told_apart for pair in of.pairs)
        what = (
            f"{printing.size(column, shown, of.is_log)} and more could be shown"
            if math.isfinite(shown)
            else "too few to show any difference"
        )
        told = f"{n_apart} of {number(len(of.pairs), 'pair')} told apart"
        done: Done = "yes" if math.isfinite(shown) else "no"
        answer = f"{items}; {what} ({power.POWER:.0%} power); {told}"
        yield Line(item, done, answer, "section power")


def _of_samples(findings: Findings, group: Group, where: str) -> Iterator[Line]:
    yield from distinct(
        Line(
            f"Power: {of.label}{where}",
            "no" if math.isnan(shown) else "yes",
            f"{of.n:,} and {of.m:,} items; {question}: "
            + ("none could be shown" if math.isnan(shown) else f"{shown:.3f} and more"),
            "section power",
        )
        for of in two_samples_of(group, findings.by_key)
        for question, shown in of.questions()
    )
