"""Derived formulas against published values, official logs and independent computations."""

import csv
import gzip
import json
import math
from collections import defaultdict
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from unlearnbench.analysis.derived import aggregates, klom, ks, membership, resampling
from unlearnbench.analysis.derived import truth_ratio as tr
from unlearnbench.errors import UserError


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict:
    return json.loads((shared / "published/vectors.json").read_text())


# ---- truth ratio


def test_truth_ratio_is_that_of_the_vectors(vectors: dict) -> None:
    right, losses = math.exp(-1.5), [2.0, 1.0, 2.5, 1.8, 2.2]
    wrong = tr.wrong_probability(losses)
    ratio = tr.truth_ratio(right, wrong, epsilon=0)
    assert ratio == pytest.approx(vectors["tr_geo"], rel=1e-12)
    arithmetic = tr.truth_ratio(right, tr.wrong_probability(losses, "arithmetic"), epsilon=0)
    assert arithmetic == pytest.approx(vectors["tr_arith"], rel=1e-12)
    assert tr.closer_to_1(ratio) == pytest.approx(vectors["tr_closer_to_1"], rel=1e-12)
    assert tr.closer_to_1(1 / ratio) == pytest.approx(vectors["tr_closer_to_1"], rel=1e-12)
    assert tr.true_better(ratio) == pytest.approx(vectors["tr_true_better"], rel=1e-12)
    prob_mean = tr.prob_mean(right, wrong, epsilon=0)
    assert prob_mean == pytest.approx(vectors["tr_prob_mean"], rel=1e-12)


def test_truth_ratio_at_its_ends() -> None:
    assert tr.truth_ratio(0.0, 0.5) == 0.5 / 1e-10  # finite, whatever the model forgot
    assert [tr.closer_to_1(r) for r in (0.0, 1.0, math.inf)] == [0.0, 1.0, 0.0]
    assert [tr.true_better(r) for r in (0.0, 1.0, 5.0)] == [1.0, 0.0, 0.0]
    assert tr.prob_mean(0.0, 0.0) == 0.0
    with pytest.raises(ValueError, match="no wrong answers"):
        tr.wrong_probability([])


def test_extraction_strength_as_released(vectors: dict) -> None:
    for bits in product("01", repeat=4):
        name = f"es_{''.join(bits)}"
        if name in vectors:
            exact, released = vectors[name]
            assert tr.released_extraction_strength(exact, 4) == released
    assert tr.released_extraction_strength(0.0, 0) == 0.0


OFFICIAL = (
    ("llama-3.2-1b-full/forget10", "llama-3.2-1b-retain90"),
    ("llama-3.2-1b-full/forget05", "llama-3.2-1b-retain95"),
    ("llama-3.2-1b-full/forget01", "llama-3.2-1b-retain99"),
)


def official(shared: Path, name: str) -> dict:
    path = shared / "data/open_unlearning" / name / "TOFU_EVAL.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def ratios(log: dict, split: str, right: str) -> list[float]:
    of_right = log[f"{split}_Q_A_{right}"]["value_by_index"]
    of_wrong = log[f"{split}_Q_A_PERT_Prob"]["value_by_index"]
    return [
        tr.truth_ratio(
            math.exp(-of_right[i]["avg_loss"]), tr.wrong_probability(of_wrong[i]["avg_loss"])
        )
        for i in of_right
    ]


@pytest.mark.parametrize(("full", "retain"), OFFICIAL)
def test_open_unlearnings_logs_recompute(shared: Path, full: str, retain: str) -> None:
    log, reference = official(shared, full), official(shared, retain)
    own = ratios(log, "forget", "PARA_Prob")
    forget = np.mean([tr.closer_to_1(r) for r in own])
    assert forget == pytest.approx(log["forget_truth_ratio"]["agg_value"], rel=1e-9)
    for split, right in (("retain", "PARA_Prob"), ("ra", "Prob"), ("wf", "Prob")):
        better = np.mean([tr.true_better(r) for r in ratios(log, split, right)])
        assert better == pytest.approx(log[f"{split}_Truth_Ratio"]["agg_value"], rel=1e-6)
    quality = ks.forget_quality(own, ratios(reference, "forget", "PARA_Prob"))
    assert quality.p == pytest.approx(log["forget_quality"]["agg_value"], rel=1e-12)
    assert quality.low < quality.distance < quality.high
    nine = [
        log[f"{split}_{metric}"]["agg_value"]
        for split, probability in (
            ("retain", "Q_A_Prob"), ("ra", "Q_A_Prob_normalised"), ("wf", "Q_A_Prob_normalised")
        )
        for metric in (probability, "Q_A_ROUGE", "Truth_Ratio")
    ]  # fmt: skip
    utility = aggregates.model_utility(nine)
    assert utility == pytest.approx(log["model_utility"]["agg_value"], rel=1e-12)
    areas = [each["mia_min_k"]["agg_value"] for each in (log, reference)]
    leak = membership.privacy_leakage(
        *map(membership.muse_orientation, areas), epsilon=membership.OPEN_UNLEARNING_EPSILON
    )
    assert leak == pytest.approx(log["privleak"]["agg_value"], rel=1e-12)


