"""Recovery under attack: its formula, its intervals, and which results it is made of."""

import math
from statistics import fmean
from typing import Any

import attack_cases as cases
import numpy as np
import pytest

from unlearnbench.analysis.attacks import resampling
from unlearnbench.analysis.attacks.frames import attacks_frame
from unlearnbench.analysis.attacks.kinds import forgetting_metrics
from unlearnbench.analysis.attacks.panel import Attacked, Panel
from unlearnbench.analysis.attacks.recovery import Claim, Stratum, recovery
from unlearnbench.analysis.attacks.resampling import intervals, joint_level, worst_case
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import BenchmarkRecord, SplitRecord
from unlearnbench.results.score import Metric, Score

Rng = np.random.Generator


def stratum(
    values: dict[str, Any], name: str = "0", items: Any = None, seeds: tuple[int, ...] = ()
) -> Stratum:
    unlearned = np.atleast_2d(values["unlearned"])
    names = items if items is not None else range(unlearned.shape[1])
    others = {key: np.asarray(of) for key, of in values.items() if key != "unlearned"}
    ids = tuple(f"{i:03d}" for i in names)
    return Stratum(name, ids, unlearned, **others, seeds=seeds or tuple(range(len(unlearned))))


def drawn(rng: Rng, n: int = 40, n_seeds: int = 1) -> dict[str, Any]:
    hard = 0.05 * rng.normal(size=n)
    return {
        "unlearned": 0.7 + hard + 0.05 * rng.normal(size=(n_seeds, n)),
        "original": 0.95 + hard + 0.02 * rng.normal(size=n),
        "retrained": 0.55 + hard + 0.04 * rng.normal(size=n),
        "unattacked": 0.65 + hard + 0.05 * rng.normal(size=(n_seeds, n)),
    }


# ---- the formula


def test_the_original_has_recovery_1_and_the_retrained_model_0() -> None:
    assert recovery(0.9, 0.9, 0.3) == 1.0
    assert recovery(0.3, 0.9, 0.3) == 0.0
    assert recovery(0.6, 0.9, 0.3) == pytest.approx(0.5)
    assert recovery(1.2, 0.9, 0.3) == pytest.approx(1.5)  # as it is
    assert recovery(0.1, 0.9, 0.3) == pytest.approx(-1 / 3)
    assert math.isnan(recovery(0.5, 0.4, 0.4))
    assert math.isnan(recovery(0.5, math.inf, 0.4))


def test_whatever_an_attack_adds_to_all_three_models_is_no_recovery() -> None:
    plain = recovery(0.6, 0.9, 0.2)
    assert recovery(0.6 + 0.05, 0.9 + 0.05, 0.2 + 0.05) == pytest.approx(plain)
    assert recovery(3 * 0.6, 3 * 0.9, 3 * 0.2) == pytest.approx(plain)


@pytest.mark.parametrize("is_exp", [False, True])
def test_a_claim_is_the_ratio_of_means_over_runs(is_exp: bool) -> None:
    """By a plain loop over forget sets, seeds and items."""
    rng = np.random.default_rng(1)
    sets = [drawn(rng, 12, 3), drawn(rng, 7, 1)]
    claim = Claim(tuple(stratum(v, str(i)) for i, v in enumerate(sets)), is_exp)
    runs: dict[str, list[float]] = {"unlearned": [], "original": [], "retrained": []}
    for values in sets:
        for seed in values["unlearned"]:
            for name, of in {**values, "unlearned": seed}.items():
                if name in runs:
                    mean = fmean(map(float, of))
                    runs[name].append(math.exp(mean) if is_exp else mean)
    u, o, r = (fmean(runs[name]) for name in ("unlearned", "original", "retrained"))
    assert claim.value == pytest.approx((u - r) / (o - r))
    assert (claim.n_runs, claim.n_seeds, claim.n_items) == (4, 3, 19)


