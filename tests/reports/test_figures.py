"""Figures: what they take from the findings, what is drawn of it, and the files they become."""

import math
import os
import random
import re
import subprocess
import sys
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from golden_results import METRICS, golden_results, result

from unlearnbench.analysis.table import Cell, Group, Row
from unlearnbench.registry import find, reports
from unlearnbench.reporting.document import Findings
from unlearnbench.reporting.report import Figure
from unlearnbench.reports import ablation_bars, epoch_curves, heat_map, score_bars, trade_off
from unlearnbench.reports._figures import bars as _bars
from unlearnbench.reports._figures import drawing as _drawing
from unlearnbench.reports._figures import quantities as _quantities
from unlearnbench.reports._figures import squares as _squares
from unlearnbench.results.record import EpochRecord, Result, StopRecord, UnlearnTrace
from unlearnbench.results.score import Metric

METRICS = [
    *METRICS,
    Metric(name="wikitext_ppl", task="perplexity", label="WikiText (PPL)",
                 higher_is_better=False, capped=True),
]  # fmt: skip
FIGURES = ("ablation-bars", "epoch-curves", "heat-map", "score-bars", "trade-off")
ALPHAS, BETAS = (0.1, 0.5, 1.0), (0.0, 1.0)


def trace(ma: list[float], el: list[float] | None = None, outcome: str = "forgotten") -> Any:
    given = zip(ma, el or [math.nan] * len(ma), strict=True)
    epochs = [EpochRecord(epoch=i, metrics={"ma": m, "el": e}) for i, (m, e) in enumerate(given)]
    return UnlearnTrace(outcome=outcome, n_epochs=len(ma) - 1, epochs=epochs)


def cell(label: str = "NEO + ICU", **changes: Any) -> Result:
    scores = {"el10": 0.0, "ma": 0.5, "cls_avg": 0.4, "pile_ppl": 20.0, "wikitext_ppl": 5.0}
    given = {**scores, **changes.pop("scores", {})}
    found = result(label, scores={}, stop=StopRecord(source="paper", el=0.05, ma=0.6), **changes)
    own = {m.name: m for m in METRICS if m.name in given}
    by_task: dict[str, Any] = {}
    for name, metric in own.items():
        score = {"value": given[name], "n": 9, "higher_is_better": metric.higher_is_better}
        by_task.setdefault(metric.task, {})[name] = score
    raw = {**found.model_dump(), "scores": by_task, "key": f"{found.key}{sorted(given.items())}"}
    return Result.model_validate({**raw, "metrics": [vars(m) for m in METRICS]})


def swept(**scores: Any) -> Findings:
    """Every pair of alpha and beta but the last, MA rising with both."""
    pairs = [(a, b) for a in ALPHAS for b in BETAS][:-1]
    rows = [cell(settings={"alpha": a, "beta": b}, scores={"ma": 0.3 + a / 10 + b / 50, **scores})
            for a, b in pairs]  # fmt: skip
    return Findings(tuple(rows), axes=("alpha", "beta"))


def variants(n: int = 3) -> Findings:
    names = ["NEO + ICU", *(f"NEO + ICU w/o L_{i}" for i in range(1, n))]
    return Findings(tuple(cell(name, position=i, scores={"ma": 0.4 + i / 100})
                          for i, name in enumerate(names)))  # fmt: skip


def forgetting() -> Findings:
    runs = [("0", [0.9, 0.7, 0.5], [0.6, math.nan, 0.0]), ("1", [0.8, 0.6], [0.5, 0.01])]
    icu = [cell(run=r, trace=trace(ma, el)) for r, ma, el in runs]
    kl = cell("NEO + KL", method="kl", trace=trace([0.9, 0.8], outcome="not_forgotten"))
    before = cell("NEO (before unlearning)", method="none", role="before", scores={"ma": 0.9})
    return Findings((before, *icu, kl))


def drawn(name: str, findings: Findings) -> Any:
    picture = find("reports", name)().draw(findings)
    picture.canvas.draw()
    return picture


FINDINGS = {
    "ablation-bars": variants, "epoch-curves": forgetting, "heat-map": swept,
    "score-bars": lambda: Findings(tuple(golden_results())), "trade-off": forgetting,
}  # fmt: skip


