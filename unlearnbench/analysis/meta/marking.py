"""Marks columns of a table whose metric a test could not tell from chance."""

from dataclasses import replace

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.meta.table import MetaTable
from unlearnbench.analysis.table import UNTOLD, Column, Note, Table


def with_untold(table: Table, tested: MetaTable | None) -> Table:
    """The table with ? at each metric of what is forgotten whose faithfulness may be 0.5 or less.

    Nothing is marked without a test of metrics that speaks of these results.
    """
    if tested is None:
        return table
    columns = tuple(_marked(column, tested) for column in table.metric_columns)
    labels = [column.label for column in columns if column.marker]
    if not labels:
        return table
    n_with, n_without = (len(tested.of_pool(pool)) for pool in ("with", "without"))
    text = (
        f"Not told from chance: on {n_with} models with the knowledge and {n_without} without, the "
        f"95% interval of faithfulness reaches down to 0.5: {listed(labels)}; see --sections "
        "metrics."
    )
    return replace(
        table, metric_columns=columns, notes=(*table.notes, Note("untold", text, UNTOLD))
    )


def _marked(column: Column, tested: MetaTable) -> Column:
    metric = tested.of_metric(column.task, column.metric)
    return replace(column, marker=UNTOLD) if metric is not None and metric.is_untold else column
