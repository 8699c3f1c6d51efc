"""Results of a benchmark beside the boards that others publish of it."""

import math
from collections.abc import Iterator, Sequence

from unlearnbench.analysis.derived.score import METRICS
from unlearnbench.analysis.table import ABSENT, Column, Group, Note
from unlearnbench.errors import UserError
from unlearnbench.logs.columns import metric_of, split_of
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.reporting.printing import anchor, name
from unlearnbench.reporting.published.boards import N_FORGET, Board, BoardRow, boards, distances

_P, _D = "forget_quality", "ks_distance"
_D_NOTE = (
    "D of a published row is read off its p: the steps of the exact test, for as many items as the "
    "split has, whose p is printed so."
)


def board_listings(findings: Findings) -> tuple[Listing, ...]:
    """For each group of a benchmark's results, every board that has rows of its split.

    Raises `UserError` if there is none for any of them.
    """
    listings, missing = [], []
    for group in findings.table.groups:
        if not group.benchmark:
            continue
        result = findings.results_of(next(row for row in group.rows if row.runs))[0]
        benchmark = result.benchmark
        if benchmark is None:
            continue
        fitting = [
            (board, rows)
            for board in boards()
            if benchmark.published in board.benchmarks
            and (rows := board.of(benchmark.name, benchmark.split))
        ]
        listings += [_listing(group, board, rows, findings) for board, rows in fitting]
        missing += [] if fitting else [group.benchmark]
    if not listings:
        known = ", ".join(sorted({name for board in boards() for name in board.benchmarks}))
        raise UserError(
            f"nothing is published to lay beside {', '.join(missing)}; there are boards of {known}"
        )
    return tuple(listings)


def _listing(group: Group, board: Board, rows: Sequence[BoardRow], findings: Findings) -> Listing:
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    if _P in names:
        names.insert(names.index(_P) + 1, _D)
    columns = {each: _column(each, findings) for each in names}
    own = [
        (f"{row.label} {row.markers}".strip(), "here",
         *(columns[each].text(row.mean(each), group.cap) for each in names))
        for row in group.rows
    ]  # fmt: skip
    theirs = [
        (row.label, "published", *(_printed(row, each, columns[each]) for each in names))
        for row in rows
    ]
    title = f"{group.title.partition(' (')[0]} beside {board.title}"
    headers = ("", "", *(f"{name(column)} {column.arrow}".strip() for column in columns.values()))
    return Listing(
        anchor("beside-published", group.title, board.name),
        title,
        headers,
        (*own, *theirs),
        2,
        tuple(_notes(board, rows, names)),
    )


def _column(each: str, findings: Findings) -> Column:
    """As measured or derived here; a metric that nobody here knows is printed as it was."""
    table = findings.table
    own = {column.name: column for column in (*table.metric_columns, *table.other_columns)}
    if each in own:
        return own[each]
    if each in METRICS:
        return Column(**vars(METRICS[each]), metric=each)
    if split_of(each) != each:
        return Column(**vars(metric_of("", each)), metric=each)
    return Column(each, each.replace("_", " ").capitalize(), None, decimals=3)


def _printed(row: BoardRow, each: str, column: Column) -> str:
    """A published value in the column's units; D is read off p."""
    if each == _D and _D not in row.values:
        n = N_FORGET.get(row.split)
        ends = distances(row.values[_P], n) if n and _P in row.values else None
        if ends is None:
            return ABSENT
        low, high = (column.text(end * column.scale) for end in ends)
        return low if low == high else f"{low}–{high}"
    value = row.values.get(each)
    if value is None:
        return ABSENT
    if column.scale == 1:
        return value
    # Rescaled, with the digits that it was printed with: .64 is 64 %, not 64.0.
    rescaled, n_decimals = float(value) * column.scale, len(value.partition(".")[2])
    is_short = "e" in value.lower()
    n_left = max(0, n_decimals - round(math.log10(column.scale)))
    return f"{rescaled:.3g}" if is_short else f"{rescaled:.{n_left}f}"


def _notes(board: Board, rows: Sequence[BoardRow], names: Sequence[str]) -> Iterator[Note]:
    yield Note(
        "published",
        f"Published, other models: {board.title}; licence {board.licence}. No test: the rows are "
        "of other runs on other machines.",
    )
    yield from (Note("board", text) for text in board.notes)
    if _D in names:
        yield Note("distance", _D_NOTE)
    if any(row.mark for row in rows):
        yield Note("marked", board.marked, next(row.mark for row in rows if row.mark))
