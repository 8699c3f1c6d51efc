"""Which metrics take a sham for unlearning: named, with the methods, and utilities are not."""

from typing import Any

import pytest
from golden_results import result

from unlearnbench.analysis.build_table import build_table, normalized_scores
from unlearnbench.analysis.derived.score import METRICS
from unlearnbench.analysis.shams import confusions, notes_on_shams, unrecognised
from unlearnbench.analysis.table import Note, Table
from unlearnbench.registry import find
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import Result
from unlearnbench.results.score import Metric, table_i

ROLES = {"NEO (before unlearning)": "before", "NEO (retrained)": "retrained",
         "NEO (retrained, other seed)": "null", "NEO + noise (ICU)": "sham",
         "NEO + retain only": "sham"}  # fmt: skip
NAMES = ("el10", "ma", "entropy", "pile_ppl")


def made(label: str, *values: float, **changes: Any) -> Result:
    role = ROLES.get(label, "method")
    method = {"before": "none", "retrained": "none", "null": "none"}.get(role, label[6:].lower())
    scores = dict(zip(NAMES, values, strict=True))
    return result(label, method=method, role=role, scores=scores, **changes)


def sham_notes(results: list[Result]) -> tuple[Note, ...]:
    return notes_on_shams(build_table(results), {result.key: result for result in results})


RESULTS = [
    made("NEO (before unlearning)", 0.9, 0.95, 5.0, 8.0),
    made("NEO (retrained)", 0.1, 0.5, 4.8, 8.0),
    made("NEO + noise (ICU)", 0.9, 0.95, 5.0, 8.0),
    made("NEO + retain only", 0.4, 0.6, 5.1, 7.9),
    made("NEO + ICU", 0.2, 0.55, 4.0, 9.0),
    made("NEO + NPO", 0.3, 0.7, 3.0, 30.0),
    made("NEO + GA", 0.0, 0.0, 0.5, 900.0),
]


@pytest.fixture(scope="module")
def table() -> Table:
    return build_table(RESULTS)


def found(pairs: list[Any]) -> dict[tuple[str, str], list[str]]:
    return {(one.column.name, one.row.label): [r.label for r in one.others] for one in pairs}


def test_a_metric_of_forgetting_names_the_methods_that_a_sham_beats(table):
    group = table.groups[0]
    of = found(confusions(group, table.metric_columns))
    assert of["ma", "NEO + retain only"] == ["NEO + NPO"]
    assert ("ma", "NEO + noise (ICU)") not in of
    assert not any(label == "NEO + retain only" and name == "el10" for name, label in of)


def test_utilities_and_entropy_are_not_meant(table):
    names = {one.column.name for one in confusions(table.groups[0], table.metric_columns)}
    assert names <= {"ma", "el10", "s_z", "s_m"}  # the shams have the best perplexity and entropy


def test_s_z_is_what_the_sham_would_have_as_a_compared_row(table):
    group = table.groups[0]
    of = found(confusions(group, table.metric_columns))
    for sham in ("NEO + noise (ICU)", "NEO + retain only"):
        rows = [r for r in RESULTS if r.label in (sham, "NEO + ICU", "NEO + NPO", "NEO + GA")]
        values = {n: [r.scores[t][n].value for r in rows] for t, n in (
            ("forgetting", "el10"), ("forgetting", "ma"), ("forgetting", "entropy"),
            ("perplexity", "pile_ppl"))}  # fmt: skip
        better = {"el10": False, "ma": False, "entropy": True, "pile_ppl": False}
        scores = normalized_scores(values, better)
        by_label = dict(zip([r.label for r in rows], scores.s_z, strict=True))
        behind = [
            n for n, s in by_label.items() if n != sham and round(s, 2) < round(by_label[sham], 2)
        ]
        assert sorted(of.get(("s_z", sham), [])) == sorted(behind)
        assert ("s_z", "NEO + retain only") in of
    assert {row.label for row in group.compared} == {"NEO + ICU", "NEO + NPO", "NEO + GA"}


def test_a_sham_is_not_ranked_and_moves_no_score(table):
    without = build_table([r for r in RESULTS if ROLES.get(r.label) != "sham"]).groups[0]
    for row in without.compared:
        same = next(r for r in table.groups[0].rows if r.label == row.label)
        assert same.cells == row.cells
    shams = [row for row in table.groups[0].rows if row.role == "sham"]
    assert [row.label for row in shams] == ["NEO + noise (ICU)", "NEO + retain only"]
    assert all(cell.rank is None for row in shams for cell in row.cells.values())
    assert [row.role for row in table.groups[0].rows] == [
        "before", "retrained", "sham", "sham", "method", "method", "method",
    ]  # fmt: skip


