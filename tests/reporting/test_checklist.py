"""The checklist: every question has a line, answered from the results or said not to be."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import attack_cases
import numpy as np
import pytest
import statistics_cases
from golden_results import golden_results, result

from unlearnbench.cli import main
from unlearnbench.registry import find
from unlearnbench.reporting.document import Findings, findings_of
from unlearnbench.reporting.sections import checklist, make_document
from unlearnbench.results.record import (
    BenchmarkRecord,
    Environment,
    EvaluationSetRecord,
    ImportRecord,
    PhaseRecord,
    SplitRecord,
)

ALWAYS = (
    "Measured here", "Benchmark", "Forget set", "Licence of the data",
    "Real models", "Model nano-neo", "BERT of BERTScore", "Encoder of pairs",
    "Protocol", "Stop line", "End of a run", "Retain item beside a row", "Origin of settings",
    "Equal tuning budgets", "Seeds of unlearning", "Seeds of training: original model",
    "Seeds of training: retrained model", "Several forget sets",
    "Model before unlearning", "Retrained model (the reference)",
    "Retrained model, other seed (the null)", "Shams (must not look like unlearning)",
    "Attacks", "Worst case over attacks", "Metrics", "Metrics tested for faithfulness",
    "Judge of continuations", "Ratings by people", "Intervals over items", "Spread over runs",
    "Tests between rows", "Stability of first places",
    "Wall time", "Tokens", "Peak memory", "Compute of tuning", "Hardware", "Software", "Commit",
    "Every cell succeeded", "Every row has every run and metric", "Results",
)  # fmt: skip


def answers(findings):
    """By item: what was done, and the answers of all its lines."""
    found = {}
    for listing in checklist.blocks(findings):
        for item, done, answer, where in listing.rows:
            assert done in ("yes", "no", "in part", "not recorded")
            assert item
            assert answer
            assert where
            kept = found.setdefault(item, (done, []))
            kept[1].append(answer)
    return {item: (done, "; ".join(texts)) for item, (done, texts) in found.items()}


def of(*results):
    return answers(findings_of(list(results)))


@pytest.fixture(scope="module")
def golden():
    return answers(findings_of(golden_results()))


def test_every_question_has_a_line_also_for_results_that_record_little(golden):
    assert set(ALWAYS) <= golden.keys()
    assert set(ALWAYS) <= of(result()).keys()


def test_what_was_not_done_is_said(golden):
    assert golden["Attacks"] == ("no", "none was run")
    assert golden["Retrained model, other seed (the null)"] == ("no", "no such row")
    assert golden["Shams (must not look like unlearning)"] == ("no", "no such row")
    assert golden["Metrics tested for faithfulness"][0] == "yes"  # by the shipped table
    assert golden["Ratings by people"] == ("no", "none")


def test_what_old_results_do_not_hold_is_not_recorded(golden):
    for item in ("Tokens", "Peak memory", "Commit", "Equal tuning budgets"):
        assert golden[item][0] == "not recorded", item


def test_failed_and_missing_cells_are_named(golden):
    assert golden["Every cell succeeded"] == ("in part", "3 of 18 cells failed")
    assert "loss became NaN in epoch 3." in golden["Failed cell"][1]
    assert golden["Every row has every run and metric"][0] == "no"
    assert of(result())["Every cell succeeded"] == ("yes", "none of 1 cell failed")


def test_methods_that_missed_the_stop_line_are_counted(golden):
    assert golden["Reached the stop line: NEO + KUMPR"] == ("yes", "2 of 2 runs")
    assert golden["Reached the stop line: NEO + KL"] == ("in part", "1 of 2 runs")
    assert "learning_rate=2e-4" in golden["Settings: NEO + KUMPR"][1]


def test_a_synthetic_model_is_no_claim_about_real_ones(golden):
    assert golden["Real models"][0] == "no"
    assert of(result(group="gpt2"))["Real models"] == ("yes", "none is marked as synthetic")


def tuned(method, n):
    told = f"tuned on forget set x, chosen among {n} random configurations (seed 0): the rule"
    made = result(f"NEO + {method.upper()}", method=method)
    record = made.method.model_copy(update={"origins": {"learning_rate": told}, "label": method})
    return made.model_copy(update={"method": record})


def test_budgets_are_equal_where_every_method_had_as_many_configurations():
    assert of(tuned("icu", 12), tuned("kl", 12))["Equal tuning budgets"][0] == "yes"
    done, answer = of(tuned("icu", 12), tuned("kl", 6))["Equal tuning budgets"]
    assert (done, answer) == ("no", "configurations tried: icu 12, kl 6")
    for order in ((6, 12), (12, 6)):
        found = of(tuned("kl", 12), *(tuned("icu", n) for n in order))["Equal tuning budgets"]
        assert found == ("no", "configurations tried: kl 12, icu 6 or 12")
    unknown = result("NEO + DPO", method="dpo")
    assert of(tuned("icu", 12), unknown)["Equal tuning budgets"][0] == "no"


def test_seeds_of_unlearning_and_of_training_are_apart():
    one = of(result(), result("NEO (retrained)", role="retrained", method="none"))
    assert one["Seeds of unlearning"] == ("no", "one (42): nothing is said of other seeds")
    assert one["Seeds of training: retrained model"][0] == "no"
    null = result("NEO (retrained, other seed)", role="null", method="none")
    other = null.model.model_copy(update={"name": "other", "weights_sha256": "ff" * 32})
    two = of(result(seed=1), result(seed=2), null, null.model_copy(update={"model": other}))
    assert two["Seeds of unlearning"] == ("yes", "2: 1, 2")
    assert two["Seeds of training: retrained model"][0] == "yes"
    assert two["Seeds of training: original model"] == ("no", "none was measured")


def test_data_have_their_digests_and_the_limit():
    sets = {"piqa": EvaluationSetRecord(source="hf:piqa", split="validation", revision="ab" * 20,
                                        n=1838, sha256="cd" * 32)}  # fmt: skip
    identity = {"tasks": {"limit": 100}, "texts": {"pile": "ef" * 32},
                "forget_set": {"sha256": "12" * 32, "limit": 16}}  # fmt: skip
    found = of(result(sets=sets, identity=identity))
    assert "100 of 1,838 items, sha256 cdcdcdcdcdcd" in found["Set piqa"][1]
    assert found["Text pile"][1] == "sha256 efefefefefef"
    assert "the first alone (--limit 16), sha256 121212121212" in found["Forget set"][1]


def test_the_licence_is_the_benchmarks_its_files_or_to_be_said():
    record = BenchmarkRecord(
        name="tofu", title="TOFU", split="forget10", template="plain", columns=[],
        splits={"forget": SplitRecord(role="forget", source="x", n=400, sha256="ab" * 32)},
    )  # fmt: skip
    old = of(result(benchmark=record))
    assert old["Licence of the data"] == ("yes", "nano: Apache-2.0")  # the forget set's world
    assert "400 items, sha256 abababababab" in old["Split forget"][1]
    stated = of(result(benchmark=record.model_copy(update={"licence": "CC0"})))
    assert stated["Licence of the data"] == ("yes", "TOFU: CC0")
    own = result().forget_set.model_copy(update={"name": "mine.jsonl/0"})
    for benchmark in (record, None):
        found = of(result(benchmark=benchmark, forget_set=own))
        assert found["Licence of the data"][0] == "not recorded"


def test_costs_are_summed_without_what_is_shared():
    phase = {"forward_tokens": 1000, "generated_tokens": 10, "seconds": 1.0}
    costs = {name: PhaseRecord(**phase, peak_memory_bytes=2**20 * n)
             for n, name in enumerate(("calibrate", "unlearn", "forgetting"), start=1)}  # fmt: skip
    made = {"python": "3.11", "platform": "Linux", "packages": {"torch": "2.13"}, "n_threads": 1}
    environment = Environment(**made, git_commit="abc" * 14, git_dirty=True)
    found = of(*(result(run=r, costs=costs, environment=environment) for r in "01"))
    told = "4,000 forward, 2,000 of them to unlearn; 40 generated"
    assert found["Tokens"] == ("yes", told)
    assert found["Peak memory"][1].startswith("3 MiB")
    assert found["Commit"] == ("in part", "abcabcabcabc, with uncommitted changes")
    assert found["Software"][1] == "Python 3.11, torch 2.13"


def test_imported_results_are_not_measured_here():
    log = ImportRecord(kind="openunlearning", file="TOFU.json", sha256="ab" * 32, stated={})
    done, answer = of(result(), result("X", imported=log))["Measured here"]
    assert done == "in part"
    assert "TOFU.json (openunlearning, sha256 abababababab)" in answer


def test_of_an_imported_table_nothing_is_said_that_its_log_does_not_say(tmp_path):
    from unlearnbench.logs.imports import Wanted, result_of
    from unlearnbench.logs.log import Log

    totals = {"answers": {"forget_probability": (0.5, None)}}
    log = Log(tmp_path / "zoo.json", "UDS", "ab" * 32, "m1", totals=totals, settings={"alpha": 2.0})
    rows = [result_of(replace(log, model=name), Wanted(), at) for at, name in enumerate("ab")]
    found = of(*rows)
    for item in (
        "Reached the stop line: a", "End of a run", "Retain item beside a row", "Protocol",
        "Origin of settings", "Seeds of unlearning", "Model a", "Hardware", "Software", "Commit",
        "Forget set", "Split forget",
    ):  # fmt: skip
        assert found[item][0] == "not recorded", item
    assert found["Settings: a"] == ("yes", "alpha=2")
    assert found["Tests between rows"] == ("no", "no two compared rows have outcomes by document")
    assert not any(" 0 " in text or text.startswith("0 items") for _, text in found.values())


def test_tests_between_rows_are_those_of_pairs_with_outcomes(golden):
    assert golden["Tests between rows"][0] == "no"  # whose documents were not kept
    rng = np.random.default_rng(0)
    pair = [statistics_cases.result(f"NEO + {name}", ma=rng.random(40)) for name in ("ICU", "KL")]
    alone = statistics_cases.result("GPT2 + ICU", ma=rng.random(40), group="gpt2")
    for found in (of(*pair), of(*pair, alone)):  # a row alone in its group makes no pairs
        assert found["Tests between rows"][0] == "yes"
        assert found["Multiple comparisons"][1].startswith("Holm, over the 1 pair of a metric")


def test_compute_of_tuning_is_that_of_the_trials_of_the_folder(golden):
    assert golden["Compute of tuning"][0] == "not recorded"
    trials = tuple(tuned("icu", 2).model_copy(update={"key": k, "seconds": 30.0}) for k in "ab")
    found = answers(replace(findings_of([result()]), trials=trials))
    assert found["Compute of tuning"] == ("yes", "60.0 s in all for 2 cells of the searches")


def test_attacks_name_their_worst_case():
    found = answers(attack_cases.panel())
    assert found["Attacks"][0] == "yes"
    assert "Relearning" in found["Attacks"][1]
    worst = found["Worst case over attacks: NEO + ICU"]
    assert worst[0] == "yes"
    assert worst[1].startswith("recovery ")


@dataclass(frozen=True)
class WithTest(Findings):
    """Findings with a test of metrics beside them."""

    tested: object = None


def test_a_test_of_metrics_is_quoted_where_one_speaks_of_the_results():
    metrics = {
        "ma": SimpleNamespace(faithfulness=0.91, low=0.8, high=0.97, is_untold=False),
        "entropy": SimpleNamespace(faithfulness=0.55, low=0.41, high=0.7, is_untold=True),
    }
    table = SimpleNamespace(
        of_metric=lambda _task, name: metrics.get(name), command="unlearnbench meta"
    )
    found = answers(WithTest(tuple(golden_results()), tested=table))
    done, answer = found["Metrics tested for faithfulness"]
    assert done == "in part"
    assert "MA 0.91 [0.80, 0.97]" in answer
    assert "Entropy 0.55 [0.41, 0.70], not told from chance" in answer
    assert "not tested: EL10" in answer


def test_each_format_prints_it():
    document = make_document(findings_of(golden_results()), ["checklist"])
    for name in ("plain", "markdown", "latex-fragment", "csv", "json"):
        text = find("reports", name)().render(document)
        assert "Equal tuning budgets" in text, name
    plain = find("reports", "plain")().render(document).split("\n")
    assert max(map(len, plain)) <= 120


def test_the_flag_is_the_section_and_goes_with_no_other(tmp_path, capsys):
    for flags in (["--checklist", "--sections", "table"], ["--checklist", "--beside-published"]):
        assert status_of(["report", str(tmp_path), *flags]) == 2
        assert "ask for different reports" in capsys.readouterr().err


def status_of(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_results_of_all_groups_are_counted_together():
    half = replace(findings_of([result(), result(group="gpt2", label="GPT2 + ICU")]))
    assert "(gpt2)" in " ".join(answers(half))
