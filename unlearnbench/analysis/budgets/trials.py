"""Trials: several configurations of one method on the same forget sets, and what each came to."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from unlearnbench.analysis.budgets.expected import SHARE, curve, interval
from unlearnbench.analysis.budgets.fronts import Directions, Point, hypervolume, pareto_front
from unlearnbench.analysis.budgets.scoring import (
    Objective,
    are_shares,
    default_objective,
    has_line,
    known,
    mean_or_none,
    names_of,
    objective_named,
    utility_kept,
)
from unlearnbench.analysis.budgets.searches import differing_words
from unlearnbench.analysis.build_table import failure_of, groups_of
from unlearnbench.analysis.footnotes import MOST_NAMED
from unlearnbench.analysis.table import Column, Group, Row
from unlearnbench.errors import UserError
from unlearnbench.results.record import Result
from unlearnbench.results.tunings import TuningRecord, question_sha256

PlaceOf = Callable[[Result], Point | None]  # where a result lies in the plane
# Of a trial what is forgotten and what is kept, as shares: the first that every trial has.
FORGETTING = ("ks_distance", "memorisation", "forget_probability", "forget_rouge_l_recall")
UTILITY = ("relative_utility", "model_utility", "cls_avg")
_MA = Column("ma", "MA at the end (%)", False, unit="%", scale=100.0)
_KEPT = Column("utility_kept", "Utility kept (%)", True, unit="%", scale=100.0)


@dataclass(frozen=True)
class Trial:
    """One configuration of a method, and its means over the runs of it."""

    method: str  # 'NPO', or which of its searches: 'NPO (max_epochs=2)'
    settings: Mapping[str, Any]
    label: str
    reached: bool | None  # the stop line in every run; None where there is none
    failed: bool
    score: float | None  # None: not measured, or failed
    point: Point | None = None  # (forgetting, utility), as stored
    is_on_front: bool = False  # of all trials of the panel


@dataclass(frozen=True)
class MethodTrials:
    """All configurations of one method."""

    method: str
    trials: tuple[Trial, ...]
    scores: tuple[float, ...]  # of those that count, a failed one as the worst
    higher_is_better: bool
    is_share: bool  # of the scores
    hypervolume: float | None

    @property
    def n_reached(self) -> int | None:
        """How many reached the stop line; None where there is none."""
        known = [trial.reached for trial in self.trials if trial.reached is not None]
        return sum(known) if known else None

    @property
    def n_failed(self) -> int:
        """How many failed or collapsed."""
        return sum(trial.failed for trial in self.trials)

    @cached_property
    def curve(self) -> tuple[float, ...]:
        """The expected best of 1, 2, ..., as many as count."""
        return tuple(curve(self.scores, self.higher_is_better))

    def interval(self, k: int) -> tuple[float, float] | None:
        """95% interval of the expected best of k; None where the scores are no shares."""
        return interval(self.scores, k, self.higher_is_better, SHARE) if self.is_share else None


@dataclass(frozen=True)
class Plane:
    """What the front is over: shares, so that the worst of both is a corner of the square."""

    forgetting: Column
    utility: Column

    @property
    def higher(self) -> Directions:
        """Whether more is better, of both."""
        return bool(self.forgetting.higher_is_better), bool(self.utility.higher_is_better)

    @property
    def reference(self) -> Point:
        """The point that areas are measured from: nothing forgotten, nothing kept."""
        across, up = (0.0 if more else 1.0 for more in self.higher)
        return across, up


@dataclass(frozen=True)
class BudgetPanel:
    """The methods that were tried with several configurations each, on the same forget sets."""

    group: str
    forget_sets: tuple[str, ...]
    seeds: tuple[int, ...]
    objective: Objective
    methods: tuple[MethodTrials, ...]
    plane: Plane | None
    hypervolume: float | None  # of all trials
    variant: str = ""  # what tells it from others of the same group and forget sets

    @property
    def title(self) -> str:
        """The group and the forget sets."""
        sets = ", ".join(self.forget_sets)
        title = f"{self.group}, forget set{'s' if len(self.forget_sets) > 1 else ''} {sets}"
        return f"{title}, {self.variant}" if self.variant else title


def budgets_of(
    results: Sequence[Result], score: str = "", records: Sequence[TuningRecord] = ()
) -> list[BudgetPanel]:
    """One panel per group and forget sets on which a method has two configurations or more.

    With records the trials of each search are apart: configurations that were drawn otherwise, or
    tried under other settings, are no more of the same.  They are judged by the score of that name;
    without one by utility kept, or by the score that a benchmark is ranked by.  Raises `UserError`
    where neither is to be had.
    """
    by_key = {result.key: result for result in results}
    several = [
        (group, by_method)
        for part in (_of_one_seed(results) if records else [results])
        for group in groups_of(part, ())
        for rows in _alike(group)
        if (by_method := _several(rows, by_key, records))
    ]
    if not several:
        return []
    objective = objective_named(score, results) if score else default_objective(results)
    if objective is None:
        names = ", ".join(names_of(results)[:MOST_NAMED])
        raise UserError(
            "nothing says which score trials are judged by; name one, or several to be joined by "
            f"their harmonic mean: --score NAME (there are {names})"
        )
    return _told_apart([_panel(group, of, by_key, results, objective) for group, of in several])


def _of_one_seed(results: Sequence[Result]) -> list[list[Result]]:
    """A trial is of one seed: the same configuration with another one is another search's."""
    parts: dict[int, list[Result]] = {}
    for result in results:
        if result.role == "method":
            parts.setdefault(result.seed, []).append(result)
    return list(parts.values())


