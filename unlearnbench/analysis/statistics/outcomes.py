"""The outcomes, document by document, that one cell of a table is made of."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.columns import Column
from unlearnbench.results.record import Result
from unlearnbench.results.score import Score


@dataclass(frozen=True)
class RunKey:
    """A forget set and a seed."""

    forget_set: str  # hash of its token ids
    seed: int | None  # None: a reference row, which draws nothing
    rows: str = ""  # the forget set by name and doc_ids

    def matches(self, other: "RunKey") -> bool:
        """Whether two rows' runs are of the same forget set and seed.

        A reference row's only run on a forget set stands beside every seed.  Its tokenizer may
        be another, and the hash of its token ids with it, so there the doc_ids decide.
        """
        is_reference = self.seed is None or other.seed is None
        if not is_reference and self.seed != other.seed:
            return False
        same_rows = is_reference and bool(self.rows) and self.rows == other.rows
        return self.forget_set == other.forget_set or same_rows


def run_key(result: Result) -> RunKey:
    """The run that a result is of."""
    given = result.forget_set
    seed = result.seed if result.role == "method" else None
    return RunKey(given.content_sha256, seed, f"{given.run}: {','.join(given.doc_ids)}")


@lru_cache(maxsize=1024)
def matching_runs(first: tuple[RunKey, ...], second: tuple[RunKey, ...]) -> list[tuple[int, int]]:
    """Positions (in the first, in the second) of the runs that both have."""
    return [(i, j) for i, a in enumerate(first) for j, b in enumerate(second) if a.matches(b)]


def common_runs(rows: Sequence[tuple[RunKey, ...]]) -> list[tuple[int, ...]]:
    """For each run that all rows have, its position in every row; by forget set and seed."""
    seeded = [keys for keys in rows if any(key.seed is not None for key in keys)]
    base = (seeded or list(rows))[0] if rows else ()
    found = []
    for key in sorted(base, key=lambda k: (k.forget_set, k.seed or 0)):
        places = [next((i for i, k in enumerate(keys) if k.matches(key)), -1) for keys in rows]
        if -1 not in places:
            found.append(tuple(places))
    return found


Array = NDArray[np.float64]


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

    None if no result has the metric, if a score comes without documents, if its parts or the
    runs' scores are made in different ways, or if runs share some documents but not all.
    """
    compositions = []
    for result in results:
        scores = result.with_outcomes().scores.get(column.task, {})
        score = scores.get(column.metric)
        if score is None or math.isnan(score.value):
            continue  # the cell's mean is over the other runs as well
        composition = _composition(score, scores)
        if composition is None:
            return None
        # The forget sets' doc_ids start again in each; other documents are the same in all runs.
        origin = result.forget_set.content_sha256 if column.documents == "rows" else ""
        compositions.append((run_key(result), origin, composition))
    if len({(made.is_exp, frozenset(made.sets)) for _, _, made in compositions}) != 1:
        return None
    sets = sorted(compositions[0][2].sets)
    weight = column.scale / (len(compositions) * len(sets))
    strata: list[Stratum] = []
    for name in sets:
        of_runs = [_OfRun(run, origin, made.sets[name]) for run, origin, made in compositions]
        of_set = _strata(name, of_runs, weight)
        if of_set is None:
            return None
        strata += of_set
    return Outcomes(tuple(strata), compositions[0][2].is_exp)


def _composition(score: Score, siblings: Mapping[str, Score]) -> _Composition | None:
    if score.aggregation == "mean_of_scores":
        parts = {name: siblings[name] for name in score.parts if name in siblings}
    else:
        parts = {"": score}
    kinds = {part.aggregation for part in parts.values()}
    complete = len(parts) == max(1, len(score.parts)) and all(p.documents for p in parts.values())
    if not complete or len(kinds) != 1 or "mean_of_scores" in kinds:
        return None
    return _Composition(kinds == {"exp_mean"}, {n: part.documents for n, part in parts.items()})


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
