"""Two results folders joined: what differs in how they were made, and the values that differ."""

import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.paired import (
    LEVEL,
    PairedComparison,
    compare_pair,
    holm,
    row_outcomes,
)
from unlearnbench.analysis.table import ABSENT, SCORE_NAMES, Column, Group, Note, Row
from unlearnbench.errors import UserError
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Findings, Listing

T = TypeVar("T")
NAME = "comparison"
_DIGEST = re.compile("[0-9a-f]{40,}")
# Parts of an identity that the record holds as well, with names and numbers instead of digests.
_RECORDED = (
    "schema_version", "role", "group", "model", "method", "forget_set", "protocol", "stop",
    "threads",
)  # fmt: skip


@dataclass(frozen=True)
class Joined:
    """Two groups about the same model, their common rows, and the rows that only one has."""

    first: Group
    second: Group
    rows: Sequence[tuple[Row, Row]]
    only_first: Sequence[Row]
    only_second: Sequence[Row]

    @property
    def title(self) -> str:
        """The groups' common title or name, else both titles."""
        titles = dict.fromkeys((self.first.title, self.second.title))
        same_name = len(titles) > 1 and self.first.name == self.second.name
        return self.first.name if same_name else " and ".join(titles)


@dataclass(frozen=True)
class Value:
    """One column of two joined rows, in printed units."""

    label: str
    column: Column
    first: float
    second: float
    tested: PairedComparison | None
    p: float | None = None  # corrected


def comparison_blocks(
    first: Findings, second: Findings, names: tuple[str, str]
) -> tuple[Listing, ...]:
    """What differs in how the two were made, then a listing of differing values per group.

    `names` are what the two are called.  Raises `UserError` if they have no model in common.
    """
    single = len(first.table.groups) == len(second.table.groups) == 1
    pairs, left, right = _join(first.table.groups, second.table.groups, (
        lambda group: group.title, lambda group: group.name, lambda group: single or id(group)
    ))  # fmt: skip
    if not pairs:
        titles = [listed(group.title for group in one) for one in (left, right)]
        raise UserError(
            f"{names[0]} and {names[1]} have no model in common: {titles[0]} against {titles[1]}; "
            "compare folders of the same model"
        )
    groups = [
        Joined(a, b, *_join(a.rows, b.rows, (
            lambda row: row.label,
            lambda row: (row.role, row.method, repr(sorted(row.settings.items()))),
            lambda row: (row.role, row.method),
        )))
        for a, b in pairs
    ]  # fmt: skip
    values = [_listing(joined, first, second, names) for joined in groups]
    unmatched = tuple(_only(left, right, names, lambda group: group.title))
    values[-1] = replace(values[-1], notes=(*values[-1].notes, *unmatched))
    return (*_provenance(groups, first, second, names), *values)


def _join(
    first: Sequence[T], second: Sequence[T], keys: Sequence[Callable[[T], Hashable]]
) -> tuple[list[tuple[T, T]], list[T], list[T]]:
    """Pairs of equal key, earlier keys first and each item once; then what is left of both."""
    pairs, left, right = [], list(first), list(second)
    for key in keys:
        for a in list(left):
            b = next((b for b in right if key(b) == key(a)), None)
            if b is not None:
                left.remove(a)
                right.remove(b)
                pairs.append((a, b))
    return sorted(pairs, key=lambda pair: first.index(pair[0])), left, right


def _provenance(
    groups: Sequence[Joined], first: Findings, second: Findings, names: tuple[str, str]
) -> tuple[Listing, ...]:
    """The recorded facts that differ, each with the rows in which it does; nothing if none does."""
    rows_of: dict[tuple[str, str, str], list[str]] = {}
    for joined in groups:
        for a, b in joined.rows:
            label = f"{joined.title}, {a.label}" if len(groups) > 1 else a.label
            ours, theirs = _facts(a, first), _facts(b, second)
            for name in dict.fromkeys((*ours, *theirs)):
                fact = name, ours.get(name, ABSENT), theirs.get(name, ABSENT)
                if fact[1] != fact[2]:
                    rows_of.setdefault(fact, []).append(label)
    if not rows_of:
        return ()
    n_rows = sum(len(joined.rows) for joined in groups)
    rows = tuple(
        (name, "all" if len(labels) == n_rows else listed(labels), ours, theirs)
        for (name, ours, theirs), labels in rows_of.items()
    )
    title = f"What differs in how {names[0]} and {names[1]} were made"
    return (Listing(f"{NAME}-made", title, ("", "Rows", *names), rows, n_labels=4),)


def _facts(row: Row, findings: Findings) -> dict[str, str]:
    """Every recorded fact of how a row's runs were made by its name, with all its values."""
    facts: dict[str, set[str]] = {}
    for result in (findings.by_key[run.key] for run in (*row.runs, *row.failed_runs)):
        rows = result.forget_set
        identity = {name: part for name, part in result.identity.items() if name not in _RECORDED}
        if software := identity.get("software"):  # the packages are the environment's
            identity["software"] = {k: v for k, v in software.items() if k != "packages"}
        record = {
            "protocol": {"name": result.protocol_name, **result.protocol},
            "settings": result.method.settings,
            "stop": result.stop.model_dump(),
            "model": result.model.model_dump(),
            f"forget set {rows.run}": f"{rows.name}, {len(rows.doc_ids)} rows, "
            f"{rows.content_sha256}",
            **identity,
            **result.environment.model_dump(),
        }
        for name, text in _flat(record):
            facts.setdefault(name, set()).add(text)
    return {name: "; ".join(sorted(texts)) for name, texts in facts.items()}


