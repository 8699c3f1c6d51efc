"""OpenUnlearning's aggregates recomputed from the items of its own log.

Sums, harmonic means and areas under the curve are taken by the libraries that it takes them by
(numpy, scipy, scikit-learn), so that the last digit is the same.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from unlearnbench.analysis.derived import ks, truth_ratio
from unlearnbench.analysis.derived.membership import (
    OPEN_UNLEARNING_EPSILON,
    check_privacy_leakage,
    muse_orientation,
    privacy_leakage,
)
from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, mean
from unlearnbench.logs.log import Check, Verification, impossible_shares, is_same, unlike_items
from unlearnbench.logs.openunlearning import (
    ATTACKS,
    KIND,
    SIDES,
    SPLITS,
    by_item,
    lists_by_item,
    read,
    relative,
    stated,
)

UTILITY = tuple(
    f"{split}_{end}"
    for split, ends in (
        ("retain", ("Q_A_Prob", "Q_A_ROUGE", "Truth_Ratio")),
        ("ra", ("Q_A_Prob_normalised", "Q_A_ROUGE", "Truth_Ratio")),
        ("wf", ("Q_A_Prob_normalised", "Q_A_ROUGE", "Truth_Ratio")),
    )
    for end in ends
)
SILENT_HALF = 0.5  # the reference AUC that the harness takes where it is given no retain log
# Of a reference in MUSE's orientation.  A retrained model does not tell forget from holdout texts:
# the published ones have .48 to .62.  Below this the reference knows the forget set.
_LEAST_REFERENCE = 0.25
_NEAR_THE_FLOOR = 1e-4  # of -100: what the epsilon in the denominator moves it
_FLOAT32 = 2e-6  # relative: the log's probabilities come from losses in single precision


def verify(contents: Contents, reference: Contents | None) -> Verification:
    """Every aggregate of the log; those relative to a retrained model need that model's log."""
    log = read(contents)[0]
    problems, notes = [], []
    if reference is None:
        notes.append(
            "no --reference: forget quality and PrivLeak are relative to a retrained model and "
            "were not recomputed"
        )
    other = reference
    if reference is not None and (why := unlike_items(log, read(reference)[0])):
        problems.append(f"not compared with {reference.path.name}: {why}")
        other = None
    values = _recomputed(contents)
    if other is not None:
        values |= _relative(contents, other)
    statements = list(stated(contents))
    by_value: dict[tuple[str, float], list[str]] = {}  # the log and its summary may both say it
    for name, value, where in statements:
        by_value.setdefault((name, value), []).append(where or "log")
    checks = [
        Check(name, values[name], value, ", ".join(by))
        for (name, value), by in by_value.items()
        if name in values
    ]
    names = {name for name, _, _ in statements}
    checks += [Check(name, value) for name, value in values.items() if name not in names]
    unknown = sorted(names - set(values) - {n for n in names if relative(n)})
    if unknown:
        notes.append(f"not recomputed, as no items of theirs are known: {', '.join(unknown)}")
    in_log = {name: value for name, value, where in statements if not where}
    problems += _impossible(contents, in_log)
    problems += _at_odds(contents)
    stated_leak, stated_notes = _leakage(in_log.get("privleak"), values, other)
    problems += stated_leak
    notes += stated_notes
    if "ks_distance" in values:
        notes.append(_ladder(contents, values))
    order = {name: at for at, name in enumerate(values)}
    checks.sort(key=lambda check: order[check.name])
    title = " ".join(filter(None, (KIND, "log of", log.model, log.split)))
    return Verification(title, tuple(checks), tuple(problems), tuple(notes))


def _recomputed(contents: Contents) -> dict[str, float]:
    """The aggregates of the model alone."""
    found: dict[str, float] = {}
    for name, part in contents.value.items():
        where = f"{contents.path.name}: {name}"
        if name in ATTACKS:
            found[name] = area(part, where)
        elif name.endswith(("truth_ratio", "Truth_Ratio")):
            ratios = by_item(part, where, "score").values()
            found[name] = mean(map(_closer_to_1 if name.startswith("forget") else
                                   truth_ratio.true_better, ratios))  # fmt: skip
        elif isinstance(part, Mapping) and "value_by_index" in part:
            value = _mean_of(name, part, where)
            if value is not None:
                found[name] = value
    if all(name in found for name in UTILITY):
        from scipy.stats import hmean

        found["model_utility"] = float(hmean([found[name] for name in UTILITY]))
    return found


