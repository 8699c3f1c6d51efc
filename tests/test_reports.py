"""Every output format against golden files, and against readers of that format."""

import csv
import io
import json
import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from unlearnbench import registry
from unlearnbench.published import table_from_published
from unlearnbench.registry import find, load_plugin_file, reports
from unlearnbench.reports.latex import Latex, escape
from unlearnbench.reports.plain import Plain
from unlearnbench.table import Table, build_table

GOLDEN = Path(__file__).parent / "golden"
FORMATS = {"plain": "txt", "latex": "tex", "markdown": "md", "csv": "csv", "json": "json"}
_made = runpy.run_path(str(GOLDEN / "make_results.py"))
result = _made["result"]


@pytest.fixture(scope="module")
def table() -> Table:
    return build_table(_made["golden_results"]())


@pytest.mark.parametrize("name", FORMATS)
def test_golden(table: Table, name: str) -> None:
    """UPDATE_GOLDEN=1 writes the files anew; look at their difference before committing it."""
    path = GOLDEN / f"table.{FORMATS[name]}"
    text = find("reports", name)().render(table)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(reports()))
def test_a_format_says_what_every_table_must_say(table: Table, name: str) -> None:
    text = find("reports", name)().render(table)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert "NEO + KL" in text
    if name != "csv":  # the others carry the notes
        for needed in ("Did not reach the stop line", "out of memory", "are relative to", "0.0499",
                       "not a claim about real models"):  # fmt: skip
            assert re.search(needed, " ".join(text.split())), needed


def test_json_is_strict_and_whole(table: Table) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document = json.loads(find("reports", "json")().render(table), parse_constant=refuse)
    rows = {row["label"]: row for row in document["groups"][0]["rows"]}
    assert rows["NEO + KUMPR"]["cells"]["pile_ppl"] == {
        "mean": "inf", "std": None, "n": 2, "n_documents": [128], "n_degenerate": 0, "rank": None,
        "low": None, "high": None, "indistinct": False, "text": ">1000",
    }  # fmt: skip
    assert rows["NEO + ICU (alpha=0.1)"]["settings"]["alpha"] == 0.1
    assert rows["OPT"]["cells"]["lambada"]["mean"] == 28.0
    assert [c["name"] for c in document["columns"]] == [c.name for c in table.columns]
    assert document["groups"][0]["scores_flagged"] is True


def test_csv_has_one_line_per_row_and_raw_values(table: Table) -> None:
    lines = list(csv.DictReader(io.StringIO(find("reports", "csv")().render(table))))
    by_label = {line["row"]: line for line in lines}
    assert len(lines) == len(table.groups[0].rows) == 9
    assert float(by_label["OPT"]["pile_ppl_mean"]) == pytest.approx(9 * 1.005)
    assert by_label["NEO + KUMPR"]["pile_ppl_mean"] == "inf"
    assert (by_label["NEO + KL"]["dia_avg_mean"], by_label["NEO + KL"]["dia_avg_n"]) == ("", "0")
    assert by_label["NEO + LLMU"]["n_failed"] == "2"


def test_csv_holds_a_perplexity_above_the_cap_itself() -> None:
    destroyed = build_table([result(scores={"pile_ppl": 123456.75})])
    (line,) = csv.DictReader(io.StringIO(find("reports", "csv")().render(destroyed)))
    assert line["pile_ppl_mean"] == "123456.75"


@pytest.mark.parametrize("width", [60, 80, 120, 500])
def test_plain_fits_the_terminal_and_loses_no_column(table: Table, width: int) -> None:
    text = Plain(width=width).render(table)
    assert max(map(len, text.splitlines())) <= width
    for value in ("-3.28", ">1000", "4.600¹", "2.5²"):
        assert value in text
    assert text.count("WikiText") == 3  # the means, the deviations, and the note on the scores


def test_marks_are_the_same_in_all_texts(table: Table) -> None:
    markdown = find("reports", "markdown")().render(table)
    latex, plain = Latex().render(table), Plain(width=500).render(table)
    bold = re.findall(r"\*\*(.+?)\*\*", markdown)
    second = re.findall(r"<ins>(.+?)</ins>", markdown)
    assert len(bold) == sum(c.rank == 1 for r in table.groups[0].rows for c in r.cells.values())
    assert re.findall(r"\\textbf\{(.+?)\}", latex) == bold
    assert re.findall(r"\\underline\{(.+?)\}", latex) == second
    assert re.findall(r"([\d.]+)§?¹", plain) == bold
    assert re.findall(r"([\d.]+)§?²", plain) == second


def test_groups_are_told_apart_in_every_text() -> None:
    half = result().model.model_copy(update={"dtype": "bfloat16"})
    two = build_table([result(), result(model=half)])
    for name in ("plain", "markdown", "latex"):
        assert "nano-neo (bfloat16)" in find("reports", name)().render(two)


def test_latex_escapes_everything_it_prints() -> None:
    assert escape("100% of <8> a_b & {x} #1 $ ^ ~ \\") == (
        r"100\% of $<$8$>$ a\_b \& \{x\} \#1 \$ \textasciicircum{} \textasciitilde{} "
        r"\textbackslash{}"
    )
    assert escape("--max-epochs – 3") == r"-{}-max-epochs \textendash{} 3"
    assert escape("EL10 s_z α=0.1 λ é ∑ 漢 ﬁ") == (
        r"EL$_{10}$ $s_z$ $\alpha$=0.1 $\lambda$ é ? ? fi"
    )


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("source", ["golden", "published", "odd", "long"])
def test_latex_compiles_as_printed(
    table: Table, source: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """No error, no warning, no box that is too full."""
    if source == "published":
        path = request.getfixturevalue("shared") / "published" / "results.csv"
        table = table_from_published(path, "table1")
    if source == "odd":
        odd = " ".join(map(chr, [*range(1, 0x250), *map(ord, "αςΩ∑漢†‡§¶±×↑→∞")]))
        long = "a_long_setting=1/" * 20
        table = build_table([
            result(odd), result("A", status="failed", error=odd, scores={}),
            result("B", status="failed", error=long, scores={}),
        ])  # fmt: skip
    if source == "long":
        table = build_table([result(f"NEO + M{i}", run=run) for i in range(60) for run in "01"])
    (tmp_path / "table.tex").write_text(Latex().render(table), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert not re.findall(r".*(?:Warning|Overfull|Underfull).*", done.stdout)
    assert (tmp_path / "table.pdf").stat().st_size > 10_000


def test_the_plugin_in_the_docs_runs(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it registers must not be seen by other tests.
    monkeypatch.setitem(registry._plugins, "reports", registry.reports())
    page = (GOLDEN.parents[1] / "docs" / "report.md").read_text(encoding="utf-8")
    code = next(c for c in re.findall(r"```python\n(.*?)```", page, re.S) if "@register" in c)
    (tmp_path / "ranking.py").write_text(code, encoding="utf-8")
    ranking = load_plugin_file(tmp_path / "ranking.py").Ranking
    lines = ranking().render(table).splitlines()
    assert [line.split(maxsplit=2)[2] for line in (lines[0], lines[-1])] == ["OPT", "NEO + DPO"]
    assert len(lines) == 6
