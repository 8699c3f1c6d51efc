"""A model's value of every metric, derived scores included, as it is and under attack."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Literal, NamedTuple

from unlearnbench.analysis.attacks.describing import with_descriptions
from unlearnbench.analysis.attacks.kinds import record_of, split_of
from unlearnbench.analysis.build_table import failure_of
from unlearnbench.analysis.derived import with_derived
from unlearnbench.analysis.derived.score import RETRAINED, TASK, Derived
from unlearnbench.analysis.table import P_VALUE
from unlearnbench.results.record import Result, Role
from unlearnbench.results.score import Metric

Place = tuple[str, str]  # task, metric
Pool = Literal["with", "without", "before", "retrained", "unlearned"]
About = Literal["forgotten", "kept", "neither"]


@dataclass(frozen=True)
class Model:
    """One model, measured on all its forget sets."""

    name: str
    pool: Pool
    kind: str  # what it has read; of an unlearned one its method
    weights_sha256: str
    values: Mapping[Place, float]  # stored units, means over forget sets
    #: by attack, at its last point
    attacked: Mapping[str, Mapping[Place, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Measured:
    """All models, and what there is to know of their metrics."""

    models: tuple[Model, ...]
    metrics: Mapping[Place, Metric]
    about: Mapping[Place, About]

    def of_pool(self, *pools: Pool) -> list[Model]:
        """The models of these pools."""
        return [model for model in self.models if model.pool in pools]


@dataclass(frozen=True)
class Member:
    """A model of a pool with its results, one a forget set."""

    name: str
    pool: Literal["with", "without"]
    kind: str
    results: Sequence[Result]


def measure(members: Sequence[Member], others: Sequence[Result]) -> Measured:
    """The models of both pools, and those of the run with the original: before, retrained,
    unlearned, and under attack.

    A derived score that is relative to another model takes that of the run with the original.
    """
    worked = [result for result in others if failure_of(result) is None]
    attacked = [result for result in worked if result.attack is not None]
    own = with_descriptions([r for r in worked if r.attack is None], attacked)
    attacked = [result for result in attacked if not record_of(result).describes_model]
    rows = [*_of_pools(members, own), *_of_original(own, attacked)]
    return _measured(with_derived([*own, *_new(rows, own)]), rows)


class _Of(NamedTuple):
    """Which model a result is of, and the attack that it is under; none: as it is."""

    name: str
    pool: Pool
    kind: str
    attack: str = ""


@dataclass(frozen=True)
class _Row:
    """A result as a row of the original's group, and which model it is of."""

    result: Result
    of: _Of


def _of_pools(members: Sequence[Member], own: Sequence[Result]) -> Iterator[_Row]:
    for at, member in enumerate(members):
        for result in member.results:
            if failure_of(result) is None:
                group = own[0].group if own else result.group
                copy = _as_row(result, f"pool {at}", group)
                yield _Row(copy, _Of(member.name, member.pool, member.kind))


_POOLS: Mapping[Role, Pool] = {"before": "before", "retrained": "retrained", "method": "unlearned"}


def _of_original(own: Sequence[Result], attacked: Sequence[Result]) -> Iterator[_Row]:
    """Of the roles that are in a pool: no sham, no other model."""
    for result in (r for r in own if r.role in _POOLS):
        is_row = result.role == "method"
        yield _Row(result if is_row else _as_row(result, result.label), _of(result))
    for result in (r for r in attacked if r.role in _POOLS):
        attack = record_of(result)
        copy = _as_row(result, f"{_of(result).name} under {attack.name}")
        for last in attack.points[-1:]:
            at_point = copy.model_copy(update={"scores": copy.at(last.name), "attack": None})
            at_point._read_again = None  # the documents are there
            yield _Row(at_point, _of(result)._replace(attack=attack.name))


def _of(result: Result) -> _Of:
    name = f"{result.label}, seed {result.seed}" if result.role == "method" else result.label
    return _Of(name, _POOLS[result.role], result.method.label)


