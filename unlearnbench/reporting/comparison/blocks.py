"""Two results folders side by side: what differs in how they were made, and in what came out."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import Group, Note
from unlearnbench.errors import UserError
from unlearnbench.reporting.comparison.provenance import Fact, differing_facts, differing_settings
from unlearnbench.reporting.comparison.rows import Matched, matched_groups
from unlearnbench.reporting.comparison.values import Value, compared_values, other_differences
from unlearnbench.reporting.document import Block, Listing
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.printing import anchor

NAME = "comparison"


def comparison_blocks(
    first: Findings, second: Findings, names: tuple[str, str]
) -> tuple[Block, ...]:
    """What differs in provenance, then, group by group, the values that differ with a paired test.

    `names` are what the two are called.  Raises `UserError` if they have no model in common.
    """
    groups, left, right = matched_groups(first.table, second.table)
    if not groups:
        raise UserError(
            f"{names[0]} and {names[1]} have no model in common: {_titles(left)} against "
            f"{_titles(right)}; compare folders of the same model"
        )
    facts = [*differing_facts(first.results, second.results), *_settings(groups)]
    values = [_values(matched, first, second, names) for matched in groups]
    made = (*_provenance(facts, names), *values)
    unmatched = _only(left, right, names)
    return (*made[:-1], _noted(made[-1], unmatched)) if unmatched else made


def _titles(groups: Sequence[Group]) -> str:
    return listed(group.title for group in groups)


def _settings(groups: Iterable[Matched]) -> Iterator[Fact]:
    for matched in groups:
        for what, ours, theirs in differing_settings(matched):
            yield (f"{matched.title}, {what}" if matched.title else what), ours, theirs


def _provenance(facts: Sequence[Fact], names: tuple[str, str]) -> tuple[Listing, ...]:
    """What one wants to know first; nothing where nothing differs."""
    if not facts:
        return ()
    title = f"What differs in how {names[0]} and {names[1]} were made"
    return (Listing(f"{NAME}-made", title, ("", *names), tuple(facts), n_labels=3),)


def _values(matched: Matched, first: Findings, second: Findings, names: tuple[str, str]) -> Listing:
    a, b = names
    values = compared_values(matched, first, second)
    differing = [value for value in values if not value.is_equal]
    headers = ("", "", a, b, f"{b} minus {a}", "95% interval", "p, corrected", "Documents")
    if not differing:
        return _identical(matched, values, first, second, names)
    return Listing(
        anchor(NAME, matched.title),
        f"{matched.title}: {b} against {a}",
        headers,
        tuple(value.texts for value in differing),
        n_labels=2,
        notes=tuple(_notes(matched, values, first, second, names)),
    )


def _identical(
    matched: Matched,
    values: Sequence[Value],
    first: Findings,
    second: Findings,
    names: tuple[str, str],
) -> Listing:
    """One line that says so."""
    return Listing(
        anchor(NAME, matched.title),
        f"{matched.title}: {names[0]} and {names[1]} are the same in every value",
        ("Rows", "Values", "Differing values"),
        ((str(len(matched.rows)), str(len(values)), "none"),),
        notes=tuple(_notes(matched, values, first, second, names)),
    )


def _notes(
    matched: Matched,
    values: Sequence[Value],
    first: Findings,
    second: Findings,
    names: tuple[str, str],
) -> Iterator[Note]:
    differing = [value for value in values if not value.is_equal]
    if differing:
        yield from _how_to_read(differing, len(values), names)
    others = other_differences(matched, first, second)
    if others:
        yield Note("others", f"Different as well, and not listed: {listed(others)}.")
    for a, b in matched.rows:
        if a.label != b.label:
            yield Note("matched", f"{a.label} in {names[0]} stands for {b.label} in {names[1]}.")
    for rows, name in ((matched.only_first, names[0]), (matched.only_second, names[1])):
        if rows:
            yield Note("only", f"Only in {name}: {listed(row.label for row in rows)}.")


def _how_to_read(
    differing: Sequence[Value], n_values: int, names: tuple[str, str]
) -> Iterator[Note]:
    n_equal = n_values - len(differing)
    if n_equal:
        yield Note("equal", f"The same in both and not listed: {n_equal} of {n_values} values.")
    tested = [value for value in differing if value.p is not None]
    sure = sum(value.is_sure for value in differing)
    if tested:
        yield Note(
            "paired",
            f"Interval and p-value: {names[1]} minus {names[0]} on the forget sets, seeds and "
            f"documents that both have; p by sign flips, corrected (Holm) for every value that "
            f"could be tested. {sure} of {len(tested)} differences listed are told apart from "
            "none (p < 0.05).",
        )
    without = [value.column for value in differing if value.p is None]
    untested = dict.fromkeys(column.label for column in without if column.task)
    if untested:
        yield Note(
            "untested",
            f"Not tested, for want of documents that both were measured on: {listed(untested)}.",
        )
    if any(value.column.name in ("s_z", "s_m") for value in differing):
        yield Note("scores", "s_z and s_m are relative to the rows compared within each folder.")


def _only(
    left: Sequence[Group], right: Sequence[Group], names: tuple[str, str]
) -> tuple[Note, ...]:
    return tuple(
        Note("only", f"Only in {name}: {_titles(groups)}.")
        for groups, name in ((left, names[0]), (right, names[1]))
        if groups
    )


def _noted(listing: Listing, more: tuple[Note, ...]) -> Listing:
    return replace(listing, notes=(*listing.notes, *more))
