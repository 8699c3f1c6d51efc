"""From results of pools to the table: derived scores, planted metrics, R and Q by hand."""

from dataclasses import replace
from statistics import fmean

import attack_cases
import meta_cases
import pytest

from unlearnbench.analysis.attacks.robustness import (
    quantisation_robustness,
    relearning_robustness,
    symmetric_quantisation_robustness,
    symmetric_relearning_robustness,
)
from unlearnbench.analysis.derived import with_derived
from unlearnbench.analysis.derived.score import METRICS, truth_ratio_metric
from unlearnbench.analysis.meta.measured import about_of, goodness, knowledge, measure
from unlearnbench.analysis.meta.robustness import relative_utility, useful
from unlearnbench.analysis.meta.table import read_table, shipped_tables
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.errors import UserError
from unlearnbench.experiments.pools.definition import shipped
from unlearnbench.results.record import BenchmarkRecord, SplitRecord
from unlearnbench.results.score import Metric, table_i
from unlearnbench.tasks._splits import Column, SplitScores


@pytest.fixture(scope="module")
def of_pools():
    return meta_cases.of_pools()


@pytest.fixture(scope="module")
def table(of_pools):
    return meta_cases.table(of_pools)


def test_metrics_of_knowledge_tell_the_pools_and_a_planted_one_does_not(table) -> None:
    good = table.of_metric("answers", "forget_probability")
    assert (good.faithfulness, good.about, good.is_untold) == (1.0, "forgotten", False)
    assert good.low > 0.5
    assert good.n_with == 6
    assert good.n_without == 7
    length = table.of_metric("replies", "forget_length")
    assert length.low < 0.5 < length.high
    assert length.is_untold
    assert abs(length.faithfulness - 0.5) < 0.3


def test_what_is_kept_is_a_control_and_never_marked(table) -> None:
    kept = table.of_metric("answers", "retain_probability")
    utility = table.of_metric("derived", "model_utility")
    assert kept.about == utility.about == "kept"
    assert not kept.is_untold
    assert kept.relearning is None


def test_derived_scores_are_relative_to_the_run_with_the_original(of_pools, table) -> None:
    """The same value as if the member had been a row beside the references."""
    member = meta_cases.pools()[0]
    row = member.results[0].model_copy(update={"group": "nano-neo", "role": "method"})
    alone = with_derived([*meta_cases.references(), row])[-1]
    own = next(model for model in of_pools.models if model.name == member.name)
    for name in ("ks_distance", "s_mia_loss", "privacy", "relative_utility", "overall"):
        assert own.values["derived", name] == pytest.approx(alone.scores["derived"][name].value)
    assert table.of_metric("derived", "ks_distance").faithfulness == 1.0
    assert table.of_metric("derived", "s_mia_loss").faithfulness == 1.0


def test_the_reference_in_a_pool_says_nothing_relative_to_itself(of_pools, table) -> None:
    again = next(model for model in of_pools.models if model.name == "again")
    assert ("derived", "ks_distance") not in again.values
    assert ("derived", "s_mia_loss") not in again.values
    assert ("derived", "forget_truth_ratio") in again.values
    assert ("answers", "forget_probability") in again.values
    assert table.of_metric("derived", "ks_distance").n_without == 6


def test_what_is_in_no_pool_is_no_model() -> None:
    roles = ("dedup", "null", "sham", "method")
    rows = [meta_cases.of_benchmark(role, 60 + at, 0.3, role) for at, role in enumerate(roles)]
    measured = measure([], [*rows, *meta_cases.references()])
    assert {model.pool: model.name for model in measured.models} == {
        "unlearned": "method, seed 0", "before": "before", "retrained": "retrained",
    }  # fmt: skip
    assert len(measured.models) == 3


def test_metrics_without_a_direction_or_of_unseen_texts_are_left_out(table) -> None:
    assert "no direction" in table.left_out["derived.auc_loss"]
    assert table.of_metric("derived", "auc_loss") is None
    assert table.of_metric("derived", "privacy_leakage") is None