def _flat(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and texts of a nested record; digests in short."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _flat(part, f"{path}.{name}" if path else name)
    else:
        text = "none" if value is None else format_value(value)
        yield path, _DIGEST.sub(lambda digest: digest[0][:10], text)


def _listing(joined: Joined, first: Findings, second: Findings, names: tuple[str, str]) -> Listing:
    """The values of the main columns that differ, or one line that says that none does."""
    a, b = names
    values = _values(joined, first, second)
    differing = [value for value in values if value.first != value.second]
    if differing:
        title = f"{joined.title}: {b} against {a}"
        headers = ["", "", a, b, f"{b} minus {a}", "95% interval", "p, corrected", "Documents"]
        rows = [_line(value, joined) for value in differing]
    else:
        title = f"{joined.title}: {a} and {b} are the same in every value"
        headers = ["Rows", "Values", "Differing values"]
        rows = [(str(len(joined.rows)), str(len(values)), "none")]
    notes = (
        *_how_to_read(differing, len(values), names),
        *_other_columns(joined, first, second),
        *(Note("matched", f"{x.label} in {a} stands for {y.label} in {b}.")
          for x, y in joined.rows if x.label != y.label),
        *_only(joined.only_first, joined.only_second, names, lambda row: row.label),
    )  # fmt: skip
    name, n_labels = printing.anchor(NAME, joined.title), 2 if differing else 1
    return Listing(name, title, tuple(headers), tuple(rows), n_labels, notes)


def _values(joined: Joined, first: Findings, second: Findings) -> list[Value]:
    """Every value of the main columns that both have; p-values are Holm's over all of them."""
    columns = _common(first.table.columns, second.table.columns)
    values = [
        Value(a.label, column, x, y, _tested(a, b, column, first, second))
        for a, b in joined.rows
        for column in columns
        if (x := a.mean(column.name)) is not None and (y := b.mean(column.name)) is not None
    ]
    corrected = holm([value.tested.p if value.tested else None for value in values])
    return [replace(value, p=p) for value, p in zip(values, corrected, strict=True)]


def _common(ours: Iterable[Column], theirs: Iterable[Column]) -> list[Column]:
    """The columns of the first table that mean the same in the second."""
    meanings = {(c.name, c.task, c.scale) for c in theirs}
    return [c for c in ours if (c.name, c.task, c.scale) in meanings]


def _tested(
    a: Row, b: Row, column: Column, first: Findings, second: Findings
) -> PairedComparison | None:
    """Second minus first on the same documents; None where that cannot be had."""
    # Rows of a forget set are told apart by the hash of its tokens; questions and texts start
    # their numbers again in every file, so those files must be the same.
    files = {
        repr(sorted((result.identity.get(column.documents) or {}).items()))
        for result in (*first.results_of(a), *second.results_of(b))
    }
    if not column.task or (column.documents != "rows" and len(files) > 1):
        return None
    ours, theirs = row_outcomes(a, column, first.by_key), row_outcomes(b, column, second.by_key)
    return compare_pair(theirs, ours) if ours is not None and theirs is not None else None


def _line(value: Value, joined: Joined) -> tuple[str, ...]:
    """Row, metric, both values, difference, interval, p-value, number of documents."""
    column, tested = value.column, value.tested
    gap = value.second - value.first
    test = [ABSENT] * 3
    if tested is not None and value.p is not None:
        interval = printing.interval(column, tested.low, tested.high)
        test = [interval, printing.p_value(value.p), str(tested.n_documents)]
    return (
        value.label,
        column.label,
        column.text(value.first, joined.first.cap),
        column.text(value.second, joined.second.cap),
        printing.difference(column, gap) if math.isfinite(gap) else ABSENT,
        *test,
    )


def _how_to_read(
    differing: Sequence[Value], n_values: int, names: tuple[str, str]
) -> Iterator[Note]:
    if not differing:
        return
    if len(differing) < n_values:
        same = n_values - len(differing)
        yield Note("equal", f"The same in both and not listed: {same} of {n_values} values.")
    p_values = [value.p for value in differing if value.p is not None]
    if p_values:
        yield Note(
            "paired",
            f"Interval and p-value: {names[1]} minus {names[0]} on the forget sets, seeds and "
            "documents that both have; p by sign flips, corrected (Holm) for every value that "
            f"could be tested. {sum(p < LEVEL for p in p_values)} of {len(p_values)} differences "
            f"listed are told apart from none (p < {LEVEL:g}).",
        )
    untested = (value.column for value in differing if value.p is None and value.column.task)
    if labels := dict.fromkeys(column.label for column in untested):
        yield Note(
            "untested",
            f"Not tested, for want of documents that both were measured on: {listed(labels)}.",
        )
    if any(value.column.name in SCORE_NAMES for value in differing):
        yield Note("scores", "s_z and s_m are relative to the rows compared within each folder.")


def _other_columns(joined: Joined, first: Findings, second: Findings) -> Iterator[Note]:
    """The columns outside the main table in which some row differs."""
    differing = {
        printing.name(column): None
        for column in _common(first.table.other_columns, second.table.other_columns)
        for a, b in joined.rows
        if None not in (means := (a.mean(column.name), b.mean(column.name)))
        and means[0] != means[1]
    }
    if differing:
        yield Note("others", f"Different as well, not listed: {listed(differing)}.")


def _only(
    left: Iterable[T], right: Iterable[T], names: tuple[str, str], title: Callable[[T], str]
) -> Iterator[Note]:
    for items, name in ((left, names[0]), (right, names[1])):
        if text := listed(map(title, items)):
            yield Note("only", f"Only in {name}: {text}.")
