"""The printed values that ship with the package: the paper's, and scored as the paper scores."""

import csv
import re
from pathlib import Path

import pytest

from unlearnbench.analysis.table import SCORE_NAMES
from unlearnbench.errors import UserError
from unlearnbench.reporting.published import as_table, printed_table, printed_tables
from unlearnbench.reporting.published.printed import completed, number

SHORT = {
    "wow_f1": "wizard_of_wikipedia",
    "ed_f1": "empathetic_dialogues",
    "bst_f1": "blended_skill_talk",
    "woi_f1": "wizard_of_internet",
}


def test_the_tables_there_are():
    assert set(printed_tables()) == {
        ("v1", "table1"), ("v1", "tinyllama"), ("v1", "learning-rate"), ("v1", "per-run"),
        ("v2", "table1"), ("v2", "tinyllama"), ("v2", "alpha-beta"), ("v2", "human"),
    }  # fmt: skip


def _written(method: str) -> tuple[str, tuple[tuple[str, float], ...]]:
    """'icu[lr=1e-5]' as a method and its settings."""
    name, _, settings = method.partition("[")
    pairs = re.findall(r"(\w+)=([^,\]]+)", settings)
    return name, tuple((n.replace("lr", "learning_rate"), float(v)) for n, v in pairs)


def test_every_shipped_value_is_that_of_the_published_file_and_none_is_missing(shared: Path):
    path = shared / "published" / "results.csv"
    if not path.is_file():
        pytest.skip(f"the published values are not at {path}")
    with path.open(newline="", encoding="utf-8") as file:
        expected = {
            (r["source"], r["table"], r["params"], r["model"], *_written(r["method"]), r["run"],
             SHORT.get(r["metric"], r["metric"])): r["value"]
            for r in csv.DictReader(file)
        }  # fmt: skip
    shipped = {
        (source, name, row.size, row.model, row.method, tuple(row.settings.items()), row.run, m): v
        for source, name in printed_tables()
        for row in printed_table(name, source).rows
        for m, v in row.values.items()
    }
    assert len(expected) == 1449
    assert shipped == expected


@pytest.mark.parametrize(("source", "name"), [t for t in printed_tables() if t[1] != "human"])
def test_every_row_stands_in_the_text_of_the_paper(source: str, name: str, shared: Path):
    path = shared / "paper" / f"learn-while-unlearn-{source}.txt"
    if not path.is_file():
        pytest.skip(f"no rows to look up in {path}")
    lines = [re.sub(r"</?u>", "", line) for line in path.read_text("utf-8").splitlines()]
    texts = ["\t".join(cell for cell in line.split("\t") if cell != "-") for line in lines]
    for row in printed_table(name, source).rows:
        values = list(row.values.values())
        # Tables 6 and 7 of version 1 are two halves of one table; dialogue sets begin the second.
        at = 14 if name == "per-run" else len(values)
        for part in (values[:at], values[at:]):
            joined = "\t".join(part)
            assert any(f"\t{text}".endswith(f"\t{joined}") for text in texts), (row, joined)


def test_people_and_judge_stand_in_the_text_of_the_paper(shared: Path):
    path = shared / "paper" / "learn-while-unlearn-v2.txt"
    if not path.is_file():
        pytest.skip(f"no paper at {path}")
    text = path.read_text("utf-8")
    for size in ("125M", "1.3B", "2.7B"):
        rows = [row for row in printed_table("human").rows if row.size == size]
        cells = [f"{row.values['human']} / {row.values['gpt']}" for row in rows]
        assert "\t".join([size, *cells]) in text


@pytest.mark.parametrize(("name", "n_scores"), [("table1", 36), ("tinyllama", 10)])
def test_the_printed_scores_follow_from_the_shipped_columns(name: str, n_scores: int):
    printed = printed_table(name, "v2")
    computed = {
        (group.name.partition("-")[2], row.method): row
        for group in as_table(printed.rows).groups
        for row in group.rows
    }
    scores = [
        (float(row.values[score]), computed[row.size, row.method].cells[score].mean)
        for row in printed.rows
        for score in SCORE_NAMES
        if score in row.values
    ]
    assert len(scores) == n_scores  # 46 in all
    assert all(abs(a - b) <= 0.005 + 1e-9 for a, b in scores)


def test_the_printed_means_are_those_of_the_printed_runs():
    runs, means = printed_table("per-run"), printed_table("table1", "v1")
    for row in means.rows:
        own = [r for r in runs.of("neo", row.size) if r.method == row.method and r.run != "mean"]
        if row.method == "icu":  # KUMPR's perplexities are capped by run
            for metric in ("el10", "ma", "cls_avg", "pile_ppl"):
                values = [number(r.values[metric]) for r in own]
                assert len(values) == 5
                assert sum(values) / 5 == pytest.approx(number(row.values[metric]), abs=0.11)


def test_the_latest_version_is_taken_and_a_wrong_name_gets_the_nearest():
    assert (printed_table("table1").source, printed_table("per-run").source) == ("v2", "v1")
    assert printed_table("table1").title == "Table I of version 2 of the paper"
    with pytest.raises(UserError, match="did you mean 'table1 of v2'"):
        printed_table("table2", "v2")
    with pytest.raises(UserError, match="alpha-beta of v1"):
        printed_table("alpha-beta", "v1")


def test_epochs_are_borrowed_from_the_version_that_prints_them():
    table = completed(printed_table("table1", "v2"))
    assert table.borrowed == ("epochs",)
    icu = next(r for r in table.of("neo", "2.7B") if r.method == "icu")
    assert (icu.values["epochs"], icu.values["s_z"]) == ("32.6", "5.11")
    kumpr = next(r for r in table.of("neo", "2.7B") if r.method == "kumpr")
    assert kumpr.values["pile_ppl"] == ">1000"  # version 1's 4926.2 takes no other's place
    sweep = printed_table("alpha-beta")
    assert completed(sweep) is sweep


def test_labels_are_those_of_our_own_tables():
    labels = [row.label for row in printed_table("table1").of("neo", "125M")]
    assert labels[:3] == ["NEO (before unlearning)", "OPT", "NEO + KUMPR"]
    assert printed_table("alpha-beta").rows[0].label == "NEO + ICU (alpha=0.1, beta=0.5)"
    assert printed_table("per-run").rows[1].label == "NEO + KUMPR (run=1)"
    assert not printed_table("tinyllama").of("neo", "125M")
