"""Listings and cases as LaTeX: long ones in several floats, so that nothing has to be tiny."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from .._texts import fact_names, head_lines, one_line, passages_of
from .escaping import breakable, escape, number
from .floats import RULE, SPACE, centered, line, paragraph, table_float, tabular
from .tables import notes_text

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Case, Listing, Passage

    from .floats import Page

_ROWS = 45  # of a listing in one float; more would be too small on one page
_LINES = 44  # of a case's texts in one float
_POINTS = 4.6  # a character's width, about
_LABEL, _FACT = 96, 48  # points: a case's columns of names and of facts
_WIDE = 40  # characters; a longer cell of a listing is wrapped


def listing_floats(listing: "Listing", page: "Page") -> Iterator[str]:
    """The rows under their headers, names to the left and numbers to the right."""
    rows, n_labels = (
        [tuple(one_line(cell) for cell in row) for row in listing.rows],
        listing.n_labels,
    )
    spec = _listing_columns(page, listing, rows)
    heads = []
    for names in head_lines(listing.headers):
        escaped = [escape(name) for name in names]
        heads.append(line([*escaped[:n_labels], *map(centered, escaped[n_labels:])]))
    n_parts = max(1, math.ceil(len(rows) / _ROWS))
    size = max(1, math.ceil(len(rows) / n_parts))
    parts = [rows[start : start + size] for start in range(0, n_parts * size, size)]
    bodies = [[RULE, *_body(part, n_labels)] for part in parts]
    return _floats(page, listing, spec, heads, bodies)


def case_floats(case: "Case", page: "Page") -> Iterator[str]:
    """Prefix and reference, then what each model wrote, its facts in columns beside it."""
    names = fact_names(case)
    text_width = max(220.0, page.width - _LABEL - 16 - (_FACT + 8) * len(names))
    columns = [paragraph(_LABEL), paragraph(text_width), paragraph(_FACT, "left") * len(names)]
    heads = [line(["", "Text", *(breakable(f, 5) for f in names)])]
    n_given = bool(case.prefix) + bool(case.reference)
    in_line = int(text_width / _POINTS)
    rows = [
        piece
        for i, passage in enumerate(passages_of(case))
        for piece in _pieces(passage, names, in_line, RULE if i in (0, n_given) else SPACE)
    ]
    return _floats(page, case, "".join(columns), heads, list(_pages(rows)))


def _floats(
    page: "Page",
    block: "Listing | Case",
    spec: str,
    heads: Sequence[str],
    bodies: Sequence[Sequence[str]],
) -> Iterator[str]:
    """One float per body; the notes under the last."""
    for i, body in enumerate(bodies, start=1):
        part = f" (part {i} of {len(bodies)})" if len(bodies) > 1 else ""
        below = notes_text(block.notes) if i == len(bodies) else ""
        caption = breakable(one_line(block.title)) + part
        yield table_float(page, caption, tabular(spec, heads, body), below)


def _listing_columns(page: "Page", listing: "Listing", rows: Sequence[Sequence[str]]) -> str:
    columns = list(zip(*rows, strict=True)) or [()] * len(listing.headers)
    wide = [max(map(len, cells), default=0) > _WIDE for cells in columns]
    wrapped = paragraph(page.width * min(0.35, 0.8 / max(1, sum(wide))))
    aligned = "l" * listing.n_labels + "r" * (len(columns) - listing.n_labels)
    return "".join(wrapped if w else a for w, a in zip(wide, aligned, strict=True))


def _body(rows: Sequence[tuple[str, ...]], n_labels: int) -> Iterator[str]:
    """The rows; a first name of several that follow each other stands once, with space above."""
    follows = [n_labels > 1 and a[0] == b[0] for a, b in pairwise(rows)]
    for i, row in enumerate(rows):
        is_same = i > 0 and follows[i - 1]
        if any(follows) and i > 0 and not is_same:
            yield SPACE
        yield _row(("", *row[1:]) if is_same else row, n_labels)


def _row(cells: Sequence[str], n_labels: int) -> str:
    labels = [breakable(cell) for cell in cells[:n_labels]]
    values = [breakable(c) if len(c) > _WIDE else number(c) for c in cells[n_labels:]]
    return line([*labels, *values])


def _pieces(
    passage: "Passage", names: Sequence[str], in_line: int, above: str
) -> Iterator[tuple[float, list[str]]]:
    """A passage as rows with the lines they take; a very long one is cut at a word."""
    facts = dict(passage.facts)
    values = [breakable(facts.get(name, ""), 5) for name in names]
    for i, text in enumerate(_cut(passage.text, in_line * (_LINES - 6))):
        label = f"{passage.label} (continued)" if i else passage.label
        row = line([breakable(label, 10), breakable(text, 16), *values])
        yield math.ceil(len(text) / in_line) + 0.5, [above, row]
        above, values = SPACE, [""] * len(names)


def _cut(text: str, n_characters: int) -> Iterator[str]:
    while len(text) > n_characters:
        end = text.rfind(" ", n_characters // 2, n_characters) + 1 or n_characters
        yield text[:end].rstrip()
        text = text[end:]
    yield text


def _pages(pieces: Iterable[tuple[float, list[str]]]) -> Iterator[list[str]]:
    page: list[str] = []
    taken = 0.0
    for n_lines, rows in pieces:
        if page and taken + n_lines > _LINES:
            yield page
            page, taken = [], 0.0
        # A page starts with the rule under its head.
        page += [RULE, rows[-1]] if not page else rows
        taken += n_lines
    if page:
        yield page
