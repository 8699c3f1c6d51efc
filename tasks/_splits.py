"""Columns and scores of a benchmark's splits: one per split and measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from unlearnbench.data.items import select
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import Measurement, TaskContext
from unlearnbench.results.score import Metric, Score

if TYPE_CHECKING:
    from unlearnbench.data.items import Split


def first_of(context: "TaskContext", measures: Sequence[str]) -> "list[Split]":
    """The splits that ask for one of these measures, each up to the task's limit."""
    return [split.first(context.limit) for split in select(context.splits, *measures)]


@dataclass(frozen=True)
class Column:
    """What is measured of a split's items, whatever the split."""

    name: str  # behind the split's: 'probability'
    label: str
    unit: str = "%"
    scale: float = 100.0
    decimals: int = 1
    # What a high value says of the item; 'far' is never better.
    high: Literal["known", "unknown", "fluent", "far"] = "known"


@dataclass
class SplitScores:
    """Collects scores and columns, by split."""

    scores: dict[str, Score] = field(default_factory=dict)
    metrics: list[Metric] = field(default_factory=list)

    def add(
        self,
        split: "Split",
        column: Column,
        values: Mapping[str, float],
        outputs: Mapping[str, str] | None = None,
    ) -> None:
        """The column of a split, of one value for each of its items by doc_id."""
        is_to_go = split.role in ("forget", "holdout")  # what an unlearned model is not to know
        metric = Metric(
            f"{split.name}_{column.name}",
            f"{split.name.replace('_', ' ').capitalize()} {column.label}",
            higher_is_better=column.high in (("unknown" if is_to_go else "known"), "fluent"),
            unit=column.unit,
            scale=column.scale,
            decimals=column.decimals,
            in_score=False,
            leads=column.high == "far" and split.role == "forget",
            documents="rows" if is_to_go else "sets",
            judges="forgetting"
            if split.role == "forget" and column.high != "fluent"
            else "utility",
        )
        if metric.name in self.scores:
            raise UserError(
                f"two splits have a metric '{metric.name}'; rename the split '{split.name}' in the "
                "benchmark's file"
            )
        self.metrics.append(metric)
        self.scores[metric.name] = Score.of(
            values, higher_is_better=metric.higher_is_better, outputs=outputs
        )

    def measurement(self) -> Measurement:
        """All of them."""
        return Measurement(self.scores, metrics=tuple(self.metrics))
