"""Attacks whose scores are a property of the model that they were made on, as UDS is.

Such scores stand in that model's own row, beside what tasks measured of it.
"""

from collections.abc import Iterable, Sequence

from unlearnbench.analysis.build_table import failure_of
from unlearnbench.results.record import Result, attacked_model_in
from unlearnbench.results.score import Metric, Score


def with_descriptions(results: Sequence[Result], attacked: Iterable[Result]) -> list[Result]:
    """The results with what attacks say of their models, under the attack's name as the task.

    Where a model has several results under an attack, with other settings, the latest counts.
    """
    by_model: dict[str, dict[str, Result]] = {}
    for own in sorted(attacked, key=lambda result: (result.started_at, result.key)):
        if own.attack is not None and own.attack.describes_model and failure_of(own) is None:
            by_model.setdefault(own.attack.model, {})[own.attack.name] = own
    if not by_model:
        return list(results)
    return [
        _described(r, by_model.get(attacked_model_in(r.identity), {}).values()) for r in results
    ]


def _described(result: Result, attacked: Iterable[Result]) -> Result:
    for own in attacked:
        assert own.attack is not None
        name, scores = own.attack.name, _own_scores(own)
        metrics = [metric for metric in result.metrics if metric.task != name]
        metrics += [metric for metric in _own_metrics(own) if metric.name in scores]
        if scores:
            update = {"metrics": metrics, "scores": {**result.scores, name: scores}}
            result = result.model_copy(update=update)
    return result


def _own_scores(attacked: Result) -> dict[str, Score]:
    """What the attack measured, with the outcomes that intervals need."""
    assert attacked.attack is not None
    scores: dict[str, Score] = {}
    full = attacked.with_outcomes()
    for point in attacked.attack.points:
        scores |= full.at(point.name).get(attacked.attack.name, {})
    return scores


def _own_metrics(attacked: Result) -> list[Metric]:
    assert attacked.attack is not None
    return [metric for metric in attacked.metrics if metric.task == attacked.attack.name]