def test_muse_news_privacy_leakage_of_open_unlearning(shared: Path) -> None:
    names = ("muse-news-target", "muse-news-retrain")
    folder = shared / "data/open_unlearning"
    target, retrain = (json.loads((folder / n / "MUSE_SUMMARY.json").read_text()) for n in names)
    areas = [1 - each["mia_min_k"] for each in (target, retrain)]
    leak = membership.privacy_leakage(*areas, epsilon=membership.OPEN_UNLEARNING_EPSILON)
    assert leak == pytest.approx(target["privleak"], rel=1e-12)


def tofu_log(shared: Path, name: str) -> dict:
    folder = shared / "data/tofu_original_logs"
    path = folder / f"ft_epoch5_lr1e-05_llama2-7b_{name}_wd0.01.eval_log_aggregated.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def tofu_ratios(part: dict, average: tr.Average) -> list[float]:
    right, wrong = part["avg_paraphrased_loss"], part["average_perturb_loss"]
    return [
        tr.truth_ratio(math.exp(-right[i]), tr.wrong_probability(wrong[i], average), 0)
        for i in right
    ]


def tofu_utility(log: dict, average: tr.Average) -> float:
    nine = []
    for name in ("eval_log.json", "eval_real_author_wo_options.json",
                 "eval_real_world_wo_options.json"):  # fmt: skip
        part = log[name]
        right, wrong = part["avg_gt_loss"], part["average_perturb_loss"]
        probabilities = [math.exp(-right[i]) for i in right]
        if "real" in name:
            probabilities = [
                tr.normalised_probability(math.exp(-right[i]), [math.exp(-x) for x in wrong[i]], 0)
                for i in right
            ]
        better = [tr.true_better(r) for r in tofu_ratios(part, average)]
        nine += [np.mean(x) for x in (probabilities, list(part["rougeL_recall"].values()), better)]
    return aggregates.model_utility(nine)


@pytest.mark.parametrize(
    ("name", "geometric", "arithmetic"),
    [("full", 0.6226773637, 0.5858860351), ("retain90", 0.6137449952, 0.5752399175)],
)
def test_tofus_own_logs_recompute(
    shared: Path, name: str, geometric: float, arithmetic: float
) -> None:
    log = tofu_log(shared, name)
    assert tofu_utility(log, "geometric") == pytest.approx(geometric, abs=5e-11)
    assert tofu_utility(log, "arithmetic") == pytest.approx(arithmetic, abs=5e-11)


def test_tofus_own_forget_quality(shared: Path) -> None:
    logs = [tofu_log(shared, name)["eval_log_forget.json"] for name in ("full", "retain90")]
    for average, k, p in (("geometric", 119, 1.8340664e-21), ("arithmetic", 123, 6.0319e-23)):
        quality = ks.forget_quality(*(tofu_ratios(log, average) for log in logs))
        assert quality.distance == pytest.approx(k / 300, abs=1e-12)
        assert quality.p == pytest.approx(p, rel=1e-5)
    means = [np.mean([tr.closer_to_1(r) for r in tofu_ratios(log, "geometric")]) for log in logs]
    assert means == pytest.approx([0.5159854213, 0.6740192658], abs=5e-11)


# ---- Kolmogorov-Smirnov


