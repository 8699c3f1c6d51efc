"""From results of models under attack to the claims of a table's rows: which belong together."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

import numpy as np

from unlearnbench.analysis.attacks.kinds import AttackKind, key_of, record_of
from unlearnbench.analysis.attacks.recovery import Array, Claim, Stratum
from unlearnbench.analysis.build_table import failure_of
from unlearnbench.analysis.derived.measured import closest, of_role
from unlearnbench.analysis.table import Column, Group, Row, Run
from unlearnbench.results.record import Result, attacked_model_in
from unlearnbench.results.score import Score

REFERENCES = ("before", "retrained")  # the rows that a recovery is between
_LEAST_SHARED = 0.5  # of an unlearned model's items, by the models it is compared with


@dataclass(frozen=True, eq=False)
class Gathered:
    """The results under attack of one group's models."""

    group: Group
    by_key: Mapping[str, Result]
    attacked: Sequence[Result]

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The references and the methods, of which any was attacked."""
        roles = (*REFERENCES, "method")
        return tuple(
            row
            for row in self.group.rows
            if row.role in roles
            and any(self._of_model.get(self._digest(run)) for run in (*row.runs, *row.failed_runs))
        )

    @cached_property
    def results(self) -> list[Result]:
        """Of the models in these rows, those that did not fail."""
        kept = [result for _, result in self._every if failure_of(result) is None]
        return list({result.key: result for result in kept}.values())

    @cached_property
    def failed(self) -> list[tuple[str, Result]]:
        """The row's label and the result of each that failed, unless it was done again."""
        return [
            (row.label, result)
            for row, result in self._every
            if failure_of(result) is not None
            and not any(
                key_of(other) == key_of(result) and failure_of(other) is None
                for other in self._of_model[record_of(result).model]
            )
        ]

    @cached_property
    def made_again(self) -> list[str]:
        """The rows of which a model was not kept and so was unlearned again."""
        again = (row.label for row, result in self._every if record_of(result).made_again)
        return list(dict.fromkeys(again))

    @cached_property
    def _every(self) -> list[tuple[Row, Result]]:
        runs = ((row, run) for row in self.rows for run in (*row.runs, *row.failed_runs))
        return [(row, r) for row, run in runs for r in self._of_model.get(self._digest(run), [])]

    @cached_property
    def _of_model(self) -> dict[str, list[Result]]:
        """By the digest of what made the model, the latest first."""
        by_model: dict[str, list[Result]] = defaultdict(list)
        for result in sorted(self.attacked, key=lambda r: (r.started_at, r.key), reverse=True):
            by_model[record_of(result).model].append(result)
        return by_model

    @cached_property
    def _references(self) -> dict[str, list[Result]]:
        """Of the attacks by key, the results of models that were not unlearned."""
        by_kind: dict[str, list[Result]] = defaultdict(list)
        for result in self.results:
            if result.role in REFERENCES:
                by_kind[key_of(result)].append(result)
        return by_kind

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {}

    def _digest(self, run: Run) -> str:
        if run.key not in self._digests:
            self._digests[run.key] = attacked_model_in(self.by_key[run.key].identity)
        return self._digests[run.key]

    def _attacked(self, run: Run, kind: AttackKind) -> list[Result]:
        own = self._of_model.get(self._digest(run), [])
        return [r for r in own if key_of(r) == kind.key and failure_of(r) is None]

    def facts(self, row: Row, kind: AttackKind, point: str) -> dict[str, float]:
        """What the attack says of itself at a point, means over the row's runs."""
        values: dict[str, list[float]] = defaultdict(list)
        for run in row.runs:
            for result in self._attacked(run, kind)[:1]:
                for record in record_of(result).points:
                    if record.name == point:
                        for name, value in record.facts.items():
                            values[name].append(value)
        return {name: fmean(of) for name, of in values.items()}

    def claim(self, row: Row, kind: AttackKind, point: str, column: Column) -> Claim | None:
        """The row's models at the point beside the references; None where it was not measured."""
        by_set: dict[str, list[_Measured]] = defaultdict(list)
        for run in row.runs:
            if (one := self._measured(run, kind, point, column)) is not None:
                by_set[run.content_sha256].append(one)
        return _claim_of(by_set)

    def unattacked(self, row: Row, column: Column) -> Claim | None:
        """The row's models as they are, beside the references; None where it was not measured."""
        by_set: dict[str, list[_Measured]] = defaultdict(list)
        for run in row.runs:
            result = self.by_key[run.key]
            score = _of_result(result, column)
            if score is not None:
                references = {
                    role: _first_of(
                        _of_result(one, column)
                        for one in _closest(result, of_role(role, result, self.by_key.values()))
                    )
                    for role in REFERENCES
                }
                one = _Measured(run.seed, score, references, None)
                by_set[run.content_sha256].append(one)
        return _claim_of(by_set)

    def _measured(
        self, run: Run, kind: AttackKind, point: str, column: Column
    ) -> "_Measured | None":
        own = _first(self._attacked(run, kind), point, column)
        if own is None:
            return None
        result, score = own
        base = _of_result(self.by_key[run.key], column)
        references = {}
        if result.role == "method":
            for role in REFERENCES:
                found = _first(self._alike(result, role), point, column)
                references[role] = found[1] if found else None
        return _Measured(run.seed, score, references, base)

    def _alike(self, result: Result, role: str) -> list[Result]:
        """Results of that role under the same attack and of the same forget set, closest first."""
        place = (result.key, role)
        if place not in self._closest:
            alike = of_role(role, result, self._references[key_of(result)])
            self._closest[place] = list(_closest(result, alike))
        return self._closest[place]

    @cached_property
    def _closest(self) -> dict[tuple[str, str], list[Result]]:
        return {}


