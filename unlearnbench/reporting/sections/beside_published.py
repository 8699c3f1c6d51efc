"""The beside-published section: printed values next to one's own, with the difference."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from unlearnbench.analysis.build_table import compare
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import (
    ABSENT,
    EPOCHS,
    PAPER_COLUMNS,
    S_M,
    S_Z,
    Column,
    Note,
    Row,
    Table,
)
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.reporting.printing import anchor, difference, name
from unlearnbench.reporting.published.matching import Beside, Line, besides
from unlearnbench.reporting.published.printed import number, row_of
from unlearnbench.reporting.published.setup import CAP, Departure, departures
from unlearnbench.reporting.sections._boards import board_listings
from unlearnbench.reporting.sections.human import row_names

NAME = "beside-published"
INSIDE = "~"  # a footnote marker: no test, so not the sign of one
_SPREADS = 2  # standard deviations over runs within which a printed value may well be one's own
_SCORES = (S_Z, S_M)
_HUMAN = Column("human", "Human", True)

_INSIDE_NOTE = (
    "The printed value is inside this run's 95% interval over documents, or within two standard "
    "deviations over its runs; no test, since the printed value's own spread is not known."
)
_CAP_NOTE = "No difference where a value is only known to be over the cap."


Cells = list[tuple[str, str, str]]  # own, printed, difference


def blocks(findings: Findings) -> tuple[Listing, ...]:
    """For each group the printed table has a model of its values, then what differs in the set-up.

    Beside a benchmark's results stand the boards that others publish of it.  Raises `UserError` if
    nothing is printed for any of them.
    """
    plain = tuple(result for result in findings.results if result.benchmark is None)
    if len(plain) == len(findings.results):
        return _of_paper(findings)
    listings = board_listings(findings)
    return (*listings, *_of_paper(replace(findings, results=plain))) if plain else listings


def _of_paper(findings: Findings) -> tuple[Listing, ...]:
    comparisons = besides(findings)
    listings = [one for beside in comparisons for one in _of_group(beside, findings)]
    return (*listings, _setup(comparisons, findings))


def _of_group(beside: Beside, findings: Findings) -> Iterator[Listing]:
    """The main table's columns, all the others, then epochs and scores."""
    paper, table = (*PAPER_COLUMNS, EPOCHS, *_SCORES, _HUMAN), findings.table
    unmeasured = [Column(n, n.replace("_", " "), True) for n in beside.table.columns]
    # As measured here, else as the paper has them.
    every = (*unmeasured, *paper, *table.metric_columns, *table.other_columns)
    columns = {column.name: column for column in every}
    main = [c.name for c in (*PAPER_COLUMNS, _HUMAN)]
    last = [c.name for c in (EPOCHS, *_SCORES)]
    printed = beside.table.columns
    for title, names in (
        ("metrics", [n for n in printed if n in main]),
        ("single tasks", [n for n in printed if n not in (*main, *last)]),
        ("epochs and scores", [n for n in last if n in printed]),
    ):
        if names:
            yield _listing(beside, title, [columns[n] for n in names], findings)


def _listing(beside: Beside, title: str, columns: Sequence[Column], findings: Findings) -> Listing:
    common, over = _common_scores(beside, findings.table) if S_Z in columns else ({}, "")
    headers = [f"{name(column)} {column.arrow}".strip() for column in columns]
    headers += [f"common {c.label} {c.arrow}" for c in _SCORES if common]
    rows = []
    for line in beside.lines:
        cells = [_cell(line, column, beside, findings) for column in columns]
        cells += common.get(line.label, [(ABSENT,) * 3] * len(_SCORES)) if common else []
        rows += _rows(line, cells, beside.by_order)
    where = f"{beside.table.place} ({beside.size}, {beside.table.source})"
    return Listing(
        anchor(NAME, beside.group.title, title),
        f"{beside.group.title} beside {where}: {title}",
        ("", "", *headers),
        tuple(rows),
        2,
        tuple(_notes(beside, columns, rows, over)),
    )


def _rows(line: Line, cells: Cells, by_order: bool) -> list[tuple[str, ...]]:
    """Three lines for a row that both have, else one that says whose it is."""
    label = f"{line.label} {line.own.markers}".strip() if line.own else line.label
    own, printed, gaps = zip(*cells, strict=True)
    if {*own, *printed} == {ABSENT}:
        return []
    if line.printed is None:
        return [(label, "here only", *own)]
    if line.own is None:
        return [(label, "printed only", *printed)]
    rate = line.printed.label.partition(" (")[2].rstrip(")") if by_order else ""
    beside = f"printed ({rate})" if rate else "printed"
    return [(label, "here", *own), (label, beside, *printed), (label, "difference", *gaps)]


def _cell(line: Line, column: Column, beside: Beside, findings: Findings) -> tuple[str, str, str]:
    """Own and printed value as their tables print them, and the difference where there is one."""
    cap = beside.group.cap
    own = line.own.mean(column.name) if line.own else None
    if line.own and column == _HUMAN:
        own = _human_score(findings, (beside.group.title, line.own.label))
    printed = line.printed.values.get(column.name, ABSENT) if line.printed else ABSENT
    text = column.text(own, cap)
    # Scores are over other rows and metrics there: no difference to take.
    if own is None or printed == ABSENT or column in _SCORES or column.is_over_cap(own, cap):
        return text, printed, ABSENT
    gap = own - number(printed)
    if not math.isfinite(gap):
        return text, printed, ABSENT
    inside = line.own is not None and _is_inside(line.own, column, number(printed))
    return text, printed, difference(column, gap, more=0) + (INSIDE if inside else "")