def test_the_ladder_is_that_of_the_vectors(vectors: dict) -> None:
    for name, p in vectors["ks_equal_n"].items():
        n, k = (int(part[1:]) for part in name.split("_"))
        assert ks.ks_p_value(n, k) == pytest.approx(p, rel=1e-12)
        assert ks.ks_step(n, float(f"{p:.2e}")) == k


@pytest.mark.parametrize(
    ("n", "k", "floor"),
    [(40, 13, 1.8603403656e-23), (64, 16, 8.3503311e-38), (200, 28, 1.9426434495e-119),
     (400, 39, 1.0635896770e-239)],
)  # fmt: skip
def test_floor_and_smallest_detectable_distance(n: int, k: int, floor: float) -> None:
    assert ks.ks_floor(n) == pytest.approx(floor, rel=1e-8)
    assert ks.smallest_detectable(n) == k / n
    assert ks.ks_p_value(n, k) < 0.05 <= ks.ks_p_value(n, k - 1)


def test_few_items_detect_nothing() -> None:
    assert math.isnan(ks.smallest_detectable(3))  # p of D = 1 is 0.1
    assert ks.smallest_detectable(4) == 1.0  # 2/70


def test_the_ladder_is_scipys() -> None:
    rng = np.random.default_rng(1)
    for n in (7, 40, 150):
        for shift in (0.0, 0.7):
            test = ks.ks_test(rng.normal(size=n), rng.normal(size=n) + shift)
            step = round(test.distance * n)
            assert test.p == pytest.approx(ks.ks_p_value(n, step), rel=1e-9)


def test_the_ladder_counts_paths() -> None:
    # Every order of 4 + 4 values is alike likely: count those with so large a distance.
    n, distances = 4, []
    for order in product((1, -1), repeat=2 * n):
        if sum(order) == 0:
            distances.append(int(np.abs(np.cumsum(order)).max()))
    for k in range(n + 1):
        share = Fraction(sum(d >= k for d in distances), len(distances))
        assert ks.ks_p_value(n, k) == pytest.approx(float(share), rel=1e-14)


def test_published_forget_qualities_are_on_the_ladder(shared: Path) -> None:
    sizes = {"forget01": 40, "forget05": 200, "forget10": 400}
    text = (shared / "data/open_unlearning/repro_tables.csv").read_text()
    assert "forget10" in text
    for split, p, k in (("forget01", 1.27e-3, 17), ("forget05", 5.87e-14, 78),
                        ("forget05", 0.09, 25), ("forget10", 4.35e-25, 149),
                        ("forget10", 1.80e-229, 396), ("forget10", 2.47e-203, 382)):  # fmt: skip
        relative = 0.06 if p > 0.01 else 0.005  # printed with two decimals
        assert ks.ks_step(sizes[split], p, relative) == k
    assert ks.ks_step(200, 0.0220923622, 1e-8) == 30
    assert ks.ks_step(40, 0.5) is None


def test_interval_of_a_distance_holds_it_and_ties_count_once() -> None:
    same = np.repeat([0.1, 0.5, 0.9], 20)
    assert ks.distance_interval(same, same) == (0.0, 0.0)  # item by item the same
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=200), rng.normal(size=200) + 1
    low, high = ks.distance_interval(first, second)
    distance = ks.ks_test(first, second).distance
    assert 0 < low < distance < high < 1
    assert (low, high) == ks.distance_interval(np.exp(first), np.exp(second))  # monotone


