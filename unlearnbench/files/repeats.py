"""Rows that repeat an earlier one: kept, because published sets hold some, and counted."""

from collections.abc import Hashable, Sequence


def count_repeats(contents: Sequence[Hashable], names: Sequence[str]) -> str | None:
    """What to say of rows with equal content; None where all differ.

    One rule for every kind of data: such rows are kept and each counts on its own. Two of the
    three published forget sets here repeat one row, the third two, and LAMBADA two.
    """
    first: dict[Hashable, int] = {}
    twins = [(at, first[row]) for at, row in enumerate(contents) if first.setdefault(row, at) != at]
    if not twins:
        return None
    at, before = twins[0]
    verb = "repeats" if len(twins) == 1 else "repeat"
    return (
        f"{len(twins)} of {len(contents)} rows {verb} an earlier one (the first: "
        f"{names[at]!r:.60} is {names[before]!r:.60} again); each is kept and counts on its own"
    )
