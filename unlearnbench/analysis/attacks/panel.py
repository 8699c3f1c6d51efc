"""The panel of attacks on a table's models: what each point left, brought back, and at worst."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from unlearnbench.analysis.attacks.gathering import Gathered
from unlearnbench.analysis.attacks.kinds import AttackKind, forgetting_metrics, kinds_of
from unlearnbench.analysis.attacks.recovery import Claim, Estimate
from unlearnbench.analysis.attacks.resampling import Quantity, intervals, worst_case
from unlearnbench.analysis.table import Column, Group, Row, Table
from unlearnbench.results.record import PointRecord, Result

MOST_SHOWN = 3  # metrics that a report prints; files for programs hold all
# No such model under the attack; the two models alike under it; values of single items not known.
Lack = Literal["retrained", "original", "alike", "items"]
LEAST_LEAD = 0.1  # of the largest over an attack's points, for a point to be its worst
_NOT_ON_THE_FLOOR = 0.1  # of the original's value: what the retrained model has at least


@dataclass(frozen=True)
class Attacked:
    """One metric of a row's models at one point of an attack; values in printed units."""

    row: Row
    attack: AttackKind
    point: PointRecord  # without its facts: they are of single models
    column: Column
    value: Estimate
    change: Estimate | None = None  # less that of the same models before the attack
    recovery: Estimate | None = None
    original: float | None = None
    retrained: float | None = None
    lacks: Lack | None = None  # why there is no recovery
    facts: Mapping[str, float] = field(default_factory=dict)  # means over runs
    claim: Claim | None = field(default=None, repr=False)

    @property
    def n_items(self) -> int:
        """Items that all its models were measured on; 0 where single ones are not known."""
        return self.claim.n_items if self.claim else 0


@dataclass(frozen=True)
class Worst:
    """The largest recovery of a row over attacks and points."""

    estimate: Estimate
    at: Attacked
    n_claims: int


@dataclass(frozen=True)
class Failed:
    """A cell under attack that has no numbers."""

    label: str
    attack: str
    run: str
    error: str


@dataclass(frozen=True)
class Panel:
    """The attacks on the models of one group of a table."""

    group: Group
    attacks: tuple[AttackKind, ...]
    columns: tuple[Column, ...]  # forgetting metrics of tasks; the first is what maps show
    lines: tuple[Attacked, ...]
    failed: tuple[Failed, ...] = ()
    made_again: tuple[str, ...] = ()  # rows with models that were unlearned again
    # By row's label and column: what is left without any attack, where that can be told.
    unattacked: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[Column, ...]:
        """The metrics that a report prints."""
        return self.columns[:MOST_SHOWN]

    @property
    def methods(self) -> tuple[Row, ...]:
        """The unlearned rows that were attacked, in the table's order."""
        attacked = {line.row.label for line in self.lines if line.row.role == "method"}
        return tuple(row for row in self.group.rows if row.label in attacked)

    def column_of(self, attack: AttackKind, column: Column | None = None) -> Column | None:
        """What an attack is judged by: the panel's first metric, or else its own.

        With a column that is not the first: that one, if it was measured under the attack.
        """
        first = self.columns[0] if self.columns else None
        wanted = column or first
        if wanted is not None and self._by_place.get(_place(attack, wanted)):
            return wanted
        return attack.own if column is None or column is first else None

    def own_columns(self, attack: AttackKind) -> list[Column]:
        """The attack's own metrics."""
        own = {c.metric: c for line in self.lines if (c := line.column).task == attack.name
               and line.attack is attack}  # fmt: skip
        return list(own.values())

    def of(self, attack: AttackKind, column: Column, row: Row | None = None) -> list[Attacked]:
        """The attack's points in order, of one row or of all."""
        lines = self._by_place.get(_place(attack, column), [])
        return [line for line in lines if row is None or line.row is row]

    def worst_point(
        self, row: Row, attack: AttackKind, column: Column | None = None
    ) -> Attacked | None:
        """Where the attack brings back most: by recovery, or by the change where there is none."""
        chosen = self.column_of(attack, column)
        lines = _telling(self.of(attack, chosen, row)) if chosen else []
        return next(iter(sorted(lines, key=_brought_back, reverse=True)), None)

    def worst(self, row: Row, column: Column | None = None) -> Worst | None:
        """The largest recovery over attacks that count, and points; None where none can be told."""
        place = (row.label, column.name if column else "")
        if place not in self._worst:
            self._worst[place] = self._worst_of(row, column)
        return self._worst[place]

    def _worst_of(self, row: Row, column: Column | None) -> Worst | None:
        counting = [attack for attack in self.attacks if attack.counts_in_worst_case]
        chosen = [(attack, self.column_of(attack, column)) for attack in counting]
        lines = [line for a, of in chosen if of for line in _telling(self.of(a, of, row))]
        told = [(line, line.claim) for line in lines if line.recovery and line.claim]
        if not told:
            return None
        at = max((line for line, _ in told), key=_brought_back)
        return Worst(worst_case([claim for _, claim in told]), at, len(told))

    @cached_property
    def _worst(self) -> dict[tuple[str, str], Worst | None]:
        return {}

    @cached_property
    def _by_place(self) -> dict[tuple[str, str, str], list[Attacked]]:
        places: dict[tuple[str, str, str], list[Attacked]] = {}
        for line in self.lines:
            places.setdefault(_place(line.attack, line.column), []).append(line)
        return places