def test_each_kind_has_its_own_area(table) -> None:
    good = table.of_metric("answers", "forget_probability")
    assert good.kinds_with == good.kinds_without == {f"kind {at}": 1.0 for at in range(3)}
    length = table.of_metric("replies", "forget_length")
    assert fmean(length.kinds_with.values()) == pytest.approx(length.faithfulness)  # equal sizes


def test_the_threshold_is_in_stored_units_between_the_pools(of_pools, table) -> None:
    for place in (("answers", "forget_probability"), ("derived", "s_mia_loss")):
        metric = table.of_metric(*place)
        values = {
            pool: [m.values[place] for m in of_pools.of_pool(pool) if place in m.values]
            for pool in ("with", "without")
        }
        sides = sorted(values.values())
        assert max(sides[0]) <= metric.threshold <= min(sides[1])
        assert metric.accuracy == 1.0


def test_robustness_is_the_mean_over_models_that_count() -> None:
    levels = attack_cases.LEVELS
    members, others = meta_cases.under_attack(levels)
    measured = measure(members, others)
    made = meta_cases.table(measured).of_metric("forgetting", "ma")
    methods = ["NEO + ICU", "NEO + KUMPR"]
    # Their MA is under the threshold between the pools, about 0.7.
    assert made.threshold == pytest.approx((0.53 + 0.9) / 2)
    by_name = {r.label: r for r in others if r.attack is None}
    counted = [m for m in methods if _ma(by_name[m]) <= made.threshold]
    assert made.n_unlearned == len(counted) > 0
    pairs = [(_gain(others, m), _gain(others, attack_cases.RETRAINED)) for m in counted]
    ends = [(_ma(by_name[m]), _under(others, m, "quantise")) for m in counted]
    assert made.relearning == pytest.approx(fmean(relearning_robustness(*p) for p in pairs))
    assert made.quantisation == pytest.approx(fmean(quantisation_robustness(*e) for e in ends))
    symmetric = fmean(symmetric_relearning_robustness(*p) for p in pairs)
    assert made.symmetric_relearning == pytest.approx(symmetric)
    symmetric = fmean(symmetric_quantisation_robustness(*e) for e in ends)
    assert made.symmetric_quantisation == pytest.approx(symmetric)
    r, q = made.relearning, made.quantisation
    assert made.aggregate == pytest.approx(2 / (1 / r + 1 / q))
    assert made.overall == pytest.approx(2 / (1 / made.faithfulness + 1 / made.aggregate))


def test_a_number_without_a_zero_has_no_q() -> None:
    """Entropy is high where something is forgotten and no share: its negative has no ratio."""
    measured = measure(*meta_cases.under_attack(attack_cases.LEVELS))
    assert meta_cases.table(measured).of_metric("forgetting", "entropy").about == "kept"
    measured = meta_cases.with_entropy_of_forgetting(measured)
    entropy = meta_cases.table(measured).of_metric("forgetting", "entropy")
    assert entropy.about == "forgotten"
    assert entropy.quantisation is None
    assert entropy.aggregate is None


def _ma(result, point="") -> float:
    return result.scores[f"{point}forgetting"]["ma"].value


def _under(results, label, attack) -> float:
    of = next(r for r in results if r.label == label and r.attack and r.attack.name == attack)
    return _ma(of, f"{of.attack.points[-1].name}/")


def _gain(results, label) -> float:
    own = next(r for r in results if r.label == label and r.attack is None)
    return _under(results, label, "relearn") - _ma(own)


def test_models_that_lost_their_utility_count_for_nothing(of_pools) -> None:
    place = ("derived", "model_utility")
    original = of_pools.of_pool("before")[0]
    lost, kept, unknown = (
        replace(original, pool="unlearned", name=name, values=values)
        for name, values in (
            ("lost", {place: 0.79 * original.values[place]}),
            ("kept", {place: 0.81 * original.values[place]}),
            ("unknown", {}),
        )
    )
    both = replace(of_pools, models=(original, lost, kept))
    assert useful(both) == [kept]
    assert relative_utility(both, lost) == pytest.approx(0.79)
    assert useful(replace(of_pools, models=(original, unknown))) == [unknown]


