"""Results as pandas frames: one row a cell of the grid, or one row a measured document."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from unlearnbench.analysis.table import columns_of
from unlearnbench.results.record import Result

if TYPE_CHECKING:
    from pandas import DataFrame


def cells_frame(results: Sequence[Result]) -> "DataFrame":
    """One row per result: what was run, with which settings, its outcome and its metrics.

    A metric's column has the metric's name (with its task's in front where two tasks have one of
    that name) and holds the stored value: a share of 0.123, not 12.3 per cent; NaN where it was
    not measured.  The method's settings are in columns `settings.NAME`.
    Raises `UserError` if results disagree on what a metric is.
    """
    import pandas as pd

    measured = [column for of in columns_of(results) for column in of if column.task]
    rows = []
    for result in results:
        trace = result.trace
        row: dict[str, Any] = {
            **_identity(result),
            "status": result.status,
            "error": result.error,
            "outcome": trace.outcome if trace else None,
            "n_epochs": trace.n_epochs if trace else None,
            "protocol": result.protocol_name,
            "n_parameters": result.model.n_parameters,
            "dtype": result.model.dtype,
            "device": result.model.device,
            "seconds": result.seconds,
            "started_at": result.started_at,
        }
        for column in measured:
            score = column.score(result)
            row[column.name] = None if score is None else score.value
        row |= {f"settings.{name}": value for name, value in result.method.settings.items()}
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.astype({column.name: float for column in measured}) if rows else frame


def metrics_frame(results: Sequence[Result]) -> "DataFrame":
    """One row per metric that was measured: `name` is its column in `cells_frame`.

    Label, unit, direction, and the scale that makes printed values of stored ones.
    """
    import pandas as pd

    columns = [column for of in columns_of(results) for column in of if column.task]
    names = ("name", "task", "metric", "label", "unit", "higher_is_better", "scale", "documents")
    return pd.DataFrame([{name: getattr(c, name) for name in names} for c in columns])


def documents_frame(results: Iterable[Result]) -> "DataFrame":
    """One row per result in full, metric and document: `value`, and what the model wrote or chose.

    `frame.pivot_table(index="doc_id", columns="label", values="value")` of one metric lays
    the rows of a table beside each other, document by document.
    """
    import pandas as pd

    return pd.DataFrame([row for result in results for row in _documents(result)])


def _documents(result: Result) -> Iterator[dict[str, Any]]:
    identity = _identity(result)
    of_rows = {
        (metric.task, metric.name) for metric in result.metrics if metric.documents == "rows"
    }
    for task, by_metric in result.scores.items():
        for metric, score in by_metric.items():
            written = result.continuations if (task, metric) in of_rows else score.outputs
            for doc_id, value in score.documents.items():
                of = {"task": task, "metric": metric, "doc_id": doc_id}
                yield {**identity, **of, "value": value, "output": written.get(doc_id)}


def _identity(result: Result) -> dict[str, Any]:
    return {
        "key": result.key,
        "group": result.group,
        "label": result.label,
        "role": result.role,
        "method": result.method.name,
        "forget_set": result.forget_set.name,
        "run": result.forget_set.run,
        "seed": result.seed,
    }