def test_the_five_figures_are_registered_and_say_what_they_are() -> None:
    of_attacks = {"recovery-map", "attack-curves", "leak-curves"}  # in test_attack_figures.py
    of_metrics = {"redundancy-map"}  # in test_metrics_section.py
    figures = {n for n, kind in reports().items() if issubclass(kind, Figure)}
    of_budgets = {"budget-curves", "budget-front"}  # in reporting/test_sections_budgets.py
    of_sequences = {"sequence-curves"}  # in cli/test_cli_sequence.py
    assert {*FIGURES, *of_attacks, *of_metrics, *of_budgets, *of_sequences} == figures


@pytest.mark.parametrize("kind", ["pdf", "png", "svg"])
def test_a_file_is_the_same_bytes_each_time(kind: Any) -> None:
    figure, starts = find("reports", "trade-off")(), {"pdf": b"%PDF", "png": b"\x89PNG"}
    image = figure.make_image(forgetting(), kind)
    assert image.startswith(starts.get(kind, b"<?xml"))
    assert image == figure.make_image(forgetting(), kind)


def test_fonts_in_a_pdf_are_truetype() -> None:
    pdf = find("reports", "heat-map")().make_image(swept(), "pdf")
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf


@pytest.mark.parametrize("name", FIGURES)
def test_an_svg_has_text_one_colour_of_lines_and_no_ids_that_clash(name: str) -> None:
    svg = find("reports", name)().make_image(FINDINGS[name](), "svg").decode()
    root = ElementTree.fromstring(svg)
    assert any("MA" in (e.text or "") for e in root.iter() if e.tag.endswith("}text"))
    assert _drawing.FOREGROUND in svg
    ids = re.findall(r' id="([^"]+)"', svg)
    assert len(ids) == len(set(ids))
    assert not [one for one in ids if re.search(r"_\d+$", one)]
    width = float(root.get("width").removesuffix("pt")) / 72
    assert 0.9 * _drawing.WIDTH < width < 1.01 * _drawing.WIDTH


@pytest.mark.parametrize("name", FIGURES)
def test_no_text_is_cut_off_and_no_two_labels_of_an_axis_overlap(name: str) -> None:
    picture = drawn(name, FINDINGS[name]())
    for axes in picture.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = [t for t in axis.get_ticklabels() if t.get_text() and t.get_visible()]
            boxes = [t.get_window_extent() for t in labels]
            low, high = sorted(axis.get_view_interval())
            at = axis.get_ticklocs()
            inside = [b for b, x in zip(boxes, at, strict=False) if low <= x <= high]
            pairs = [(a, b) for i, a in enumerate(inside) for b in inside[i + 1 :]]
            assert not [1 for a, b in pairs if a.overlaps(b)], axes.get_title()


@pytest.mark.parametrize("name", FIGURES)
def test_a_caption_is_sentences_even_where_there_is_nothing_to_draw(name: str) -> None:
    figure = find("reports", name)()
    failed = Findings((result("NEO + KL", status="failed", scores={}, metrics=[], trace=None),))
    assert figure.draw(failed) is None
    assert figure.make_image(failed, "svg") is None
    for findings in (failed, FINDINGS[name]()):
        assert re.fullmatch(r"\S.*\.", figure.caption(findings))


def test_a_users_matplotlib_settings_neither_change_a_figure_nor_are_changed() -> None:
    import matplotlib

    figure, findings = find("reports", "heat-map")(), swept()
    plain = figure.make_image(findings, "png")
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "text.usetex": False}):
        assert figure.make_image(findings, "png") == plain
        assert matplotlib.rcParams["font.size"] == 20