def _is_inside(row: Row, column: Column, value: float) -> bool:
    cell = row.cells.get(column.name)
    if cell is None:
        return False
    inside = cell.low is not None and cell.high is not None and cell.low <= value <= cell.high
    return inside or (cell.std is not None and abs(value - cell.mean) <= _SPREADS * cell.std)


def _human_score(findings: Findings, row: tuple[str, str]) -> float | None:
    """People's mean on the paper's scale, 1 to 8."""
    study = findings.human
    if study is None or study.scores is None or study.is_rehearsal:
        return None
    names = row_names(findings, study)
    means = (c.mean for c in study.scores.cells if names.get((c.model, c.method)) == row)
    return next(means, None)


def _common_scores(beside: Beside, table: Table) -> tuple[dict[str, Cells], str]:
    """s_z and s_m of both sides by line, over the lines and metrics that both have, and a note.

    Nothing if there are fewer than two such lines, and if one printed row stands beside several
    of one's own: it would count twice.
    """
    pairs = [(replace(line.own, label=line.label), line.printed) for line in beside.matched
             if line.own and line.own.compared and line.printed]  # fmt: skip
    if len(pairs) < 2 or len({id(printed) for _, printed in pairs}) < len(pairs):
        return {}, ""
    ours = [own for own, _ in pairs]
    theirs = [replace(row_of(printed), label=own.label) for own, printed in pairs]
    both = [c for c in table.metric_columns
            if c.in_score and all(c.name in row.cells for row in (*ours, *theirs))]  # fmt: skip
    cap = CAP if beside.group.cap is None else beside.group.cap  # '>1000' is no number to score
    own, printed = (compare(replace(beside.group, rows=tuple(rows), cap=cap), both)
                    for rows in (ours, theirs))  # fmt: skip
    if not own.scored or own.scored != printed.scored:
        return {}, ""
    cells: dict[str, Cells] = {}
    for a, b in zip(own.rows, printed.rows, strict=True):
        scores = [(c, a.cells[c.name].mean, b.cells[c.name].mean) for c in _SCORES]
        cells[a.label] = [(c.text(x), c.text(y), difference(c, x - y, more=0))
                          for c, x, y in scores]  # fmt: skip
    over = f"{listed(cells)}; {listed(c.label for c in both if c.name in own.scored)}"
    return cells, f"Common s_z and s_m: both sides scored anew over {over}."


def _notes(
    beside: Beside, columns: Sequence[Column], rows: Sequence[tuple[str, ...]], over: str
) -> Iterator[Note]:
    """What a listing needs to be read: its signs, and what its scores are over."""
    texts = [text for row in rows for text in row[2:]]
    if any(text.endswith(INSIDE) for text in texts):
        yield Note("inside", _INSIDE_NOTE, INSIDE)
    if any(text.startswith(">") for text in texts):
        yield Note("cap", _CAP_NOTE)
    if over:
        yield Note("scores", over)
    borrowed = [c.label for c in columns if c.name in beside.table.borrowed]
    if borrowed:
        other = {"v1": 2, "v2": 1}[beside.table.source]
        yield Note("borrowed", f"{listed(borrowed)}: printed in version {other} of the paper only.")


def _setup(comparisons: Sequence[Beside], findings: Findings) -> Listing:
    """In what the runs depart from the paper's; with several models, of which it holds."""
    titles: dict[Departure, list[str]] = {}
    for beside in comparisons:
        for departure in departures(beside, findings):
            titles.setdefault(departure, []).append(beside.group.title)
    several = len(comparisons) > 1
    rows = []
    for one, of in titles.items():
        model = ("all" if len(of) == len(comparisons) else listed(of),) if several else ()
        rows.append((one.name, *model, one.own, one.printed, one.touches))
    headers = ("Setting", *(("Model",) if several else ()), "here", "printed", "touches")
    title = "What differs in the set-up"
    notes = tuple(_notes_on_all(comparisons, findings))
    return Listing(f"{NAME}-setup", title, headers, tuple(rows), len(headers), notes)


def _notes_on_all(comparisons: Sequence[Beside], findings: Findings) -> Iterator[Note]:
    """The table's notes on what is synthetic and on the labels' marks, and what is left out."""
    own = [line.own for beside in comparisons for line in beside.lines if line.own]
    marks = {marker for row in own for marker in row.markers}
    yield from (n for n in findings.table.notes if n.kind == "synthetic" or n.marker in marks)
    for place in dict.fromkeys(beside.table.title for beside in comparisons):
        yield Note("printed", f"Printed: {place}, by the authors' own code (protocol 'released').")
    if any(beside.unprinted for beside in comparisons):
        labels = (label for beside in comparisons for label in beside.unprinted)
        yield Note("unprinted", f"Measured here and not printed: {listed(labels)}.")
        yield Note("runs", "The paper's runs 1 to 5 are taken to be the forget sets in order.")
    titles = {beside.group.title for beside in comparisons}
    if others := [g.title for g in findings.table.groups if g.title not in titles]:
        yield Note("left_out", f"Nothing is printed to lay beside {listed(others)}.")
