"""What a method did: every epoch's losses, metrics and continuations."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Outcome = Literal["forgotten", "not_forgotten", "collapsed"]


class RowRecord(BaseModel):
    """One row at the end of one epoch."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # else NaN is saved as null

    doc_id: str = Field(description="the row's name in its source; joins go by it")
    el: float = Field(description="extraction likelihood EL_n, 0..1 (eq. 7); NaN: not measured")
    ma: float = Field(description="memorisation accuracy, 0..1 (eq. 9)")
    bertscore_f1: float = Field(description="BERTScore F1 of the continuation against the suffix")
    bleu: float = Field(description="sentence BLEU-4, unsmoothed, 0..1")
    entropy: float = Field(description="bits, of the continuation's token frequencies (eq. 10)")
    forgotten: bool = Field(description="by eq. 5, with the method's thresholds where it has some")
    continuation: str = Field(description="the model's text after the prefix")
    active: bool = Field(default=True, description="the row was trained on in this epoch")


class EpochRecord(BaseModel):
    """One epoch; epoch 0 is the model before unlearning."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # a collapsed method's loss is NaN

    epoch: int
    losses: dict[str, float] = Field(
        default_factory=dict, description="mean of each loss term over the epoch's batches"
    )
    metrics: dict[str, float] = Field(
        default_factory=dict, description="means over the rows: el, ma, bertscore_f1, bleu, entropy"
    )
    n_active: int = Field(default=0, description="rows trained on in this epoch")
    rows: list[RowRecord] = Field(default_factory=list)


class UnlearnTrace(BaseModel):
    """The record of one call of `Method.unlearn`."""

    outcome: Outcome
    reason: str = Field(default="", description="why it ended, in one sentence")
    n_epochs: int = Field(description="epochs trained")
    epochs: list[EpochRecord]