def _told_apart(panels: Sequence[BudgetPanel]) -> list[BudgetPanel]:
    """Panels with titles of their own: by the seeds, else by a number."""
    titles = Counter(panel.title for panel in panels)
    panels = [
        replace(p, variant=f"seed {', '.join(map(str, p.seeds))}") if titles[p.title] > 1 else p
        for p in panels
    ]
    seen: Counter[str] = Counter()
    made = []
    for panel in panels:
        seen[panel.title] += 1
        n = seen[panel.title]
        made.append(replace(panel, variant=f"{panel.variant}, search {n}") if n > 1 else panel)
    return made


def _several(
    rows: Sequence[Row], by_key: Mapping[str, Result], records: Sequence[TuningRecord]
) -> dict[str, list[Row]]:
    """The rows of each method, or search, that has two or more, in the order of the results."""
    order = {key: place for place, key in enumerate(by_key)}
    by_method: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: order[(row.runs or row.failed_runs)[0].key]):
        by_method.setdefault(_method_of(row, by_key), []).append(row)
    if records:
        by_method = {
            name: own
            for method, of_method in by_method.items()
            for name, own in _by_search(method, of_method, by_key, records)
        }
    return {name: own for name, own in by_method.items() if len(own) > 1}


def _by_search(
    method: str,
    rows: Sequence[Row],
    by_key: Mapping[str, Result],
    records: Sequence[TuningRecord],
) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each of the method's searches; a configuration that two tried is in both."""
    asked = [question_sha256(by_key[(row.runs or row.failed_runs)[0].key].identity) for row in rows]
    found = [record for record in records if set(record.trials) & set(asked)]
    for record, words in zip(found, differing_words(found), strict=True):
        own = [row for row, question in zip(rows, asked, strict=True) if question in record.trials]
        yield f"{method} ({words})" if words else method, own


def _alike(group: Group) -> Iterable[list[Row]]:
    """The methods' rows that were run on the same forget sets with the same seeds."""
    parts: dict[frozenset[tuple[str, int]], list[Row]] = {}
    for row in group.rows:
        if row.role == "method":
            runs = frozenset((r.content_sha256, r.seed) for r in (*row.runs, *row.failed_runs))
            parts.setdefault(runs, []).append(row)
    return parts.values()


def _method_of(row: Row, by_key: Mapping[str, Result]) -> str:
    """What the trials of one method have in common: of a log, the method that it names."""
    first = by_key[(row.runs or row.failed_runs)[0].key]
    if first.imported is not None:
        return first.imported.method or first.label
    return first.method.label