def _place(attack: AttackKind, column: Column) -> tuple[str, str, str]:
    return attack.key, column.task, column.metric


def _telling(lines: Sequence[Attacked]) -> list[Attacked]:
    """The points of an attack at which the original's lead over the retrained model is no remnant.

    Divided by a lead that the attack has all but ended (a first layer's), little is much.
    """
    leads = [
        math.nan if None in (line.original, line.retrained) else line.original - line.retrained  # type: ignore[operator]
        for line in lines
    ]
    largest = max((lead for lead in leads if not math.isnan(lead)), default=math.nan)
    return [
        line
        for line, lead in zip(lines, leads, strict=True)
        if not lead < LEAST_LEAD * largest  # NaN: there is nothing to divide by
    ]


def _brought_back(line: Attacked) -> tuple[bool, float]:
    if line.recovery is not None:
        return True, line.recovery.value
    moved = line.change if line.change is not None else line.value
    return False, -math.inf if math.isnan(moved.value) else moved.value


def panels_of(
    table: Table, by_key: Mapping[str, Result], attacked: Sequence[Result]
) -> tuple[Panel, ...]:
    """For each group of a table with attacked models what the attacks brought back.

    `by_key` are the results of the table, `attacked` those of the same models under attack.  An
    attack that only describes a model (`describes_model`) is in the table and not here.
    """
    kept = [r for r in attacked if r.attack is not None and not r.attack.describes_model]
    if not kept:
        return ()
    panels = (_panel(table, group, by_key, kept) for group in table.groups)
    return tuple(panel for panel in panels if panel.methods or panel.failed)


def _panel(
    table: Table, group: Group, by_key: Mapping[str, Result], attacked: Sequence[Result]
) -> Panel:
    gathered = Gathered(group, by_key, attacked)
    columns = _columns(table, gathered.results)
    kinds = kinds_of(gathered.results, lambda metric: columns[metric.task, metric.name])
    own = {kind.name for kind in kinds}
    shared = [column for (task, _), column in columns.items() if task not in own]
    lines = [
        line
        for row in gathered.rows
        for column in columns.values()
        for line in _lines(gathered, row, column, kinds)
    ]
    ordered = _first_not_on_the_floor(group, shared)
    return Panel(
        group,
        kinds,
        ordered,
        tuple(lines),
        tuple(_failed(gathered)),
        tuple(gathered.made_again),
        _unattacked(gathered, ordered[:MOST_SHOWN]),
    )