def test_turning_a_value_twice_gives_it_back() -> None:
    share = Metric("a", "A", True, unit="%", task="t")
    bits = Metric("b", "B", True, unit="bits", task="t")
    low = Metric("c", "C", False, unit="%", task="t")
    assert [knowledge(metric, 0.2) for metric in (share, bits, low)] == [0.8, -0.2, 0.2]
    assert [goodness(metric, 0.2) for metric in (share, bits, low)] == [0.2, 0.2, -0.2]
    for metric in (share, bits, low):
        for turn in (knowledge, goodness):
            assert turn(metric, turn(metric, 0.3)) == pytest.approx(0.3)


def test_a_metric_is_about_what_its_split_is_for() -> None:
    roles = {"forget": "forget", "forget_rephrased": "forget", "retain": "retain",
             "holdout": "holdout", "facts": "general"}  # fmt: skip
    splits = {
        name: SplitRecord(role=role, source="x", n=1, sha256="0") for name, role in roles.items()
    }
    benchmark = BenchmarkRecord(
        name="b", title="B", split="s", template="plain", columns=[], splits=splits
    )
    result = meta_cases.of_benchmark("x", 1, 0.5).model_copy(update={"benchmark": benchmark})
    bare = result.model_copy(update={"benchmark": None})

    def about(name: str, task: str = "answers", documents: str = "sets", of=result) -> str:
        made = Metric(name, name, True, task=task, documents=documents)
        return about_of(METRICS.get(name, made), of)

    assert about("forget_rephrased_probability") == "forgotten"
    assert about("holdout_loss", documents="rows") == "neither"
    assert about("retain_probability") == about("facts_margin") == "kept"
    assert about("forget_quality", "derived") == about("ks_distance", "derived") == "forgotten"
    assert about("model_utility", "derived") == "kept"
    assert about_of(truth_ratio_metric("retain", is_forget=False), result) == "kept"
    assert about_of(truth_ratio_metric("forget", is_forget=True), result) == "forgotten"
    assert [about_of(metric, bare) for metric in table_i("ma", "entropy")] == ["forgotten", "kept"]
    assert about_of(METRICS["klom_mean"], bare) == "forgotten"
    assert about("pile_ppl", "perplexity", "texts", bare) == "kept"


def test_fluency_of_replies_to_what_is_to_be_forgotten_is_no_forgetting() -> None:
    result = meta_cases.of_benchmark("x", 1, 0.5)
    items = (Item("0", "q", "a"),)
    made = SplitScores()
    for column in (Column("ngram_entropy", "n-gram entropy", high="fluent"), Column("rouge", "R")):
        made.add(Split("forget", "forget", items, Template("plain")), column, {"0": 1.0})
    assert [about_of(metric, result) for metric in made.metrics] == ["kept", "forgotten"]


def test_the_shipped_tables_can_be_read_and_name_pools() -> None:
    for name, path in shipped_tables().items():
        table = read_table(path)
        assert table.name == name
        assert name in shipped()
        assert table.metrics


def test_a_table_is_read_as_it_was_written(tmp_path, table) -> None:
    path = tmp_path / "meta.json"
    path.write_text(table.model_dump_json(indent=1))
    assert read_table(path) == table
    path.write_text("{}")
    with pytest.raises(UserError, match="no table of metrics"):
        read_table(path)
    with pytest.raises(UserError, match="cannot read"):
        read_table(tmp_path / "none.json")


def test_frames_hold_the_table(table) -> None:
    frame = table.to_frame()
    assert len(frame) == len(table.metrics)
    models = table.to_frame("models")
    assert list(models.pool).count("with") == 6
    assert models["answers.forget_probability"].notna().all()
    correlations = table.to_frame("correlations")
    one = correlations.loc["answers.forget_probability", "answers.forget_extraction_strength"]
    assert one > 0.9