def _panel(
    group: Group,
    by_method: Mapping[str, Sequence[Row]],
    by_key: Mapping[str, Result],
    results: Sequence[Result],
    objective: Objective,
) -> BudgetPanel:
    plane, place = _plane_of([r for rows in by_method.values() for r in rows], by_key, results)
    trials = {
        name: [_trial(name, row, by_key, results, objective, place) for row in rows]
        for name, rows in by_method.items()
    }
    every = [trial for own in trials.values() for trial in own]
    if plane is not None:
        points = [trial.point for trial in every if trial.point is not None]
        front = set(
            p for p, on in zip(points, pareto_front(points, plane.higher), strict=True) if on
        )
        trials = {
            name: [replace(t, is_on_front=t.point in front) for t in own]
            for name, own in trials.items()
        }
    measured = [t.score for t in every if t.score is not None]
    runs = [
        run for rows in by_method.values() for row in rows for run in (*row.runs, *row.failed_runs)
    ]
    return BudgetPanel(
        group.title,
        tuple(sorted({run.forget_set for run in runs})),
        tuple(sorted({run.seed for run in runs})),
        objective,
        tuple(_of_method(name, own, objective, measured, plane) for name, own in trials.items()),
        plane,
        _area(every, plane),
    )


def _of_method(
    name: str,
    trials: Sequence[Trial],
    objective: Objective,
    measured: Sequence[float],
    plane: Plane | None,
) -> MethodTrials:
    worst = objective.worst(measured) if measured else 0.0
    scores = [worst if t.failed else t.score for t in trials]
    return MethodTrials(
        name,
        tuple(trials),
        tuple(score for score in scores if score is not None) if measured else (),
        objective.higher_is_better,
        objective.is_share,
        _area(trials, plane),
    )


def _area(trials: Iterable[Trial], plane: Plane | None) -> float | None:
    points = [trial.point for trial in trials if trial.point is not None]
    return hypervolume(points, plane.reference, plane.higher) if plane and points else None


def _trial(
    method: str,
    row: Row,
    by_key: Mapping[str, Result],
    results: Sequence[Result],
    objective: Objective,
    place: PlaceOf,
) -> Trial:
    own = [by_key[run.key] for run in (*row.runs, *row.failed_runs)]
    failed = any(failure_of(result) is not None for result in own)
    reached = None
    if any(has_line(result) for result in own):
        reached = all(r.trace is not None and r.trace.outcome == "forgotten" for r in own)
    points = [None if failed else place(result) for result in own]
    across, up = (mean_or_none(None if p is None else p[i] for p in points) for i in (0, 1))
    first = own[0].imported
    return Trial(
        method,
        dict(first.settings) if first is not None else row.settings,
        row.label,
        reached,
        failed,
        mean_or_none(objective.value(result, results) for result in own),
        None if across is None or up is None else (across, up),
    )


def _plane_of(
    rows: Sequence[Row], by_key: Mapping[str, Result], results: Sequence[Result]
) -> tuple[Plane | None, PlaceOf]:
    """The plane of trials, and the place of a result in it."""
    used = [by_key[run.key] for row in rows for run in row.runs]
    if used and all(has_line(result) for result in used):
        return Plane(_MA, _KEPT), lambda result: _pair(_ma(result), utility_kept(result, results))
    across, up = (_first(names, used) for names in (FORGETTING, UTILITY))
    if across is None or up is None:
        return None, lambda _: None

    def place(result: Result) -> Point | None:
        x, y = known(result, across.name), known(result, up.name)
        return _pair(x and x[0], y and y[0])

    return Plane(across, up), place


def _pair(x: float | None, y: float | None) -> Point | None:
    return None if x is None or y is None else (x, y)


def _ma(result: Result) -> float | None:
    """Memorisation accuracy at the end."""
    if result.trace is None or not result.trace.epochs:
        return None
    return result.trace.epochs[-1].metrics.get("ma")


def _first(names: Sequence[str], results: Sequence[Result]) -> Column | None:
    """The first of the scores that every result has as a share."""
    for name in names:
        found = [known(result, name) for result in results]
        present = [one for one in found if one is not None]
        if present and len(present) == len(found) and are_shares(v for v, _ in present):
            return present[0][1]
    return None
