"""Figures of attacks: the map of recoveries, curves along attacks and over numbers of samples."""

import re
from typing import Any
from xml.etree import ElementTree

import attack_cases as cases
import pytest
from golden_results import result

from unlearnbench.registry import find
from unlearnbench.reporting.document import Findings
from unlearnbench.reports import attack_curves, leak_curves, recovery_map
from unlearnbench.reports._figures import curves, drawing
from unlearnbench.reports.recovery_map import UNATTACKED, WORST

FIGURES = ("recovery-map", "attack-curves", "leak-curves")


@pytest.fixture(scope="module")
def findings() -> Findings:
    return cases.panel()


@pytest.fixture(scope="module")
def pictures(findings: Findings) -> dict[str, Any]:
    drawn = {name: find("reports", name)().draw(findings) for name in FIGURES}
    for picture in drawn.values():
        picture.canvas.draw()
    return drawn


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_a_map_has_a_square_for_each_method_and_attack_and_the_worst(findings: Findings) -> None:
    (one,) = recovery_map.RecoveryMap().panels(findings)
    assert one.rows == ("ICU", "KUMPR")
    assert one.attacks == (UNATTACKED, "Quantisation", "Relearning", "Sampling", "T/V split", WORST)
    (panel,) = findings.panels
    for row, name in zip(panel.methods, one.rows, strict=True):
        worst = panel.worst(row, panel.columns[0])
        assert one.squares[name, WORST].estimate == worst.estimate
        (marked,) = (at for at, square in one.squares.items() if square.is_worst and at[0] == name)
        assert marked == (name, worst.at.attack.label)


def test_the_map_prints_values_with_their_ends_and_outlines_the_worst(
    findings: Findings, pictures: dict[str, Any]
) -> None:
    (axes,) = pictures["recovery-map"].axes
    (one,) = recovery_map.RecoveryMap().panels(findings)
    values = [f"{square.estimate.value:z.2f}" for square in one.squares.values()]
    assert sorted(t for t in texts(axes) if not t.startswith("[")) == sorted(values)
    assert sum(text.startswith("[") for text in texts(axes)) == len(values)
    outlined = [p for p in axes.patches if not p.get_fill() and p.get_linewidth() == 1.5]
    assert len(outlined) == 2
    assert [t.get_text() for t in axes.get_yticklabels()] == ["KUMPR", "ICU"]  # ICU on top


def test_curves_have_the_references_beside_and_bands(
    findings: Findings, pictures: dict[str, Any]
) -> None:
    (panels,) = attack_curves.AttackCurves().panels(findings).values()
    (relearning,) = panels  # the split has one point, quantisation no order, samples their own
    assert [curve.role for curve in relearning.curves] == [
        "before", "retrained", "method", "method",
    ]  # fmt: skip
    assert relearning.across == "optimisation steps"
    assert relearning.up == "MA (%) ↓"
    icu = next(curve for curve in relearning.curves if curve.name == "ICU")
    lines = [line for line in findings.panels[0].lines
             if (line.row.label, line.attack.name, line.column.metric)
             == ("NEO + ICU", "relearn", "ma")]  # fmt: skip
    assert icu.places == (0.0, 5.0, 20.0)
    assert icu.values == tuple(line.value.value for line in lines)
    assert icu.highs == tuple(line.value.high for line in lines)
    (axes,) = pictures["attack-curves"].axes
    assert len(axes.lines) == len(axes.collections) == 4
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0", "5", "20"]


def test_leaks_are_over_the_numbers_of_samples_on_a_log_axis(
    findings: Findings, pictures: dict[str, Any]
) -> None:
    (panels,) = leak_curves.LeakCurves().panels(findings).values()
    assert [(panel.title, panel.is_log) for panel in panels] == [("Sampling", True)]
    (axes,) = pictures["leak-curves"].axes
    assert axes.get_xscale() == "log"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2", "4", "8"]


def test_where_rows_are_many_there_are_no_bands() -> None:
    curve = curves.Curve("a", "method", (0.0, 1.0), (1.0, 2.0), (0.5, 1.5), (1.5, 2.5))
    few, many = (curves.CurvePanel("x", "y", "z", (curve,) * n) for n in (2, 9))
    assert curves.shows_bands({"g": (few,)})
    assert not curves.shows_bands({"g": (many,)})


@pytest.mark.parametrize("name", FIGURES)
def test_no_two_labels_of_an_axis_overlap(name: str, pictures: dict[str, Any]) -> None:
    for axes in pictures[name].axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [t for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
            boxes = [t.get_window_extent() for t in labels]
            pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
            assert not [1 for a, b in pairs if a.overlaps(b)], axes.get_title()


@pytest.mark.parametrize("name", FIGURES)
def test_a_caption_is_sentences_even_where_there_is_nothing_to_draw(
    name: str, findings: Findings
) -> None:
    figure = find("reports", name)()
    for given in (Findings(()), Findings((result("NEO + KL"),))):
        assert figure.draw(given) is None
        assert re.fullmatch(r"No .*\.", figure.caption(given))
    assert re.fullmatch(r"\S.*\.", figure.caption(findings))


def test_an_svg_takes_the_pages_colour(findings: Findings) -> None:
    svg = find("reports", "recovery-map")().make_image(findings, "svg").decode()
    root = ElementTree.fromstring(svg)
    assert any("KUMPR" in (e.text or "") for e in root.iter() if e.tag.endswith("}text"))
    width = float(root.get("width", "").removesuffix("pt")) / 72
    assert 0.9 * drawing.WIDTH < width < 1.01 * drawing.WIDTH
