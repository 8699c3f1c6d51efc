"""The HTML page as a place to work: what Python writes for choosing, hovering and the heat map."""

import dataclasses
import math
import re

import pytest
from html_cases import Outline, cell, cells, rendered
from html_cases import one_figure as one_figure
from page_cases import contrast

from unlearnbench.analysis.table import Cell, Column, Group, Row
from unlearnbench.reports._html import heat
from unlearnbench.reports._html.numbers import Keys, number

UP, DOWN = Column("skill", "Skill", True), Column("leak", "Leak", False)
CAPPED = Column("ppl", "PPL", False, capped=True)
CELL = Cell(36.04, std=1.41, n=2, n_documents=(4,), low=35.0, high=37.0, rank=1, indistinct=True)


def group(column, means, roles=None):
    """Rows with these means; they are compared unless another role is given."""
    roles = roles or ["method"] * len(means)
    rows = [
        Row(f"row {i}", role, {} if mean is None else {column.name: Cell(mean)})
        for i, (mean, role) in enumerate(zip(means, roles, strict=True))
    ]
    return Group("nano", tuple(rows))


def test_the_best_is_darkest_in_the_direction_of_the_metric():
    assert heat.steps(group(UP, [0, 5, 10]), UP) == [0, 5, 10]
    assert heat.steps(group(DOWN, [0, 5, 10]), DOWN) == [10, 5, 0]
    assert heat.steps(group(CAPPED, [10, 100, 1000]), CAPPED) == [10, 5, 0]  # by the logarithm
    without = Column("epochs", "Epoch", None)
    assert heat.steps(group(without, [1, 2, 3]), without) == [None] * 3


def test_what_cannot_be_told_has_no_colour_and_over_the_cap_is_worst():
    assert heat.steps(group(UP, [7.01, 7.04, None]), UP) == [None] * 3  # equal as printed
    assert heat.steps(group(UP, [1, None, math.nan, 2]), UP) == [0, None, None, 10]
    assert heat.steps(group(CAPPED, [10, 90000.0, 20, 1e300]), CAPPED) == [10, 0, 0, 0]


def test_references_do_not_stretch_the_scale():
    roles = ["before", "retrained", "method", "dedup", "method", "sham"]
    means = [99.0, 1.0, 40.0, 42.0, 44.0, 43.0]
    assert heat.steps(group(DOWN, means, roles), DOWN) == [0, 10, 10, 5, 0, 2]


def test_every_step_is_darker_and_its_text_can_be_read():
    rules = re.findall(r"background: #(\w{6}); color: #(\w{6})", heat.style())
    assert len(rules) == heat.STEPS + 1
    assert all(contrast(paper, ink) >= 4.5 for paper, ink in rules)
    on_white = [contrast(paper, "ffffff") for paper, _ in rules]
    assert on_white == sorted(on_white)  # lightness alone tells the order
    assert len({paper for paper, _ in rules}) == len(rules)


def test_hovering_says_interval_n_spread_and_rank():
    made = group(UP, [0.0])
    row = dataclasses.replace(made.rows[0], cells={UP.name: CELL})
    hints = number(made, row, UP, None).hints
    assert hints == (
        "95% interval over documents, the runs held fixed: [35.0, 37.0]",
        "n = 4 documents",
        "mean of 2 runs, standard deviation 1.4",
        "the best of the compared rows",
        "not told apart from the second by a paired test",
    )
    alone = dataclasses.replace(row, cells={UP.name: Cell(1.0, n_documents=(0,), n_degenerate=1)})
    assert number(made, alone, UP, None).hints == (
        "one run", "the same answer to every document in 1 of the runs")  # fmt: skip
    assert number(made, row, DOWN, None).hints == ()


def test_a_row_has_a_short_name_of_its_own():
    keys = Keys()
    labels = ["NEO + ICU (alpha=0.1)", "NEO + ICU (alpha=0,1)", "NEO", "忘れる", "</script>"]
    given = [keys.key(label) for label in labels]
    assert given == ["neo-icu-alpha-0-1", "neo-icu-alpha-0-1-2", "neo", "row", "script"]


@pytest.fixture
def outline():
    return Outline(rendered())


def test_every_column_and_row_can_be_chosen(outline):
    boxes = [a for tag, a in outline.elements if a.get("type") == "checkbox"]
    columns = {a["value"]: "checked" in a for a in boxes if a["name"] == "column"}
    heads = [a["data-column"] for tag, a in outline.elements if tag == "th" and "data-column" in a]
    assert list(columns) == [name for name in heads if name != "_row"]
    assert columns["ma"] is True
    assert columns["lambada"] is False  # outside the scores
    empty = {a["value"] for a in boxes if "data-empty" in a}
    assert "gpt" in empty
    assert "ma" not in empty
    rows = [a["value"] for a in boxes if a["name"] == "row"]
    keys = outline.all("data-key")
    assert set(keys) == set(rows)
    assert keys.count("neo-icu") == 2  # in the table, and under the metrics outside the scores
    assert [row["key"] for row in outline.data()["rows"]] == rows


def test_every_control_has_a_name(outline):
    ids = outline.all("id")
    labelled = set(outline.all("for"))
    assert labelled <= set(ids)
    for tag, attrs in outline.elements:
        if tag in ("select", "input") and attrs.get("type") != "checkbox":
            assert attrs["id"] in labelled
    for name in ("aria-describedby", "aria-labelledby"):
        assert set(outline.all(name)) <= set(ids)
    forms = [a for tag, a in outline.elements if tag == "form" and "aria-label" in a]
    assert [a["aria-label"] for a in forms] == ["What the table shows"]
    tags = [tag for tag, _ in outline.elements]
    assert tags.count("fieldset") == tags.count("legend")


def test_cells_carry_their_step(outline):
    tags = [(tag, a) for tag, a in outline.elements if tag in ("tr", "td")]
    key, found = "", {}
    for tag, attrs in tags:
        key = attrs.get("data-key", key) if tag == "tr" else key
        if attrs.get("data-column") == "ma":
            found[key] = attrs.get("data-heat")
    assert found["neo-kumpr"] == "10"  # MA is to be low
    assert found["neo-dpo"] == found["neo-before-unlearning"] == "0"
    assert 0 < int(found["neo-icu"]) < 10
    epochs = [attrs for tag, attrs in tags if attrs.get("data-column") == "epochs"]
    assert not any("data-heat" in attrs for attrs in epochs)


def test_a_name_that_is_in_every_title_is_left_out_of_the_contents():
    html = rendered([r.model_copy(update={"group": "nano-neo"}) for r in cells()])
    contents = html[html.index('id="contents"') :].split("</details>")[0]
    assert "nano-neo" not in contents
    two = [cell("A + ICU", group="a"), cell("B + ICU", group="b")]
    assert Outline(rendered(two)).all("data-key") == ["a-icu", "a-icu", "b-icu", "b-icu"]
