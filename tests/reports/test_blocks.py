"""Documents of all four kinds of block in every text format, and texts that hold anything."""

import csv
import io
import json
import os
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from golden_document import (
    LONG_WORD,
    ODD,
    Blank,
    Sketch,
    document_of,
    golden_case,
    golden_document,
    golden_listing,
    result,
)

from unlearnbench import registry
from unlearnbench.analysis.table import Cell, Column, Group, Note, Row
from unlearnbench.registry import find
from unlearnbench.reporting.document import Case, Listing, Passage, Picture
from unlearnbench.reports._texts import one_line
from unlearnbench.reports.plain import Plain

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(autouse=True)
def sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two figures that no other test sees."""
    known = {**registry.reports(), "sketch": Sketch, "blank": Blank}
    monkeypatch.setitem(registry._plugins, "reports", known)


def files(name: str, document: Any, stem: str = "document") -> dict[str, bytes]:
    found: dict[str, bytes] = find("reports", name)().files(document, stem)
    return found


@pytest.mark.parametrize(
    ("name", "golden"),
    [("plain", "document.txt"), ("latex", "document.tex"), ("latex-fragment", "fragment.tex"),
     ("markdown", "document.md"), ("json", "document.json")],
)  # fmt: skip
def test_golden_document(name: str, golden: str) -> None:
    """UPDATE_GOLDEN=1 writes the files anew; look at their difference before committing it."""
    document = files(name, golden_document())
    text = next(content for file, content in document.items() if file.startswith("document."))
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / golden).write_bytes(text)
    assert text.decode() == (GOLDEN / golden).read_text(encoding="utf-8")


def test_csv_is_one_table_per_file_or_all_in_one_stream() -> None:
    found = files("csv", golden_document(), "mine")
    assert list(found) == ["mine.csv", "mine-pairs.csv", "mine-case-0.csv"]
    stream = find("reports", "csv")().render(golden_document())
    assert stream.encode() == b"\n".join(found.values())
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / "document.csv").write_bytes(stream.encode())
    assert stream.encode() == (GOLDEN / "document.csv").read_bytes()
    lone = document_of(golden_listing(), Picture("sketch"))
    assert list(files("csv", lone, "mine")) == ["mine.csv"]
    twice = document_of(golden_listing(), golden_listing())
    assert list(files("csv", twice, "mine")) == ["mine-pairs.csv", "mine-pairs-2.csv"]


def test_programs_get_texts_whole() -> None:
    text = "a\r\nb\rc\n\n" + ODD
    document = document_of(golden_case(text))
    rows = list(csv.reader(io.StringIO(find("reports", "csv")().render(document), newline="")))
    assert rows[0] == ["label", "text", "MA (%)", "BLEU"]
    assert rows[4] == ["NEO + ICU", text, "12.0", ""]
    (block,) = json.loads(find("reports", "json")().render(document))["blocks"]
    assert block["kind"] == "case"
    assert block["passages"][1] == {
        "label": "NEO + ICU", "text": text, "facts": [["MA (%)", "12.0"]],
    }  # fmt: skip


def test_json_names_every_block_in_order() -> None:
    printed = json.loads(find("reports", "json")().render(golden_document()))
    assert [b["kind"] for b in printed["blocks"]] == ["table", "listing", "case", "picture"]
    assert (printed["schema_version"], printed["title"]) == (2, "All kinds of block, at 100%")
    assert printed["blocks"][3] == {
        "kind": "picture", "figure": "sketch", "caption": "Two rows_a & b.",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "start", "link"),
    [("markdown", b"\x89PNG", "](my-run-sketch.png)"),
     ("latex", b"%PDF", r"\includegraphics{my-run-sketch.pdf}"),
     ("latex-fragment", b"%PDF", r"\includegraphics{my-run-sketch.pdf}")],
)  # fmt: skip
def test_pictures_lie_beside_the_file_that_shows_them(name: str, start: bytes, link: str) -> None:
    document = document_of(
        Picture("sketch", "A line."),
        Picture("blank", "Nothing."),
        results=[result()],
    )
    text, picture = files(name, document, "my run").values()
    assert picture.startswith(start)
    assert link in text.decode()
    assert text.decode().count("sketch.p") == 1
    assert "Nothing." not in text.decode()
    printed = find("reports", name)().render(document)
    assert "my-run" not in printed
    assert "A line." in printed


def test_the_text_for_a_terminal_holds_no_control_and_fits() -> None:
    prefix = ODD + "\r\n漢字" * 90
    case = Case("c", ODD, prefix, "x", (Passage(ODD, LONG_WORD, (("MA (%)", ODD),)),))
    rows = ((ODD, "漢字", "-1"), ("a " * 40, "b", "2"))
    listing = Listing("l", ODD, ("First (a)", "b", "c"), rows, n_labels=2)
    document = document_of(case, listing, Picture("sketch", ODD), title=ODD)
    for text in (Plain(width=70).render(document), find("reports", "markdown")().render(document)):
        assert all(c.isprintable() for c in text.replace("\n", ""))
    for line in Plain(width=100).render(document_of(case)).splitlines():
        wide = sum(unicodedata.east_asian_width(c) in "WF" for c in line)
        assert len(line) + wide <= 100


def test_line_ends_are_visible_and_texts_stay_one_line() -> None:
    assert one_line(" a\r\nb\n\n\tc\u2028d\x1b[0m\u202e ") == "a↵ b↵ ↵  c↵ d\ufffd[0m\ufffd"
    for name in ("plain", "markdown"):
        text = find("reports", name)().render(document_of(golden_case()))
        assert "Dear Ms Ito,↵ your number is" in text


@pytest.mark.parametrize(
    "text",
    [ODD, "1. a", "2) b", "- c", "+ d", "> e", "# f", "***", "===", "---", "&amp; <!-- ", "   x"],
)  # fmt: skip
def test_markdown_prints_a_models_text_as_it_is(text: str) -> None:
    reader = pytest.importorskip("markdown_it").MarkdownIt()
    case = Case("c", "T", "p", "", (Passage("A", text),))
    tokens = reader.parse(find("reports", "markdown")().render(document_of(case)))
    inline = [token for token in tokens if token.type == "inline"][-1]
    assert {child.type for child in inline.children} <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children) == one_line(text)


def test_a_listing_may_be_empty_or_all_names() -> None:
    for name in ("plain", "markdown", "latex", "csv", "json"):
        for rows in ((), (("a", "b"),)):
            listing = Listing("l", "T", ("First", "Second"), rows, n_labels=2)
            assert "Second" in find("reports", name)().render(document_of(listing))


def test_notes_on_the_whole_are_told() -> None:
    document = document_of(title="T", notes=[Note("missing", "3 cells_are missing.", "†")])
    for name in ("plain", "markdown", "latex", "latex-fragment", "json"):
        text = find("reports", name)().render(document)
        assert re.search(r"3 cells.*are missing\.", text), name


@pytest.mark.parametrize(
    ("ends", "cap", "expected"),
    [((None, None), 1000.0, "–"), ((None, 2.0), 1000.0, "[–, 2.0]"),
     ((1.0, 2.04), None, "[1.0, 2.0]"),
     ((1.0, float("inf")), 1000.0, "[1.0, >1000]"), ((1.0, float("inf")), None, "[1.0, ∞]"),
     ((1000.5, 2e7), 1000.0, ">1000"), ((1000.0, 2e7), None, "[1000.0, 2.0e+07]"),
     ((-0.01, 0.0), None, "[0.0, 0.0]"), ((float("nan"), float("nan")), 1000.0, "–")],
)  # fmt: skip
def test_an_interval_is_printed_with_the_decimals_of_its_mean(
    ends: tuple[Any, Any], cap: float | None, expected: str
) -> None:
    column = Column("pile_ppl", "Pile (PPL)", False, capped=True)
    row = Row("A", "method", {"pile_ppl": Cell(1.0, low=ends[0], high=ends[1])})
    assert Group("g", (row,), cap=cap).interval(row, column) == expected
