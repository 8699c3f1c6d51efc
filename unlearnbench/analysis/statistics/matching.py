"""Two cells over the runs and documents that both have."""

from collections.abc import Sequence

import numpy as np

from unlearnbench.analysis.statistics.outcomes import Outcomes, Stratum
from unlearnbench.analysis.statistics.runs import matching_runs

_LEAST_SHARED = 0.5  # of each cell's documents


def matched(first: Outcomes, second: Outcomes) -> tuple[Outcomes, Outcomes] | None:
    """Both cells over their common runs and documents, in the same order.

    A run counts in both as often as it has a partner.  None if they are made differently,
    have no run in common, or less than half of either's documents; of perplexities, any
    difference in windows, since another number of windows means other texts in them.
    """
    if first.is_exp != second.is_exp:
        return None
    names = {s.name for s in first.strata}
    if names != {s.name for s in second.strata}:
        return None
    pairs: list[tuple[Stratum, Stratum]] = []
    for name in sorted(names):
        of_set = _of_set(
            [s for s in first.strata if s.name == name],
            [s for s in second.strata if s.name == name],
        )
        if not of_set:
            return None
        pairs += of_set
    one = Outcomes(tuple(a for a, _ in pairs), first.is_exp)
    other = Outcomes(tuple(b for _, b in pairs), second.is_exp)
    enough = _share_enough(one, first) and _share_enough(other, second)
    return (one, other) if enough else None


def difference(pair: tuple[Outcomes, Outcomes]) -> Outcomes:
    """First minus second of a matched pair, document by document."""
    return Outcomes(
        tuple(
            Stratum(
                a.name,
                a.documents,
                a.runs + b.runs,
                np.concatenate([a.values, b.values]),
                np.concatenate([a.weights, -b.weights]),
            )
            for a, b in zip(pair[0].strata, pair[1].strata, strict=True)
        ),
        pair[0].is_exp,
    )


def _of_set(first: Sequence[Stratum], second: Sequence[Stratum]) -> list[tuple[Stratum, Stratum]]:
    """The strata of one set, each beside its partner, with weights that sum to the set's."""
    total = sum(float(s.weights.sum()) for s in first)
    found = [(a, b, matching_runs(a.runs, b.runs)) for a in first for b in second]
    met = [(a, b, runs) for a, b, runs in found if runs and not _disjoint(a, b)]
    n_runs = sum(len(runs) for _, _, runs in met)
    return [_both(a, b, runs, total / n_runs) for a, b, runs in met]


def _disjoint(a: Stratum, b: Stratum) -> bool:
    return a.documents != b.documents and not set(a.documents) & set(b.documents)


def _both(
    a: Stratum, b: Stratum, runs: Sequence[tuple[int, int]], weight: float
) -> tuple[Stratum, Stratum]:
    return (
        _part(a, [i for i, _ in runs], b.documents, weight),
        _part(b, [j for _, j in runs], a.documents, weight),
    )


def _part(stratum: Stratum, runs: list[int], documents: tuple[str, ...], weight: float) -> Stratum:
    """The stratum's given runs over those of its documents that the other has too."""
    kept, values = stratum.documents, stratum.values[runs]
    if kept != documents:
        others = set(documents)
        places = [i for i, name in enumerate(kept) if name in others]
        kept, values = tuple(kept[i] for i in places), values[:, places]
    keys = tuple(stratum.runs[i] for i in runs)
    return Stratum(stratum.name, kept, keys, values, np.full(len(runs), weight))


def _share_enough(shared: Outcomes, whole: Outcomes) -> bool:
    # A forget set that only one of the two has takes no document from the others.
    runs = {run for stratum in shared.strata for run in stratum.runs}
    met = [stratum for stratum in whole.strata if runs & set(stratum.runs)]
    least = 1.0 if whole.is_exp else _LEAST_SHARED
    return shared.n_documents >= least * sum(len(stratum.documents) for stratum in met)
