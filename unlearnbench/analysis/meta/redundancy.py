"""Redundancy: which metrics put models in the same order, so that one says what the other does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEAST_MODELS = 5  # measured by both metrics of a pair
ALIKE = 0.9  # |rho| from which on two metrics are called redundant


@dataclass(frozen=True)
class Redundancy:
    """Rank correlations between metrics, in the order of their clusters."""

    order: tuple[int, ...]  # places of the metrics as they were given
    correlations: Array  # [metrics, metrics] in that order; NaN where too few models have both
    groups: tuple[tuple[int, ...], ...]  # of metrics as given: all pairs within |rho| >= 0.9


def redundancy(values: Array, alike: float = ALIKE) -> Redundancy:
    """Of values [models, metrics], NaN where a metric was not measured.

    Spearman's correlation over the models that both metrics measured, clustered by 1 - |rho| with
    complete linkage: in a group every two metrics are that much alike.
    """
    from scipy.cluster.hierarchy import fcluster, leaves_list, linkage
    from scipy.spatial.distance import squareform

    correlations = spearman_matrix(values)
    n = len(correlations)
    if n < 2:
        return Redundancy(tuple(range(n)), correlations, ())
    apart = 1 - np.abs(np.nan_to_num(correlations))
    np.fill_diagonal(apart, 0.0)
    apart = np.clip((apart + apart.T) / 2, 0.0, 1.0)
    tree = linkage(squareform(apart, checks=False), "complete", optimal_ordering=True)
    order = leaves_list(tree)
    labels = fcluster(tree, 1 - alike + 1e-12, "distance")
    members = [tuple(int(i) for i in order if labels[i] == label) for label in dict.fromkeys(
        labels[order])]  # fmt: skip
    groups = tuple(group for group in members if len(group) > 1)
    return Redundancy(tuple(map(int, order)), correlations[np.ix_(order, order)], groups)


def spearman_matrix(values: Array) -> Array:
    """[metrics, metrics] rank correlations over the models that both metrics measured.

    NaN for fewer than five of them, and where a metric is the same for all of these.
    """
    n = values.shape[1]
    matrix = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i, n):
            matrix[i, j] = matrix[j, i] = spearman(values[:, i], values[:, j])
    return matrix


def spearman(first: Sequence[float] | Array, second: Sequence[float] | Array) -> float:
    """Spearman's correlation over the models with both values, ties sharing their rank."""
    from scipy.stats import rankdata

    one, other = np.asarray(first, float), np.asarray(second, float)
    both = ~(np.isnan(one) | np.isnan(other))
    if both.sum() < LEAST_MODELS:
        return float("nan")
    ranks = [rankdata(side[both]) for side in (one, other)]
    if any(np.ptp(side) == 0 for side in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