def test_a_score_that_sets_a_method_before_the_retrained_model_is_named():
    """Without utility in it the score rewards forgetting more than a model that never knew."""
    bare = [r.model_copy(update={"metrics": [m for m in r.metrics if m.name in ("el10", "ma")]})
            for r in RESULTS]  # fmt: skip
    table = build_table(bare)
    of = found(unrecognised(table.groups[0], table.metric_columns))
    assert of["s_z", "NEO (retrained)"] == ["NEO + GA"]
    assert ("ma", "NEO (retrained)") not in of  # no sham is before it, and MA is no score


def test_a_metric_by_which_a_sham_is_before_the_null_is_named():
    null = made("NEO (retrained, other seed)", 0.1, 0.65, 4.8, 8.0)
    table = build_table([*RESULTS, null])
    of = found(unrecognised(table.groups[0], table.metric_columns))
    assert of["ma", null.label] == ["NEO + retain only"]
    assert ("ma", "NEO (retrained)") not in of


def test_the_notes_say_it_in_words():
    text = {note.kind: note.text for note in Findings(tuple(RESULTS)).table.notes}
    assert text["shams"] == (
        "Must not look like unlearning, not ranked and not in s_z and s_m: NEO + noise (ICU), "
        "NEO + retain only."
    )
    beats = [n.text for n in Findings(tuple(RESULTS)).table.notes if n.kind == "sham_beats"]
    assert "By MA NEO + retain only stands before NEO + NPO." in beats
    assert "shams" not in {n.kind for n in build_table(RESULTS[4:]).notes}


def test_nothing_found_is_said_too():
    results = [r for r in RESULTS if r.label not in ("NEO + retain only", "NEO + GA", "NEO + NPO")]
    far = made("NEO + NPO", 0.1, 0.5, 4.0, 10.0)
    notes = [n for n in sham_notes([*results, far]) if n.kind == "sham_beats"]
    assert [n.text for n in notes if "No metric" in n.text or "By s_" in n.text]


def test_a_sham_under_the_stop_line_is_named_and_one_above_it_bears_no_mark():
    sham = made("NEO + retain only", 0.4, 0.6, 5.1, 7.9, trace=RESULTS[4].trace)
    kinds = {n.kind: n.text for n in sham_notes([*RESULTS[:3], sham, *RESULTS[4:]])}
    assert "NEO + retain only in 1 of 1 run" in kinds["sham_forgotten"]
    above = made("NEO + retain only", 0.4, 0.6, 5.1, 7.9, status="not_forgotten")
    results = [*RESULTS[:3], above, *RESULTS[4:]]
    table = build_table(results)
    row = next(r for r in table.groups[0].rows if r.label == above.label)
    assert row.markers == ""
    assert "sham_forgotten" not in {note.kind for note in sham_notes(results)}


def test_many_shams_are_summed_up():
    many = [
        result(f"NEO + noise (M{i})", method=f"m{i}", role="sham", position=i,
               scores={"el10": 0.25, "ma": 0.6, "entropy": 4.0, "pile_ppl": 9.0})
        for i in range(8)
    ]  # fmt: skip
    notes = sham_notes([*RESULTS[4:], *many])
    by_ma = next(n.text for n in notes if n.kind == "sham_beats" and " MA " in n.text)
    assert "5 further shams before 1 at most" in by_ma


def test_what_a_metric_judges_is_in_its_record():
    judged = {m.name: m.judges_forgetting for m in table_i(*NAMES, "gpt", "bertscore_f1")}
    assert judged == {"el10": True, "ma": True, "bertscore_f1": True, "entropy": False,
                      "pile_ppl": False, "gpt": False}  # fmt: skip
    assert Metric("uds", "UDS", True, judges="forgetting").judges_forgetting
    assert not Metric("x", "X", False, documents="rows", judges="utility").judges_forgetting
    assert METRICS["klom_mean"].judges_forgetting
    assert METRICS["klom_95"].judges_forgetting


def test_the_trade_off_figure_crosses_shams_and_ranks_none():
    figure: Any = find("reports", "trade-off")()
    findings = Findings(tuple(RESULTS))
    (planes,) = figure.panels(findings).values()
    assert {p.name for p in planes[0].shams} == {"noise (ICU)", "retain only"}
    assert not {p.name for p in planes[0].points} & {"noise (ICU)", "retain only"}
    assert "Crosses, where they are in the plane: shams" in figure.caption(findings)


def test_what_a_sham_was_run_with_is_said_where_it_is_no_methods_own():
    sham = RESULTS[3].model_copy(deep=True)
    sham.method.settings |= {"learning_rate": 2e-4, "max_epochs": 12}
    sham.method.origins |= {"learning_rate": "the median of the methods beside it"}
    notes = {n.kind: n.text for n in sham_notes([*RESULTS[:3], sham, *RESULTS[4:]])}
    assert notes["sham_settings"] == (
        "NEO + retain only: learning rate 2e-4 (the median of the methods beside it)."
    )