def test_models_that_are_not_told_apart_give_no_recovery() -> None:
    """4 standard errors of the paired difference, and the original above."""
    apart = np.array([0.1, 0.3, 0.2, 0.0, 0.4, 0.2, 0.1, 0.3])  # of the two models, by item
    error = apart.std(ddof=1) / math.sqrt(len(apart))
    for shift, told in ((4.01 * error, True), (3.99 * error, False), (-5 * error, False)):
        retrained = np.linspace(0.2, 0.5, 8)
        given = {
            "unlearned": retrained,
            "original": retrained + apart - apart.mean() + shift,
            "retrained": retrained,
        }
        assert Claim((stratum(given),)).is_told_apart is told
    alone = Stratum("0", (), np.array([[0.5]]), np.array([0.9]), np.array([0.3]))
    assert not Claim((alone,)).is_told_apart  # nothing says how sure the difference is


# ---- intervals


def test_an_interval_is_near_scipys_bca_of_the_same_ratio() -> None:
    from scipy.stats import bootstrap

    values = drawn(np.random.default_rng(2), 60)
    u, o, r = (np.ravel(values[name]) for name in ("unlearned", "original", "retrained"))
    (found,) = intervals([Claim((stratum(values),))], "recovery")

    def ratio(u: Any, o: Any, r: Any, axis: int = -1) -> Any:
        return (u.mean(axis) - r.mean(axis)) / (o.mean(axis) - r.mean(axis))

    scipys = bootstrap((u, o, r), ratio, paired=True, n_resamples=3000, method="BCa",
                       rng=np.random.default_rng(3)).confidence_interval  # fmt: skip
    assert found.value == pytest.approx(ratio(u, o, r))
    width = scipys.high - scipys.low
    assert found.low == pytest.approx(scipys.low, abs=0.1 * width)
    assert found.high == pytest.approx(scipys.high, abs=0.1 * width)
    assert found.high - found.low > 0.97 * width  # widened for few items


def test_an_interval_does_not_hang_on_the_metrics_unit() -> None:
    values = drawn(np.random.default_rng(4), 20)
    scaled = {name: 100 * of + 5 for name, of in values.items()}
    (one,), (other,) = (
        intervals([Claim((stratum(given),))], "recovery") for given in (values, scaled)
    )
    assert other == pytest.approx(one)


@pytest.mark.parametrize("quantity", ["value", "change", "recovery"])
def test_seeds_add_their_error_in_squares(quantity: Any) -> None:
    from scipy.stats import t

    values = drawn(np.random.default_rng(5), 30, 3)
    values["unlearned"] += np.array([[-0.05], [0.0], [0.05]])
    held = {
        name: of.mean(axis=0, keepdims=True) if of.ndim > 1 else of for name, of in values.items()
    }
    (both,), (items,) = (
        intervals([Claim((stratum(given),))], quantity) for given in (values, held)
    )
    means = values["unlearned"].mean(axis=1)
    if quantity == "change":
        means = means - values["unattacked"].mean(axis=1)
    if quantity == "recovery":
        means = means / (values["original"].mean() - values["retrained"].mean())
    reach = t.ppf(0.975, 2) * means.std(ddof=1) / math.sqrt(3)
    assert both.value == pytest.approx(items.value)
    assert both.value - both.low == pytest.approx(math.hypot(items.value - items.low, reach))
    assert both.high - both.value == pytest.approx(math.hypot(items.high - items.value, reach))


def test_where_there_is_nothing_to_resample_there_is_no_interval() -> None:
    few = Claim((stratum(drawn(np.random.default_rng(6), 9)),))
    same = {"unlearned": np.zeros(20), "original": np.ones(20), "retrained": np.zeros(20)}
    alike = Claim((stratum(same),))
    assert alike.is_told_apart
    for claim in (few, alike):
        (found,) = intervals([claim], "recovery")
        assert math.isfinite(found.value)
        assert (found.low, found.high) == (None, None)
        assert worst_case([claim]).low is None


def test_ranks_count_ties_half() -> None:
    from scipy.stats import rankdata

    values = np.random.default_rng(7).integers(5, size=50).astype(float)
    assert resampling._ranks(values) == pytest.approx(rankdata(values) - 0.5)


def test_the_joint_level_of_one_claim_is_its_own_and_of_independent_ones_sidaks() -> None:
    draws = np.random.default_rng(8).normal(size=(10, 20_000))
    assert joint_level(draws[:1]) == pytest.approx(0.95, abs=1e-3)
    assert joint_level(np.repeat(draws[:1], 10, axis=0)) == pytest.approx(0.95, abs=1e-3)
    assert joint_level(draws) == pytest.approx(0.95 ** (1 / 10), abs=2e-3)
    assert joint_level(np.exp(draws)) == joint_level(draws)  # by ranks: no scale


