"""A metric, the one definition of a column from its task to the table, and a measured value."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.dataclasses import dataclass

Aggregation = Literal["mean", "exp_mean", "mean_of_scores"]
Documents = Literal["rows", "texts", "sets"]
Judges = Literal["", "forgetting", "utility"]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class Metric:
    """How a measured column is printed and compared."""

    name: str = Field(description="unique within its task, e.g. 'el10'")
    label: str = Field(description="as printed: 'EL10 (%)'")
    higher_is_better: bool = Field(description="else lower is")
    unit: str = Field(default="", description="%, bits, or none")
    scale: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="printed value = stored value * scale"
    )
    decimals: int = Field(default=1, ge=0, le=20, description="as printed")
    in_score: bool = Field(default=True, description="counts in s_z and s_m (eq. 11)")
    capped: bool = Field(default=False, description="the protocol's perplexity cap applies")
    documents: Documents = Field(
        default="sets",
        description="what its documents are: rows of the forget set, whose doc_ids start again in "
        "every forget set, or parts of validation texts or evaluation sets, the same for every run",
    )
    leads: bool = Field(
        default=False, description="stands before all others: a distance to the retrained model"
    )
    task: str = Field(default="", description="whose metric it is; filled in by the record")
    judges: Judges = Field(
        default="",
        description="what a better value speaks of; empty: forgetting if it is of rows of the "
        "forget set and lower is better, else utility",
    )

    @property
    def judges_forgetting(self) -> bool:
        """Whether a better value is to say that more was forgotten."""
        if self.judges or self.higher_is_better is None:  # None: of a column that is not compared
            return self.judges == "forgetting" and self.higher_is_better is not None
        return self.documents == "rows" and not self.higher_is_better


#: Table I's metrics in its order; eq. 11 is over these nine.  Tasks declare theirs from here.
TABLE_I = (
    Metric("el10", "EL10 (%)", False, unit="%", scale=100.0, documents="rows"),
    Metric("ma", "MA (%)", False, unit="%", scale=100.0, documents="rows"),
    Metric("bertscore_f1", "BERT (F1)", False, unit="%", scale=100.0, documents="rows"),
    Metric("entropy", "Entropy", True, unit="bits", decimals=3, documents="rows"),
    Metric("cls_avg", "Cls Avg. (ACC)", True, unit="%", scale=100.0),
    Metric("dia_avg", "Dia Avg. (F1)", True, unit="%", scale=100.0),
    Metric("pile_ppl", "Pile (PPL)", False, capped=True, documents="texts"),
    Metric("wikitext_ppl", "WikiText (PPL)", False, capped=True, documents="texts"),
    Metric("gpt", "GPT", True, decimals=2, documents="rows"),
)


def table_i(*names: str) -> tuple[Metric, ...]:
    """Those of Table I's metrics, in its order."""
    return tuple(metric for metric in TABLE_I if metric.name in names)


class Score(BaseModel):
    """One measured value with what is needed to judge it."""

    model_config = ConfigDict(
        ser_json_inf_nan="constants"
    )  # else an infinite value is saved as null

    value: float
    stderr: float | None = Field(default=None, description="standard error over documents")
    n: int = Field(description="number of documents")
    higher_is_better: bool
    aggregation: Aggregation = Field(
        default="mean",
        description="how the value is made: the mean of its documents, the exponential of that "
        "mean (perplexity), or the unweighted mean of the task's scores in `parts`",
    )
    parts: list[str] = Field(
        default_factory=list, description="names of the scores that it is the mean of"
    )
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

    @classmethod
    def of(
        cls,
        documents: Mapping[str, float],
        *,
        higher_is_better: bool,
        aggregation: Literal["mean", "exp_mean"] = "mean",
        outputs: Mapping[str, str] | None = None,
        degenerate: bool = False,
    ) -> "Score":
        """The score of outcomes by doc_id, each of the same weight.

        The standard error is the sample deviation over sqrt(n), for an exponential times the
        value (first order); None for one document, or where one is not finite.  An exponential
        that overflows is infinite.  Raises `ValueError` without documents.
        """
        values = list(documents.values())
        value = fmean(values) if aggregation == "mean" else _exp_mean(values)
        stderr = None
        if len(values) > 1 and all(map(math.isfinite, values)):
            factor = 1.0 if aggregation == "mean" else value
            stderr = factor * stdev(values) / math.sqrt(len(values))
        return cls(
            value=value,
            stderr=stderr,
            n=len(values),
            higher_is_better=higher_is_better,
            aggregation=aggregation,
            documents=dict(documents),
            outputs=dict(outputs or {}),
            degenerate=degenerate,
        )

    @classmethod
    def mean_of(cls, parts: Mapping[str, "Score"], *, degenerate: bool = False) -> "Score":
        """The unweighted mean of a task's scores by name; outcomes by document stay with them.

        Its standard error takes the parts as independent; None if one of theirs is not known.
        Raises `ValueError` without parts.
        """
        scores = list(parts.values())
        errors = [score.stderr for score in scores if score.stderr is not None]
        are_known = len(errors) == len(scores)
        return cls(
            value=fmean(score.value for score in scores),
            stderr=math.hypot(*errors) / len(scores) if are_known else None,
            n=sum(score.n for score in scores),
            higher_is_better=scores[0].higher_is_better,
            aggregation="mean_of_scores",
            parts=list(parts),
            degenerate=degenerate,
        )


def _exp_mean(values: Sequence[float]) -> float:
    if not values:
        raise ValueError("a score needs at least one document")
    try:
        return math.exp(sum(values) / len(values))
    except OverflowError:
        return math.inf