def _mean_of(name: str, part: Mapping[str, Any], where: str) -> float | None:
    """The mean over items of the field that the aggregate is of; None for an unknown field."""
    first = _first_item(part)
    fields = ("score", "prob", "rougeL_f1" if name.endswith("mem_ROUGE") else "rougeL_recall")
    known = [field for field in fields if field in first]
    if not known:
        return None
    if isinstance(first[known[0]], list):
        return mean(map(mean, lists_by_item(part, where, known[0]).values()))
    return mean(by_item(part, where, known[0]).values())


def _first_item(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields that items have; none where they are no objects."""
    items = part["value_by_index"]
    first = next(iter(items.values()), None) if isinstance(items, Mapping) else None
    return first if isinstance(first, Mapping) else {}


def area(part: Any, where: str) -> float:
    """The AUC of one attack, holdout texts above forget texts, by scikit-learn as in the log."""
    from sklearn.metrics import roc_auc_score

    scores = [list(by_item(part.get(side), f"{where}.{side}", "score").values()) for side in SIDES]
    labels = [0] * len(scores[0]) + [1] * len(scores[1])
    return float(roc_auc_score(labels, scores[0] + scores[1]))


def _closer_to_1(ratio: float) -> float:
    # Not derived's: this one's epsilon is seen in the tenth digit.
    return min(ratio, 1 / (ratio + truth_ratio.EPSILON))


def _ratios(contents: Contents) -> list[float] | None:
    part = contents.value.get("forget_truth_ratio")
    where = f"{contents.path.name}: forget_truth_ratio"
    return None if part is None else list(by_item(part, where, "score").values())


def _relative(contents: Contents, reference: Contents) -> dict[str, float]:
    """Forget quality, D and PrivLeak; what the two logs have no items for is not there."""
    found: dict[str, float] = {}
    own, other = _ratios(contents), _ratios(reference)
    if own and other:
        test = ks.ks_test(own, other)
        found |= {"forget_quality": test.p, "ks_distance": test.distance}
    parts = [one.value.get("mia_min_k") for one in (contents, reference)]
    if None not in parts:
        own_area, other_area = (
            muse_orientation(area(part, f"{one.path.name}: mia_min_k"))
            for part, one in zip(parts, (contents, reference), strict=True)
        )
        found["privleak"] = privacy_leakage(own_area, other_area, OPEN_UNLEARNING_EPSILON)
    return found


def _impossible(contents: Contents, in_log: Mapping[str, float]) -> Iterator[str]:
    """Values that no model can have."""
    for name, part in contents.value.items():
        where = f"{contents.path.name}: {name}"
        if name in ATTACKS:
            if name in in_log and not 0 <= in_log[name] <= 1:
                yield f"{name}: AUC {in_log[name]!r} is not within 0 and 1"
        elif isinstance(part, Mapping) and "value_by_index" in part and "ruth_" not in name:
            first = _first_item(part)
            for field in ("score", "prob", "rougeL_recall", "rougeL_f1"):
                if isinstance(first.get(field), int | float):
                    yield from impossible_shares(by_item(part, where, field), f"{name}.{field}")
    p, ratios = in_log.get("forget_quality"), _ratios(contents)
    if p is not None and ratios:
        yield from off_the_ladder(p, len(ratios))


def off_the_ladder(p: float, n: int, relative: float = 1e-9) -> Iterator[str]:
    """A sentence if the exact test over two samples of n cannot give p."""
    if ks.ks_step(n, p, relative) is None:
        step = min(range(n + 1), key=lambda k: abs(_log(ks.ks_p_value(n, k)) - _log(p)))
        yield (
            f"forget_quality {p!r} is off the ladder: the exact test of {n} against {n} items "
            f"gives {ks.ks_p_value(n, step)!r} for D = {step}/{n}, the nearest; the logs had other "
            "numbers of items, or another test was used"
        )


def _log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf


def _at_odds(contents: Contents) -> Iterator[str]:
    """Items that do not follow from the log's own losses."""
    value, name = contents.value, contents.path.name
    for short in SPLITS:
        wrong_part = value.get(f"{short}_Q_A_PERT_Prob")
        # Real authors and world facts have no paraphrase: the answer itself is the right one.
        right_name = next((f"{short}_Q_A_{m}Prob" for m in ("PARA_", "")
                           if f"{short}_Q_A_{m}Prob" in value), "")  # fmt: skip
        ratio_name = "forget_truth_ratio" if short == "forget" else f"{short}_Truth_Ratio"
        if wrong_part is None or not right_name:
            continue
        wrong = lists_by_item(wrong_part, f"{name}: {short}_Q_A_PERT_Prob", "avg_loss")
        right = by_item(value[right_name], f"{name}: {right_name}", "avg_loss")
        missing = sorted(set(right) ^ set(wrong), key=lambda item: (len(item), item))
        if missing:
            yield f"{short}: item {missing[0]} has wrong answers or the right one, but not both"
            continue
        if ratio_name in value:
            ratios = by_item(value[ratio_name], f"{name}: {ratio_name}", "score")
            expected = {
                item: truth_ratio.truth_ratio(
                    math.exp(-right[item]), truth_ratio.wrong_probability(wrong[item])
                )
                for item in right
            }
            yield from _unequal(ratios, expected, ratio_name, "P(wrong) / P(right) of its losses")
    for metric, part in value.items():
        if metric.endswith(("Q_A_Prob", "PARA_Prob")):
            losses = by_item(part, f"{name}: {metric}", "avg_loss")
            expected = {item: math.exp(-loss) for item, loss in losses.items()}
            yield from _unequal(by_item(part, f"{name}: {metric}", "prob"), expected, metric,
                                "exp(-avg_loss)")  # fmt: skip


def _unequal(
    values: Mapping[str, float], expected: Mapping[str, float], name: str, formula: str
) -> Iterator[str]:
    if len(values) != len(expected):
        yield f"{name} has {len(values)} items, and {len(expected)} that it is computed from"
        return
    near = partial(math.isclose, rel_tol=_FLOAT32, abs_tol=1e-30)
    wrong = [i for i, value in values.items() if i not in expected or not near(value, expected[i])]
    if wrong:
        item = wrong[0]
        yield (
            f"{name}: {len(wrong)} of {len(values)} items are not {formula}, the first {item}: "
            f"{values[item]!r}, not {expected.get(item, math.nan)!r}"
        )


def _leakage(
    stated: float | None, values: Mapping[str, float], reference: Contents | None
) -> tuple[list[str], list[str]]:
    """What is wrong with the stated PrivLeak, and what to know of it."""
    if stated is None or "mia_min_k" not in values:
        return [], []
    own = muse_orientation(values["mia_min_k"])
    if reference is not None and "mia_min_k" in reference.value:
        where = f"{reference.path.name}: mia_min_k"
        expected = muse_orientation(area(reference.value["mia_min_k"], where))
        problems = []
        try:
            check_privacy_leakage(stated, expected)
        except UserError as error:
            problems.append(str(error))
        recomputed = values["privleak"]
        if not is_same(stated, recomputed) and is_same(stated, _leak(own, SILENT_HALF)):
            problems.append(
                f"privleak {stated!r} is relative to an AUC of 0.5, which OpenUnlearning silently "
                f"takes where it is given no retain log; relative to {reference.path.name} it is "
                f"{recomputed!r}"
            )
        return problems, []
    if is_same(stated, _leak(own, SILENT_HALF)):
        return [], [
            f"privleak {stated!r} is relative to an AUC of 0.5, which OpenUnlearning silently "
            "takes where it is given no retain log: it says nothing of a retrained model"
        ]
    if own == 0 or stated == -100:
        if abs(stated + 100) < _NEAR_THE_FLOOR and own == 0:
            return [], []
        return [
            f"privleak {stated!r} does not go with a mia_min_k of {1 - own!r}: -100 goes with 1"
        ], []
    implied = own / (1 + stated / 100)
    text = f"privleak {stated!r} takes a reference AUC of {implied:.4f} (MUSE's orientation)"
    if not 0 <= implied <= 1:
        return [f"{text}, which is not within 0 and 1: it is not that of any reference"], []
    if implied < _LEAST_REFERENCE:
        return [f"{text}: the retain log was that of a model that knows the forget set"], []
    return [], [f"{text}; give that model's log with --reference to check it"]


def _leak(own: float, reference: float) -> float:
    return privacy_leakage(own, reference, OPEN_UNLEARNING_EPSILON)


def _ladder(contents: Contents, values: Mapping[str, float]) -> str:
    n = len(_ratios(contents) or ())
    return (
        f"forget quality of {n} items: D = {round(values['ks_distance'] * n)}/{n}; p is never "
        f"below {ks.ks_floor(n):.3g}, and below .05 only from D = "
        f"{ks.smallest_detectable(n):g} on"
    )