def test_a_worst_case_holds_the_largest_and_is_wider_than_its_own_interval() -> None:
    rng = np.random.default_rng(9)
    first = drawn(rng, 40)
    claims = [
        Claim((stratum({**first, "unlearned": first["unlearned"] + 0.05 * rng.normal(size=40)}),))
        for _ in range(8)
    ]
    (alone,) = intervals([max(claims, key=lambda claim: claim.value)], "recovery")
    worst = worst_case(claims)
    assert worst.value == max(claim.value for claim in claims)
    assert worst.low < worst.value < worst.high
    assert worst.high - worst.value > alone.high - alone.value
    # A single claim's: its own, but for other draws.
    single = worst_case([Claim((stratum(first),))])
    (own,) = intervals([Claim((stratum(first),))], "recovery")
    assert single == pytest.approx(own, abs=0.1 * (own.high - own.low))


def test_a_worst_case_takes_attacks_that_scored_half_of_the_items_and_several_seeds() -> None:
    rng = np.random.default_rng(10)
    whole = drawn(rng, 40, 3)
    half = {name: of[..., 20:] for name, of in whole.items()}
    claims = [Claim((stratum(whole),)), Claim((stratum(half, items=range(20, 40)),))]
    worst = worst_case(claims)
    singles = intervals(claims, "recovery")
    assert worst.low <= worst.value == max(claim.value for claim in claims) <= worst.high
    assert worst.high >= max(single.high for single in singles) - 0.02
    assert worst_case(claims[::-1]) == worst


# ---- what is gathered


@pytest.fixture(scope="module")
def panel() -> Panel:
    (found,) = cases.panel(runs=("0", "1")).panels
    return found


def lines(panel: Panel, label: str, attack: str, metric: str) -> list[Attacked]:
    return [
        line
        for line in panel.lines
        if (line.row.label, line.attack.name, line.column.metric) == (label, attack, metric)
    ]


def test_values_and_recovery_are_of_the_results_under_attack(panel: Panel) -> None:
    at = {line.point.name: line for line in lines(panel, "NEO + ICU", "relearn", "ma")}
    assert list(at) == ["steps=0", "steps=5", "steps=20"]

    def mean(label: str, gain: float) -> float:
        models = (cases.model(label, run) for run in "01")
        return fmean(fmean(cases.values(model, gain).values()) for model in models)

    own, original, retrained = (
        mean(label, 20 / 40) for label in ("NEO + ICU", cases.BEFORE, cases.RETRAINED)
    )
    line = at["steps=20"]
    assert line.value.value == pytest.approx(100 * own)
    assert line.original == pytest.approx(100 * original)
    assert line.retrained == pytest.approx(100 * retrained)
    assert line.recovery is not None
    assert line.recovery.value == pytest.approx((own - retrained) / (original - retrained))
    assert line.change is not None
    assert line.change.value == pytest.approx(100 * (own - mean("NEO + ICU", 0)))
    assert line.facts == {"rows": 24.0}
    assert at["steps=0"].change == (0.0, None, None)
    assert (line.n_items, line.lacks) == (48, None)


def test_half_of_the_rows_is_compared_with_the_same_half(panel: Panel) -> None:
    (line,) = lines(panel, "NEO + KUMPR", "split", "ma")
    models = [cases.model("NEO + KUMPR", run) for run in "01"]
    rows = [model.forget_set.doc_ids[12:] for model in models]
    after, before = (
        fmean(fmean(cases.values(m, gain, of).values()) for m, of in zip(models, rows, strict=True))
        for gain in (0.3, 0.0)
    )
    assert line.n_items == 24
    assert line.change.value == pytest.approx(100 * (after - before))


def test_an_attack_is_judged_by_the_first_metric_or_else_by_its_own(panel: Panel) -> None:
    chosen = {attack.name: panel.column_of(attack).metric for attack in panel.attacks}
    assert chosen == {"relearn": "ma", "split": "ma", "quantise": "ma", "sample": "leak"}
    (el10,) = [column for column in panel.columns if column.metric == "el10"]
    others = {attack.name: panel.column_of(attack, el10) for attack in panel.attacks}
    assert others == {"relearn": el10, "split": el10, "quantise": el10, "sample": None}
    # The retrained model's EL10 is on the floor, entropy's direction is the other way.
    assert [column.metric for column in panel.columns] == ["ma", "el10"]


