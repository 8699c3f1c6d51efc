"""Which cells of a table get an interval or a mark, and what the table says about it."""

import random

import numpy as np
import pytest
from statistics_cases import AVERAGE, COLUMNS, MA, PILE, golden_result, interval, result

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.statistics.marking import with_intervals
from unlearnbench.analysis.statistics.outcomes import outcomes_of
from unlearnbench.analysis.statistics.paired import ALL_PAIRS_UP_TO, pairwise
from unlearnbench.analysis.table import INDISTINCT, SCORE_NAMES, Row, Table
from unlearnbench.results.record import Result

rng = np.random.default_rng(10)
_start = rng.bit_generator.state


@pytest.fixture(autouse=True)
def _same_numbers_whatever_ran_before() -> None:
    rng.bit_generator.state = _start


def marked(results: list[Result]) -> Table:
    return with_intervals(build_table(results), {r.key: r for r in results})


def row(table: Table, label: str) -> Row:
    return next(r for group in table.groups for r in group.rows if r.label == label)


def note(table: Table, kind: str) -> str:
    return " ".join(n.text for n in table.notes if n.kind == kind)


def _method(label: str, shift: float, position: int = 0, n_runs: int = 3) -> list[Result]:
    base = np.random.default_rng(4)
    made = []
    for run in range(n_runs):
        ma, copa, piqa, nll = (base.random(40) for _ in range(4))
        noise = rng.normal(0, 0.02, 40)
        sets = {"copa": copa - shift + noise, "piqa": piqa - shift}
        made.append(
            result(label, str(run), ma=ma + shift + noise, sets=sets, nll=nll + shift + noise,
                   position=position)
        )  # fmt: skip
    return made


def test_every_measured_cell_gets_its_interval() -> None:
    results = _method("A", 0.0) + _method("B", 0.2)
    table = marked(results)
    for label in "AB":
        runs = [r for r in results if r.label == label]
        cells = row(table, label).cells
        for column in COLUMNS:
            outcomes = outcomes_of(runs, column)
            assert outcomes is not None
            cell = cells[column.name]
            assert cell.low is not None
            assert cell.high is not None
            assert cell.low < cell.mean < cell.high
            assert (cell.low, cell.high) == pytest.approx(interval(outcomes))
        assert all(cells[name].low is None for name in (*SCORE_NAMES, "epochs"))
    assert "documents" in note(table, "intervals")
    assert note(table, "untested") == ""


def test_a_clear_best_is_not_marked_and_a_doubtful_one_is() -> None:
    clear = marked(_method("A", 0.0) + _method("B", 0.2, 1) + _method("C", 0.4, 2))
    assert [c for c in COLUMNS if row(clear, "A").cells[c.name].rank != 1] == []
    assert not any(c.indistinct for r in clear.groups[0].rows for c in r.cells.values())
    assert note(clear, "indistinct") == ""
    doubtful = marked(_method("A", 0.0) + _method("B", 0.0005, 1) + _method("C", 0.4, 2))
    cells = {c.name: [row(doubtful, m).cells[c.name] for m in "ABC"] for c in (MA, AVERAGE, PILE)}
    for of_column in cells.values():
        assert [c.indistinct for c in of_column] == [c.rank == 1 for c in of_column]
    (told,) = [n for n in doubtful.notes if n.kind == "indistinct"]
    assert told.marker == INDISTINCT
    assert "Holm" in told.text
    assert "Bonferroni" not in told.text


def test_the_mark_is_that_of_the_corrected_pairwise_p() -> None:
    n_seen = set()
    for _ in range(12):
        results = [r for i in range(5) for r in _method(f"M{i}", rng.normal(0, 0.004), i)]
        table = marked(results)
        group = table.groups[0]
        pairs = pairwise(group, MA, {r.key: r for r in results})
        best = next(r.label for r in group.rows if r.cells["ma"].rank == 1)
        second = {r.label for r in group.rows if r.cells["ma"].rank == 2}
        p = max(p.p_corrected for p in pairs if best in (p.first, p.second)
                and second & {p.first, p.second})  # fmt: skip
        tied = sum(r.cells["ma"].rank == 1 for r in group.rows) > 1
        assert row(table, best).cells["ma"].indistinct == (p >= 0.05 or tied)
        n_seen.add(p >= 0.05 or tied)
    assert n_seen == {True, False}


