"""What attacks brought out of the model that is handed out, and of the one before unlearning."""

from collections.abc import Mapping, Sequence

from unlearnbench.forgetting.certificate import AttackEvidence, PointEvidence
from unlearnbench.forgetting.lines import RowLimit
from unlearnbench.metrics.leak_formulas import over_items
from unlearnbench.results.record import ROW_FIELDS, Result
from unlearnbench.results.score import Metric, Score


def attack_evidence(results: Sequence[Result], limit: RowLimit) -> list[AttackEvidence]:
    """One record for each attack on an unlearned model, the original's values beside it."""
    attacked = [result for result in results if result.attack is not None]
    before = {
        result.attack.name: result
        for result in attacked
        if result.role == "before" and result.attack is not None
    }
    made = []
    for result in attacked:
        if result.role != "method" or result.attack is None:
            continue
        record = result.attack
        beside = before.get(record.name)
        points = [] if result.status == "failed" else list(_points(result, beside, limit))
        made.append(
            AttackEvidence(
                name=record.name,
                label=record.label,
                settings=record.settings,
                points=points,
                problem=result.error or "",
            )
        )
    return made


def _points(result: Result, beside: Result | None, limit: RowLimit) -> list[PointEvidence]:
    assert result.attack is not None
    metrics = {metric.name: metric for metric in result.metrics if metric.judges_forgetting}
    full = result.in_full()
    made = []
    for point in result.attack.points:
        original = beside.at(point.name) if beside is not None else {}
        for task, scores in full.at(point.name).items():
            facts = point.facts  # stated once a point, with its first metric
            for name, score in scores.items():
                if name not in metrics:
                    continue
                made.append(
                    _point(point.label, metrics[name], score, original.get(task, {}), limit, facts)
                )
                facts = {}
    return made


def _point(
    label: str,
    metric: Metric,
    score: Score,
    original: Mapping[str, Score],
    limit: RowLimit,
    facts: Mapping[str, float],
) -> PointEvidence:
    values = list(score.documents.values())
    scale = metric.scale
    low, high = (values and score.aggregation == "mean" and over_items(values)) or (None, None)
    best_known = None if not values else (min if metric.higher_is_better else max)(values)
    return PointEvidence(
        point=label,
        metric=metric.label,
        after=score.value * scale,
        low=None if low is None else low * scale,
        high=None if high is None else high * scale,
        worst=None if best_known is None else best_known * scale,
        before=original[metric.name].value * scale if metric.name in original else None,
        rows_over_limit=_over(metric.name, score, limit),
        facts=dict(facts),
    )


def _over(name: str, score: Score, limit: RowLimit) -> list[str] | None:
    """The rows over their limit, of a metric that has one."""
    of_row = getattr(limit, ROW_FIELDS.get(name, ""), None)
    if not isinstance(of_row, float) or not score.documents:
        return None
    return [doc_id for doc_id, value in score.documents.items() if value > of_row]
