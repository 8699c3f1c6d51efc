"""The contract of a measurement on a model after (or before) unlearning."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from typing import Protocol as Interface

from unlearnbench.errors import UserError
from unlearnbench.protocol import Protocol
from unlearnbench.results.score import Metric, Score

if TYPE_CHECKING:
    from unlearnbench.data.evaluation_sets import EvaluationSet
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.results.record import RowRecord

TEXTS = "texts"  # among what a task needs: the validation texts
SPLITS = "splits"  # the splits of a benchmark
RETRAINED = "retrained"  # the model retrained without the forget set
NO_SETS = (TEXTS, SPLITS, RETRAINED)  # of these, what is no evaluation set


class RowExaminer(Interface):
    """Measures how well a model knows rows (`unlearnbench.unlearning.examiner.Examiner`)."""

    def examine(
        self, model: "LanguageModel", rows: "Sequences", *, with_el: bool = True
    ) -> "list[RowRecord]":
        """One record per row, in the rows' order; without EL it is NaN."""


@dataclass(frozen=True)
class TaskContext:
    """What a task may look at besides the model."""

    forget_set: "ForgetSet"
    texts: dict[str, tuple[str, ...]]  # validation texts by name: 'pile', 'wikitext'
    sets: Mapping[str, "EvaluationSet"] = field(default_factory=dict)  # of what the task `needs`
    splits: "tuple[Split, ...]" = ()  # of the benchmark; none without one
    # The model retrained without the forget set, for tasks that need it; None if there is none.
    load_retrained: "Callable[[], LanguageModel] | None" = None
    protocol: Protocol = field(default_factory=Protocol)
    batch_size: int = 8
    limit: int | None = None  # documents per task
    examiner: RowExaminer | None = None  # None for tasks that ask nothing of it
    under_attack: bool = False  # the model is a point of an attack


@dataclass(frozen=True)
class Measurement:
    """A task's scores by metric name, and what the model wrote after the rows' prefixes."""

    scores: dict[str, Score]
    continuations: dict[str, str] = field(default_factory=dict)  # by doc_id of the forget set
    # The scores' columns, where the context decides them; else they are the task's `measured`.
    metrics: tuple[Metric, ...] = ()

    @classmethod
    def of(cls, task: "Task", returned: Any) -> "Measurement":
        """What a task's `measure` returned; raises `UserError` if it is no measurement."""
        measurement = returned if isinstance(returned, cls) else cls(returned)
        check_scores(task, measurement.scores)
        return measurement


@dataclass(kw_only=True)
class Task(ABC):
    """A family of measurements; one file under `tasks/`."""

    plugin_kind: ClassVar[str] = "tasks"
    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    source: ClassVar[str] = ""
    # Evaluation sets: 'hellaswag', ...; TEXTS for texts, SPLITS for a benchmark's splits.
    needs: ClassVar[tuple[str, ...]] = ()
    measures: ClassVar[tuple[str, ...]] = ()  # what a split may ask of it: 'probability'
    runs_by_default: ClassVar[bool] = True  # of a built-in one: without being named
    # Whether it looks at no forget set: rows of untouched models are then measured once for all.
    is_of_model_alone: ClassVar[bool] = False
    # Of one that looks at a forget set: rows of untouched models are measured once for each.  It
    # then returns no texts, asks no examiner, and looks at nothing else that a run may vary.
    is_kept_by_forget_set: ClassVar[bool] = False

    def check_splits(  # noqa: B027 - most tasks look at no splits
        self, model: "LanguageModel", splits: "Sequence[Split]"
    ) -> None:
        """Raise `UserError` for items that cannot be measured; planning calls it.

        Of the model only tokenizer, configuration and source may be looked at: its weights need
        not be there.
        """

    def side_models(self) -> "dict[str, str]":
        """Digests of what its settings name and numbers hang on: `weights_sha256` by setting."""
        return {}

    @abstractmethod
    def measure(
        self, model: "LanguageModel", context: TaskContext
    ) -> dict[str, Score] | Measurement:
        """The scores by metric name; one that cannot be measured here is left out, never 0.

        A task that lets the model go on from the forget set's prefixes returns a `Measurement`
        with the texts, which the judge, people and reports then read from the result.
        """

    def measured(self, scores: Collection[str]) -> tuple[Metric, ...]:
        """The columns of those scores; override it where the data decide what columns there are.

        Where names do not tell a column's direction, `measure` returns a `Measurement` with them.
        """
        return tuple(metric for metric in self.metrics if metric.name in scores)


def check_scores(task: "Task", scores: Any) -> dict[str, Score]:
    """The scores, if they are some: a number by the name of each metric.

    Infinite is a number (the perplexity of a destroyed model), NaN is none.  Raises
    `UserError` naming task and metric.
    """
    if not isinstance(scores, dict):
        raise UserError(
            f"task '{task.name}' returned {type(scores).__name__}, not a dict of scores by metric; "
            "see unlearnbench.metrics.task.Task"
        )
    for name, score in scores.items():
        if not isinstance(score, Score):
            raise UserError(
                f"task '{task.name}' returned {type(score).__name__} for {name!r}, not a Score"
            )
        if (wrong := next(_contradictions(score, scores), None)) is not None:
            raise UserError(f"task '{task.name}', '{name}': {wrong}")
        if math.isnan(score.value):
            raise UserError(
                f"task '{task.name}' measured NaN for '{name}'; what cannot be measured is left out"
            )
    return scores


def _contradictions(score: Score, scores: Mapping[str, Score]) -> Iterator[str]:
    if score.n < 0:
        yield f"n: {score.n} is below 0"
    if score.documents and len(score.documents) != score.n:
        yield f"documents: {len(score.documents)}, where n is {score.n}"
    if score.stderr is not None and score.stderr < 0:  # NaN: it could not be computed
        yield f"stderr: {score.stderr} is below 0"
    if missing := set(score.parts) - scores.keys():
        yield f"a mean of '{min(missing)}', which was not returned"


def columns_of(task: "Task", measurement: Measurement) -> tuple[Metric, ...]:
    """The scores' columns, in the task's order; raises `UserError` if one has none."""
    columns = measurement.metrics or tuple(task.measured(measurement.scores))
    unknown = measurement.scores.keys() - {column.name for column in columns}
    if unknown:
        raise UserError(
            f"task '{task.name}' measured '{min(unknown)}', which is none of its metrics; "
            "declare it in `metrics`"
        )
    return columns
