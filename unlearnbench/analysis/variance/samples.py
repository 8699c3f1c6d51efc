"""The balanced samples of a line's runs that components of variance are computed from."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unlearnbench.analysis.statistics.outcomes import ByKey, parts_of, run_key
from unlearnbench.analysis.table import P_VALUE, Column, Row
from unlearnbench.analysis.variance.components import Array, Sample, Stratum
from unlearnbench.analysis.variance.families import Line
from unlearnbench.results.record import Result
from unlearnbench.results.score import Score

_LEAST_SHARED = 0.5  # of a run's items, or their means are of other items than the table's
Runs = dict[str, dict[int | None, Result]]  # by forget set and seed; a reference row has no seed
Grid = Sequence[Sequence[Sequence[Result]]]  # [training][forget set][seed]


@dataclass(frozen=True, eq=False)
class Samples:
    """Lines over the trainings, forget sets, seeds and items that all of them have."""

    samples: tuple[Sample, ...]  # one per line
    trainings: tuple[int, ...]  # their places in the family
    is_log: bool  # of an exponential of a mean (perplexity): in nats
    n_left_out: int  # runs that not all trainings and lines have
    same_seeds: bool  # all trainings have the same ones


def samples_of(lines: Sequence[Line], column: Column, by_key: ByKey) -> Samples | None:
    """The lines in one column, balanced; None without a common run, for p-values, or for values
    that are not finite.

    Seeds are nested in trainings: each training has as many as the fewest have, the same ones
    where there are common ones.  Without items in common a sample holds its runs' values alone.
    """
    if column.unit == P_VALUE:  # no mean of which is a p-value
        return None
    every = [[_runs(row, column, by_key) for row in line.rows] for line in lines]
    places = [t for t in range(len(every[0])) if all(of[t] for of in every)]
    if len(lines) == 1 and _is_one_model(every[0]):
        places = places[:1]
    chosen = _balanced([[of[t] for of in every] for t in places]) if places else {}
    if not chosen:
        return None
    grids = [
        [
            [_taken(of[t][f], seeds[at]) for f, seeds in chosen.items()]
            for at, t in enumerate(places)
        ]
        for of in every
    ]  # [line][training][forget set][seed]
    scores = [column.score(result) for result in _flat(grids)]
    values = [score.value for score in scores if score is not None]
    is_log = any(score is not None and score.aggregation == "exp_mean" for score in scores)
    if not all(map(math.isfinite, values)) or (is_log and min(values) <= 0.0):
        return None
    made = _with_items(grids, column, is_log) or [_runs_alone(g, column, is_log) for g in grids]
    kept = {result.key for result in _flat(grids)}
    n_runs = len({r.key for of in every for runs in of for f in runs.values() for r in f.values()})
    same_seeds = all(seeds == of[0] for of in chosen.values() for seeds in of)
    return Samples(tuple(made), tuple(places), is_log, n_runs - len(kept), same_seeds)


def _runs(row: Row | None, column: Column, by_key: ByKey) -> Runs:
    runs: Runs = {}
    for run in row.runs if row is not None else ():
        result = by_key.get(run.key)
        score = column.score(result) if result is not None else None
        if result is not None and score is not None and not math.isnan(score.value):
            runs.setdefault(run.content_sha256, {})[run_key(result).seed] = result
    return runs


def _is_one_model(runs: Sequence[Runs]) -> bool:
    """Whether a reference row is the same model beside every training: none was retrained."""
    results = [r for of in runs for by_seed in of.values() for r in by_seed.values()]
    models = {(r.model.weights_sha256, r.model.name) for r in results}
    return len(models) == 1 and all(run_key(r).seed is None for r in results)


def _balanced(runs: Sequence[Sequence[Runs]]) -> dict[str, list[list[int | None]]]:
    """By forget set and training [T] the seeds to take; `runs` [training][line].

    As many seeds of as many forget sets as make the most runs; of equals, more forget sets.
    """
    common = [set.intersection(*(set(of) for of in lines)) for lines in runs]
    forget_sets = sorted(set.intersection(*common))
    seeds = {f: [_common_seeds([of[f] for of in lines]) for lines in runs] for f in forget_sets}
    least = {f: min(map(len, of)) for f, of in seeds.items()}
    sizes = {n: sum(m >= n for m in least.values()) for n in set(least.values()) if n}
    if not sizes:
        return {}
    n = max(sizes, key=lambda n: (n * sizes[n], sizes[n]))
    return {f: _chosen(of, n) for f, of in seeds.items() if least[f] >= n}


def _common_seeds(of_lines: Sequence[Mapping[int | None, Result]]) -> list[int | None]:
    """The seeds that every line has that has any; None alone if none has."""
    seeded = [set(of) for of in of_lines if None not in of]
    if not seeded:
        return [None]
    return sorted(set.intersection(*seeded), key=lambda seed: seed or 0)


def _chosen(of_trainings: Sequence[list[int | None]], n: int) -> list[list[int | None]]:
    common = [s for s in of_trainings[0] if all(s in of for of in of_trainings)]
    return [(common if len(common) >= n else of)[:n] for of in of_trainings]


def _taken(runs: Mapping[int | None, Result], seeds: Sequence[int | None]) -> list[Result]:
    return [runs[seed if seed in runs else None] for seed in seeds]


def _flat(grids: Sequence[Grid]) -> Iterator[Result]:
    return (r for grid in grids for training in grid for of in training for r in of)


def _runs_alone(grid: Grid, column: Column, is_log: bool) -> Sample:
    """[T, S, F] the runs' values, whose items are held fixed."""
    values = np.array([[[column.value(r) for r in of] for of in training] for training in grid])
    if is_log:
        values = np.log(values / column.scale)
    return Sample(values.swapaxes(1, 2) / values.shape[1])