def _closest(result: Result, candidates: Sequence[Result]) -> Iterator[Result]:
    """Those measured alike, of the same seed first."""
    left = list(candidates)
    while (one := closest(result, left)) is not None:
        yield one
        left = [other for other in left if other is not one]


def _first_of(scores: Iterable[Score | None]) -> Score | None:
    return next((score for score in scores if score is not None), None)


def _of_result(result: Result, column: Column) -> Score | None:
    score = result.with_outcomes().scores.get(column.task, {}).get(column.metric)
    return None if score is None or math.isnan(score.value) else score


def _first(results: Iterable[Result], point: str, column: Column) -> tuple[Result, Score] | None:
    for result in results:
        score = result.with_outcomes().scores.get(f"{point}/{column.task}", {}).get(column.metric)
        if score is not None and not math.isnan(score.value):
            return result, score
    return None


@dataclass(frozen=True)
class _Measured:
    """One run at one point, with what it is compared with."""

    seed: int
    score: Score
    references: Mapping[str, Score | None]  # by role
    unattacked: Score | None


def _claim_of(by_set: Mapping[str, Sequence[_Measured]]) -> Claim | None:
    """The claim of runs by forget set."""
    every = [one for of in by_set.values() for one in of]
    if not every:
        return None
    kinds = {one.score.aggregation if _outcomes(one.score) else "" for one in every}
    by_item = len(kinds) == 1 and kinds != {""}
    strata = [_stratum(name, of, by_item) for name, of in sorted(by_set.items())]
    return Claim(tuple(strata), kinds == {"exp_mean"})


def _stratum(name: str, runs: Sequence[_Measured], by_item: bool) -> Stratum:
    """The runs on one forget set, over the items that all models were measured on."""
    runs = sorted(runs, key=lambda one: one.seed)
    own = set.intersection(*({*_outcomes(one.score)} if by_item else set() for one in runs))
    references = {role: runs[0].references.get(role) for role in REFERENCES}
    items = own
    for role, score in references.items():
        shared = items & _outcomes(score).keys() if score else set()
        if len(shared) < _LEAST_SHARED * len(own):
            references[role] = None
        elif score:
            items = shared
    order = tuple(sorted(items))
    before = [one.unattacked for one in runs]
    known = all(score is not None and _outcomes(score).keys() >= items for score in before)
    others = {role: _values(score, order) if score else None for role, score in references.items()}
    return Stratum(
        name,
        order,
        np.stack([_values(one.score, order) for one in runs]),
        original=others["before"],
        retrained=others["retrained"],
        unattacked=np.stack([_values(score, order) for score in before if score])
        if known
        else None,
        seeds=tuple(one.seed for one in runs),
    )


def _outcomes(score: Score) -> Mapping[str, float]:
    """Its documents, if they are what its value is made of."""
    if score.aggregation == "mean_of_scores" or not score.documents:
        return {}
    values = np.fromiter(score.documents.values(), float, len(score.documents))
    mean = float(values.mean())
    made = math.exp(min(mean, 700.0)) if score.aggregation == "exp_mean" else mean
    is_made = math.isclose(made, score.value, rel_tol=1e-6, abs_tol=1e-9)
    return score.documents if is_made or not math.isfinite(score.value) else {}


def _values(score: Score, items: tuple[str, ...]) -> Array:
    if not items:
        return np.array([score.value])
    return np.array([score.documents[item] for item in items])
