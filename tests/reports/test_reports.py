"""Every text format of the comparison table against golden files, and against readers of it."""

import csv
import io
import json
import os
import re
from pathlib import Path

import pytest
from golden_document import document_of, golden_results, golden_table, result

from unlearnbench import registry
from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.table import Table
from unlearnbench.registry import find, load_plugin_file
from unlearnbench.reporting.document import Document
from unlearnbench.reports.plain import Plain

GOLDEN = Path(__file__).parents[1] / "golden"
FORMATS = {"plain": "txt", "latex": "tex", "markdown": "md", "csv": "csv", "json": "json"}


@pytest.fixture(scope="module")
def table() -> Table:
    return golden_table()


@pytest.fixture(scope="module")
def document(table: Table) -> Document:
    return document_of(table, results=golden_results())


def printed(name: str, *blocks: Table) -> str:
    return find("reports", name)().render(document_of(*blocks))


def check_golden(path: Path, text: str) -> None:
    """UPDATE_GOLDEN=1 writes the files anew; look at their difference before committing it."""
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FORMATS)
def test_golden(table: Table, name: str) -> None:
    check_golden(GOLDEN / f"table.{FORMATS[name]}", printed(name, table))


@pytest.mark.parametrize("name", [*FORMATS, "latex-fragment"])
def test_a_format_says_what_every_table_must_say(table: Table, name: str) -> None:
    text = printed(name, table)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "NEO + KL" in text
    if name != "csv":  # the others carry the notes
        for needed in (
            "Did not reach the stop line", "out of memory", "are relative to", "0.0499",
            "not a claim about real models", "not told apart from the second",
        ):  # fmt: skip
            assert re.search(needed, " ".join(text.split())), needed


def test_json_is_strict_and_whole(table: Table) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    (block,) = json.loads(printed("json", table), parse_constant=refuse)["blocks"]
    rows = {row["label"]: row for row in block["groups"][0]["rows"]}
    assert block["kind"] == "table"
    assert rows["NEO + KUMPR"]["cells"]["pile_ppl"] == {
        "mean": "inf", "std": None, "n": 2, "n_documents": [128], "n_degenerate": 0, "rank": None,
        "low": 1001.0, "high": "inf", "indistinct": False, "text": ">1000",
    }  # fmt: skip
    assert rows["OPT"]["cells"]["cls_avg"]["indistinct"] is True
    assert rows["NEO + ICU (alpha=0.1)"]["settings"]["alpha"] == 0.1
    assert rows["OPT"]["cells"]["lambada"]["mean"] == 28.0
    assert [c["name"] for c in block["columns"]] == [c.name for c in table.columns]
    assert block["groups"][0]["scores_flagged"] is True


def test_csv_has_one_line_per_row_and_raw_values(table: Table) -> None:
    lines = list(csv.DictReader(io.StringIO(printed("csv", table))))
    by_label = {line["row"]: line for line in lines}
    assert len(lines) == len(table.groups[0].rows) == 9
    assert float(by_label["OPT"]["pile_ppl_mean"]) == pytest.approx(9 * 1.005)
    assert by_label["NEO + KUMPR"]["pile_ppl_mean"] == "inf"
    assert (by_label["NEO + KL"]["dia_avg_mean"], by_label["NEO + KL"]["dia_avg_n"]) == ("", "0")
    assert by_label["NEO + LLMU"]["n_failed"] == "2"
    icu = by_label["NEO + ICU (alpha=0.5)"]
    assert (icu["pile_ppl_low"], icu["pile_ppl_high"]) == ("9", "10.123456")
    assert by_label["NEO + KL"]["pile_ppl_low"] == ""


def test_csv_holds_a_perplexity_above_the_cap_itself() -> None:
    destroyed = build_table([result(scores={"pile_ppl": 123456.75})])
    (line,) = csv.DictReader(io.StringIO(printed("csv", destroyed)))
    assert line["pile_ppl_mean"] == "123456.75"