def test_the_worst_point_is_the_largest_recovery_over_all_attacks(panel: Panel) -> None:
    for row in panel.methods:
        told = [
            line.recovery.value
            for line in panel.lines
            if line.row is row and line.column.metric in ("ma", "leak") and line.recovery
        ]
        worst = panel.worst(row)
        assert worst.estimate.value == max(told)
        assert worst.n_claims == len(told) == 10
        assert worst.at.recovery.value == max(told)


def test_the_original_as_a_method_recovers_all_and_the_retrained_model_nothing() -> None:
    twins = {cases.BEFORE: "NEO + nothing", cases.RETRAINED: "NEO + retraining"}
    for of, twin in twins.items():
        models = [cases.model(of), cases.model(cases.BEFORE), cases.model(cases.RETRAINED)]
        own = models[0].model_copy(
            update={"label": twin, "role": "method", "key": twin, "identity": {"model": twin}}
        )
        bases = [own, *models[1:]]
        attacked = []
        for base in bases:
            # As the model that it is: only the label tells it from the other.
            real = cases.relearned(base.model_copy(update={"label": base.label.replace(twin, of)}))
            attacked.append(real.model_copy(update={"label": base.label, "key": f"a{base.label}"}))
        (panel,) = Findings(tuple(map(_scored, bases, models)), attacked=tuple(attacked)).panels
        found = {line.recovery.value for line in panel.lines if line.recovery}
        assert found == {1.0 if of == cases.BEFORE else 0.0}


def _scored(base: Any, model: Any) -> Any:
    return base.model_copy(update={"scores": {"forgetting": cases.scores(cases.values(model))}})


@pytest.mark.parametrize("left_out", [cases.RETRAINED, cases.BEFORE])
def test_without_a_reference_there_is_the_change_alone(left_out: str) -> None:
    (panel,) = cases.panel(leave_out=(left_out,)).panels
    of_methods = [line for line in panel.lines if line.row.role == "method"]
    assert {line.lacks for line in of_methods} == {
        cases.ROLES[left_out].replace("before", "original")
    }
    assert not any(line.recovery for line in of_methods)
    assert all(line.change for line in of_methods if line.attack.name != "sample")
    row = panel.methods[0]
    assert panel.worst(row) is None
    relearn = next(attack for attack in panel.attacks if attack.name == "relearn")
    assert panel.worst_point(row, relearn).point.name == "steps=20"  # of the largest change


def test_several_seeds_of_unlearning_stand_beside_the_same_references() -> None:
    (panel,) = cases.panel(seeds=(1, 2, 3)).panels
    line = lines(panel, "NEO + ICU", "relearn", "ma")[-1]
    assert (line.claim.n_runs, line.claim.n_seeds, line.n_items) == (3, 3, 24)
    assert line.recovery.low < line.recovery.value < line.recovery.high
    assert panel.worst(panel.methods[0]).estimate.high > 0


def test_attacks_of_other_settings_are_other_columns_and_failures_are_named() -> None:
    models = [cases.model(label) for label in cases.LEVELS]
    attacked = []
    for model in models:
        plain = cases.relearned(model)
        other = cases.relearned(model, steps=(0, 50))
        settings = {**other.attack.settings, "rate": 1e-4}
        changed = other.attack.model_copy(update={"settings": settings, "made_again": True})
        attacked += [plain, other.model_copy(update={"attack": changed, "key": other.key + "x"})]
    failed = attacked[-1].model_copy(
        update={"status": "failed", "error": "no memory", "scores": {}}
    )
    findings = Findings(tuple(map(cases.unattacked, models)), attacked=(*attacked[:-1], failed))
    (panel,) = findings.panels
    assert [attack.label for attack in panel.attacks] == [
        "Relearning (rate=None)", "Relearning (rate=1e-4)",
    ]  # fmt: skip
    assert [(f.label, f.run, f.error) for f in panel.failed] == [("NEO + KUMPR", "0", "no memory")]
    assert "NEO + ICU" in panel.made_again