def test_forget_quality_takes_the_same_items() -> None:
    with pytest.raises(ValueError, match="3 and 2 items"):
        ks.forget_quality([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="not a number"):
        ks.forget_quality([1, float("nan")], [1, 2])


# ---- membership


def plain_auc(forget: list[float], holdout: list[float]) -> Fraction:
    pairs = list(product(forget, holdout))
    return Fraction(sum(2 * (h > f) + (h == f) for f, h in pairs), 2 * len(pairs))


def test_auc_counts_pairs_and_half_the_ties() -> None:
    rng = np.random.default_rng(2)
    for _ in range(5):
        forget, holdout = (list(rng.integers(6, size=n).astype(float)) for n in (11, 17))
        area = float(plain_auc(forget, holdout))
        assert membership.auc(forget, holdout) == pytest.approx(area, abs=1e-15)
    assert membership.auc([1, 2], [3, 4]) == 1.0  # forget texts have the smaller loss


def test_auc_interval_solves_its_equation() -> None:
    for area, m, n in ((0.7, 30, 40), (0.02, 100, 100), (0.5, 64, 64)):
        low, high = membership.auc_interval(area, m, n)
        assert low < area < high
        for end in (low, high):
            n_more = (m + n) / 2 - 1
            shape = 1 + n_more * ((1 - end) / (2 - end) + end / (1 + end))
            error = math.sqrt(end * (1 - end) * shape / (m * n))
            assert abs(area - end) == pytest.approx(1.959963985 * error, rel=1e-6)
    at_0, at_1 = membership.auc_interval(0.0, 64, 64), membership.auc_interval(1.0, 64, 64)
    assert at_0.low == 0.0 < at_0.high < 0.1
    assert at_1 == pytest.approx((1 - at_0.high, 1.0))
    wider = membership.auc_interval(0.7, 30, 40, variance=1.0)
    assert wider.low < membership.auc_interval(0.7, 30, 40).low
    assert membership.auc_interval(0.7, 30, 40, variance=0.0) == membership.auc_interval(
        0.7, 30, 40
    )
    low, high = membership.auc_interval(0.5, 64, 64)
    assert (high - low) / 2 == pytest.approx(0.1, abs=0.01)  # 2 x .051 of FIELD.md


def test_delongs_variance_is_that_of_the_placements() -> None:
    rng = np.random.default_rng(6)
    forget, holdout = rng.integers(9, size=12).astype(float), rng.integers(9, size=15) + 1.0
    above = holdout[None, :] > forget[:, None]
    kernel = above + (holdout[None, :] == forget[:, None]) / 2
    expected = kernel.mean(1).var(ddof=1) / 12 + kernel.mean(0).var(ddof=1) / 15
    assert membership.delong_variance(forget, holdout) == pytest.approx(expected, rel=1e-12)
    assert membership.delong_variance([1.0], holdout) is None


def plain_tpr(forget: list[float], holdout: list[float], rate: float) -> float:
    """By walking the curve from threshold to threshold."""
    x0 = y0 = best = 0.0
    for t in sorted({*forget, *holdout}):
        x1 = sum(h <= t for h in holdout) / len(holdout)
        y1 = sum(f <= t for f in forget) / len(forget)
        if x1 <= rate:
            best = y1
        else:
            return y0 + (y1 - y0) * (rate - x0) / (x1 - x0)
        x0, y0 = x1, y1
    return best


def test_tpr_is_interpolated() -> None:
    rng = np.random.default_rng(4)
    for n, rate in product((5, 64, 400), (0.001, 0.01, 0.1, 1.0)):
        forget = list(np.round(rng.normal(size=n) - 1, 1))
        holdout = list(np.round(rng.normal(size=n), 1))
        expected = plain_tpr(forget, holdout, rate)
        assert membership.tpr_at_fpr(forget, holdout, rate) == pytest.approx(expected, abs=1e-12)
    assert membership.tpr_at_fpr([1, 2], [3, 4], 0.001) == 1.0
    assert membership.tpr_at_fpr([5, 6], [3, 4], 0.001) == 0.0


def test_privacy_leakage_is_that_of_the_vectors(vectors: dict) -> None:
    muse = map(membership.muse_orientation, (0.90, 0.52))
    assert membership.privacy_leakage(*muse) == pytest.approx(vectors["privleak(.90,.52)"])
    for name, ends in vectors["privleak_bounds_muse"].items():
        reference = float(name.split("_")[1])
        assert membership.privacy_leakage_range(reference) == pytest.approx(tuple(ends))
    assert membership.privacy_leakage(0.00091, 0.4772) == pytest.approx(-99.81, abs=0.005)
    assert membership.privacy_leakage(0.2305, 0.5393) == pytest.approx(-57.26, abs=0.005)


def test_impossible_privacy_leakage_names_its_reason() -> None:
    membership.check_privacy_leakage(109.55, 0.4772)
    with pytest.raises(UserError, match=r"5215 is impossible.*0\.0188 or less.*knows the forget"):
        membership.check_privacy_leakage(5215, 0.4772)
    with pytest.raises(UserError, match=r"impossible.*turned round"):
        membership.check_privacy_leakage(150, 0.6126)
    with pytest.raises(UserError, match="never below -100"):
        membership.check_privacy_leakage(-101, 0.5)
    with pytest.raises(UserError, match="reference's AUC is 0"):
        membership.privacy_leakage(0.5, 0.0)
    with pytest.raises(UserError, match="not within 0 and 1"):
        membership.privacy_leakage(47.7, 0.5)
    with pytest.raises(TypeError):
        membership.privacy_leakage(0.5)  # no default reference


def test_areas_of_muses_own_outputs(shared: Path) -> None:
    published = json.loads((shared / "data/muse_published/privleak_auc.json").read_text())
    scores: dict = defaultdict(lambda: defaultdict(list))
    path = shared / "data/muse_published/privleak_per_example.csv.gz"
    names = list(published["news/retrain"]["forget_holdout"])
    for row in csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()):
        for name in names:
            of = scores[f"{row['corpus']}/{row['model']}", name]
            of[row["split"]].append(float(row[name]))
    n_compared = 0
    for model, pairs in published.items():
        for pair, by_score in pairs.items():
            first, second = pair.split("_")
            for name, area in by_score.items():
                of = scores[model, name]
                if of[first] and of[second]:
                    own = membership.auc(of[second], of[first])
                    assert own == pytest.approx(area, abs=1e-12), (model, pair, name)
                    n_compared += 1
    assert n_compared >= 20 * 11


