"""The beside-published section: own value, printed value, difference, and the set-up."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from golden_results import result

from unlearnbench.analysis.table import ABSENT, PAPER_COLUMNS
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.reporting.published import printed_table
from unlearnbench.reporting.published.printed import number
from unlearnbench.reporting.sections.beside_published import blocks
from unlearnbench.results.record import Result
from unlearnbench.results.score import Metric, Score

RECORDS = [
    Metric(
        name=c.name,
        task="measured",
        label=c.label,
        higher_is_better=bool(c.higher_is_better),
        decimals=c.decimals,
        capped=c.capped,
    )
    for c in PAPER_COLUMNS
]
METHODS = {"kumpr": 1, "dpo": 2, "kl": 3, "llmu": 4, "icu": 5}


def measured(label: str, values: dict[str, float], **changes: Any) -> Result:
    scores = {n: Score(value=v, n=128, higher_is_better=True) for n, v in values.items()}
    one = result(label, **{"group": "neo-125m", **changes})
    return one.model_copy(update={"metrics": RECORDS, "scores": {"measured": scores}})


def reproduced(**changes: Any) -> list[Result]:
    """Results that are the printed ones to the last printed digit."""
    found = []
    for row in printed_table("table1").of("neo", "125M"):
        values = {c.name: row.values.get(c.name) for c in PAPER_COLUMNS}
        numbers = {n: min(number(v), 2000.0) for n, v in values.items() if v}
        method = row.method if row.method in METHODS else "none"
        found.append(
            measured(row.label, numbers, role=row.role, method=method,
                     position=METHODS.get(method, 0), **changes)
        )  # fmt: skip
    return found


def listings(results: list[Result], **published: str) -> dict[str, Listing]:
    made = blocks(Findings(tuple(results), published=published))
    assert len({listing.name for listing in made}) == len(made)
    for listing in made:
        assert all(len(row) == len(listing.headers) for row in listing.rows)
    return {listing.title.rpartition(": ")[2]: listing for listing in made}


SETUP = "What differs in the set-up"


def lines(listing: Listing) -> dict[tuple[str, str], dict[str, str]]:
    headers = listing.headers[2:]
    return {row[:2]: dict(zip(headers, row[2:], strict=True)) for row in listing.rows}


def notes(listing: Listing, kind: str) -> str:
    return " ".join(note.text for note in listing.notes if note.kind == kind)


def test_a_perfect_reproduction_differs_in_nothing():
    found = listings(reproduced())
    differences = [
        text
        for title, listing in found.items()
        if title != SETUP
        for (_, kind), texts in lines(listing).items()
        for header, text in texts.items()
        if kind == "difference" and header != "Epoch"
    ]
    assert set(differences) <= {ABSENT, "0.0", "0.000", "0.00"}
    assert sum(text != ABSENT for text in differences) == 7 * 8 - 2 + 6 + 12  # KUMPR's PPL
    scores = lines(found["epochs and scores"])
    assert scores["NEO + ICU", "here"]["s_z ↑"] == "3.78"
    assert scores["NEO + ICU", "printed"]["common s_z ↑"] == "3.78"


def test_own_printed_and_difference_stand_on_three_lines():
    results = [
        measured("NEO + KUMPR", {"el10": 1.5, "pile_ppl": 5000.0}, method="kumpr"),
        measured("NEO + LLMU", {"el10": 3.0, "pile_ppl": 20.0}, method="llmu", position=1),
    ]
    found = listings(results)
    metrics = lines(found["metrics"])
    of_row = {kind: metrics["NEO + KUMPR", kind]["EL10 ↓"] for kind in KINDS}
    assert of_row == {"here": "1.5", "printed": "0.7", "difference": "+0.8"}
    pile = {kind: metrics["NEO + KUMPR", kind]["Pile ↓"] for kind in KINDS}
    assert pile == {"here": ">1000", "printed": ">1000", "difference": ABSENT}
    assert metrics["NEO + LLMU", "difference"]["Pile ↓"] == "-3.6"
    assert metrics["NEO + DPO", "printed only"]["EL10 ↓"] == "17.4"
    assert "over the cap" in notes(found["metrics"], "cap")
    assert not notes(found["epochs and scores"], "cap")


KINDS = ("here", "printed", "difference")


def test_scores_over_other_rows_or_metrics_are_not_subtracted_but_computed_anew():
    results = [one for one in reproduced() if one.method.name != "dpo"]
    found = listings(results)["epochs and scores"]
    by_line = lines(found)
    assert by_line["NEO + ICU", "difference"]["s_z ↑"] == ABSENT
    # Over the five rows that both have, a perfect reproduction has the printed side's scores.
    assert by_line["NEO + ICU", "difference"]["common s_z ↑"] == "0.00"
    assert by_line["NEO + ICU", "here"]["common s_z ↑"] == by_line["NEO + ICU", "here"]["s_z ↑"]
    assert by_line["NEO + ICU", "printed"]["s_z ↑"] == "3.78"
    assert by_line["NEO + DPO", "printed only"]["common s_z ↑"] == ABSENT
    assert "both sides scored anew over OPT, NEO + KUMPR" in notes(found, "scores")


def test_a_printed_value_beside_two_rows_has_no_common_scores():
    twice = measured("NEO + KL", {"el10": 5.0}, method="kl", settings={"learning_rate": 1e-4})
    found = listings([*reproduced(), twice])["epochs and scores"]
    assert not notes(found, "scores")
    assert not [header for header in found.headers if "common" in header]


def test_a_printed_value_within_the_spread_or_the_interval_is_marked():
    results = [
        measured("NEO + ICU", {"el10": el10, "ma": ma}, method="icu", run=run)
        for run, el10, ma in (("0", 3.4, 70.0), ("1", 5.0, 70.4))
    ]  # 4.4 and 55.6 are printed
    difference = lines(listings(results)["metrics"])["NEO + ICU", "difference"]
    assert (difference["EL10 ↓"], difference["MA ↓"]) == ("-0.2~", "+14.6")
    findings = Findings(tuple(results))
    (group,) = findings.table.groups
    (row,) = group.rows
    cell = replace(row.cells["ma"], low=55.0, high=80.0)
    wide = replace(group, rows=(replace(row, cells={**row.cells, "ma": cell}),))
    findings.__dict__["table"] = replace(findings.table, groups=(wide,))
    assert lines(blocks(findings)[0])["NEO + ICU", "difference"]["MA ↓"] == "+14.6~"


def test_the_printed_rate_is_told_where_it_is_another():
    rates = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4)
    results = [
        measured("NEO + ICU", {"el10": 1.0}, method="icu", group="nano-neo",
                 settings={"learning_rate": rate})
        for rate in rates
    ]  # fmt: skip
    found = listings(results)["metrics"]
    assert ("NEO + ICU (learning_rate=2e-4)", "printed (learning_rate=1e-5)") in lines(found)
    assert (
        lines(found)["NEO + ICU (learning_rate=1e-5)", "printed (learning_rate=5e-7)"]["EL10 ↓"]
        == "4.9"
    )


def test_what_differs_in_the_set_up_is_one_listing_for_all_groups():
    *others, setup = blocks(Findings((*reproduced(), *reproduced(group="neo-1.3b"))))
    assert setup.headers == ("Setting", "Model", "here", "printed", "touches")
    by_setting = {row[0]: row[1:] for row in setup.rows}
    assert by_setting["kl_term"] == (
        "all", "divergence", "cross_entropy", "NEO + KL, NEO + LLMU, NEO + ICU",
    )  # fmt: skip
    assert by_setting["dtype"][:3] == ("neo-1.3b", "float32", "bfloat16")
    assert not {note.kind for listing in others for note in listing.notes} & {"printed"}
    released = {"protocol_name": "released", "protocol": {}}
    *_, setup = blocks(Findings(tuple(reproduced(**released))))
    assert [row[0] for row in setup.rows] == ["forget sets", "judge"]


def test_marks_of_rows_and_models_without_a_printed_row_are_explained():
    missed = measured("NEO + KL", {"el10": 9.0}, method="kl", status="not_forgotten")
    foreign = measured("X + KL", {"el10": 9.0}, method="kl", group="gpt2")
    *_, last = listings([missed, foreign]).values()
    assert ("NEO + KL †", "here") in lines(listings([missed])["metrics"])
    assert any(note.marker == "†" and "NEO + KL" in note.text for note in last.notes)
    assert notes(last, "left_out") == "Nothing is printed to lay beside gpt2."


@pytest.mark.parametrize(("source", "cap"), [("v1", ">10000"), ("v2", ">1000")])
def test_both_versions_of_the_paper(source: str, cap: str):
    found = listings(reproduced(), source=source)
    assert lines(found["metrics"])["NEO + KUMPR", "printed"]["Pile ↓"] == cap
    borrowed = {"v1": "s_z, s_m: printed in version 2", "v2": "Epoch: printed in version 1"}
    assert notes(found["epochs and scores"], "borrowed").startswith(borrowed[source])


def test_peoples_score_is_laid_beside_on_the_papers_scale():
    cell = SimpleNamespace(model="neo-125m", method="NEO + ICU", mean=5.0)
    results = reproduced()
    # The sheet was drawn when the folder's table had another ICU row, and named this one so.
    cell.method = "NEO + ICU (alpha=0.5)"
    drawn = {(cell.model, cell.method): {r.key for r in results if r.method.name == "icu"}}
    study = SimpleNamespace(
        scores=SimpleNamespace(cells=[cell]), is_rehearsal=False, result_keys=drawn
    )
    findings = Findings(tuple(results), published={"table": "human"}, read_human=lambda: study)
    only, _ = blocks(findings)
    by_line = lines(only)
    assert by_line["NEO + ICU", "difference"] == {"Human ↑": "-0.7", "GPT ↑": "0.00"}
    assert by_line["NEO + KUMPR", "difference"]["Human ↑"] == ABSENT
    rehearsal = SimpleNamespace(scores=study.scores, is_rehearsal=True)  # rules, not people
    only, _ = blocks(replace(findings, read_human=lambda: rehearsal))
    assert lines(only)["NEO + ICU", "here"]["Human ↑"] == ABSENT
