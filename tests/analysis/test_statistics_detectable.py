"""What measured documents and seeds could have shown: errors against scipy, and the section."""

import math

import numpy as np
import pytest
from scipy.stats import nct, t, ttest_rel
from statistics_cases import AVERAGE, MA, PILE, result

from unlearnbench.analysis.statistics.detectable import power_of, seeds_of, standard_error
from unlearnbench.analysis.statistics.two_samples import TwoSamples
from unlearnbench.analysis.table import ABSENT
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import findings_of
from unlearnbench.reporting.sections import power as section

RNG = np.random.default_rng(20250201)


def findings(*results):
    return findings_of(list(results))


def powers(found, column):
    (group,) = found.table.groups
    return power_of(group, column, found.by_key)


def test_the_error_of_a_paired_difference_is_that_of_the_paired_t_test():
    first, second = RNG.normal(size=(2, 40)) / 10 + 0.5
    of = powers(findings(result("A", ma=first), result("B", ma=second)), MA)
    (pair,) = of.pairs
    t_statistic = ttest_rel(first, second).statistic
    assert pair.difference / pair.error == pytest.approx(t_statistic)
    assert pair.error == pytest.approx(100 * (first - second).std(ddof=1) / math.sqrt(40))
    reached = nct(39, pair.smallest() / pair.error).sf(t.ppf(0.975, 39))
    assert reached == pytest.approx(0.8, abs=1e-3)


def test_forget_sets_are_strata_of_their_own():
    of_documents = np.concatenate([RNG.normal(size=30), 5 + RNG.normal(size=10)])
    parts = [of_documents[:30], of_documents[30:]]
    expected = math.sqrt(sum(len(part) * part.var(ddof=1) for part in parts))
    assert standard_error(of_documents, [30, 10]) == pytest.approx(expected)
    assert math.isnan(standard_error(of_documents[:31], [30, 1]))


def test_documents_needed_are_those_of_the_observed_effect_and_spread():
    noise = RNG.normal(size=20)
    first = 0.5 + 0.02 * (noise - noise.mean()) / noise.std(ddof=1)
    of = powers(findings(result("A", ma=first + 0.01), result("B", ma=np.full(20, 0.5))), MA)
    n = of.best.documents_needed(of.n_pairs)
    assert n == 34  # d = 0.5, as in Cohen's tables
    assert of.best.documents_needed(n_pairs=6) > n


def test_best_and_second_are_named_whichever_row_comes_first():
    means = {"A": 0.6, "B": 0.3, "C": 0.4}
    found = findings(*(result(name, ma=RNG.normal(m, 0.1, 30)) for name, m in means.items()))
    of = powers(found, MA)
    assert {of.best.first, of.best.second} == {"B", "C"}
    assert len(of.pairs) == of.n_pairs == 3
    assert of.smallest(3) > of.smallest()


def test_too_few_documents_that_differ_show_nothing():
    same = np.full(30, 0.5)
    other = same.copy()
    other[:3] = 0.9
    of = powers(findings(result("A", ma=same), result("B", ma=other)), MA)
    assert math.isnan(of.smallest())
    few = powers(
        findings(result("A", ma=same[:4]), result("B", ma=same[:4] + RNG.normal(size=4))), MA
    )
    assert math.isnan(few.smallest())


def test_perplexities_are_ratios():
    nll = RNG.normal(2, 0.1, 30)
    found = findings(result("A", nll=nll), result("B", nll=nll + 0.1 + RNG.normal(0, 0.01, 30)))
    of = powers(found, PILE)
    assert of.is_log
    assert printing.size(PILE, abs(of.best.difference), of.is_log).startswith("×1.1")
    assert printing.size(PILE, math.log(2), is_log=True) == "×2.000"
    assert printing.size(PILE, 50.0, is_log=True) == ">×1000"


def test_seeds_tell_their_spread_only_where_there_are_two():
    rows = {seed: (RNG.normal(0.6, 0.05, 20), RNG.normal(0.5, 0.05, 20)) for seed in (1, 2, 3)}
    results = [result(label, ma=values[at], seed=seed)
               for seed, values in rows.items() for at, label in enumerate("AB")]  # fmt: skip
    found = findings(*results)
    (group,) = found.table.groups
    of = seeds_of(*group.rows, MA, found.by_key)
    differences = [100 * (a.mean() - b.mean()) for a, b in rows.values()]
    assert (of.n_seeds, of.sd) == (3, pytest.approx(np.std(differences, ddof=1)))
    assert of.needed(np.mean(differences), 1) >= 2
    alone = findings(*results[:2])
    assert seeds_of(*alone.table.groups[0].rows, MA, alone.by_key).needed(1.0, 1) is None


def test_the_section_prints_columns_and_untold_pairs():
    sets = {name: RNG.integers(0, 2, 20) for name in ("x", "y")}
    others = {name: 1 - values for name, values in sets.items()}
    near_nine, near_two = RNG.normal(0.9, 0.01, 20), RNG.normal(0.2, 0.01, 20)
    found = findings(result("A", ma=near_nine, sets=sets), result("B", ma=near_two, sets=others))
    listing, untold = section.blocks(found)
    by_metric = {line[0]: dict(zip(listing.headers, line, strict=True)) for line in listing.rows}
    assert by_metric["MA (%) ↓"]["Pairs told apart"] == "1 of 1"
    assert by_metric["MA (%) ↓"]["Documents needed"] != ABSENT
    assert by_metric["MA (%) ↓"]["Seeds needed"] == ABSENT
    assert by_metric["Cls Avg. (ACC) ↑"]["Documents"] == "40"
    assert {line[0] for line in untold.rows} == {"Cls Avg. (ACC) ↑"}
    assert {note.kind for note in listing.notes} == {"what", "needed", "one_seed"}
    assert powers(found, AVERAGE).pairs[0].n_strata == 2


def test_one_row_has_nothing_to_show():
    assert not list(section.blocks(findings(result("A", ma=[0.1] * 10))))


def test_questions_of_two_samples_say_where_none_can_be_shown():
    questions = dict(TwoSamples("area", 20, 50).questions())
    assert math.isnan(questions["TPR above an FPR of 1.0%"])  # no threshold in 50 texts
    assert not math.isnan(questions["AUC's distance from 0.5"])
    distances = [value for _, value in TwoSamples("distance", 64, 64).questions()]
    assert distances[0] == 0.25
    assert distances[1] < distances[0] < distances[2]