# ---- aggregates


def test_model_utility_of_nine_published_numbers() -> None:
    nine = [.21705962190404535, .313057008174422, .37752008027804096, .5607812059531567, .741,
            .7369656421149354, .5205829499369004, .8468660968660968,
            .679617672811441]  # fmt: skip
    assert aggregates.model_utility(nine) == pytest.approx(0.4612301673662931, rel=1e-15)
    assert aggregates.model_utility([*nine[:-1], 0.0]) == 0.0
    with pytest.raises(ValueError, match="nine"):
        aggregates.model_utility(nine[:8])
    with pytest.raises(ValueError, match="from 0 on"):
        aggregates.harmonic_mean([0.5, -0.1])


def test_unlearning_depth_score_recomputes_all_rows(shared: Path) -> None:
    path = shared / "data/unlearning_depth_score/method_results.json"
    published = json.loads(path.read_text())
    full, n_equal = published["full_utility"], 0
    for row in published["models"]:
        memorised = aggregates.memorisation(
            *(1 - row[f"one_minus_{name}"] for name in ("es", "em", "paraprob", "truth"))
        )
        mia = aggregates.membership([row[f"s_{name}"] for name in
                                     ("loss", "zlib", "mink", "minkpp")])  # fmt: skip
        private = aggregates.privacy(mia, row["uds"])
        nine = [row[f"{split}_{name}"] for split in ("retain", "ra", "wf")
                for name in ("q_prob", "q_rouge", "truth_ratio")]  # fmt: skip
        of_model = aggregates.model_utility(nine)
        useful = aggregates.utility(of_model, row["fluency"])
        relative = aggregates.relative_utility(useful, full[row["epoch"]])
        own = {
            "mem": memorised, "privacy_mia": mia, "privacy": private, "model_utility": of_model,
            "utility": useful, "utility_rel": relative,
            "overall": aggregates.overall(memorised, private, relative),
        }  # fmt: skip
        n_equal += all(abs(own[name] - row[name]) < 1e-6 for name in own)
    assert n_equal == len(published["models"]) == 152


def test_semeval_final_scores_recompute_all_rows(shared: Path) -> None:
    path = shared / "data/semeval2025_task4/leaderboards.csv"
    rows = list(csv.DictReader(path.open()))
    for row in rows:
        parts = [float(row[name]) for name in ("task_aggregate", "mia", "mmlu")]
        own = aggregates.semeval_score(*parts)
        assert own == pytest.approx(float(row["final"]), abs=0.00101), row  # each is rounded
    assert len(rows) == 48


def test_semevals_parts() -> None:
    assert aggregates.membership_score(0.5) == 1.0
    assert aggregates.membership_score(0.0) == aggregates.membership_score(1.0) == 0.0
    assert aggregates.task_aggregate([0.5] * 6, [0.5] * 6) == 0.5
    assert aggregates.task_aggregate([1.0] + [0.0] * 5, [1.0] * 6) == 0.0  # one leak is enough
    assert aggregates.is_disqualified(0.37)
    assert not aggregates.is_disqualified(0.371)


