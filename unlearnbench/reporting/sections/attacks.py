"""What attacks bring back of what was unlearned, between the retrained model and the original."""

from collections.abc import Callable, Iterator, Sequence

from unlearnbench.analysis.attacks.kinds import AttackKind
from unlearnbench.analysis.attacks.panel import Attacked, Panel
from unlearnbench.analysis.attacks.recovery import Estimate
from unlearnbench.analysis.table import ABSENT, Column, Note, Row
from unlearnbench.registry import find
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Block, Data, Findings, Listing, Picture
from unlearnbench.reporting.sections import _attack_notes as notes_on

INTERVAL = "95% interval"
_HEADS = ("recovery", INTERVAL, "at")
_UNATTACKED, _WORST_CASE = "No attack", "Worst case"
_NO_RETRAINED, _NO_ORIGINAL = "no retrained model: change", "no original model: change"
_CHANGES = {"retrained": _NO_RETRAINED, "original": _NO_ORIGINAL}


def blocks(findings: Findings) -> Iterator[Block]:
    """Of each group: worst points by method and attack, every attack's points, and figures."""
    for panel in findings.panels:
        yield from _of_panel(findings, panel)
    yield from _descriptions(findings)
    yield from _pictures(findings)
    if any(panel.lines for panel in findings.panels):
        yield _data(findings.panels)


def _of_panel(findings: Findings, panel: Panel) -> Iterator[Listing]:
    synthetic = tuple(note for note in findings.table.notes if note.kind == "synthetic")
    if not panel.methods:  # nothing but failures
        yield Listing(
            printing.anchor("attacks", panel.group.title),
            f"Attacks: {panel.group.title}",
            ("Row", "Attack", "Forget set", "Error"),
            tuple((f.label, f.attack, f.run, f.error) for f in panel.failed),
            4,
        )
        return
    for column in panel.shown or (None,):
        yield _worst_points(panel, column, synthetic)
        synthetic = ()  # said once
    for attack in panel.attacks:
        if (column := panel.column_of(attack)) is not None:
            yield _points(panel, attack, column)
            yield from _what_else(panel, attack, column)


def _descriptions(findings: Findings) -> Iterator[Listing]:
    """Of each group what attacks found in the models themselves, which they left as they were."""
    table = findings.table
    records = [result.attack for result in findings.attacked if result.attack is not None]
    labels = {record.name: record.label for record in records if record.describes_model}
    columns = [c for c in (*table.metric_columns, *table.other_columns) if c.task in labels]
    for group in table.groups:
        rows = [row for row in group.rows if any(c.name in row.cells for c in columns)]
        if rows:
            yield Listing(
                printing.anchor("attack", *labels.values(), group.title),
                f"{', '.join(labels.values())} of the models themselves: {group.title}",
                ("Row", *(part for c in columns for part in (printing.header(c), INTERVAL))),
                tuple(
                    (
                        row.label,
                        *(of(row, c) for c in columns for of in (group.text, group.interval)),
                    )
                    for row in rows
                ),
            )


def _pictures(findings: Findings) -> Iterator[Picture]:
    for name in ("recovery-map", "attack-curves", "leak-curves"):
        figure = find("reports", name)()
        if figure.panels(findings):
            yield Picture(name, figure.caption(findings))


# ---- where each attack brings back most


def _worst_points(panel: Panel, column: Column | None, synthetic: Sequence[Note]) -> Listing:
    attacks = [a for a in panel.attacks if panel.column_of(a, column) is not None]
    is_first = column is None or column is panel.columns[0]
    plain = {
        row.label: _recovery(panel.unattacked[row.label, column.name])
        for row in panel.methods
        if column is not None and (row.label, column.name) in panel.unattacked
    }
    across: list[tuple[str, list[tuple[str, str, str]]]] = []
    if plain:
        none = (ABSENT, ABSENT)
        of_rows = [(*plain.get(row.label, none), ABSENT) for row in panel.methods]
        across.append((_UNATTACKED, of_rows))
    for attack in attacks:
        points = [panel.worst_point(row, attack, column) for row in panel.methods]
        across.append((_header(panel, attack, column), list(map(_worst_cell, points))))
    across.append((_WORST_CASE, [_worst_case(panel, row, column) for row in panel.methods]))
    rows = [line for name, cells in across for line in _three_lines(name, cells)]
    metric = printing.name(column) if column else ""
    return Listing(
        printing.anchor("attacks", panel.group.title, *([] if is_first else [metric])),
        f"Recovery under attack{f' in {metric}' if metric else ''}: {panel.group.title}",
        ("Attack", "", *(row.label for row in panel.methods)),
        tuple(rows),
        2,
        (*synthetic, *(notes_on.of_panel(panel, column) if is_first else ())),
    )


def _three_lines(name: str, cells: Sequence[tuple[str, str, str]]) -> Iterator[tuple[str, ...]]:
    """Value, its interval and the point, of every method; without what none of them has."""
    is_change = any(words in name for words in _CHANGES.values())
    heads = ("change" if is_change else _HEADS[0], *_HEADS[1:])
    for head, line in zip(heads, zip(*cells, strict=True), strict=True):
        if head == heads[0] or set(line) != {ABSENT}:
            yield (name, head, *line)


def _worst_case(panel: Panel, row: Row, column: Column | None) -> tuple[str, str, str]:
    worst = panel.worst(row, column)
    if worst is None:
        return (ABSENT,) * 3
    return *_recovery(worst.estimate), f"{worst.at.attack.label}, {worst.at.point.label}"


