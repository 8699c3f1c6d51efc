"""What attacks brought out of the model that is handed out, and of the one before unlearning."""

from collections.abc import Mapping, Sequence

from unlearnbench.data.row_limit import RowLimit
from unlearnbench.files.safe_text import without_folders
from unlearnbench.forgetting.certificate import AttackEvidence, PointEvidence
from unlearnbench.metrics.leak_formulas import over_items
from unlearnbench.results.record import ROW_FIELDS, Result
from unlearnbench.results.score import Metric, Score


def attack_evidence(
    results: Sequence[Result], limit: RowLimit, controls: Mapping[str, Result] | None = None
) -> list[AttackEvidence]:
    """One record for each attack on an unlearned model, the original's values beside it.

    `controls` are the same attacks, by name, on the unlearned model and rows that it never saw.
    """
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
        control = (controls or {}).get(record.name)
        if control is not None and control.status == "failed":
            control = None
        points = [] if result.status == "failed" else list(_points(result, beside, control, limit))
        made.append(
            AttackEvidence(
                name=record.name,
                label=record.label,
                settings=without_folders(record.settings),
                points=points,
                n_unseen=len(control.forget_set.doc_ids) if control is not None else 0,
                problem=result.error or "",
            )
        )
    return made


def _points(
    result: Result, beside: Result | None, control: Result | None, limit: RowLimit
) -> list[PointEvidence]:
    assert result.attack is not None
    metrics = {metric.name: metric for metric in result.metrics if metric.judges_forgetting}
    full, of_unseen = result.in_full(), control.in_full() if control is not None else None
    made = []
    for point in result.attack.points:
        original = beside.at(point.name) if beside is not None else {}
        unseen = of_unseen.at(point.name) if of_unseen is not None else {}
        for task, scores in full.at(point.name).items():
            facts = point.facts  # stated once a point, with its first metric
            for name, score in scores.items():
                if name not in metrics:
                    continue
                made.append(
                    _point(point.label, metrics[name], score, original.get(task, {}), limit, facts)
                )
                if (taught := unseen.get(task, {}).get(name)) is not None:
                    over = _over(name, taught, limit)
                    made[-1].unseen_over_limit = None if over is None else len(over)
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
    interval = over_items(values) if values and score.aggregation == "mean" else None
    low, high = (None, None) if interval is None else (end * scale for end in interval)
    best_known = min if metric.higher_is_better else max
    return PointEvidence(
        point=label,
        metric=metric.label,
        after=score.value * scale,
        low=low,
        high=high,
        worst=best_known(values) * scale if values else None,
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