def test_attacks_that_describe_a_model_stand_elsewhere() -> None:
    models = [cases.model(label) for label in cases.LEVELS]
    attacked = [cases.relearned(model) for model in models]
    for one in attacked:
        one.attack.describes_model = True
    assert Findings(tuple(map(cases.unattacked, models)), attacked=tuple(attacked)).panels == ()
    assert Findings(tuple(map(cases.unattacked, models))).panels == ()


def test_of_a_benchmark_only_the_splits_to_forget_say_what_was_forgotten() -> None:
    def split(role: Any) -> SplitRecord:
        return SplitRecord(role=role, source="x", n=1, sha256="")

    splits = {name: split("forget" if "forget" in name else "holdout")
              for name in ("forget", "forget_rephrased", "holdout")}  # fmt: skip
    names = ("forget_probability", "forget_rephrased_rouge", "holdout_probability")
    metrics = [Metric(n, n, False, documents="rows", task="answers") for n in names]
    benchmark = BenchmarkRecord(name="b", title="B", split="1", template="plain", columns=[],
                                published=None, splits=splits)  # fmt: skip
    result = cases.attacked(cases.model("NEO + ICU"), "relearn", [], metrics=metrics)
    result = result.model_copy(update={"benchmark": benchmark})
    assert [metric.name for metric in forgetting_metrics(result)] == list(names[:2])


def test_scores_without_single_items_have_a_value_and_no_recovery() -> None:
    models = [cases.model(label) for label in cases.LEVELS]
    attacked = []
    for model in models:
        one = cases.quantised(model)
        for by_metric in one.scores.values():
            by_metric["ma"] = Score(value=by_metric["ma"].value, n=24, higher_is_better=False)
        attacked.append(one)
    (panel,) = Findings(tuple(map(cases.unattacked, models)), attacked=tuple(attacked)).panels
    (line, _) = lines(panel, "NEO + ICU", "quantise", "ma")
    assert (line.lacks, line.recovery, line.n_items) == ("items", None, 0)
    assert line.value.low is None


def test_a_frame_has_all_of_it_in_stored_units(panel: Panel) -> None:
    frame = attacks_frame([panel])
    assert len(frame) == len(panel.lines)
    (row,) = frame.query("row == 'NEO + ICU' and point == 'steps=20' and attack == 'relearn' "
                         "and metric == 'ma'").to_dict("records")  # fmt: skip
    line = lines(panel, "NEO + ICU", "relearn", "ma")[-1]
    assert row["value"] == pytest.approx(line.value.value / 100)
    assert row["recovery_high"] == line.recovery.high
    assert (row["facts.rows"], row["n_runs"], row["n_items"]) == (24.0, 2, 48)
    (retrained,) = frame.query("role == 'retrained' and point == 'steps=20' and attack == "
                               "'relearn' and metric == 'ma'").to_dict("records")  # fmt: skip
    gains = row["change"], retrained["change"]
    assert row["relearning_robustness"] == pytest.approx(min(max(gains[1] / gains[0], 0), 1))
    apart, size = abs(gains[0] - gains[1]), abs(gains[0]) + abs(gains[1])
    assert row["symmetric_relearning_robustness"] == pytest.approx(1 - apart / size)
    before = row["value"] - row["change"]
    assert row["quantisation_robustness"] == pytest.approx(min(before / row["value"], 1))
    assert np.isnan(retrained["quantisation_robustness"])


def test_draws_of_an_exponential_are_exponentials_of_drawn_means() -> None:
    rng = np.random.default_rng(11)
    claim = Claim(tuple(stratum(drawn(rng, n, 2), str(n)) for n in (6, 9)), is_exp=True)
    draws = resampling.Draws([claim], n_resamples=5)
    found = draws.of(claim, "recovery")
    for at in range(5):
        means = dict.fromkeys(("unlearned", "original", "retrained"), 0.0)
        for of in claim.strata:
            weights = draws.weights(of)[at]
            for name in means:
                rows = np.atleast_2d(getattr(of, name))
                means[name] += fmean(math.exp(float(weights @ row)) for row in rows) / 2
        assert found[at] == pytest.approx(recovery(*means.values()))
