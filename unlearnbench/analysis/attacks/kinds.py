"""Which attacks models were given, and what each of them is judged by."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.table import Column
from unlearnbench.results.record import AttackRecord, PointRecord, Result
from unlearnbench.results.score import Metric


@dataclass(frozen=True)
class AttackKind:
    """An attack with one set of settings: what all models were given alike."""

    key: str
    name: str
    label: str  # with the settings that tell it from others of its name
    curve: str  # what its points' positions count; empty: they are no curve
    points: tuple[PointRecord, ...]  # in their order, without facts
    counts_in_worst_case: bool = True
    own: Column | None = None  # of its own metrics the first that a low value of is forgotten


def key_of(result: Result) -> str:
    """What makes an attack another one: its settings, and the files that they name."""
    attack = record_of(result)
    files = (result.identity.get("attack") or {}).get("files") or {}
    return json.dumps([attack.name, attack.settings, files], sort_keys=True, default=str)


def record_of(result: Result) -> AttackRecord:
    """What a result under attack says of the attack."""
    assert result.attack is not None
    return result.attack


def forgetting_metrics(result: Result) -> list[Metric]:
    """Those of a model under attack of which a low value says that something is forgotten.

    Of a task those on the forget set's items; of the attack's own all.
    """
    others = _not_forgotten_splits(result)
    return [
        metric
        for metric in result.metrics
        if not metric.higher_is_better
        and (metric.task == record_of(result).name or metric.documents == "rows")
        and split_of(metric.name, result) not in others
    ]


def _not_forgotten_splits(result: Result) -> set[str]:
    splits = result.benchmark.splits if result.benchmark else {}
    return {name for name, split in splits.items() if split.role != "forget"}


def split_of(metric: str, result: Result) -> str:
    """The split that a metric's name begins with; empty if it is of none."""
    splits = result.benchmark.splits if result.benchmark else {}
    return max((name for name in splits if metric.startswith(f"{name}_")), key=len, default="")


def kinds_of(
    results: Sequence[Result], column_of: Callable[[Metric], Column]
) -> tuple[AttackKind, ...]:
    """The attacks that models were given, in the order of their first results."""
    by_key: dict[str, list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda r: (record_of(r).name, r.started_at, r.key)):
        by_key[key_of(result)].append(result)
    labels = _labels({key: record_of(of[0]) for key, of in by_key.items()})
    kinds = []
    for key, of in by_key.items():
        own = [m for r in of for m in forgetting_metrics(r) if m.task == record_of(r).name]
        kinds.append(
            AttackKind(
                key,
                record_of(of[0]).name,
                labels[key],
                record_of(of[0]).curve,
                _points(of),
                all(record_of(result).counts_in_worst_case for result in of),
                column_of(own[0]) if own else None,
            )
        )
    return tuple(kinds)


def _points(results: Iterable[Result]) -> tuple[PointRecord, ...]:
    points = {p.name: p for result in results for p in record_of(result).points}
    bare = [point.model_copy(update={"facts": {}}) for point in points.values()]
    if all(point.position is not None for point in bare):
        bare.sort(key=lambda point: point.position or 0.0)
    return tuple(bare)


def _labels(attacks: Mapping[str, AttackRecord]) -> dict[str, str]:
    """By key; what differs among attacks of one name is in brackets, a number if nothing else."""
    labels = {}
    for name in dict.fromkeys(attack.name for attack in attacks.values()):
        alike = {key: attack for key, attack in attacks.items() if attack.name == name}
        every = dict.fromkeys(s for attack in alike.values() for s in attack.settings)
        differing = [
            setting
            for setting in every
            if len({str(attack.settings.get(setting)) for attack in alike.values()}) > 1
        ]
        for at, (key, attack) in enumerate(alike.items(), start=1):
            told = ", ".join(f"{s}={format_value(attack.settings.get(s))}" for s in differing)
            if len(alike) > 1 and not told:
                told = str(at)  # other files
            labels[key] = f"{attack.label} ({told})" if told else attack.label
    return labels
