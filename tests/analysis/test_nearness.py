"""Distances to the retrained model lead a table, and a second retraining is their scale."""

from dataclasses import replace

import numpy as np
import pytest
from derived_cases import measured
from distance_cases import KL, results
from golden_results import golden_results

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.derived import derive, klom, with_derived
from unlearnbench.analysis.nearness import Scale, as_near
from unlearnbench.analysis.table import AS_NEAR


def test_the_distance_is_first_and_both_scores_stand_beside_it() -> None:
    with_it, without = build_table(results()), build_table(golden_results())
    names = [column.name for column in with_it.columns]
    assert names[:4] == ["kl_to_retrained", "s_z", "s_m", "el10"]
    assert names[-1] == "epochs"
    before = [column.name for column in without.columns]
    assert before[0] == "el10"
    assert before[-3:] == ["epochs", "s_z", "s_m"]
    assert set(names) == {*before, "kl_to_retrained"}


def test_the_scores_are_what_they_are_without_it() -> None:
    (with_it,), (without,) = build_table(results()).groups, build_table(golden_results()).groups
    assert with_it.scored == without.scored
    before = {row.label: row for row in without.compared}
    for row in with_it.compared:
        for name in ("s_z", "s_m"):
            assert row.cells[name] == before[row.label].cells[name]


def test_a_row_as_near_as_a_second_retraining_is_marked() -> None:
    table = build_table(results(null=0.3))
    (group,) = table.groups
    marked = [row.label for row in group.rows if AS_NEAR in row.markers]
    assert marked == ["OPT", "NEO + ICU (alpha=0.5)"]  # 0.300 is as near as 0.300
    assert [row.label for row in as_near(group, table.metric_columns)] == marked
    note = next(n for n in table.notes if n.kind == "as_near")
    assert note.marker == AS_NEAR
    assert note.text == (
        "As near to the retrained model as a second retraining (NEO (retrained, other seed), KL to "
        "retrained 0.300): OPT, NEO + ICU (alpha=0.5). The rest: 1.3 to 8.3 times as far."
    )


def test_where_no_row_is_so_near_a_note_says_how_far_they_are() -> None:
    table = build_table(results(null=0.2))
    assert not any(AS_NEAR in row.markers for row in table.groups[0].rows)
    note = next(n for n in table.notes if n.kind == "as_near")
    assert note.marker == ""
    assert note.text.startswith("No compared row is as near to the retrained model")
    assert note.text.endswith("The rest: 1.2 to 12.5 times as far.")


def test_without_a_second_retraining_there_is_no_scale() -> None:
    table = build_table(results(null=None))
    assert Scale.of(table.groups[0], table.metric_columns) is None
    assert not any(note.kind == "as_near" for note in table.notes)


def rows_of(label: str, seeds: range, centre: float, role: str = "method", **more):
    """Results of several seeds, 12 rows' margins each."""
    made = []
    for seed in seeds:
        dice = np.random.default_rng([seed, round(centre)])
        values = {"kl_to_retrained": [0.1] * 12, "margin": dice.normal(centre, 1, 12)}
        made.append(measured(label, {"distance": values}, role=role, seed=seed, **more))
    return made


def test_klom_is_made_of_the_margins_of_rows_and_leads_beside_the_distance() -> None:
    own, retrained = rows_of("unlearned", range(3), 2), rows_of("first", range(1), 0, "retrained")
    null = rows_of("second", range(1, 2), 0, "null")
    everything = [*own, *retrained, *null]
    made = {r.label: r.scores.get("derived", {}) for r in with_derived(everything)}
    margins = [[list(r.scores["distance"]["margin"].documents.values()) for r in of]
               for of in (own, [*retrained, *null])]  # fmt: skip
    expected = klom.klom(*(np.array(m) for m in margins))
    assert made["unlearned"]["klom_mean"].value == pytest.approx(expected.mean())
    assert not made["second"]
    text = next(n.text for n in derive(everything)[1] if n.kind == "klom")
    assert text.startswith("KLOM over 3 seeds of a row and 2 retrained models")
    led = [r.model_copy(update={"metrics": [KL, replace(r.metrics[1], name="margin")]})
           for r in everything]  # fmt: skip
    columns = [column.name for column in build_table(with_derived(led)).columns]
    assert columns[:2] == ["kl_to_retrained", "klom_mean"]


def test_a_distance_without_a_retrained_row_lacks_nothing() -> None:
    notes = derive(rows_of("unlearned", range(2), 2))[1]
    assert not [n for n in notes if n.kind == "no_reference"]


def test_what_is_left_of_klom_without_a_difference_falls_with_seeds() -> None:
    """Against draws of another distribution: only the overlap of so few in 20 bins counts."""
    for n, m in ((2, 2), (3, 5), (40, 40)):
        drawn = np.random.default_rng(n).normal(7, 0.1, (n + m, 600))
        other = klom.klom(drawn[:n], drawn[n:]).mean()
        assert klom.klom_of_equals(n, m) == pytest.approx(other, abs=0.6)
    assert klom.klom_of_equals(2, 2) > klom.klom_of_equals(40, 40) > 0