def _header(panel: Panel, attack: AttackKind, column: Column | None) -> str:
    """The attack; where there is nothing to set it against, that its column is of changes."""
    points = [panel.worst_point(row, attack, column) for row in panel.methods]
    lacks = [_CHANGES[p.lacks] for p in points if p and p.lacks in _CHANGES]
    return f"{attack.label} ({lacks[0]})" if lacks else attack.label


def _worst_cell(point: Attacked | None) -> tuple[str, str, str]:
    if point is None:
        return (ABSENT,) * 3
    if point.recovery is not None:
        return (*_recovery(point.recovery), point.point.label)
    if point.lacks in _CHANGES and point.change is not None:
        return (*_change(point.column, point.change), point.point.label)
    return ABSENT, ABSENT, ABSENT


def _recovery(estimate: Estimate) -> tuple[str, str]:
    """'0.42' and '[0.31, 0.55]'."""
    return notes_on.share(estimate.value), _interval(estimate, notes_on.share)


def _change(column: Column, estimate: Estimate) -> tuple[str, str]:
    """'+12.3' and '[+9.8, +14.0]'."""

    def text(value: float) -> str:
        return printing.difference(column, value, more=0)

    return text(estimate.value), _interval(estimate, text)


def _interval(estimate: Estimate, text: Callable[[float], str]) -> str:
    if estimate.low is None or estimate.high is None:
        return ABSENT
    return f"[{text(estimate.low)}, {text(estimate.high)}]"


# ---- every point of an attack


def _points(panel: Panel, attack: AttackKind, column: Column) -> Listing:
    """The values of all models at each point, recovery, and what the attack says of itself."""
    lines = [line for line in panel.of(attack, column) if line.row.role == "method"]
    facts = notes_on.varying_facts(panel, attack, column)
    is_change = any(line.lacks in _CHANGES for line in lines)
    if not lines:
        lines = panel.of(attack, column)
    name = printing.name(column)
    brought = ("Change", f"Change {INTERVAL}") if is_change else ()
    headers = (
        "Row", "Point", printing.header(column), f"{name} {INTERVAL}", "Original", "Retrained",
        *brought, "Recovery", f"Recovery {INTERVAL}", *map(notes_on.fact_name, facts),
    )  # fmt: skip
    rows = [_point_line(line, is_change, facts) for line in lines]
    return Listing(
        printing.anchor("attack", attack.label, panel.group.title),
        f"{attack.label}, every point: {panel.group.title}",
        headers,
        tuple(rows),
        2,
        notes_on.of_attack(panel, attack, column),
    )


def _point_line(line: Attacked, is_change: bool, facts: Sequence[str]) -> tuple[str, ...]:
    column, absent = line.column, (ABSENT, ABSENT)
    change = _change(column, line.change) if line.change is not None else absent
    return (
        line.row.label,
        line.point.label,
        column.text(line.value.value),
        _interval(line.value, column.text),
        column.text(line.original),
        column.text(line.retrained),
        *(change if is_change else ()),
        *(_recovery(line.recovery) if line.recovery is not None else absent),
        *(notes_on.fact(line.facts.get(name)) for name in facts),
    )


def _what_else(panel: Panel, attack: AttackKind, column: Column) -> Iterator[Listing]:
    """The attack's other scores, and what it says of a single point: bounds, say."""
    facts = notes_on.facts_of_one_point(panel, attack, column)
    others = [c for c in panel.own_columns(attack) if c is not column]
    if not facts and not others:
        return
    rows = []
    for row in _every_row(panel):
        by_point = {line.point.name: line for line in panel.of(attack, column, row)}
        measured = {
            (line.point.name, c.name): line for c in others for line in panel.of(attack, c, row)
        }
        for point in attack.points:
            own = [measured.get((point.name, c.name)) for c in others]
            told = by_point[point.name].facts if point.name in by_point else {}
            cells = [line.column.text(line.value.value) if line else ABSENT for line in own]
            cells += [notes_on.fact(told.get(name)) for name in facts]
            if set(cells) - {ABSENT}:
                rows.append((row.label, point.label, *cells))
    headers = ("Row", "Point", *map(printing.header, others), *map(notes_on.fact_name, facts))
    name = printing.anchor("attack", attack.label, panel.group.title, "more")
    yield Listing(name, f"{attack.label}, more: {panel.group.title}", headers, tuple(rows), 2)


def _every_row(panel: Panel) -> list[Row]:
    """The references, then the methods."""
    attacked = {line.row.label for line in panel.lines}
    return [row for row in panel.group.rows if row.label in attacked]


# ---- for programs


_DATA = (
    "group", "row", "role", "attack", "attack_label", "point", "position", "task", "metric",
    "value", "value_low", "value_high", "change", "change_low", "change_high", "original",
    "retrained", "recovery", "recovery_low", "recovery_high", "lacks", "n_items", "n_runs",
    "n_seeds",
)  # fmt: skip


def _data(panels: Sequence[Panel]) -> Data:
    """Every metric at every point, values in printed units."""
    from unlearnbench.analysis.attacks.frames import attack_record

    records = (attack_record(panel, line) for panel in panels for line in panel.lines)
    rows = [tuple(_exact(record[name]) for name in _DATA) for record in records]
    title = "Every metric at every point of every attack"
    return Data("attacks-data", title, _DATA, tuple(rows), 9)


def _exact(value: object) -> str:
    if value is None:
        return ABSENT
    return f"{value:.10g}" if isinstance(value, float) else str(value)
