"""One measured value, and the column it stands in."""

from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
    aggregation: Literal["mean", "exp_mean", "mean_of_scores"] = Field(
        default="mean", description="how the value is made of its documents"
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