def test_two_that_print_alike_are_both_marked() -> None:
    values = rng.random(40)
    table = marked(
        [result("A", ma=values), result("B", ma=values + 1e-7), result("C", ma=values + 1)]
    )
    assert [row(table, m).cells["ma"].indistinct for m in "ABC"] == [True, True, False]


def test_what_cannot_be_tested_is_not_marked_and_said() -> None:
    bare = [golden_result(label, run=run, scores={"el10": v}) for run in "01"
            for label, v in (("A", 0.1), ("B", 0.2))]  # fmt: skip
    table = marked(bare)
    cell = row(table, "A").cells["el10"]
    assert (cell.rank, cell.indistinct, cell.low) == (1, False, None)
    assert "EL10 (%)" in note(table, "untested")
    assert note(table, "intervals") == ""


def test_outcomes_that_do_not_give_the_cell_are_not_its_outcomes() -> None:
    results = _method("A", 0.0) + _method("B", 0.2)
    table = build_table(results)
    changed = {r.key: r.model_copy(deep=True) for r in results}
    of_a = changed[results[0].key].scores["forgetting"]["ma"]
    of_a.documents = {k: v + 0.1 for k, v in of_a.documents.items()}
    of_a.value += 0.1
    cells = row(with_intervals(table, changed), "A").cells
    assert cells["ma"].low is None
    assert cells["pile_ppl"].low is not None
    assert row(with_intervals(table, {}), "A").cells["ma"].low is None


def test_scores_are_marked_unless_first_in_19_of_20_resamplings_of_runs() -> None:
    sure = marked(_method("A", 0.0) + _method("B", 0.2, 1))
    assert not row(sure, "A").cells["s_z"].indistinct
    ma = {"A": (0.1, 0.5, 0.2), "B": (0.3, 0.3, 0.3)}
    results = [result(label, str(run), ma=np.full(20, v) + rng.normal(0, 1e-3, 20))
               for label, of in ma.items() for run, v in enumerate(of)]  # fmt: skip
    unsure = marked(results)
    assert [row(unsure, m).cells["s_z"].indistinct for m in "AB"] == [True, False]
    assert "resamplings of runs" in note(unsure, "indistinct")
    one_run = marked([r for r in results if r.forget_set.run == "0"])
    assert not row(one_run, "A").cells["s_z"].indistinct


def test_of_very_many_rows_the_correction_is_bonferronis() -> None:
    n = ALL_PAIRS_UP_TO + 1
    shifts = {0: -0.3, 1: 0.0}
    results = [r for i in range(n) for r in _method(f"M{i:02d}", shifts.get(i, 0.001 * i), i, 1)]
    table = marked(results)
    assert not row(table, "M00").cells["ma"].indistinct  # even after 820 comparisons
    results = [r for r in results if r.label != "M00"] + _method("M99", -0.0001, 99, 1)
    table = marked(results)
    assert sum(r.cells["ma"].indistinct for r in table.groups[0].rows) >= 1
    assert "Bonferroni" in note(table, "indistinct")
    assert "Holm" not in note(table, "indistinct")


def test_the_order_of_results_changes_nothing() -> None:
    results = [r for i in range(4) for r in _method(f"M{i}", rng.normal(0, 0.01), i)]
    shuffled = list(results)
    random.Random(1).shuffle(shuffled)
    one, other = marked(results), marked(shuffled)
    for label in ("M0", "M1", "M2", "M3"):
        for name, cell in row(one, label).cells.items():
            same = row(other, label).cells[name]
            assert (same.low, same.high) == (pytest.approx(cell.low), pytest.approx(cell.high))
            assert same.indistinct == cell.indistinct
