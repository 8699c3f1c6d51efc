"""Groups of a table whose models are one model trained with several seeds, row by row."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unlearnbench.analysis.conditions import conditions_of
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.outcomes import ByKey
from unlearnbench.analysis.table import Group, Row
from unlearnbench.errors import UserError, unknown
from unlearnbench.results.record import Role

Key = tuple[str, str]
_OF_ITS_TRAINING = ("before", "retrained", "null")  # roles whose model each training has of its own


@dataclass(frozen=True)
class Line:
    """A row of every training that has it: the same method, or the same kind of reference."""

    label: str  # as in the first training's group
    role: Role
    rows: tuple[Row | None, ...]  # [T]

    @property
    def compared(self) -> bool:
        """Whether its rows count in ranks and scores."""
        return any(row is not None and row.compared for row in self.rows)

    @property
    def differing(self) -> tuple[str, ...]:
        """The settings that are not the same in all trainings."""
        rows = [row for row in self.rows if row is not None]
        every = [{**row.settings, **row.schedule} for row in rows]
        names = sorted({name for settings in every for name in settings})
        values = {name: {json.dumps(s.get(name), default=str) for s in every} for name in names}
        return tuple(name for name in names if len(values[name]) > 1)


@dataclass(frozen=True)
class Family:
    """The groups of one model's trainings, measured in the same way; often one group alone."""

    groups: tuple[Group, ...]  # [T]
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        """'nano-neo, 3 trainings'; a single group's own title."""
        first = self.groups[0].title
        return first if len(self.groups) == 1 else f"{first}, {len(self.groups)} trainings"

    @property
    def names(self) -> str:
        """Its groups' titles."""
        return listed(group.title for group in self.groups)

    @property
    def compared(self) -> tuple[Line, ...]:
        """The lines that ranks and scores are over."""
        return tuple(line for line in self.lines if line.compared)


def families_of(
    groups: Sequence[Group], by_key: ByKey, trainings: Sequence[Sequence[str]] = ()
) -> tuple[Family, ...]:
    """The groups by family, in the order of their first; `trainings` names those of one model.

    Groups that were measured in different ways are never taken together.
    """
    first_of = {name: names[0] for names in trainings for name in names}
    rank = {name: at for names in trainings for at, name in enumerate(names)}
    together: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        conditions = _conditions(group, by_key)
        known = group.variant if conditions is None else json.dumps(conditions, sort_keys=True)
        together.setdefault((first_of.get(group.name, group.name), known), []).append(group)
    ordered = [sorted(of, key=lambda g: rank.get(g.name, 0)) for of in together.values()]
    return tuple(Family(tuple(of), tuple(_lines(of))) for of in ordered)


def measured_otherwise(
    families: Sequence[Family], by_key: ByKey, trainings: Sequence[Sequence[str]]
) -> str:
    """What keeps trainings of one model apart, in a sentence; empty if nothing does."""
    apart = []
    for names in trainings:
        parts = [f for f in families if f.groups[0].name in names]
        if len(parts) < 2 or len({g.name for f in parts for g in f.groups}) < 2:
            continue
        conditions = [_conditions(f.groups[0], by_key) or {} for f in parts]
        differing = [n for n in conditions[0] if len({c.get(n) for c in conditions}) > 1]
        which = f" ({listed(differing)} differ)" if differing else ""
        apart.append(f"{'; '.join(f.names for f in parts)}{which}")
    if not apart:
        return ""
    return f"Measured in different ways, so not taken together: {listed(apart, '; ')}."


def _conditions(group: Group, by_key: ByKey) -> dict[str, str] | None:
    keys = (run.key for row in group.rows for run in (*row.runs, *row.failed_runs))
    first = next((by_key[key] for key in keys if key in by_key), None)
    return None if first is None else conditions_of(first)


def check_trainings(trainings: Iterable[Sequence[str]], groups: Iterable[str]) -> None:
    """Raise `UserError` for a name that no group of the results has, or that stands twice."""
    known, seen = dict.fromkeys(groups), set[str]()
    for name in (name for names in trainings for name in names):
        if name not in known:
            raise unknown("model of --trainings", name, known, "unlearnbench report")
        if name in seen:
            raise UserError(f"--trainings names {name} twice; a model is one training")
        seen.add(name)
    if alone := [names[0] for names in trainings if len(names) == 1]:
        raise UserError(
            f"--trainings {alone[0]} names one model; give all that are this model trained with "
            "another seed: --trainings A,B,C"
        )


def _lines(groups: Sequence[Group]) -> Iterable[Line]:
    by_group = [_by_key(group) for group in groups]
    keys = dict.fromkeys(key for of in by_group for key in of)
    for key in keys:
        rows = tuple(of.get(key) for of in by_group)
        first = next(row for row in rows if row is not None)
        yield Line(first.label, first.role, rows)


def _by_key(group: Group) -> Mapping[Key, Row]:
    """By what a row is, whatever its training's model is called."""
    rows: dict[Key, Row] = {}
    for row in group.rows:
        _, plus, method = row.label.partition(" + ")
        name = method if plus else "" if row.role in _OF_ITS_TRAINING else row.label
        again = sum(key[0] == row.role and key[1].partition("#")[0] == name for key in rows)
        rows[row.role, f"{name}#{again}" if again else name] = row
    return rows