def _unattacked(gathered: Gathered, columns: Sequence[Column]) -> dict[tuple[str, str], Estimate]:
    claims = {
        (row.label, column.name): claim
        for row in gathered.rows
        for column in columns
        if row.role == "method"
        and (claim := gathered.unattacked(row, column)) is not None
        and claim.is_told_apart
    }
    return dict(zip(claims, intervals(list(claims.values()), "recovery"), strict=True))


def _columns(table: Table, results: Iterable[Result]) -> dict[tuple[str, str], Column]:
    """Whatever says by a low value that something is forgotten, by task and metric."""
    of_table = {(c.task, c.metric): c for c in (*table.metric_columns, *table.other_columns)}
    columns: dict[tuple[str, str], Column] = {}
    for result in results:
        for metric in forgetting_metrics(result):
            place = (metric.task, metric.name)
            made = Column(**{**vars(metric), "metric": metric.name})
            columns.setdefault(place, of_table.get(place, made))
    return columns


def _first_not_on_the_floor(group: Group, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, the first in which the retrained model is not as good as empty in front.

    Where it has under a tenth of the original's value, as EL10 has, it and an unlearned model lie
    on the floor alike, whatever is left in the latter.
    """
    means = {
        role: next((row for row in group.rows if row.role == role and row.cells), None)
        for role in ("before", "retrained")
    }
    before, retrained = means["before"], means["retrained"]
    for at, column in enumerate(columns):
        high = before.mean(column.name) if before else None
        low = retrained.mean(column.name) if retrained else None
        if high is not None and low is not None and _NOT_ON_THE_FLOOR * high <= low < high:
            return (column, *columns[:at], *columns[at + 1 :])
    return tuple(columns)


def _lines(
    gathered: Gathered, row: Row, column: Column, kinds: Sequence[AttackKind]
) -> Iterator[Attacked]:
    """The row's points under all attacks, intervals computed together."""
    places = [
        (kind, point, claim)
        for kind in kinds
        for point in kind.points
        if (claim := gathered.claim(row, kind, point.name, column)) is not None
    ]
    claims = [claim for _, _, claim in places]
    scale = column.scale
    values = intervals(claims, "value")
    changes = _where(claims, "change", lambda claim: claim.has("unattacked"))
    recoveries = _where(claims, "recovery", lambda claim: claim.is_told_apart)
    for at, (kind, point, claim) in enumerate(places):
        is_method = row.role == "method"
        yield Attacked(
            row,
            kind,
            point,
            column,
            values[at].scaled(scale),
            changes[at].scaled(scale) if at in changes else None,
            recoveries.get(at),
            _scaled(claim, "original", scale),
            _scaled(claim, "retrained", scale),
            _lacks(claim) if is_method else None,
            gathered.facts(row, kind, point.name),
            claim,
        )


def _where(
    claims: Sequence[Claim], quantity: Quantity, holds: Callable[[Claim], bool]
) -> dict[int, Estimate]:
    chosen = [at for at, claim in enumerate(claims) if holds(claim)]
    made = intervals([claims[at] for at in chosen], quantity)
    return dict(zip(chosen, made, strict=True))


def _scaled(claim: Claim, which: str, scale: float) -> float | None:
    return claim.mean(which) * scale if claim.has(which) else None


def _lacks(claim: Claim) -> Lack | None:
    if not claim.has("retrained"):
        return "retrained"
    if not claim.has("original"):
        return "original"
    if not claim.n_items:
        return "items"
    return None if claim.is_told_apart else "alike"


def _failed(gathered: Gathered) -> Iterator[Failed]:
    for label, result in gathered.failed:
        if result.attack is not None:
            run, error = result.forget_set.run, result.error or "failed"
            yield Failed(label, result.attack.label, run, error)
