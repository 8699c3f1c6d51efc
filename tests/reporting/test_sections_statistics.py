"""The sections of paired comparisons and of rank stability: what they print of what was found."""

import random
from itertools import combinations

import pytest
from golden_results import golden_results, result

from unlearnbench.analysis.statistics.paired import Pair
from unlearnbench.analysis.statistics.stability import rank_stability
from unlearnbench.analysis.table import ABSENT
from unlearnbench.reporting.document import findings_of
from unlearnbench.reporting.sections import pairs, stability
from unlearnbench.results.score import Score


def measured(label, role="method", run="0", documents=True, **means):
    """A result whose documents scatter around the given mean of each metric."""
    rng = random.Random(f"{label} {run}")
    method = label.rpartition(" ")[2].lower() if role == "method" else "none"
    made = result(label, method=method, role=role, run=run, scores=means, position=len(label))
    for scores in made.scores.values():
        for name, old in scores.items():
            values = {str(n): means[name] + rng.gauss(0, 0.02) for n in range(30)}
            mean = sum(values.values()) / len(values)
            scores[name] = Score(
                value=mean, n=30, higher_is_better=old.higher_is_better,
                documents=values if documents else {},
            )  # fmt: skip
    return made


def results(n_runs=2, **changes):
    return [
        one
        for run in map(str, range(n_runs))
        for one in (
            measured("OPT", "dedup", run, ma=0.40, cls_avg=0.50, **changes),
            measured("NEO + ICU", run=run, ma=0.60, cls_avg=0.50, **changes),
            measured("NEO + KL", run=run, ma=0.20, cls_avg=0.51, **changes),
        )
    ]


def lines(listing):
    return [dict(zip(listing.headers, row, strict=True)) for row in listing.rows]


def told(block, kind):
    return " ".join(note.text for note in block.notes if note.kind == kind)


def test_every_two_compared_rows_in_every_scored_metric():
    before = measured("NEO", "before", ma=0.9, cls_avg=0.5)
    (listing,) = pairs.blocks(findings_of([before, *results()]))
    labels = ["OPT", "NEO + KL", "NEO + ICU"]  # the positions are the labels' lengths
    assert [(line["First"], line["Second"]) for line in lines(listing)] == [
        *combinations(labels, 2)
    ] * 2
    assert {line["Metric"] for line in lines(listing)} == {"MA (%) ↓", "Cls Avg. (ACC) ↑"}
    assert listing.n_labels == 4


def test_the_better_row_goes_by_the_metrics_direction():
    (listing,) = pairs.blocks(findings_of(results()))
    by_pair = {(x["Metric"], frozenset((x["First"], x["Second"]))): x for x in lines(listing)}
    ma = by_pair["MA (%) ↓", frozenset(("OPT", "NEO + ICU"))]
    assert ma["Better"] == "OPT"
    sign = "-" if ma["First"] == "OPT" else "+"
    assert ma["Difference"].startswith(sign)
    assert float(ma["Difference"]) == pytest.approx(20.0 if sign == "+" else -20.0, abs=1.5)
    low, high = map(float, ma["95% interval"].split(" to "))
    assert low < float(ma["Difference"]) < high
    assert (ma["p"], ma["p, corrected"]) == ("<0.001", "<0.001")
    same = by_pair["Cls Avg. (ACC) ↑", frozenset(("OPT", "NEO + ICU"))]
    assert same["Better"] == "≈"
    assert same["Documents"] == "30"


@pytest.mark.parametrize(
    ("difference", "p_corrected", "better"),
    [(1.5, 0.049, "B"), (-1.5, 0.049, "A"), (1.5, 0.05, "≈"), (0.0, 0.0, "≈")],
)
def test_only_a_corrected_p_under_the_level_names_a_better_row(
    monkeypatch, difference, p_corrected, better
):
    def one_pair(_group, column, _by_key):
        found = Pair(difference, None, None, 0.01, 1234, "A", "B", p_corrected)
        return (found,) if column.name == "ma" else ()

    monkeypatch.setattr(pairs, "pairwise", one_pair)
    (listing,) = pairs.blocks(findings_of(results()))
    (line,) = lines(listing)
    assert line["Better"] == better
    assert (line["95% interval"], line["Documents"]) == (ABSENT, "1,234")
    assert "3 of 3 in Cls Avg. (ACC)" in told(listing, "untested")
    assert "2 of 3 in MA (%)" in told(listing, "untested")


def test_there_are_no_pairs_of_one_row_or_without_outcomes_by_document():
    assert not [*pairs.blocks(findings_of([measured("NEO + ICU", ma=0.5)]))]
    assert not [*pairs.blocks(findings_of(results(documents=False)))]
    assert not [*pairs.blocks(findings_of([result(status="failed", scores={}, error="x")]))]


def test_stability_prints_what_was_found():
    findings = findings_of(results())
    shares, one_less = stability.blocks(findings)
    group = findings.table.groups[0]
    found = rank_stability(group, findings.table.metric_columns, findings.by_key)
    for at, line in enumerate(lines(shares)):
        assert line["Row"] == found.rows[at] == group.compared[at].label
        share = found.shares["s_z"][at]
        assert line["s_z: runs drawn anew"] == f"{100 * share:.0f}%"
    assert "all resamplings" in told(shares, "shares")
    assert "of the 2 runs" in told(shares, "shares")
    best = next(line for line in lines(shares) if line["Row"] == "NEO + KL")
    assert best["s_m: a metric less"] == "2 of 2"
    assert best["s_m: a row less"] == "2 of 2"
    left_out = {(line["Less a"], line["Left out"]): line for line in lines(one_less)}
    assert len(left_out) == 1 + 2 + 3
    assert left_out[ABSENT, "nothing"]["First by s_z"] == "NEO + KL"
    assert left_out["metric", "MA (%)"]["First by s_m"] == "NEO + KL"
    without = left_out["row", "NEO + KL"]["First by s_z"].split(", ")
    assert without == list(found.without_row["NEO + KL"][0])
    assert one_less.n_labels == len(one_less.headers)


def test_of_one_run_nothing_is_said_of_others():
    shares, _ = stability.blocks(findings_of(results(n_runs=1)))
    assert {line["s_z: runs drawn anew"] for line in lines(shares)} == {ABSENT}
    assert "fewer than two runs" in told(shares, "shares")


def test_two_rows_have_no_ranking_with_a_row_less():
    two = [r for r in results() if r.label != "OPT"]
    shares, one_less = stability.blocks(findings_of(two))
    assert {line["s_z: a row less"] for line in lines(shares)} == {ABSENT}
    assert [line["Less a"] for line in lines(one_less)] == [ABSENT, "metric", "metric"]


def test_without_scores_there_is_no_stability():
    assert not [*stability.blocks(findings_of([measured("NEO + ICU", ma=0.5)]))]


def test_golden_results_with_failed_and_missing_runs_are_printed():
    made = list(stability.blocks(findings_of(golden_results())))
    assert [len(block.rows[0]) for block in made] == [len(block.headers) for block in made]