@pytest.mark.parametrize("width", [60, 80, 120, 500])
def test_plain_fits_the_terminal_and_loses_no_column(document: Document, width: int) -> None:
    text = Plain(width=width).render(document)
    assert max(map(len, text.splitlines())) <= width
    for value in ("-3.28", ">1000", "4.600≈¹", "2.5²", "[40.0, >1000]"):
        assert value in text
    assert text.count("WikiText") == 3  # the means, the deviations, and the note on the scores


def test_plain_sets_digits_under_digits(document: Document) -> None:
    """Whatever marks follow a value, the decimal points of a column are in one place."""
    lines = Plain(width=500).render(document).split("\n\n")[1].splitlines()
    start = lines[0].index("Cls Avg.") - 1
    points = {line.index(".", start) for line in lines[3:-1]}
    assert len(points) == 1


def test_marks_are_the_same_in_all_texts(table: Table, document: Document) -> None:
    markdown, latex = printed("markdown", table), printed("latex", table)
    plain = Plain(width=500).render(document)
    bold = re.findall(r"\*\*(.+?)\*\*", markdown)
    second = re.findall(r"<ins>(.+?)</ins>", markdown)
    assert len(bold) == sum(c.rank == 1 for r in table.groups[0].rows for c in r.cells.values())
    assert re.findall(r"\\textbf\{(.+?)\}", latex) == bold
    assert re.findall(r"\\underline\{(.+?)\}", latex) == second
    assert re.findall(r"([\d.]+)[§≈]?¹", plain) == bold
    assert re.findall(r"([\d.]+)§?²", plain) == second


def test_doubtful_firsts_are_the_same_in_all_texts(table: Table) -> None:
    cells = [cell for row in table.groups[0].rows for cell in row.cells.values()]
    doubtful = [f"{c.mean:.1f}" for c in cells if c.indistinct]
    patterns = {"plain": r"([\d.]+)≈¹", "markdown": r"\*\*([\d.]+)\*\*≈",
                "latex": r"\\textbf\{([\d.]+)\}\\rlap\{\S+approx\}\}\}"}  # fmt: skip
    for name, pattern in patterns.items():
        found = re.findall(pattern, printed(name, table))
        assert [f"{float(value):.1f}" for value in found] == doubtful, name


@pytest.mark.parametrize("name", ["plain", "markdown", "latex"])
def test_intervals_are_a_table_of_their_own_and_only_where_there_are_any(
    table: Table, name: str
) -> None:
    text = re.sub(r"\\ensuremath\{(.)\}", r"\1", printed(name, table))
    for value in ("[9.0, 10.1]", "[40.0, >1000]", "[51.2, 59.8]"):
        assert text.count(value) == 1, value
    without = printed(name, build_table(golden_results()))
    assert "over documents" not in without


def test_groups_are_told_apart_in_every_text() -> None:
    half = result().model.model_copy(update={"dtype": "bfloat16"})
    two = build_table([result(), result(model=half)])
    for name in ("plain", "markdown", "latex"):
        assert "nano-neo (bfloat16)" in printed(name, two)


def test_the_plugin_in_the_docs_runs(
    document: Document, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it registers must not be seen by other tests.
    monkeypatch.setitem(registry._plugins, "reports", registry.reports())
    page = (GOLDEN.parents[1] / "docs" / "report.md").read_text(encoding="utf-8")
    code = next(c for c in re.findall(r"```python\n(.*?)```", page, re.S) if "@register" in c)
    (tmp_path / "ranking.py").write_text(code, encoding="utf-8")
    ranking = load_plugin_file(tmp_path / "ranking.py").Ranking
    lines = ranking().render(document).splitlines()
    assert [line.split(maxsplit=2)[2] for line in (lines[0], lines[-1])] == ["OPT", "NEO + DPO"]
    assert len(lines) == 6