def test_listing_reports_loads_no_matplotlib_and_drawing_no_pyplot() -> None:
    code = (
        "import sys; from unlearnbench.registry import reports, find; reports();"
        "assert 'matplotlib' not in sys.modules;"
        "find('reports', 'score-bars'); from unlearnbench.reports._figures import drawing;"
        "drawing.lay_out({'': [1]}, 1, 1.0, 0.0);"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_marks_differ_in_more_than_colour() -> None:
    looks = list(_drawing.marks(str(i) for i in range(42)).values())
    assert len({(m.colour, m.marker) for m in looks}) == 42
    assert len({(m.colour, m.hatch) for m in looks[:30]}) == 30
    first = looks[:5]
    assert len({m.marker for m in first}) == len({m.hatch for m in first}) == 5


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("higher", [(False, False), (False, True), (True, True)])
def test_the_front_is_that_of_brute_force(seed: int, higher: tuple[bool, bool]) -> None:
    draw = random.Random(seed)
    points = [(draw.randint(0, 6), draw.randint(0, 6)) for _ in range(12)]

    def better(a: float, b: float, up: bool) -> bool:
        return a > b if up else a < b

    def loses(own: tuple[int, int]) -> bool:
        for other in points:
            no_worse = not any(better(own[i], other[i], higher[i]) for i in (0, 1))
            if no_worse and any(better(other[i], own[i], higher[i]) for i in (0, 1)):
                return True
        return False

    assert trade_off.pareto_front(points, higher) == [not loses(p) for p in points]


def test_a_plane_has_means_runs_spread_references_and_the_stop_line() -> None:
    scores = [{"ma": 0.5, "pile_ppl": 10.0, "wikitext_ppl": 40.0}, {"ma": 0.3, "pile_ppl": 20.0}]
    icu = [cell(run=str(i), scores=s) for i, s in enumerate(scores)]
    before = cell("NEO (before unlearning)", method="none", role="before", scores={"ma": 0.9})
    planes = trade_off.TradeOff().panels(Findings((*icu, before)))["nano-neo"]
    assert [p.utility.column.name for p in planes] == ["perplexity", "cls_avg"]
    (point,) = planes[0].points
    # Means 15 and 22.5 of the two texts; the runs' own geometric means are 20 and 10.
    assert point.mean == pytest.approx((40.0, math.sqrt(15 * 22.5)))
    assert np.array(point.runs) == pytest.approx(np.array([(50, 20), (30, 10)]))
    (left, right), (under, over) = trade_off.spread(planes[0], point)
    assert left == right == pytest.approx(np.std([50, 30], ddof=1))
    ratio = math.exp(np.std(np.log([20, 10]), ddof=1))
    assert (point.mean[1] - under, point.mean[1] + over) == pytest.approx(
        (point.mean[1] / ratio, point.mean[1] * ratio)
    )
    assert planes[0].stop_lines == (60.0,)
    assert [r.role for r in planes[0].references] == ["before"]


def test_perplexity_over_the_cap_counts_as_the_cap_and_is_told_a_bound() -> None:
    lost = cell("NEO + KL", method="kl", scores={"pile_ppl": math.inf, "wikitext_ppl": 10.0})
    findings = Findings((cell(), lost))
    group = findings.table.groups[0]
    found = _quantities.quantity(findings.table, "perplexity")
    row = next(r for r in group.rows if r.label == "NEO + KL")
    assert found.of_row(row, 1000.0) == pytest.approx(100.0)
    assert found.text(row, 1000.0) == ">100"
    assert found.of_row(row, None) is None  # nothing finite to draw
    point = next(
        p for p in trade_off.TradeOff().panels(findings)["nano-neo"][0].points if p.name == "KL"
    )
    assert point.is_bound


def test_a_row_without_a_value_is_named_not_drawn() -> None:
    blind = cell("NEO + KL", method="kl", scores={"cls_avg": math.nan})
    findings = Findings((cell(), blind))
    planes = {p.utility.column.name: p for p in trade_off.TradeOff().panels(findings)["nano-neo"]}
    assert planes["cls_avg"].missing == ("NEO + KL",)
    assert len(planes["perplexity"].points) == 2
    assert "Without a finite value: NEO + KL in Cls Avg." in find("reports", "trade-off")().caption(
        findings
    )


def test_the_plane_draws_every_run_and_turns_perplexity() -> None:
    picture = drawn("trade-off", forgetting())
    perplexity, classes = picture.axes
    assert perplexity.yaxis_inverted()
    assert perplexity.get_yscale() == "log"
    assert not classes.yaxis_inverted()
    markers = [line for line in perplexity.lines if line.get_markersize() == 2.5]
    assert len(markers) == 3  # two runs of ICU, one of KL
    vertical = [line for line in classes.lines if list(line.get_xdata()) == [60.0, 60.0]]
    assert len(vertical) == 1


def test_names_are_without_the_models_and_shared_by_all_models() -> None:
    rows = tuple(Row(label, "method", {}) for label in ("NEO + ICU", "NEO + KL + X"))
    reference = Row("NEO (before unlearning)", "before", {})
    names = _quantities.row_names(Group("g", (reference, *rows)))
    assert list(names.values()) == ["NEO (before unlearning)", "ICU", "KL + X"]
    mixed = (*rows, Row("OWN", "method", {}))
    assert _quantities.row_names(Group("g", mixed))["NEO + ICU"] == "NEO + ICU"


def test_a_mean_ends_with_its_shortest_run_and_gaps_stay_gaps() -> None:
    panels = {p.title: p for p in epoch_curves.EpochCurves().panels(forgetting())["nano-neo"]}
    icu, kl = panels["MA (%) ↓"].curves
    assert icu.mean == pytest.approx([85.0, 65.0])
    assert [len(run.values) for run in icu.runs] == [3, 2]
    assert [run.outcome for run in kl.runs] == ["not_forgotten"]
    (el,) = panels["EL10 (%) ↓"].curves  # KL's was never measured
    assert el.mean[0] == pytest.approx(55.0)
    assert math.isnan(el.mean[1])
    assert el.runs[0].values == pytest.approx((60.0, math.nan, 0.0), nan_ok=True)
    assert panels["MA (%) ↓"].lines == (60.0,)
    end = panels["Perplexity ↓, at the end"]
    assert [len(run.values) - 1 for run in end.curves[0].runs] == [2, 1]
    assert end.before == pytest.approx(10.0)


def test_curves_are_drawn_with_gaps_ends_and_the_stop_line() -> None:
    picture = drawn("epoch-curves", forgetting())
    ma, el = picture.axes[:2]
    assert [line for line in ma.lines if line.get_linestyle() == "--"]
    ends = [line for line in ma.lines if line.get_markersize() == 4.5]
    assert sorted(float(line.get_xdata()[0]) for line in ends) == [1.0, 1.0, 2.0]
    assert [line.get_markerfacecolor() for line in ends].count("none") == 1  # KL missed the line
    drawn_values = [v for line in el.lines for v in np.atleast_1d(line.get_ydata())]
    assert any(isinstance(v, float) and math.isnan(v) for v in drawn_values)
    assert {axes.get_xlim() for axes in picture.axes} == {(-0.3, 2.3)}


def test_single_runs_are_left_out_of_a_thicket() -> None:
    many = [cell(settings={"alpha": i}, trace=trace([0.9, 0.5])) for i in range(9)]
    assert "more than 8 rows" in find("reports", "epoch-curves")().caption(Findings(tuple(many)))
    ma = drawn("epoch-curves", Findings(tuple(many))).axes[0]
    assert not [line for line in ma.lines if line.get_linewidth() == 0.5]
    ma = drawn("epoch-curves", Findings(tuple(many[:8]))).axes[0]
    assert len([line for line in ma.lines if line.get_linewidth() == 0.5]) == 8


def test_a_map_has_a_square_per_pair_and_outlines_the_best() -> None:
    maps = {m.title: m for m in heat_map.HeatMap().panels(swept())}
    ma = maps["MA (%) ↓"]
    assert ma.settings == ("alpha", "beta")
    assert ma.values == (ALPHAS, BETAS)
    assert set(ma.squares) == {(a, b) for a in ALPHAS for b in BETAS} - {(1.0, 1.0)}
    assert ma.best == [(0.1, 0.0)]  # lower is better
    assert ma.squares[0.1, 0.0].goodness == pytest.approx(1.0)
    assert ma.squares[1.0, 0.0].goodness == pytest.approx(0.0)
    assert maps["Cls Avg. (ACC) ↑"].best == list(ma.squares)  # all the same
    caption = find("reports", "heat-map")().caption(swept())
    assert "MA (%) ↓: alpha=0.1, beta=0 (31.0)." in caption
    assert "Cls Avg. (ACC) ↑: all equal as printed." in caption


def test_a_map_is_drawn_with_its_missing_pair_hatched() -> None:
    picture = drawn("heat-map", swept())
    axes = next(a for a in picture.axes if a.get_title().startswith("MA"))
    assert sum(bool(patch.get_hatch()) for patch in axes.patches) == 1
    assert sorted(t.get_text() for t in axes.texts) == ["31.0", "33.0", "35.0", "37.0", "40.0"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.1", "0.5", "1"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0", "1"]
    outlined = [p for p in axes.patches if not p.get_fill() and p.get_linewidth() == 1.5]
    assert [(p.get_x(), p.get_y()) for p in outlined] == [(-0.45, -0.45)]


def test_dark_is_better_whatever_the_direction_and_values_over_the_cap_spoil_no_scale() -> None:
    assert heat_map.goodness([1.0, 2.0, 3.0], True, False) == pytest.approx([0, 0.5, 1])
    assert heat_map.goodness([1.0, 10.0, 100.0], False, True) == pytest.approx([1, 0.5, 0])
    assert heat_map.goodness([7.0, 7.0], True, False) == [0.5, 0.5]
    assert heat_map.goodness([], True, False) == []
    wild = cell(settings={"alpha": 1.0, "beta": 1.0}, scores={"pile_ppl": 1e9, "ma": 0.2})
    dull = swept().results
    maps = {
        m.title: m
        for m in heat_map.HeatMap().panels(Findings((*dull, wild), axes=("alpha", "beta")))
    }
    squares = maps["Perplexity ↓"].squares
    assert squares[1.0, 1.0].goodness == 0.0
    assert squares[1.0, 1.0].text.startswith(">")
    assert squares[0.1, 0.0].goodness == 0.5  # the rest among themselves: all equal


def test_text_on_a_square_has_contrast() -> None:
    def luminance(colour: Any) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for share in np.linspace(0, 1, 101):
        ground = [p + (d - p) * share for p, d in zip(_squares.PALE, _squares.DARK, strict=True)]
        text = 1.0 if share > _squares.DARK_FROM else 0.0
        light, dark = sorted((luminance(ground), luminance([text] * 3)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


@pytest.mark.parametrize("axes", [(), ("alpha",), ("alpha", "learning_rate")])
def test_no_map_unless_two_axes_vary(axes: tuple[str, ...]) -> None:
    assert find("reports", "heat-map")().draw(Findings(swept().results, axes=axes)) is None


def test_bars_of_scores_stand_by_row_with_intervals_cap_and_references() -> None:
    findings = Findings(tuple(golden_results()))
    panels = {p.column.name: p for p in score_bars.ScoreBars().panels(findings)}
    (block,) = panels["pile_ppl"].blocks
    bars = {bar.name: bar for bar in block.bars}
    assert bars["KUMPR"].value == 1000.0
    assert bars["KUMPR"].text == ">1000"
    assert bars["LLMU"].value is None  # every run failed
    assert bars["LLMU"].text == "–"
    assert dict(block.references) == pytest.approx({"before": 8.04, "retrained": 8.241})
    best = [bar.name for bar in panels["cls_avg"].blocks[0].bars if bar.best]
    assert best == ["OPT"]
    assert "gpt" not in panels  # nobody measured it


def test_bars_of_scores_as_drawn() -> None:
    findings = Findings(tuple(golden_results()))
    picture = drawn("score-bars", findings)
    panels = score_bars.ScoreBars().panels(findings)
    for axes, panel in zip(picture.axes, panels, strict=True):
        known = [bar for bar in panel.bars if bar.value is not None]
        assert len(axes.patches) == len(known)
        ends = [patch.get_x() + patch.get_width() for patch in axes.patches]
        assert ends == pytest.approx([bar.value for bar in known])
        assert [t.get_text() for t in axes.texts] == [bar.text for bar in panel.bars]
    names = [label.get_text() for label in picture.axes[0].get_yticklabels()]
    assert names == ["OPT", "KUMPR", "KL", "DPO", "ICU (alpha=0.5)", "ICU (alpha=0.1)", "LLMU"]


def test_whiskers_are_the_cells_intervals() -> None:
    column = _quantities.measured(swept().table)[-1]
    group = Group("g", (Row("NEO + ICU", "method", {}),), cap=1000.0)

    def bar(**values: Any) -> _bars.Bar:
        row = Row("NEO + ICU", "method", {column.name: Cell(**values)})
        return _bars.bar_of(group, row, column)

    assert column.capped
    assert bar(mean=10.0, low=8.0, high=13.0).reach == (2.0, 3.0)
    assert bar(mean=10.0).reach is None
    assert bar(mean=900.0, low=800.0, high=1500.0).reach == (100.0, 100.0)  # cut at the cap
    assert bar(mean=math.nan).value is None
    assert bar(mean=math.inf).value == 1000.0
    assert bar(mean=10.0, indistinct=True).text == "10.0≈"
    told = " ".join(
        _bars.what_bars_say(
            [_bars.Panel(column, (_bars.Block("g", (bar(mean=10.0, low=8.0, high=13.0),)),))]
        )
    )
    assert f"held fixed: {column.label}." in told
    assert "Without an interval" not in told


def test_two_models_are_two_blocks_under_their_names() -> None:
    findings = Findings((cell(), cell("NEO + KL", method="kl"), cell(group="nano-two")))
    picture = drawn("score-bars", findings)
    labels = [t.get_text() for t in picture.axes[0].get_yticklabels()]
    assert labels == ["nano-neo", "ICU", "KL", "nano-two", "ICU"]
    colours = {p.get_facecolor() for p in picture.axes[-1].patches}
    assert len(colours) == 2  # ICU has one colour in both
    assert len(drawn("trade-off", findings).subfigs) == 2


def test_variants_stand_side_by_side_with_a_line_at_the_first() -> None:
    picture = drawn("ablation-bars", variants())
    panels = ablation_bars.AblationBars().panels(variants())
    at = [p.column.name for p in panels].index("ma")
    axes, panel = picture.axes[at], panels[at]
    assert [bar.name for bar in panel.bars] == ["ICU", "ICU w/o L_1", "ICU w/o L_2"]
    assert [p.get_height() for p in axes.patches] == pytest.approx([40.0, 41.0, 42.0])
    assert len({p.get_hatch() for p in axes.patches}) == 3
    assert [t.get_text() for t in axes.texts] == ["40.0", "41.0", "42.0"]
    assert any(list(line.get_ydata()) == pytest.approx([40.0, 40.0]) for line in axes.lines)


def test_models_are_clusters_and_a_sweep_is_no_ablation() -> None:
    both = (*variants().results, *(r.model_copy(update={"group": "nano-two"})
                                   for r in variants().results))  # fmt: skip
    panels = ablation_bars.AblationBars().panels(Findings(both))
    assert [len(c.bars) for c in panels[0].blocks] == [3, 3]
    labels = [
        t.get_text() for t in drawn("ablation-bars", Findings(both)).axes[0].get_xticklabels()
    ]
    assert [label.replace("\n", "") for label in labels] == ["nano-neo", "nano-two"]
    assert ablation_bars.AblationBars().panels(variants(11)) == ()
    assert (
        ablation_bars.AblationBars().panels(Findings((cell(), cell("NEO + KL", method="kl")))) == ()
    )


@pytest.mark.parametrize(
    ("low", "high", "limits"),
    [(0.0, 0.0, (0, 1)), (0.0, 0.008, (0, 1)), (-0.01, 0.0, (-1, 0)), (-0.1, 0.2, (-1, 1)),
     (0.0, 40.0, None), (-3.0, 0.0, None)],
)  # fmt: skip
def test_an_axis_is_not_stretched_until_what_is_printed_alike_looks_different(
    low: float, high: float, limits: Any
) -> None:
    assert _drawing.least_limits(low, high, decimals=1) == limits


@pytest.mark.parametrize("values", [(10.0, 10.0), (8.0, 17.0), (1.5, 1000.0)])
def test_a_log_axis_holds_its_values_with_room(values: tuple[float, float]) -> None:
    low, high = _drawing.log_limits(*values)
    assert low < values[0] <= values[1] < high
    assert high / low >= 1.499
    start, end = _drawing.log_limits(*values, start=1.0)
    assert start == 1.0
    assert end > values[1]


def test_the_means_of_no_row_are_left_standing_where_a_run_was_lost() -> None:
    """A failed run has no curve, and its row's mean is over the others."""
    lost = cell(run="1", status="failed", error="out of memory", trace=None)
    findings = Findings((cell(run="0", trace=trace([0.9, 0.5])), lost))
    (curve,) = epoch_curves.EpochCurves().panels(findings)["nano-neo"][0].curves
    assert curve.mean == pytest.approx([90.0, 50.0])
    assert len(curve.runs) == 1
    assert epoch_curves.EpochCurves().caption(findings).endswith("ICU 1.")


def test_formats_share_a_figure_that_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    figure, findings = find("reports", "trade-off")(), forgetting()
    first = figure.image(findings, "png")
    monkeypatch.setattr(type(figure), "draw", lambda *_: pytest.fail("drawn again"))
    assert figure.image(findings, "png") is first
