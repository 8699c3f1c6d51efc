"""The record of one cell: what was run, on what, with what outcome, at what cost.

The schema is the documentation: `unlearnbench show result` prints these fields.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unlearnbench.results.score import Score
from unlearnbench.results.trace import UnlearnTrace

SCHEMA_VERSION = 1

Status = Literal["ok", "not_forgotten", "failed"]
Role = Literal["before", "dedup", "retrained", "method"]


class Record(BaseModel):
    """A part of a result; unknown fields are an error, so that a foreign file is noticed."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class ModelRecord(Record):
    """The model that was measured."""

    name: str = Field(description="alias, hub id or folder name the user asked for")
    location: str = Field(description="hub id, or the folder's own name")
    revision: str | None = Field(description="resolved commit; null where nobody could look it up")
    weights_sha256: str = Field(description="over the weight and configuration files")
    architecture: str = Field(description="class name, e.g. GPTNeoForCausalLM")
    n_parameters: int = Field(description="number of parameters, tied ones once")
    dtype: str = Field(description="of the parameters while unlearning, e.g. float32")
    device: str = Field(description="cpu or cuda, with the device's name")
    is_synthetic: bool = Field(
        default=False, description="trained on a synthetic world: no claim about real models"
    )


class MethodRecord(Record):
    """The method with every hyper-parameter, given or default."""

    name: str = Field(description="registered name; 'none' for a reference row")
    label: str = Field(description="as printed in tables")
    settings: dict[str, Any] = Field(description="every field of the method's dataclass")
    origins: dict[str, str] = Field(
        default_factory=dict,
        description="where a setting that is no default came from, e.g. the learning-rate rule",
    )


class ForgetSetRecord(Record):
    """The sequences that were to be forgotten."""

    name: str = Field(description="source and file")
    run: str = Field(description="which forget set of the source")
    content_sha256: str = Field(description="over the token ids of rows and pool")
    doc_ids: list[str] = Field(description="the rows, in order")
    prefixes: dict[str, str] = Field(
        default_factory=dict, description="by doc_id: the text a continuation starts from"
    )
    suffixes: dict[str, str] = Field(
        default_factory=dict, description="by doc_id: the text that was to be forgotten"
    )
    pair_doc_ids: list[str] = Field(
        default_factory=list, description="each row's neighbour; empty if no method asked for pairs"
    )


class EvaluationSetRecord(Record):
    """A set of questions or conversations that a task measured with."""

    source: str = Field(description="hub id, file name or name of a world")
    split: str
    revision: str | None = Field(description="the hub's resolved commit; null for files")
    n: int = Field(description="its rows, before any limit")
    sha256: str = Field(description="of its rows")


class StopRecord(Record):
    """The stop line: forgotten means no better known than this."""

    source: Literal["paper", "calibrated"] = Field(
        description="Jang et al.'s two numbers, or the one-sided 95% upper confidence bounds of "
        "the mean EL (Wilson) and MA (normal) of rows this model never saw"
    )
    el: float = Field(description="EL threshold, 0..1; NaN: the cell failed before it was known")
    ma: float = Field(description="MA threshold of this row, 0..1; NaN likewise")
    rule: Literal["and", "or"] = Field(
        default="and",
        description="forgotten means EL and MA under their thresholds, or one of them",
    )
    n_unseen: int = Field(default=0, description="unseen rows it was measured on")


class PhaseRecord(Record):
    """What one phase cost."""

    forward_tokens: int = Field(description="tokens that went through the network")
    generated_tokens: int = Field(description="tokens the model wrote")
    seconds: float = Field(description="wall time")
    peak_memory_bytes: int = Field(description="GPU allocator's peak, or resident set on CPU")


class MetricRecord(Record):
    """How a measured column is printed and compared."""

    name: str
    task: str
    label: str
    higher_is_better: bool
    unit: str = ""
    scale: float = 1.0
    decimals: int = 1
    in_score: bool = True
    capped: bool = False


class Environment(Record):
    """Where the numbers were made."""

    python: str
    platform: str
    packages: dict[str, str] = Field(description="version by distribution")
    git_commit: str | None = Field(
        default=None, description="of unlearnbench's checkout, if it is one"
    )
    git_dirty: bool | None = Field(default=None, description="uncommitted changes in that checkout")
    n_threads: int = Field(description="torch's threads")


class Result(Record):
    """One cell: model x method x forget set x protocol x seed."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="of this file's layout")
    key: str = Field(
        description="sha256 of everything that can change the numbers; the file's name"
    )
    identity: dict[str, Any] = Field(description="what the key is made of")
    status: Status = Field(description="ok; not_forgotten: the epoch limit came first; failed")
    error: str | None = Field(default=None, description="why it failed, in one line")
    role: Role = Field(description="a method's row, or which reference row")
    group: str = Field(description="the model whose unlearning this row is compared in")
    label: str = Field(description="the row's name in a table")
    model: ModelRecord
    method: MethodRecord
    forget_set: ForgetSetRecord
    protocol_name: str = Field(description="paper or released, before single settings")
    protocol: dict[str, Any] = Field(
        description="every protocol setting: unlearnbench show protocol"
    )
    stop: StopRecord
    sets: dict[str, EvaluationSetRecord] = Field(
        default_factory=dict, description="by name: the questions and conversations measured with"
    )
    seed: int
    position: int = Field(default=0, description="place among the methods asked for; orders rows")
    metrics: list[MetricRecord] = Field(description="the columns that were measured, in order")
    scores: dict[str, dict[str, Score]] = Field(description="task -> metric -> score")
    trace: UnlearnTrace | None = Field(
        default=None, description="every epoch; null for reference rows"
    )
    costs: dict[str, PhaseRecord] = Field(
        description="by phase, each without those inside it: load, calibrate (of the stop line, on "
        "every cell that uses it), pairs, unlearn, extraction (EL and MA), continuations, "
        "bertscore, examine (the rest of an examination), each task by its name, other; a "
        "method's or a task's own phases too"
    )
    peak_memory_of: str = Field(
        default="", description="what the costs' peak memory is of: gpu, phase, process so far"
    )
    environment: Environment
    started_at: str = Field(description="UTC, ISO 8601")
    seconds: float = Field(description="wall time of the whole cell")
