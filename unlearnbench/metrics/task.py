"""The contract of a measurement on a model after (or before) unlearning."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from unlearnbench.protocol import Protocol

if TYPE_CHECKING:
    from unlearnbench.data.evaluation_sets import EvaluationSet
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel


@dataclass(frozen=True)
class Metric:
    """A column: its name, how it is printed, and which direction is better."""

    name: str  # 'el10', 'pile_ppl'
    label: str  # 'EL10 (%)'
    higher_is_better: bool
    unit: str = ""  # '%', 'bits', ''
    scale: float = 1.0  # printed value = stored value * scale
    decimals: int = 1
    in_score: bool = True  # counts in s_z and s_m (eq. 11)
    capped: bool = False  # the protocol's perplexity cap applies


class Score(BaseModel):
    """One measured value with what is needed to judge it."""

    model_config = ConfigDict(
        ser_json_inf_nan="constants"
    )  # else an infinite value is saved as null

    value: float
    stderr: float | None = Field(default=None, description="standard error over documents")
    n: int = Field(description="number of documents")
    higher_is_better: bool
    documents: dict[str, float] = Field(
        default_factory=dict,
        description="per-document outcome by doc_id; paired statistics need it",
    )
    outputs: dict[str, str] = Field(
        default_factory=dict,
        description="what the model wrote or chose, by doc_id, where a reader would want to see it",
    )
    degenerate: bool = Field(
        default=False,
        description="every document got the same answer: the score says nothing about the model",
    )


@dataclass(frozen=True)
class TaskContext:
    """What a task may look at besides the model."""

    forget_set: "ForgetSet"
    texts: dict[str, tuple[str, ...]]  # validation texts by name: 'pile', 'wikitext'
    sets: Mapping[str, "EvaluationSet"] = field(default_factory=dict)  # of what the task `needs`
    protocol: Protocol = field(default_factory=Protocol)
    batch_size: int = 8
    limit: int | None = None  # documents per task


@dataclass(kw_only=True)
class Task(ABC):
    """A family of measurements; one file under `tasks/`."""

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    source: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()  # evaluation sets it reads: 'hellaswag', ...
    # Whether it looks at no forget set: rows of untouched models are then measured once for all.
    is_of_model_alone: ClassVar[bool] = False

    @abstractmethod
    def measure(self, model: "LanguageModel", context: TaskContext) -> dict[str, Score]:
        """The scores by metric name; one that cannot be measured here is left out, never 0."""

    def measured(self, scores: Collection[str]) -> tuple[Metric, ...]:
        """The columns of those scores; override it where the data decide what columns there are."""
        return tuple(metric for metric in self.metrics if metric.name in scores)
