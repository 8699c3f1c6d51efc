"""LaTeX: what it escapes, and that everything compiles without a warning."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from golden_document import (
    LONG_WORD,
    Blank,
    Sketch,
    document_of,
    golden_document,
    golden_table,
    result,
)

from unlearnbench import registry
from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.table import Note
from unlearnbench.registry import find
from unlearnbench.reporting.document import Case, Document, Listing, Passage, Picture
from unlearnbench.reporting.published import as_table, printed_table
from unlearnbench.reports._latex.escaping import breakable, escape, number

EVERY = " ".join(map(chr, [*range(1, 0x250), *map(ord, "αςΩ∑漢†‡§¶±×≈↵“”‘’•−↑→∞")]))
SETTING = "a_long_setting=1/" * 20


def test_latex_escapes_everything_it_prints() -> None:
    assert escape("100% of <8> a_b & {x} #1 $ ^ ~ \\") == (
        r"100\% of \ensuremath{<}8\ensuremath{>} a\_b \& \{x\} \#1 \$ \textasciicircum{} "
        r"\textasciitilde{} \textbackslash{}"
    )
    assert escape("--max-epochs – 3") == r"-{}-max-epochs \textendash{} 3"
    assert escape("EL10 s_z α=0.1 λ é ∑ 漢 ﬁ") == (
        r"EL$_{10}$ $s_z$ \ensuremath{\alpha}=0.1 \ensuremath{\lambda} \'e \ensuremath{\sum} ? fi"
    )
    assert escape('"a" ("b") 5" ?‘c’') == (
        r"{}``a'' ({}``b'') 5'' ?\textquoteleft{}c\textquoteright{}"
    )


def test_characters_of_other_fonts_are_plain_letters_or_a_question_mark() -> None:
    # Each of these pylatexenc writes with a macro of some package, or with none that exists.
    assert escape("Ж ⇛ ♪ € ϰ Ð Đ ą « ≨ 𝒜 \xa0|\x00|") == "? ? ? ? ? ? ? a ? ? A  $|$ $|$"
    assert all(escape(chr(i)).isascii() for i in range(0x3000))


def test_a_marker_may_be_any_sign() -> None:
    listing = Listing("l", "T", ("", ""), (("a", "1~"),), notes=(Note("inside", "Inside.", "~"),))
    text = find("reports", "latex")().render(document_of(listing))
    assert r"\textsuperscript{\textasciitilde{}}Inside.\par" in text
    assert r"a & 1\textasciitilde{} \\" in text


def test_minus_is_a_minus_only_before_a_number() -> None:
    assert number("-3.28") == "$-$3.28"
    assert number("[-0.1, -0.02]") == "[$-$0.1, $-$0.02]"
    assert number("5e-6") == "5e-6"
    assert number("2026-01-01") == "2026-01-01"


def test_long_words_have_places_to_break_and_short_ones_none() -> None:
    assert breakable("two words a_b=1", 5) == r"two words a\_b=1"
    broken = breakable("three words & a_long=settings", 5)
    assert broken.startswith(r"three words \& a\_\penalty100")
    assert re.sub(r"\\penalty\d+\\hskip0ptplus1pt ", "|", broken) == (
        r"three words \& a\_|long=|sett|ings"
    )


def test_a_row_that_starts_with_a_bracket_is_no_option_of_the_row_before() -> None:
    listing = Listing("l", "T", ("", ""), (("a", "1"), ("[b]", "2"), ("*c", "3")))
    text = find("reports", "latex")().render(document_of(listing))
    assert "\n{}[b] & 2" in text
    assert "\n{}*c & 3" in text


def test_long_listings_and_cases_are_several_floats_that_lose_nothing() -> None:
    rows = tuple((f"row{i}", str(i)) for i in range(150))
    passages = tuple(Passage(f"model{i}", " ".join(f"word{i}x{j}" for j in range(1500)))
                     for i in range(4))  # fmt: skip
    document = document_of(
        Listing("l", "Rows", ("Row", "Value"), rows, notes=(Note("n", "A note."),)),
        Case("c", "Texts", "The prefix", "The reference", passages),
    )
    text = find("reports", "latex")().render(document)
    assert re.findall(r"\\caption\{Rows \(part (\d) of 4\)\}", text) == ["1", "2", "3", "4"]
    assert re.findall(r"^row(\d+) & (\d+)", text, re.M) == [(str(i), str(i)) for i in range(150)]
    assert text.count("A note.") == 1
    written = [(str(i), str(j)) for i in range(4) for j in range(1500)]
    assert re.findall(r"word(\d)x(\d+)", text) == written


def test_a_name_stands_once_over_the_rows_that_share_it() -> None:
    rows = (("A", "0", "1"), ("A", "1", "2"), ("B", "0", "3"), ("C", "0", "4"), ("C", "1", "5"))
    listing = Listing("l", "T", ("Row", "Set", "Value"), rows, n_labels=2)
    lines = find("reports", "latex")().render(document_of(listing)).splitlines()
    start = lines.index(r"\midrule") + 1
    assert lines[start : start + 7] == [
        r"A & 0 & 1 \\", r" & 1 & 2 \\", r"\addlinespace", r"B & 0 & 3 \\", r"\addlinespace",
        r"C & 0 & 4 \\", r" & 1 & 5 \\",
    ]  # fmt: skip


def _odd_table() -> Any:
    return build_table([
        result(EVERY), result("A", status="failed", error=EVERY, scores={}),
        result("B", status="failed", error=SETTING, scores={}),
        result("[C]", run="1", scores={}),
    ])  # fmt: skip


def _long_table() -> Any:
    return build_table([result(f"NEO + M{i}", run=run) for i in range(60) for run in "01"])


def _long_blocks() -> Document:
    words = "lorem ipsum, dolor sit\n" * 200
    facts = (("EL10 (%)", "12.3"), ("BERTScore (F1)", "-98.1"), ("a_long_name", "W" * 17))
    texts = [
        EVERY,
        words,
        LONG_WORD * 8,
        "漢字" * 2000,
        "",
        "\x1b\x00" * 99,
        '"' * 99,
    ]
    case = Case("c", f"{SETTING} {EVERY}", words, EVERY,
                tuple(Passage(f"NEO + {SETTING[: 20 * i]}", t, facts) for i, t in enumerate(texts)),
                notes=(Note("n", EVERY + SETTING, "≈"),))  # fmt: skip
    headers = ("Row", *(f"Column{i} (ACC) ↑" for i in range(23)))
    rows = tuple((f"NEO + M{r}", *(f"{r * i - 100:.2f}" for i in range(23))) for r in range(60))
    longest = (EVERY, words, LONG_WORD, "-1")
    texty = (longest, ("b", "", "x", "[-0.2, 0.1]"), ("[c]", "", "", ""))
    return document_of(
        case, Listing("wide", "24 columns, 60 rows", headers, rows),
        Listing("texts", words[:900], ("Name", "Text", "Other", "Number"), texty),
        Picture("sketch", EVERY), Picture("blank", EVERY),
        title=f"{EVERY} {words}", notes=[Note("n", EVERY + LONG_WORD)], results=[result()],
    )  # fmt: skip


_DOCUMENTS = {
    "golden table": lambda: document_of(golden_table()),
    "golden document": golden_document,
    "odd": lambda: document_of(_odd_table()),
    "long": lambda: document_of(_long_table()),
    "blocks": _long_blocks,
    "published": lambda: document_of(as_table(printed_table("table1", "v2").rows)),
}


@pytest.fixture
def _sketches(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {**registry.reports(), "sketch": Sketch, "blank": Blank}
    monkeypatch.setitem(registry._plugins, "reports", known)


def _compile(folder: Path, name: str) -> None:
    """No error, no warning, no box that is too full."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert not re.findall(r".*(?:Warning|Overfull|Underfull).*", done.stdout)
    assert (folder / f"{name}.pdf").stat().st_size > 10_000


needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="pdflatex is not installed"
)


@needs_latex
@pytest.mark.usefixtures("_sketches")
@pytest.mark.parametrize("source", _DOCUMENTS)
def test_latex_compiles_as_printed(source: str, tmp_path: Path) -> None:
    document = _DOCUMENTS[source]()
    for name, content in find("reports", "latex")().files(document, "report").items():
        (tmp_path / name).write_bytes(content)
    _compile(tmp_path, "report")


@needs_latex
@pytest.mark.usefixtures("_sketches")
@pytest.mark.parametrize("options", ["", "twocolumn"])
def test_a_fragment_compiles_within_a_paper(options: str, tmp_path: Path) -> None:
    document = golden_document()
    for name, content in find("reports", "latex-fragment")().files(document, "floats").items():
        (tmp_path / name).write_bytes(content)
    packages = re.findall(r"\\usepackage\{.*?\}", (tmp_path / "floats.tex").read_text("utf-8"))
    paper = rf"""\documentclass[{options}]{{article}}
{packages[0]}
\begin{{document}}
Some text. \input{{floats}}
More text.
\end{{document}}
"""
    (tmp_path / "paper.tex").write_text(paper, encoding="utf-8")
    _compile(tmp_path, "paper")
