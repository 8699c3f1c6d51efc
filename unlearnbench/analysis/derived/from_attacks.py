"""Scores derived from the task `membership`, most of them relative to a retrained model."""

from dataclasses import replace

from unlearnbench.analysis.derived import aggregates, membership, resampling
from unlearnbench.analysis.derived.measured import DEPTH, MEMBERSHIP, Measured, same_items
from unlearnbench.analysis.derived.membership import Interval
from unlearnbench.analysis.derived.resampling import Estimate, combined, from_ends
from unlearnbench.analysis.derived.row import Row
from unlearnbench.analysis.derived.score import ATTACKS, FOUR_ATTACKS, RETRAINED

FORGET, HOLDOUT = "forget", "holdout"
Sides = tuple[dict[str, float], dict[str, float]]  # scores by item: forget, holdout
_OF_MUSE = "min_k"  # the attack that PrivLeak is of: MUSE takes 40%
_RATES = {"tpr_at_1": 0.01, "tpr_at_01": 0.001}


def areas(row: Row) -> None:
    """The AUC and the TPR at two low FPRs of every attack that was measured."""
    for attack in ATTACKS:
        if _has(row.own, attack):
            row.attempt(lambda row, attack=attack: _area(row, attack))  # type: ignore[misc]


def _has(measured: Measured, attack: str) -> bool:
    return measured.has(MEMBERSHIP, f"{FORGET}_{attack}", f"{HOLDOUT}_{attack}")


def _sides(measured: Measured, attack: str) -> Sides:
    forget, holdout = (
        measured.known(MEMBERSHIP, f"{split}_{attack}") for split in (FORGET, HOLDOUT)
    )
    return forget, holdout


def _area(row: Row, attack: str) -> None:
    _put_area(row, f"auc_{attack}", attack, _area_of(row.own, attack), _sides(row.own, attack))


def _area_of(measured: Measured, attack: str) -> Estimate:
    key = (MEMBERSHIP, attack)
    if key not in measured.estimates:
        forget, holdout = _sides(measured, attack)
        measured.estimates[key] = resampling.area((FORGET, forget), (HOLDOUT, holdout))
    return measured.estimates[key]


def _put_area(
    row: Row, name: str, attack: str, area: Estimate, sides: Sides, relative_to: str = ""
) -> None:
    row.put_estimate(name, area, relative_to)
    forget, holdout = (list(side.values()) for side in sides)
    for rate, share in _RATES.items():
        found = membership.tpr_at_fpr(forget, holdout, share)
        row.put(f"{rate}_{attack}", found, area.n, None, relative_to)


def reference_attack(row: Row) -> None:
    """The loss less the retrained model's on the same text, which takes out how hard a text is."""
    if row.reference is None or not all(_has(m, "loss") for m in (row.own, row.reference)):
        return
    less = []
    for split in (FORGET, HOLDOUT):
        own, reference = (m.known(MEMBERSHIP, f"{split}_loss") for m in (row.own, row.reference))
        values = same_items(own, reference, "membership by reference")
        less.append({i: a - b for i, a, b in zip(sorted(own), *values, strict=True)})
    area = resampling.area((FORGET, less[0]), (HOLDOUT, less[1]))
    _put_area(row, "membership_reference", "reference", area, (less[0], less[1]), RETRAINED)


def closenesses(row: Row) -> None:
    """How close each AUC is to the retrained model's, PrivLeak, and the four in one: MIA."""
    if row.reference is None:
        return
    for attack in ATTACKS:
        if f"auc_{attack}" in row.estimates and _has(row.reference, attack):
            row.attempt(lambda row, attack=attack: _closeness(row, attack))  # type: ignore[misc]
    if all(f"s_mia_{attack}" in row.estimates for attack in FOUR_ATTACKS):
        four = [row.estimates[f"s_mia_{attack}"] for attack in FOUR_ATTACKS]
        mia = _mia(four)
        row.put_estimate("mia", mia, RETRAINED)
        row.put_estimate("privacy", _privacy(row.own, mia), RETRAINED)


def _privacy(measured: Measured, mia: Estimate) -> Estimate:
    """MIA, and the depth score where there is one."""
    if not measured.has(DEPTH, DEPTH):
        return mia
    depth = resampling.mean(FORGET, measured.known(DEPTH, DEPTH))
    return from_ends(aggregates.privacy, mia, depth)


def _mia(four: list[Estimate]) -> Estimate:
    """The attacks reach their ends together: they are of the same texts, and much alike."""
    mia = combined(lambda *each: aggregates.membership(each), *four)
    ends = [each.ends for each in four if each.ends is not None]
    if len(ends) < len(four):
        return mia
    low, high = (aggregates.membership(side) for side in zip(*ends, strict=True))
    return replace(mia, ends=(low, high))


def _closeness(row: Row, attack: str) -> None:
    assert row.reference is not None
    sides = list(zip(_sides(row.own, attack), _sides(row.reference, attack), strict=True))
    for own_side, others in sides:
        same_items(own_side, others, f"membership by {ATTACKS[attack]}")
    reference = _area_of(row.reference, attack)
    own = row.estimates[f"auc_{attack}"]
    if attack == _OF_MUSE:
        areas = _turned(own), _turned(reference)
        leak = membership.privacy_leakage(areas[0].value, areas[1].value)
        ratio = _ratio_interval(*areas)
        ends = None if ratio is None else (100 * (ratio.low - 1), 100 * (ratio.high - 1))
        row.put("privacy_leakage", leak, own.n, ends, RETRAINED)
    membership.closeness(own.value, reference.value)  # says why there is none
    estimate = replace(
        combined(_closeness_of, own, reference),
        ends=membership.closeness_interval(_ratio_interval(own, reference)),
    )
    row.put_estimate(f"s_mia_{attack}", estimate, RETRAINED)


def _turned(estimate: Estimate) -> Estimate:
    low, high = estimate.ends or (None, None)
    ends = None if low is None or high is None else (1 - high, 1 - low)
    return replace(combined(membership.muse_orientation, estimate), ends=ends)


def _closeness_of(area: float, reference: float) -> float:
    return membership.closeness(area, reference) if reference > 0 else float("nan")


def _ratio_interval(own: Estimate, reference: Estimate) -> Interval | None:
    if own.ends is None or reference.ends is None:
        return None
    return membership.ratio_interval(
        own.value, Interval(*own.ends), reference.value, Interval(*reference.ends),
        resampling.correlation(own, reference),
    )  # fmt: skip
