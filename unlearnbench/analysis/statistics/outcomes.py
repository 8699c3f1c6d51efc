"""The outcomes, document by document, that one cell of a table is made of."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.columns import Column
from unlearnbench.analysis.statistics.runs import RunKey, run_key
from unlearnbench.results.record import Result
from unlearnbench.results.score import Score

Array = NDArray[np.float64]

#: Tasks whose documents are the forget set's rows.  Their doc_ids are row numbers, which start
#: again in every text file; any other task asks the same questions of every run.
FORGET_SET_TASKS = ("forgetting", "judge")
_AGREES = 1e-6  # relative: how close a score must be to what it is said to be made of


@dataclass(frozen=True, eq=False)
class Stratum:
    """Documents of one origin (a question set, a text, a forget set) and the runs they share."""

    name: str  # the set within an average; else empty
    documents: tuple[str, ...]  # [D] doc_ids, sorted
    runs: tuple[RunKey, ...]  # [R]
    values: Array  # [R, D] in stored units; of a perplexity nats
    weights: Array  # [R]: of each run in the cell, times the column's scale


@dataclass(frozen=True, eq=False)
class Outcomes:
    """A cell: the weighted sum over strata and runs of the mean over documents, or of its exp.

    The difference of two cells is one as well: the second's runs have negative weights.
    """

    strata: tuple[Stratum, ...]
    is_exp: bool = False  # perplexity

    @cached_property
    def value(self) -> float:
        """The cell's mean in printed units; infinite where the exponential overflows."""
        means = (s.values.sum(axis=1) / len(s.documents) for s in self.strata)
        of_runs = zip(self.strata, map(self.of_means, means), strict=True)
        return float(sum(s.weights @ values for s, values in of_runs))

    @property
    def n_documents(self) -> int:
        """Number of distinct documents."""
        return sum(len(s.documents) for s in self.strata)

    def of_means(self, means: Array) -> Array:
        """The values of runs whose documents have these means."""
        if not self.is_exp:
            return means
        with np.errstate(over="ignore"):  # a destroyed model's perplexity is infinite
            return np.exp(means)


@dataclass(frozen=True)
class _Composition:
    """What one score is made of: the documents of one set, or of each set of an average."""

    is_exp: bool
    sets: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class _OfRun:
    run: RunKey
    origin: str  # of the documents: the forget set's hash; empty if every run has the same ones
    documents: Mapping[str, float]


def outcomes_of(results: Sequence[Result], column: Column) -> Outcomes | None:
    """The outcomes behind a row's cell, of the results that are the row's runs.

    A score is the mean of its documents, the exponential of that mean, or the unweighted mean
    of its task's sets; which of them is told by recomputing it.  None if no result has the
    metric, if a score is none of the three, or if runs share some documents but not all.
    """
    found = []
    for result in results:
        scores = result.with_outcomes().scores.get(column.task, {})
        score = scores.get(column.metric)
        if score is None or math.isnan(score.value):
            continue  # the cell's mean is over the other runs as well
        composition = _composition(score, scores)
        if composition is None:
            return None
        origin = result.forget_set.content_sha256 if column.task in FORGET_SET_TASKS else ""
        found.append((run_key(result), origin, composition))
    if len({(made.is_exp, frozenset(made.sets)) for _, _, made in found}) != 1:
        return None
    sets = sorted(found[0][2].sets)
    weight = column.scale / (len(found) * len(sets))
    strata: list[Stratum] = []
    for name in sets:
        of_set = _strata(name, [_OfRun(k, o, made.sets[name]) for k, o, made in found], weight)
        if of_set is None:
            return None
        strata += of_set
    return Outcomes(tuple(strata), found[0][2].is_exp)


def _composition(score: Score, siblings: Mapping[str, Score]) -> _Composition | None:
    if not score.documents:
        return _average(score, siblings)
    mean = _mean(score)
    if _agree(score.value, mean):
        return _Composition(False, {"": score.documents})
    if _agree(score.value, math.exp(mean) if mean < 709 else math.inf):
        return _Composition(True, {"": score.documents})
    return None


def _average(score: Score, siblings: Mapping[str, Score]) -> _Composition | None:
    parts = {name: part for name, part in siblings.items() if part.documents}
    if not parts or not all(_agree(part.value, _mean(part)) for part in parts.values()):
        return None
    if not _agree(score.value, sum(part.value for part in parts.values()) / len(parts)):
        return None
    return _Composition(False, {name: part.documents for name, part in parts.items()})


def _mean(score: Score) -> float:
    return sum(score.documents.values()) / len(score.documents)


def _agree(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=_AGREES, abs_tol=1e-15)


def _strata(name: str, runs: Sequence[_OfRun], weight: float) -> list[Stratum] | None:
    """One stratum for the runs that share their documents; None if some share only a part."""
    shared: dict[tuple[str, tuple[str, ...]], list[tuple[RunKey, Array]]] = defaultdict(list)
    for run in runs:
        ids, order = _in_order(tuple(run.documents))
        values = np.fromiter(run.documents.values(), float, len(ids))
        shared[run.origin, ids].append((run.run, values[order]))
    by_origin: dict[str, list[str]] = defaultdict(list)
    for origin, documents in shared:
        by_origin[origin] += documents
    if any(len(ids) != len(set(ids)) for ids in by_origin.values()):
        return None
    # In an order that does not hang on that of the runs, so that the same documents are drawn.
    return [_stratum(name, key[1], shared[key], weight) for key in sorted(shared)]


def _stratum(
    name: str, documents: tuple[str, ...], runs: Sequence[tuple[RunKey, Array]], weight: float
) -> Stratum:
    keys, values = tuple(key for key, _ in runs), np.array([values for _, values in runs])
    return Stratum(name, documents, keys, values, np.full(len(runs), weight))


@lru_cache(maxsize=4096)  # thousands of results have the same few lists
def _in_order(ids: tuple[str, ...]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The ids sorted, and where each of them stood."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return tuple(ids[i] for i in order), np.array(order, dtype=np.intp)
