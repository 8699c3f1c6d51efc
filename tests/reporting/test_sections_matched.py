"""Forgetting at equal utility: values, ranks and what is said; costs of attacks beside it."""

from statistics import fmean
from typing import Any

import attack_cases as cases
import pytest
from scipy.stats import bootstrap

from unlearnbench.analysis.table import ABSENT
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.reporting.sections import costs, matched
from unlearnbench.results.record import PhaseRecord, Result

# ICU pays with utility and gives 60% of its way back, KUMPR keeps it.
FACTS = {
    cases.BEFORE: (1.0, 1.0, 1.0), cases.RETRAINED: (1.0, 1.02, 1.02),
    "NEO + ICU": (0.25, 0.951, 0.4), "NEO + KUMPR": (1.0, 0.99, 0.99),
}  # fmt: skip


def under(of: Result, **changes: Any) -> Result:
    alpha, utility, unmatched = FACTS[of.label]
    facts = {"alpha": alpha, "utility": utility, "utility_unmatched": unmatched,
             "evaluations": 8.0, "largest_rise_of_utility": 0.0, **changes}  # fmt: skip
    gain = 0.6 if of.label == "NEO + ICU" else 0.0
    points = [("matched", None, cases.scores(cases.values(of, gain)), facts)]
    costs = {
        "attack": cost(100), "utility": cost(1000), "examine": cost(10),
        "forgetting": cost(1), "other": cost(0),
    }  # fmt: skip
    return cases.attacked(of, "utility_match", points, label="Utility matched", costs=costs)


def cost(tokens: int) -> PhaseRecord:
    return PhaseRecord(
        forward_tokens=tokens, generated_tokens=0, seconds=1.0, peak_memory_bytes=2**20
    )


@pytest.fixture(scope="module")
def findings() -> Findings:
    bases = list(cases._models(("0",), (42,)))
    plain = (cases.unattacked(b).model_copy(update={"costs": {"load": cost(0)}}) for b in bases)
    attacked = (make(b) for b in bases for make in (under, cases.quantised))
    return Findings(tuple(plain), attacked=tuple(attacked))


def lines(listing: Listing) -> dict[str, dict[str, str]]:
    heads = [h if listing.headers.index(h) == i else f"{h} {i}"
             for i, h in enumerate(listing.headers)]  # fmt: skip
    return {row[0]: dict(zip(heads, row, strict=True)) for row in listing.rows}


def test_methods_are_ranked_anew_at_equal_utility(findings):
    first, *_ = matched.blocks(findings)
    assert first.title == "MA at matched: nano-neo"
    icu, kumpr = (lines(first)[f"NEO + {name}"] for name in ("ICU", "KUMPR"))
    assert (icu["α"], icu["Utility"], icu["Utility unmatched"]) == ("0.250", "0.951", "0.400")
    assert (kumpr["α"], kumpr["Utility"]) == ("1.000", "0.990")
    assert (icu["Rank"], icu["Rank 9"]) == ("2", "1")
    assert (kumpr["Rank"], kumpr["Rank 9"]) == ("1", "2")
    base = next(r for r in findings.results if r.label == "NEO + ICU")
    after = under(base).at("matched")["forgetting"]["ma"].value * 100
    before = base.scores["forgetting"]["ma"].value * 100
    assert icu["MA (%) ↓ at equal utility"] == f"{after:.1f}"
    assert icu["MA unmatched"] == f"{before:.1f}"
    assert icu["Change"] == f"{after - before:+.1f}"
    assert icu["95% interval"].startswith("[")
    assert lines(first)[cases.RETRAINED]["Rank"] == ABSENT
    assert {note.kind: note.text for note in first.notes}["first"] == (
        "First in MA: NEO + KUMPR at equal utility, NEO + ICU unmatched."
    )


def test_the_interval_of_the_unmatched_value_is_of_the_attacked_models():
    """The table's is over runs of which no model was attacked, too."""
    every = list(cases._models(("0", "1"), (42, 43)))
    attacked = tuple(under(b) for b in every if b.forget_set.run == "0" and b.seed == 42)
    findings = Findings(tuple(map(cases.unattacked, every)), attacked=attacked)
    alone = [b for b in every if b.forget_set.run == "0" and b.seed == 42]
    of_attacked = Findings(tuple(map(cases.unattacked, alone)), attacked=attacked)
    own, expected = (lines(next(matched.blocks(f)))["NEO + ICU"] for f in (findings, of_attacked))
    assert own == expected
    row = next(row for row in findings.table.groups[0].rows if row.label == "NEO + ICU")
    column = next(c for c in findings.table.metric_columns if c.name == "ma")
    assert own["95% interval 8"] != findings.table.groups[0].interval(row, column)
    low, high = map(float, own["95% interval 8"].strip("[]").split(", "))
    values = cases.values(next(b for b in alone if b.label == "NEO + ICU"))
    normal = bootstrap((list(values.values()),), fmean, random_state=0, vectorized=False)
    ends = normal.confidence_interval
    assert (low, high) == pytest.approx((100 * ends.low, 100 * ends.high), abs=0.4)


def test_only_an_attack_that_matched_utility_has_a_listing(findings):
    assert all("Quantisation" not in block.title for block in matched.blocks(findings))
    assert list(matched.blocks(cases.panel())) == []


def test_a_utility_that_rises_and_an_update_of_which_nothing_is_left_are_told(findings):
    bases = list(cases._models(("0",), (42,)))
    changes = {"NEO + ICU": {"alpha": 0.0}, "NEO + KUMPR": {"alpha": 0.5,
               "largest_rise_of_utility": 0.2}}  # fmt: skip
    attacked = tuple(under(b, **changes.get(b.label, {})) for b in bases)
    told = Findings(tuple(map(cases.unattacked, bases)), attacked=attacked)
    first, *_ = matched.blocks(told)
    text = {note.kind: note.text for note in first.notes}
    assert "NEO + KUMPR by 0.200" in text["not_monotone"]
    assert "NEO + ICU" in text["nothing_left"]
    kinds = {note.kind for note in next(iter(matched.blocks(findings))).notes}
    assert not {"not_monotone", "nothing_left"} & kinds


def test_costs_say_what_matching_took(findings):
    listing = list(costs.blocks(findings))[-1]
    assert listing.title == "Costs of attacks, means over runs: nano-neo"
    of = {(row[0], row[1]): row for row in listing.rows}
    row = of["NEO + ICU", "Utility matched"]
    assert row[2] == "1"
    assert row[4:] == ("1,100", "1,111")
    assert ("NEO + ICU", "Quantisation") in of
