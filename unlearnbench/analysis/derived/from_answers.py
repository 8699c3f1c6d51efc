"""Scores derived from the tasks `answers` and `replies`: TOFU's, and OpenUnlearning's of them."""

from unlearnbench.analysis.derived import aggregates, ks, resampling
from unlearnbench.analysis.derived import truth_ratio as tr
from unlearnbench.analysis.derived.measured import (
    ANSWERS,
    REPLIES,
    Measured,
    Unfit,
    is_forget,
    same_items,
)
from unlearnbench.analysis.derived.resampling import Estimate, combined
from unlearnbench.analysis.derived.row import Row
from unlearnbench.analysis.derived.score import BEFORE, METRICS, RETRAINED, truth_ratio_metric

FORGET = "forget"
_WRONG = {"geometric": "_wrong_probability", "arithmetic": "_wrong_probability_arithmetic"}
_FROM_PARAPHRASE = (FORGET, "retain")  # elsewhere the answer itself stands in for a missing one
_PROBABILITY = {
    "retain": "probability",
    "real_authors": "probability_normalised",
    "world_facts": "probability_normalised",
}


def truth_ratios(row: Row) -> None:
    """Of every split with wrong answers; the forget set's as prob_mean, too."""
    for split in row.own.splits(ANSWERS, _WRONG["geometric"]):
        if _right(row.own, split) is None:
            continue
        row.attempt(lambda row, split=split: _truth_ratio(row, split))  # type: ignore[misc]


def _truth_ratio(row: Row, split: str) -> None:
    forget = is_forget(split)
    aggregation = tr.closer_to_1 if forget else tr.true_better
    ratios = _ratios(row.own, split)
    row.put_items(
        truth_ratio_metric(split, forget), {item: aggregation(r) for item, r in ratios.items()}
    )
    if split == FORGET:
        row.put_items(METRICS["forget_truth_ratio_prob_mean"], _prob_means(row.own))


def _right(measured: Measured, split: str) -> str | None:
    """The metric that holds P(right); None if the split has none."""
    paraphrase = f"{split}_paraphrase_probability"
    if measured.has(ANSWERS, paraphrase):
        return paraphrase
    answer = f"{split}_probability"
    return answer if split not in _FROM_PARAPHRASE and measured.has(ANSWERS, answer) else None


def _right_and_wrong(
    measured: Measured, split: str, average: tr.Average
) -> dict[str, tuple[float, float]]:
    right_name, wrong_name = _right(measured, split), split + _WRONG[average]
    right = measured.known(ANSWERS, right_name or "")
    wrong = measured.known(ANSWERS, wrong_name)
    if right.keys() != wrong.keys():
        n_lacking = len(right.keys() ^ wrong.keys())
        raise Unfit(f"{right_name} and {wrong_name}: {n_lacking} items have only one of the two")
    return {item: (right[item], wrong[item]) for item in right}


def _ratios(measured: Measured, split: str, average: tr.Average = "geometric") -> dict[str, float]:
    pairs = _right_and_wrong(measured, split, average).items()
    return {item: tr.truth_ratio(right, wrong) for item, (right, wrong) in pairs}


def _prob_means(measured: Measured) -> dict[str, float]:
    pairs = _right_and_wrong(measured, FORGET, "geometric").items()
    return {item: tr.prob_mean(right, wrong) for item, (right, wrong) in pairs}


def _has_ratios(measured: Measured, split: str, average: tr.Average = "geometric") -> bool:
    is_there = measured.has(ANSWERS, split + _WRONG[average])
    return is_there and _right(measured, split) is not None


def forget_quality(row: Row) -> None:
    """The KS test between the forget set's truth ratios and the retrained model's."""
    if row.reference is None or not all(_has_ratios(m, FORGET) for m in (row.own, row.reference)):
        return
    own, reference = same_items(
        _ratios(row.own, FORGET), _ratios(row.reference, FORGET), "forget quality"
    )
    quality, n = ks.forget_quality(own, reference), len(own)
    interval = (quality.low, quality.high) if n >= resampling.MIN_ITEMS else None
    row.put("forget_quality", quality.p, n, None, RETRAINED)
    row.put("ks_distance", quality.distance, n, interval, RETRAINED)
    row.put("ks_floor", quality.floor, n)
    row.put("ks_detectable", quality.detectable, n)


def utilities(row: Row) -> None:
    """Model utility, utility with fluency, and that relative to the model before unlearning."""
    utility = model_utility(row.own)
    if utility is None:
        return
    row.put_estimate("model_utility", utility)
    if (arithmetic := model_utility(row.own, "arithmetic")) is not None:
        row.put_estimate("model_utility_arithmetic", arithmetic)
    if (useful := _with_fluency(row.own, utility)) is None:
        return
    row.put_estimate("utility", useful)
    before = model_utility(row.before) if row.before is not None else None
    if row.before is None or before is None:
        return
    if (before := _with_fluency(row.before, before)) is not None:
        relative = combined(aggregates.relative_utility, useful, before)
        row.put_estimate("relative_utility", relative, BEFORE)


def model_utility(measured: Measured, average: tr.Average = "geometric") -> Estimate | None:
    """The harmonic mean of nine; None unless all nine were measured."""
    parts = []
    for split, probability in _PROBABILITY.items():
        if not (
            measured.has(ANSWERS, f"{split}_{probability}")
            and measured.has(REPLIES, f"{split}_rouge_l_recall")
            and _has_ratios(measured, split, average)
        ):
            return None
        better = {i: tr.true_better(r) for i, r in _ratios(measured, split, average).items()}
        parts += [
            measured.mean(ANSWERS, split, probability),
            measured.mean(REPLIES, split, "rouge_l_recall"),
            resampling.mean(split, better),
        ]
    return combined(lambda *nine: aggregates.model_utility(nine), *parts)


def _with_fluency(measured: Measured, utility: Estimate) -> Estimate | None:
    if not measured.has(REPLIES, f"{FORGET}_fluent"):
        return None
    return combined(aggregates.utility, utility, measured.mean(REPLIES, FORGET, "fluent"))


def memorisation(row: Row) -> None:
    """HM of what the model does not give away of the forget set."""
    names = ("extraction_strength", "exact_memorisation", "paraphrase_probability")
    if not row.own.has(ANSWERS, *(f"{FORGET}_{n}" for n in names)) or not _has_ratios(
        row.own, FORGET
    ):
        return
    parts = [row.own.mean(ANSWERS, FORGET, name) for name in names]
    ratio = resampling.mean(FORGET, _prob_means(row.own))
    row.put_estimate("memorisation", combined(aggregates.memorisation, *parts, ratio))
