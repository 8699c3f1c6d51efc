"""The normalised scores s_z and s_m of the compared rows (eq. 11)."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import NamedTuple

Values = Sequence[float | None]


class NormalizedScores(NamedTuple):
    """Both scores of every row, and what they are made of."""

    s_z: list[float]
    s_m: list[float]
    metrics: tuple[str, ...]  # summed over
    left_out: tuple[str, ...]  # missing or not finite in at least one row


def z_scores(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """Signed distance from the rows' mean in population standard deviations; higher is better.

    A metric that is the same in every row tells the rows apart in no way: 0 for all.
    """
    if _constant(values):
        return [0.0] * len(values)
    mean, spread = fmean(values), pstdev(values)
    if spread == 0.0:  # they differ by less than a float can square
        return [0.0] * len(values)
    return [_signed((v - mean) / spread, higher_is_better) for v in values]


def min_max(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """Position between the rows' least (0) and greatest (1) value, negated if lower is better.

    A metric that is the same in every row gives 0 for all, as in `z_scores`.
    """
    if _constant(values):
        return [0.0] * len(values)
    low, high = min(values), max(values)
    return [_signed((v - low) / (high - low), higher_is_better) for v in values]


def normalized_scores(
    columns: Mapping[str, Values],
    higher_is_better: Mapping[str, bool],
    caps: Mapping[str, float | None] | None = None,
) -> NormalizedScores:
    """s_z and s_m: the sums over metrics of z-scores and of min-max scores (eq. 11).

    `columns` holds one value per compared row for each metric, None where it was not
    measured; `caps` the value above which a metric counts as that value (perplexity: 1000),
    applied first.  A metric that is missing or not finite in any row is left out for all.
    Raises `ValueError` if the columns differ in length.
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {sorted(lengths)}")
    capped = {name: _cap(values, (caps or {}).get(name)) for name, values in columns.items()}
    complete = {name: _finite(values) for name, values in capped.items()}
    used = {name: values for name, values in complete.items() if values is not None}
    z = [z_scores(values, higher_is_better[name]) for name, values in used.items()]
    m = [min_max(values, higher_is_better[name]) for name, values in used.items()]
    n_rows = lengths.pop() if lengths else 0
    return NormalizedScores(
        _sums(z, n_rows), _sums(m, n_rows), tuple(used), tuple(n for n in columns if n not in used)
    )


def _constant(values: Sequence[float]) -> bool:
    # Means of equal numbers may differ in the last bits; dividing by that would invent a ranking.
    return max(values) - min(values) <= 1e-12 * max(map(abs, values))


def _signed(value: float, higher_is_better: bool) -> float:
    return value if higher_is_better else -value


def _cap(values: Values, cap: float | None) -> Values:
    # NaN is no large number: `min` would turn it into the cap.
    if cap is None:
        return values
    return [cap if v is not None and v > cap else v for v in values]


def _finite(values: Values) -> list[float] | None:
    """The values if all of them are there and finite."""
    numbers = [v for v in values if v is not None and math.isfinite(v)]
    return numbers if numbers and len(numbers) == len(values) else None


def _sums(parts: Sequence[Sequence[float]], n_rows: int) -> list[float]:
    return [math.fsum(part[i] for part in parts) for i in range(n_rows)]