# ---- KLOM


def test_klom_counts_bins() -> None:
    unlearned = np.array([[0.0], [0.0], [10.0], [20.0]])
    retrained = np.array([[0.0], [20.0], [20.0], [20.0]])
    # Bins 0, 10 and 19 of 20: p (.5, .25, .25), q (.25, 1e-5, .75) over 1 + 1e-5.
    q = np.array([0.25, 1e-5, 0.75]) / (1 + 1e-5)
    p = np.array([0.5, 0.25, 0.25])
    assert klom.klom(unlearned, retrained) == pytest.approx([(p * np.log(p / q)).sum()])
    # As released, the three largest are in no bin, and q is what is left.
    p, q = np.array([2, 1]) / 3, np.array([1, 1e-5]) / (1 + 1e-5)
    released = klom.klom(unlearned, retrained, released=True)
    assert released == pytest.approx([(p * np.log(p / q)).sum()])


def test_klom_of_the_same_seeds_is_0_and_clips() -> None:
    margins = np.random.default_rng(5).normal(size=(8, 6))
    assert klom.klom(margins, margins) == pytest.approx(np.zeros(6), abs=1e-12)
    far = np.full((3, 1), 1e9)
    assert klom.klom(far, far * 2) == pytest.approx([0.0])
    with pytest.raises(ValueError, match="one seed"):
        klom.klom(margins[:1], margins)
    with pytest.raises(ValueError, match="same items"):
        klom.klom(margins[:, :2], margins)


# ---- resamples


def test_resampled_areas_are_those_of_the_drawn_texts() -> None:
    rng = np.random.default_rng(7)
    forget, holdout = rng.integers(5, size=12).astype(float), rng.integers(5, size=14) + 1.0
    counts = [rng.multinomial(n, np.full(n, 1 / n), size=6) for n in (12, 14)]
    draws = resampling.area_draws(forget, holdout, counts[0] / 12, counts[1] / 14)
    for draw, of_forget, of_holdout in zip(draws, *counts, strict=True):
        drawn = np.repeat(forget, of_forget), np.repeat(holdout, of_holdout)
        assert draw == pytest.approx(membership.auc(*drawn), abs=1e-12)


def test_resamples_are_the_same_for_every_metric_of_the_same_items() -> None:
    values = {str(i): float(i % 7) for i in range(30)}
    backwards = dict(reversed(values.items()))
    first, second = resampling.mean("forget", values), resampling.mean("forget", backwards)
    assert (first.draws == second.draws).all()
    assert (first.draws != resampling.mean("retain", values).draws).any()
    assert first.draws.mean() == pytest.approx(first.value, abs=0.1)
    assert first.draws.std() == pytest.approx(np.std(list(values.values())) / 30**0.5, rel=0.1)
    assert resampling.mean("forget", {"0": 1.0}).draws is None


def test_ends_of_a_number_made_of_independent_parts() -> None:
    one, two = (resampling.Estimate(v, None, 10, (v - d, v + d)) for v, d in ((2, 0.3), (5, 0.4)))
    made = resampling.from_ends(lambda a, b: a + b, one, two)
    assert made.interval == pytest.approx((6.5, 7.5))
    bare = resampling.Estimate(1.0, None, 10)
    assert resampling.from_ends(lambda a, b: a + b, one, bare).interval == (None, None)


def test_ratio_interval_has_a_width_at_zero() -> None:
    of_zero, of_half = membership.auc_interval(0, 64, 64), membership.auc_interval(0.5, 64, 64)
    low, high = membership.ratio_interval(0.0, of_zero, 0.5, of_half, 0.0)
    assert low == 0.0
    assert of_zero.high / 0.5 < high < of_zero.high / of_half.low + 0.01
    # Of one estimate with itself the ratio is 1, whatever its error.
    same = membership.ratio_interval(0.5, of_half, 0.5, of_half, 1.0)
    assert same == pytest.approx((1.0, 1.0), abs=0.02)
    assert membership.ratio_interval(0.5, of_half, 0.0, of_zero, 0.0) is None
    assert membership.closeness_interval(membership.Interval(0.8, 1.1)) == pytest.approx((0.8, 1.0))
    assert membership.closeness_interval(membership.Interval(1.2, 3.0)) == pytest.approx((0.0, 0.8))