def _as_row(result: Result, label: str, group: str = "") -> Result:
    """The result as a row of its own, which is compared with the references as methods are."""
    update = {
        "key": f"{label}: {result.key}",
        "label": label,
        "group": group or result.group,
        "role": "method",
    }
    return result.with_outcomes().model_copy(update=update)


def _new(rows: Sequence[_Row], own: Sequence[Result]) -> list[Result]:
    known = {result.key for result in own}
    return [row.result for row in rows if row.result.key not in known]


def _measured(derived: Sequence[Result], rows: Sequence[_Row]) -> Measured:
    references = {r.model.weights_sha256 for r in derived if r.role == RETRAINED}
    by_key = {result.key: result for result in derived}
    metrics: dict[Place, Metric] = {}
    about: dict[Place, About] = {}
    values: dict[_Of, list[dict[Place, float]]] = {}
    weights: dict[_Of, str] = {}
    for row in rows:
        result = by_key[row.result.key]
        for metric in result.metrics:
            place = metric.task, metric.name
            metrics.setdefault(place, metric)
            about.setdefault(place, about_of(metric, result))
        own = result.model.weights_sha256
        weights.setdefault(row.of, own)
        is_reference = row.of.pool in ("with", "without") and own in references
        values.setdefault(row.of, []).append(dict(_values(result, is_reference)))
    means = {of: _over_runs(runs, metrics) for of, runs in values.items()}
    models = [
        Model(
            of.name,
            of.pool,
            of.kind,
            weights[of],
            own_values,
            {each.attack: m for each, m in means.items() if each[:3] == of[:3] and each.attack},
        )
        for of, own_values in means.items()
        if not of.attack
    ]
    return Measured(tuple(models), metrics, about)


def _values(result: Result, is_reference: bool) -> Iterator[tuple[Place, float]]:
    """What was measured; of the retrained reference in a pool nothing relative to itself."""
    for task, by_metric in result.scores.items():
        for name, score in by_metric.items():
            relative = isinstance(score, Derived) and score.relative_to == RETRAINED
            if not math.isnan(score.value) and not (is_reference and relative):
                yield (task, name), score.value


def _over_runs(
    runs: Sequence[Mapping[Place, float]], metrics: Mapping[Place, Metric]
) -> dict[Place, float]:
    """As a table's cell: the mean over forget sets, of p-values the median."""
    places = dict.fromkeys(place for run in runs for place in run)
    values = {place: [run[place] for run in runs if place in run] for place in places}
    return {
        place: (median if metrics[place].unit == P_VALUE else fmean)(of)
        for place, of in values.items()
        if place in metrics
    }


# ---- what a metric says


def about_of(metric: Metric, result: Result) -> About:
    """Whether it says what is forgotten or what is kept; neither: of texts that no model saw.

    By its record; of a forget split also where the record does not say what it judges.
    """
    split = split_of(metric.name, result)
    role = result.benchmark.splits[split].role if split and result.benchmark else ""
    if role == "holdout":
        return "neither"
    is_unsaid = not metric.judges and role == "forget"
    return "forgotten" if metric.judges_forgetting or is_unsaid else "kept"


def is_share(metric: Metric) -> bool:
    """Whether its stored values are between 0 and 1."""
    is_derived = metric.task == TASK and bool(metric.higher_is_better)
    return metric.unit in ("%", P_VALUE) or is_derived


def knowledge(metric: Metric, value: float) -> float:
    """The value turned so that more is more knowledge of what is to be forgotten.

    Of a share that is high where something is forgotten 1 - value, of any other number -value.
    """
    if not metric.higher_is_better:
        return value
    return 1.0 - value if is_share(metric) else -value


def goodness(metric: Metric, value: float) -> float:
    """The value turned so that more is better; as it is where neither is."""
    return -value if metric.higher_is_better is False else value
