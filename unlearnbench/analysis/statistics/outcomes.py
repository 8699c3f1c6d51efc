"""The outcomes, document by document, that one cell of a table is made of."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from unlearnbench.analysis.table import Column
from unlearnbench.results.record import TRAINED, Result
from unlearnbench.results.score import Score

Array = NDArray[np.float64]
ByKey = Mapping[str, Result]


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
    record = result.forget_set
    seed = result.seed if result.role in TRAINED else None
    return RunKey(record.content_sha256, seed, f"{record.run}: {','.join(record.doc_ids)}")


@lru_cache(maxsize=1024)
def matching_runs(first: tuple[RunKey, ...], second: tuple[RunKey, ...]) -> list[tuple[int, int]]:
    """Positions (in the first, in the second) of the runs that both have."""
    return [(i, j) for i, a in enumerate(first) for j, b in enumerate(second) if a.matches(b)]


def common_runs(rows: Sequence[tuple[RunKey, ...]]) -> list[tuple[int, ...]]:
    """For each run that all rows have, its position in every row; by forget set and seed."""
    seeded = [keys for keys in rows if any(key.seed is not None for key in keys)]
    base = (seeded or list(rows))[0] if rows else ()
    common = []
    for key in sorted(base, key=lambda k: (k.forget_set, k.seed or 0)):
        places = [next((i for i, k in enumerate(keys) if k.matches(key)), -1) for keys in rows]
        if -1 not in places:
            common.append(tuple(places))
    return common


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


def outcomes_of(results: Sequence[Result], column: Column) -> Outcomes | None:
    """The outcomes behind a row's cell, of the results that are the row's runs.

    None if no result has the metric, if a score comes without documents, if its parts or the
    runs' scores are made in different ways, or if runs share some documents but not all.
    """
    runs: list[tuple[RunKey, str, dict[str, Score]]] = []
    for result in results:
        siblings = result.with_outcomes().scores.get(column.task, {})
        score = siblings.get(column.metric)
        if score is None or math.isnan(score.value):
            continue  # the cell's mean is over the other runs as well
        # The forget sets' doc_ids start again in each; other documents are the same in all runs.
        origin = result.forget_set.content_sha256 if column.documents == "rows" else ""
        runs.append((run_key(result), origin, parts_of(score, siblings)))
    scores = [score for _, _, parts in runs for score in parts.values()]
    kinds = {score.aggregation if score.documents else "" for score in scores}
    if len({frozenset(parts) for _, _, parts in runs}) != 1 or len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind not in ("mean", "exp_mean"):
        return None
    strata = _strata(runs, column.scale / len(scores))
    return Outcomes(strata, kind == "exp_mean") if strata is not None else None


def parts_of(score: Score, siblings: Mapping[str, Score]) -> dict[str, Score]:
    """The scores whose documents it is made of, by name; itself under '' if it is no average."""
    if score.aggregation != "mean_of_scores":
        return {"": score}
    if not siblings.keys() >= set(score.parts):
        return {}
    return {name: siblings[name] for name in score.parts}


def _strata(
    runs: Sequence[tuple[RunKey, str, Mapping[str, Score]]], weight: float
) -> tuple[Stratum, ...] | None:
    """One stratum for the runs that share their documents; None if some share only a part."""
    shared: dict[tuple[str, str, tuple[str, ...]], list[tuple[RunKey, Array]]] = defaultdict(list)
    for key, origin, parts in runs:
        for name, part in parts.items():
            ids, order = _in_order(tuple(part.documents))
            values = np.fromiter(part.documents.values(), float, len(ids))
            shared[name, origin, ids].append((key, values[order]))
    of_origin: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, origin, ids in shared:
        of_origin[name, origin] += ids
    if any(len(ids) != len(set(ids)) for ids in of_origin.values()):
        return None
    strata = []
    # In an order that does not hang on that of the runs, so that the same documents are drawn.
    for name, origin, ids in sorted(shared):
        keys, rows = zip(*shared[name, origin, ids], strict=True)
        strata.append(Stratum(name, ids, keys, np.array(rows), np.full(len(keys), weight)))
    return tuple(strata)


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
        ours, theirs = ([s for s in cell.strata if s.name == name] for cell in (first, second))
        met = [
            (a, b, runs)
            for a in ours
            for b in theirs
            if (runs := matching_runs(a.runs, b.runs))
            and (a.documents == b.documents or set(a.documents) & set(b.documents))
        ]
        if not met:
            return None
        # The set's weight is shared by the pairs of runs.
        weight = sum(float(s.weights.sum()) for s in ours) / sum(len(runs) for _, _, runs in met)
        for a, b, runs in met:
            part = _part(a, [i for i, _ in runs], b.documents, weight)
            pairs.append((part, _part(b, [j for _, j in runs], a.documents, weight)))
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
    n_documents = sum(len(s.documents) for s in whole.strata if runs & set(s.runs))
    return shared.n_documents >= (1.0 if whole.is_exp else _LEAST_SHARED) * n_documents
