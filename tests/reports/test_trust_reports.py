"""Hostile texts in results stay texts in every format, and no path in them is followed."""

import csv
import io
import json
import re
import shutil
import subprocess
from collections import Counter

import pytest
import trust_cases
from html_cases import Outline, Sketch
from hypothesis import given
from hypothesis import strategies as st

from unlearnbench.cli import status_of
from unlearnbench.files.safe_text import visible
from unlearnbench.registry import find
from unlearnbench.reporting import sections
from unlearnbench.reporting.document import Case, Document, Findings, Listing, Passage, Picture
from unlearnbench.reports._html.pictures import drawn
from unlearnbench.reports._latex.escaping import breakable
from unlearnbench.reports.csv_rows import _harmless
from unlearnbench.results.store import Store

TEXTS = "table,cases,process,pairs,runs,stability,costs,human"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Results with hostile texts, and the same with harmless ones."""
    return trust_cases.make_folders(tmp_path_factory.mktemp("trust"))


@pytest.fixture(scope="module")
def written(folders):
    """Every text format of both, by its suffix."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "figures", lambda: {"sketch": Sketch})
        for name, folder in folders.items():
            out = folder.parent / f"{name}-out"
            assert status_of(["report", str(folder), "--sections", TEXTS, "-o", f"{out}/"]) == 0
    return {
        name: {path.suffix: path.read_text("utf-8") for path in sorted(
            (folder.parent / f"{name}-out").glob("report.*"))}
        for name, folder in folders.items()
    }  # fmt: skip


def test_hardly_a_text_of_a_result_is_left_out_of_this(folders, tmp_path):
    places = trust_cases.accepted(tmp_path)
    assert len(places) > 35
    for place in (("doc_id",), ("label",), ("group",), ("method", "label"), ("model", "name"),
                  ("metrics", "[]", "label"), ("forget_set", "suffixes", "{}"), ("sets", "{name}"),
                  ("trace", "epochs", "[]", "rows", "[]", "continuation"),
                  ("continuations", "{}")):  # fmt: skip
        assert place in places
    results, damages = Store(folders["hostile"]).load_all()
    assert (len(results), damages) == (10, [])


def test_html_has_no_element_attribute_or_address_that_is_not_ours(written):
    pages = {name: Outline(texts[".html"]) for name, texts in written.items()}
    elements = {
        name: Counter((tag, *sorted(attrs)) for tag, attrs in page.elements)
        for name, page in pages.items()
    }
    assert set(elements["hostile"]) <= set(elements["harmless"])
    page = pages["hostile"]
    for attribute in ("href", "src", "action", "formaction", "srcdoc", "style"):
        assert all(value.startswith(("#", "data:,")) for value in page.all(attribute))
    assert len([tag for tag, _ in page.elements if tag == "script"]) == 2
    assert not trust_cases.CONTROLS.search(written["hostile"][".html"])
    assert any(trust_cases.FORMULA in text for text in page.data()["texts"])


