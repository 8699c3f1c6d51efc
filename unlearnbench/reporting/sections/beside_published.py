"""The beside-published section: printed values next to one's own, with the difference."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from unlearnbench.analysis.build_table import compare
from unlearnbench.analysis.columns import ABSENT, EPOCHS, PAPER_COLUMNS, S_M, S_Z, Column
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import Note, Row, Table
from unlearnbench.reporting.document import Listing
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.printing import anchor, name
from unlearnbench.reporting.published.matching import Beside, Line, besides
from unlearnbench.reporting.published.printed import number, row_of
from unlearnbench.reporting.published.setup import CAP, Departure, departures
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


@dataclass(frozen=True)
class CommonScores:
    """s_z and s_m of both sides over the rows and metrics that both have, by the line's label."""

    own: Mapping[str, Row]
    printed: Mapping[str, Row]
    metrics: tuple[str, ...]

    def cells(self, line: Line) -> list[tuple[str, str, str]]:
        """Own, printed, difference of each score."""
        own, printed = self.own.get(line.label), self.printed.get(line.label)
        if own is None or printed is None:
            return [(ABSENT,) * 3 for _ in _SCORES]
        values = [(c, own.cells[c.name].mean, printed.cells[c.name].mean) for c in _SCORES]
        return [(c.text(a), c.text(b), _signed(c, a - b)) for c, a, b in values]


def blocks(findings: Findings) -> tuple[Listing, ...]:
    """For each group the printed table has a model of its values, then what differs in the set-up.

    Raises `UserError` if the paper prints nothing for any of them.
    """
    comparisons = besides(findings)
    listings = [one for beside in comparisons for one in _of_group(beside, findings)]
    return (*listings, _setup(comparisons, findings))


def _of_group(beside: Beside, findings: Findings) -> Iterator[Listing]:
    """The main table's columns, all the others, then epochs and scores."""
    columns = _columns(beside, findings.table)
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


def _columns(beside: Beside, table: Table) -> dict[str, Column]:
    """By name: as measured here, else as the paper has them."""
    unmeasured = [Column(n, n.replace("_", " "), True) for n in beside.table.columns]
    paper = (*PAPER_COLUMNS, EPOCHS, *_SCORES, _HUMAN)
    own = (*table.metric_columns, *table.other_columns)
    return {column.name: column for column in (*unmeasured, *paper, *own)}


def _listing(beside: Beside, title: str, columns: Sequence[Column], findings: Findings) -> Listing:
    common = _common_scores(beside, findings.table) if S_Z in columns else None
    headers = [f"{name(column)} {column.arrow}".strip() for column in columns]
    headers += [f"common {c.label} {c.arrow}" for c in _SCORES if common]
    rows = []
    for line in beside.lines:
        cells = [_cell(line, column, beside, findings) for column in columns]
        rows += _rows(line, [*cells, *(common.cells(line) if common else ())], beside.by_order)
    return Listing(
        anchor(NAME, beside.group.title, title),
        f"{beside.group.title} beside {beside.table.place} ({beside.size}, {beside.table.source}): "
        f"{title}",
        ("", "", *headers),
        tuple(rows),
        2,
        tuple(_notes(beside, columns, rows, common, findings)),
    )


def _rows(
    line: Line, cells: Sequence[tuple[str, str, str]], by_order: bool
) -> list[tuple[str, ...]]:
    """Three lines for a row that both have, else one that says whose it is."""
    label = f"{line.label} {line.own.markers}".strip() if line.own else line.label
    own, printed, difference = zip(*cells, strict=True)
    if {*own, *printed} == {ABSENT}:
        return []
    if line.printed is None:
        return [(label, "here only", *own)]
    if line.own is None:
        return [(label, "printed only", *printed)]
    rate = line.printed.label.partition(" (")[2].rstrip(")") if by_order else ""
    return [
        (label, "here", *own),
        (label, f"printed ({rate})" if rate else "printed", *printed),
        (label, "difference", *difference),
    ]


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
    return text, printed, _signed(column, gap) + (INSIDE if inside else "")


def _signed(column: Column, value: float) -> str:
    """A difference with its sign, to the decimals of the column: '+1.2', '0.0'."""
    text = column.text(value)
    return f"+{text}" if value > 0 and float(text) != 0 else text


def _is_inside(row: Row, column: Column, value: float) -> bool:
    cell = row.cells.get(column.name)
    if cell is None:
        return False
    if cell.low is not None and cell.high is not None and cell.low <= value <= cell.high:
        return True
    return cell.std is not None and abs(value - cell.mean) <= _SPREADS * cell.std


def _human_score(findings: Findings, row: tuple[str, str]) -> float | None:
    """People's mean on the paper's scale, 1 to 8."""
    study = findings.human
    if study is None or study.scores is None or study.is_rehearsal:
        return None
    names = row_names(findings, study)
    means = (c.mean for c in study.scores.cells if names.get((c.model, c.method)) == row)
    return next(means, None)


def _common_scores(beside: Beside, table: Table) -> CommonScores | None:
    """Both sides scored anew over the lines that both compare and the metrics that both have.

    None if there are fewer than two such lines, and if one printed row stands beside several
    of one's own: it would count twice.
    """
    pairs = [(replace(line.own, label=line.label), line.printed) for line in beside.matched
             if line.own and line.own.compared and line.printed]  # fmt: skip
    if len(pairs) < 2 or len({id(printed) for _, printed in pairs}) < len(pairs):
        return None
    ours = [own for own, _ in pairs]
    theirs = [replace(row_of(printed), label=own.label) for own, printed in pairs]
    both = [c for c in table.metric_columns
            if c.in_score and all(c.name in row.cells for row in (*ours, *theirs))]  # fmt: skip
    cap = CAP if beside.group.cap is None else beside.group.cap  # '>1000' is no number to score
    scored = [compare(replace(beside.group, rows=tuple(rows), cap=cap), both)
              for rows in (ours, theirs)]  # fmt: skip
    if not scored[0].scored or scored[0].scored != scored[1].scored:
        return None
    own, printed = ({row.label: row for row in group.rows} for group in scored)
    return CommonScores(own, printed, scored[0].scored)


def _notes(
    beside: Beside,
    columns: Sequence[Column],
    rows: Sequence[tuple[str, ...]],
    common: CommonScores | None,
    findings: Findings,
) -> Iterator[Note]:
    """What a listing needs to be read: its signs, and what its scores are over."""
    texts = [text for row in rows for text in row[2:]]
    if any(text.endswith(INSIDE) for text in texts):
        yield Note("inside", _INSIDE_NOTE, INSIDE)
    if any(text.startswith(">") for text in texts):
        yield Note("cap", _CAP_NOTE)
    if common is not None:
        labels = {column.name: column.label for column in findings.table.metric_columns}
        over = f"{listed(common.own)}; {listed(labels[metric] for metric in common.metrics)}"
        yield Note("scores", f"Common s_z and s_m: both sides scored anew over {over}.")
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