def _with_items(grids: Sequence[Grid], column: Column, is_log: bool) -> list[Sample] | None:
    """The samples over the items that all have; None where they have too few in common."""
    kinds = {_kind(result, column) for result in _flat(grids)}
    if len(kinds) != 1 or (names := next(iter(kinds))) is None:
        return None
    n_forget_sets = len(grids[0][0])
    every = tuple(range(n_forget_sets))
    strata: list[list[Stratum]] = [[] for _ in grids]
    scale = (1.0 if is_log else column.scale) / (n_forget_sets * len(names))
    for name in names:
        for places in [(f,) for f in every] if column.documents == "rows" else [every]:
            own = [[[t[f] for f in places] for t in grid] for grid in grids]
            items = _common_items(own, column, name, 1.0 if is_log else _LEAST_SHARED)
            if items is None:
                return None
            weights = np.full(len(places), scale)
            for made, grid in zip(strata, own, strict=True):
                values = _values(grid, column, name, items)
                made.append(Stratum(values.swapaxes(1, 2), weights, places))
    return [Sample.of(each) for each in strata]


def _kind(result: Result, column: Column) -> tuple[str, ...] | None:
    """The names of the parts that a score is made of; None if its items do not give its value."""
    siblings = result.with_outcomes().scores[column.task]
    score = siblings[column.metric]
    parts = parts_of(score, siblings)
    documents = [part.documents for part in parts.values()]
    kinds = {part.aggregation for part in parts.values()}
    if not parts or not all(documents) or len(kinds) != 1 or "mean_of_scores" in kinds:
        return None
    value = float(np.mean([np.mean(list(of.values())) for of in documents]))
    if score.aggregation == "exp_mean":
        value = math.exp(min(value, 700.0))
    return (
        tuple(sorted(parts))
        if math.isclose(value, score.value, rel_tol=1e-6, abs_tol=1e-12)
        else None
    )


def _documents(result: Result, column: Column, name: str) -> dict[str, float]:
    siblings = result.scores[column.task]
    score: Score = parts_of(siblings[column.metric], siblings)[name]
    return score.documents


def _common_items(
    grids: Sequence[Grid],
    column: Column,
    name: str,
    least: float,
) -> list[str] | None:
    every = [_documents(result, column, name) for result in _flat(grids)]
    common = set(every[0]).intersection(*every[1:])
    most = max(map(len, every))
    return sorted(common) if common and len(common) >= least * most else None


def _values(grid: Grid, column: Column, name: str, items: Sequence[str]) -> Array:
    """[T, F, S, I]."""

    def of(result: Result) -> list[float]:
        documents = _documents(result, column, name)
        return [documents[item] for item in items]

    return np.array([[[of(r) for r in of_runs] for of_runs in training] for training in grid])