def test_latex_has_no_command_that_a_harmless_text_does_not_make(written):
    commands = {
        name: set(re.findall(r"\\(?:[A-Za-z]+|.)", texts[".tex"], re.S))
        for name, texts in written.items()
    }
    assert commands["hostile"] <= commands["harmless"]
    assert not {r"\input", r"\immediate", r"\write"} & commands["hostile"]
    hostile = written["hostile"][".tex"]
    assert "^^" not in hostile
    bare = re.sub(r"\\.", "", hostile, flags=re.S)
    assert bare.count("{") == bare.count("}")
    assert all(part.strip(" ") in ("", "%") for part in re.findall("%.*", bare))
    assert not trust_cases.CONTROLS.search(hostile)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_of_hostile_texts_compiles(tmp_path):
    word = "a_long_setting_minus1pt_minus_Minus2=minus/minus3pt" * 3
    text = trust_cases.hostile(word)
    blocks = (
        Listing(text, text, (text, text), ((text, text), ("[x]", "*")), notes=()),
        Case("c", text, text, text, (Passage(text, text, ((text, text),)),)),
    )
    document = Document(text, blocks, Findings(()))
    (tmp_path / "report.tex").write_text(find("reports", "latex")().render(document), "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    if shutil.which("pdftotext"):
        command = ["pdftotext", "-raw", "report.pdf", "-"]
        shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
        assert shown.count("minus1pt") > 0
        assert "root:" not in shown


def test_markdown_keeps_its_tables_headings_and_links(written):
    shapes = {}
    for name, texts in written.items():
        lines = texts[".md"].splitlines()
        tables = [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]
        headings = [line.split(" ")[0] for line in lines if line.startswith("#")]
        shapes[name] = tables, headings
        assert not re.findall(r"(?<!\\)<(?! )(?!/?ins>)", texts[".md"])
        assert not re.findall(r"(?<!\\)\]\(", texts[".md"])
        assert not trust_cases.CONTROLS.search(texts[".md"])
    assert shapes["hostile"] == shapes["harmless"]


def test_csv_has_no_formula_and_keeps_its_columns(written):
    out = written["hostile"][".csv"]
    rows = [row for row in csv.reader(io.StringIO(out)) if row]
    assert len({len(row) for row in rows}) == 1
    cells = [cell for row in rows for cell in row]
    begun = [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert all(float(cell) <= 0 for cell in begun)
    assert any(cell.startswith(f"'{trust_cases.FORMULA}") for cell in cells)


def test_json_reads_back_with_the_texts_exactly(written):
    blocks = json.loads(written["hostile"][".json"])["blocks"]
    case = next(block for block in blocks if block["kind"] == "case")
    assert any(p["text"].endswith(trust_cases.PAYLOAD) for p in case["passages"])


def test_plain_text_holds_nothing_that_a_terminal_obeys(written):
    assert not trust_cases.CONTROLS.search(written["hostile"][".txt"])
    lines = {name: texts[".txt"].count("\n===") for name, texts in written.items()}
    assert lines["hostile"] == lines["harmless"]


def test_a_figure_of_hostile_names_is_well_made(folders):
    results = Store(folders["hostile"]).load_all()[0]
    short = [
        result.model_copy(update={"label": f"{result.role}\x1b[1m<b>$x$\x00", "group": "a\x07b"})
        for result in results
    ]
    svg = drawn(Findings(tuple(short)), Picture("trade-off"))
    assert svg is not None
    assert "<b>" not in svg
    assert not trust_cases.CONTROLS.search(svg)
    assert "$x$" in svg


@given(st.text(max_size=60))
def test_a_text_in_latex_is_made_of_escapes_and_plain_signs_only(text):
    latex = breakable(text + "_minus" + text)
    known = set(re.findall(r"\\(?:[A-Za-z]+|.)", breakable(trust_cases.harmless("a_b"), 1), re.S))
    odd = {c for c in set(re.findall(r"\\(?:[A-Za-z]+|.)", latex, re.S)) - known}
    assert not {r"\input", r"\write", r"\csname", r"\def"} & odd
    assert not re.search(r"(?<!\\)[#%&~]", latex)
    assert latex.count("$") - latex.count(r"\$") == 2 * len(re.findall(r"(?<!\\)\$[^$]*\$", latex))
    assert not trust_cases.CONTROLS.search(latex)


@given(st.text(st.characters(codec=None), max_size=40))
def test_a_cell_is_no_formula_and_a_visible_text_has_no_control(text):
    guarded = str(_harmless(text))
    assert not re.match(r"[=@\t\r]", guarded)
    whole = re.sub("[\ud800-\udfff]", "\ufffd", text)
    assert guarded in (whole, f"'{whole}")
    assert len(guarded.encode()) >= len(text)
    assert not trust_cases.CONTROLS.search(visible(text))
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("number", ["-3.28", "+0.35", "-1.20 to +0.35", "-1,234.5", "-5e-06"])
def test_a_number_stays_a_number(number):
    assert _harmless(number) == number
    assert _harmless(f"{number}+cmd") == f"'{number}+cmd"
