"""Every format shows the distance to the retrained model first; the figure has it as origin."""

import csv
import io
import json
import re
from functools import cache

import pytest
from distance_cases import NULL, results
from golden_results import golden_results

from unlearnbench.registry import find
from unlearnbench.reporting.document import Findings
from unlearnbench.reporting.sections import make_document
from unlearnbench.reports import trade_off

pytestmark = pytest.mark.usefixtures("undrawn")


@cache
def printed(name: str) -> str:
    document = make_document(Findings(tuple(results())), ["table"])
    rendered = find("reports", name)().render(document)
    return rendered if isinstance(rendered, str) else rendered.decode()


@pytest.mark.parametrize("name", ["plain", "markdown", "latex", "latex-fragment", "html"])
def test_texts_have_it_first_and_both_scores_beside_it(name: str) -> None:
    text = re.sub(r"\$s_([zm])\$", r"s_\1", printed(name))
    start = text.index("<table") if name == "html" else 0
    at = [text.index(what, start) for what in ("KL to retrained", "s_z", "s_m", "Entropy")]
    assert at == sorted(at)


def test_tables_of_data_have_it_first() -> None:
    header = next(csv.reader(io.StringIO(printed("csv"))))
    at = [header.index(name) for name in ("kl_to_retrained_mean", "s_z", "s_m", "el10_mean")]
    assert at == sorted(at)
    (block,) = json.loads(printed("json"))["blocks"]
    assert [column["name"] for column in block["columns"]][:3] == ["kl_to_retrained", "s_z", "s_m"]


@pytest.mark.parametrize("name", ["plain", "markdown", "latex", "html"])
def test_the_mark_of_a_row_as_near_as_a_second_retraining_is_printed(name: str) -> None:
    assert ("\\star" if name == "latex" else "⋆") in printed(name)


def test_the_retrained_model_is_the_figures_origin() -> None:
    findings = Findings(tuple(results()))
    plane = trade_off.TradeOff().panels(findings)["nano-neo"][0]
    assert plane.origin == pytest.approx((58.5, 8.241))
    assert plane.place(plane.origin) == (0, 1)  # a perplexity is the ratio
    by_name = {point.name: point for point in plane.points}
    assert plane.place(by_name["KUMPR"].mean)[0] == pytest.approx(10.5 - 58.5)  # over-forgotten
    # Its MA is the lowest, and the retrained model's is not as low.
    assert {name for name, p in by_name.items() if p.on_front} == {"OPT", "ICU (alpha=0.5)"}
    picture = find("reports", "trade-off")().draw(findings)
    stars = [line.get_xydata()[0] for line in picture.axes[0].lines if line.get_marker() == "*"]
    assert any(tuple(star) == (0, 1) for star in stars)
    assert any(star[0] == pytest.approx(61 - 58.5) for star in stars)
    assert "too much" in picture.axes[0].get_xlabel()


def test_its_caption_says_what_the_sides_mean_and_how_far_rows_are() -> None:
    caption = find("reports", "trade-off")().caption(Findings(tuple(results())))
    assert "To the right a row forgets too little" in caption
    assert "Box: as far as a second retraining" in caption
    assert "KL to retrained (nats): NEO (before unlearning) 1.700, OPT 0.300" in caption
    assert f"{NULL} 0.300" in caption


def test_without_a_retrained_row_it_is_as_measured() -> None:
    findings = Findings(tuple(r for r in golden_results() if r.role != "retrained"))
    plane = trade_off.TradeOff().panels(findings)["nano-neo"][0]
    assert plane.origin is None
    assert plane.place((40.0, 9.0)) == (40.0, 9.0)
    caption = find("reports", "trade-off")().caption(findings)
    assert "To the left is forgotten more" in caption
    assert "origin" not in caption
