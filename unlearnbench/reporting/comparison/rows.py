"""Which row of one results folder is which of another's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from unlearnbench.analysis.table import Group, Row, Table

T = TypeVar("T")


@dataclass(frozen=True)
class Matched:
    """Two groups that are about the same, their common rows, and the rows only one has."""

    first: Group
    second: Group
    rows: tuple[tuple[Row, Row], ...]
    only_first: tuple[Row, ...]
    only_second: tuple[Row, ...]

    @property
    def title(self) -> str:
        """The groups' common name, else both."""
        titles = dict.fromkeys((self.first.title, self.second.title))
        if len(titles) == 1 or self.first.name != self.second.name:
            return " and ".join(titles)
        return self.first.name


def matched_groups(
    first: Table, second: Table
) -> tuple[tuple[Matched, ...], tuple[Group, ...], tuple[Group, ...]]:
    """Groups of the same title, else of the same name; then those that only one table has.

    Where each has a single group they are compared whatever their models: both sizes of a
    model, say.
    """
    pairs, left, right = _paired(
        first.groups,
        second.groups,
        lambda a, b: (a.title == b.title, a.name == b.name, _in_common(a, b)),
        lambda a, b: a.name == b.name or len(first.groups) == len(second.groups) == 1,
    )
    return tuple(_matched(a, b) for a, b in pairs), left, right


def _matched(first: Group, second: Group) -> Matched:
    rows, left, right = _paired(
        first.rows,
        second.rows,
        lambda a, b: (a.label == b.label, _same_settings(a, b)),
        lambda a, b: (a.role, a.method) == (b.role, b.method),
    )
    return Matched(first, second, rows, left, right)


def _paired(
    first: Sequence[T],
    second: Sequence[T],
    likeness: Callable[[T, T], tuple[float, ...]],
    may_match: Callable[[T, T], bool],
) -> tuple[tuple[tuple[T, T], ...], tuple[T, ...], tuple[T, ...]]:
    """Each with its likest partner, the likest pairs first, and what is left of both."""
    candidates = [
        (likeness(a, b), -i, -j)
        for i, a in enumerate(first)
        for j, b in enumerate(second)
        if may_match(a, b)
    ]
    partner: dict[int, int] = {}
    for _, i, j in sorted(candidates, reverse=True):
        if -i not in partner and -j not in partner.values():
            partner[-i] = -j
    pairs = tuple((a, second[partner[i]]) for i, a in enumerate(first) if i in partner)
    left = tuple(a for i, a in enumerate(first) if i not in partner)
    right = tuple(b for j, b in enumerate(second) if j not in partner.values())
    return pairs, left, right


def _in_common(a: Group, b: Group) -> float:
    """How many conditions two groups share: protocol settings, dtype, rows, methods."""
    same = sum(a.protocol.get(name) == value for name, value in b.protocol.items())
    methods = {row.method for row in a.rows} & {row.method for row in b.rows}
    return same + (a.dtype == b.dtype) + (a.n_forget_rows == b.n_forget_rows) + len(methods)


def _same_settings(a: Row, b: Row) -> float:
    return sum(a.settings.get(name) == value for name, value in b.settings.items())
