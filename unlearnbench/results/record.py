"""The record of one cell: what was run, on what, with what outcome, at what cost.

The schema is the documentation: `unlearnbench show result` prints these fields.
"""

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from unlearnbench.files.strict_json import canonical
from unlearnbench.results.score import Metric, Score

SCHEMA_VERSION = 2  # of the files' layout; results/upgrades.py reads the older ones

Count = Annotated[int, Field(ge=0, lt=2**63)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Outcome = Literal["forgotten", "not_forgotten", "collapsed"]
Status = Literal["ok", "not_forgotten", "failed"]
Role = Literal["before", "dedup", "retrained", "null", "sham", "method"]
TRAINED: tuple[Role, ...] = ("sham", "method")  # their models were changed, from a seed


class Record(BaseModel):
    """A part of a result; unknown fields are an error, so that a foreign file is noticed."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


# Pydantic makes no dataclass of a dict where it is told to be strict.
_Metric = Annotated[
    Metric, BeforeValidator(lambda value: Metric(**value) if isinstance(value, dict) else value)
]


class ModelRecord(Record):
    """The model that was measured."""

    name: str = Field(description="alias, hub id or folder name the user asked for")
    location: str = Field(description="hub id, or the folder's own name")
    revision: str | None = Field(description="resolved commit; null where nobody could look it up")
    weights_sha256: str = Field(description="over the weight and configuration files")
    architecture: str = Field(description="class name, e.g. GPTNeoForCausalLM")
    n_parameters: Count = Field(description="number of parameters, tied ones once")
    dtype: str = Field(description="of the parameters while unlearning, e.g. float32")
    device: str = Field(description="cpu or cuda, with the device's name")
    is_synthetic: bool = Field(
        default=False, description="trained on a made-up world: says nothing about real models"
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


class SplitRecord(Record):
    """A split of a benchmark that tasks measured."""

    role: Literal["forget", "retain", "holdout", "general"]
    source: str = Field(description="hub id or file name")
    n: Count = Field(description="its items, after any limit")
    sha256: str = Field(description="of its items and of how they are measured")


class BenchmarkRecord(Record):
    """The benchmark that the cell belongs to."""

    name: str
    title: str
    licence: str = Field(default="", description="of its data, as its file says")
    split: str = Field(description="which of its forget splits")
    template: Literal["chat", "plain"] = Field(description="what its questions were put into")
    columns: list[str] = Field(description="of its table, in order; derived ones among them")
    published: str | None = Field(default=None, description="board to lay beside")
    splits: dict[str, SplitRecord] = Field(description="by the name that metrics begin with")


IMPORTED = "imported"  # the protocol's name of a result that was read from a log


class ImportRecord(Record):
    """The log that a result was read from; nothing of it was measured here."""

    kind: str = Field(description="which harness wrote it")
    file: str = Field(description="its name")
    sha256: str = Field(description="of the file")
    stated: dict[str, float] = Field(description="the aggregates that it states, by its own names")
    method: str = Field(default="", description="what the model was unlearned with, if it says so")
    settings: dict[str, Any] = Field(default_factory=dict, description="and with which settings")


class PointRecord(Record):
    """A state of an attack that was measured."""

    name: str = Field(description="unique within the attack: 'steps=20'")
    label: str = Field(description="as printed: '20 steps'")
    position: float | None = Field(description="along the attack's curve; null: it has none")
    facts: dict[str, float] = Field(
        default_factory=dict, description="what the attack says of itself, by name"
    )


class AttackRecord(Record):
    """The attack that a model was given before it was measured."""

    name: str = Field(description="registered name")
    label: str = Field(description="as printed in tables")
    settings: dict[str, Any] = Field(description="every field of the attack's dataclass")
    model: str = Field(description="digest of what made the attacked model: `attacked_model_in`")
    made_again: bool = Field(
        description="the unlearned model was not kept, so it was unlearned again"
    )
    curve: str = Field(description="what the points' positions count; empty: they are no curve")
    describes_model: bool = Field(
        description="its scores stand in the row of the model that was attacked (UDS)"
    )
    counts_in_worst_case: bool = Field(
        default=True, description="false for one that is given what it is to bring back"
    )
    points: list[PointRecord] = Field(description="what was measured, in order")


class EvaluationSetRecord(Record):
    """A set of questions or conversations that a task measured with."""

    source: str = Field(description="hub id, file name or name of a world")
    split: str
    revision: str | None = Field(description="the hub's resolved commit; null for files")
    n: Count = Field(description="its rows, before any limit")
    sha256: str = Field(description="of its rows")


class StopRecord(Record):
    """The stop line: forgotten means no better known than this."""

    source: Literal["paper", "calibrated", "rows"] = Field(
        description="Jang et al.'s two numbers; or the one-sided 95% upper confidence bounds of "
        "the mean EL (Wilson) and MA (normal) of rows this model never saw; or these, and no "
        "single row is known better than such rows by its EL, its MA or its suffix's NLL"
    )
    el: float = Field(description="EL threshold, 0..1; NaN: the cell failed before it was known")
    ma: float = Field(description="MA threshold of this row, 0..1; NaN likewise")
    rule: Literal["and", "or"] = Field(
        default="and",
        description="forgotten means EL and MA under their thresholds, or one of them",
    )
    n_unseen: Count = Field(default=0, description="unseen rows it was measured on")


class PhaseRecord(Record):
    """What one phase cost."""

    forward_tokens: Count = Field(description="tokens that went through the network")
    generated_tokens: Count = Field(description="tokens the model wrote")
    seconds: Amount = Field(description="wall time")
    peak_memory_bytes: Count = Field(description="GPU allocator's peak, or resident set on CPU")


#: The metrics that are known row by row, and the field of a row's record that holds each.
ROW_FIELDS = {
    "el10": "el",
    "ma": "ma",
    "bertscore_f1": "bertscore_f1",
    "bleu": "bleu",
    "entropy": "entropy",
}


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


class Environment(Record):
    """Where the numbers were made."""

    python: str
    platform: str
    packages: dict[str, str] = Field(description="version by distribution")
    git_commit: str | None = Field(
        default=None, description="of unlearnbench's checkout, if it is one"
    )
    git_dirty: bool | None = Field(default=None, description="uncommitted changes in that checkout")
    n_threads: Count = Field(description="torch's threads")


class Result(Record):
    """One cell: model x method x forget set x protocol x seed.

    Its documents are fields like all others: `forget_set.prefixes` and `suffixes`, every score's
    `documents` and `outputs`, `continuations`, and the rows of the trace's epochs.  A store reads
    many results without them; `with_outcomes()` (the scores' `documents`) or `in_full()` has them.
    """

    schema_version: int = Field(default=SCHEMA_VERSION, description="of this file's layout")
    key: str = Field(
        description="sha256 of everything that can change the numbers; the file's name"
    )
    identity: dict[str, Any] = Field(description="what the key is made of")
    status: Status = Field(description="ok; not_forgotten: the epoch limit came first; failed")
    error: str | None = Field(default=None, description="why it failed, in one line")
    role: Role = Field(description="a method's row, which reference row, or a sham's")
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
    benchmark: BenchmarkRecord | None = Field(
        default=None, description="null for a run that names none"
    )
    imported: ImportRecord | None = Field(
        default=None, description="the log that it was read from; null for what was measured"
    )
    attack: AttackRecord | None = Field(default=None, description="null: it was not attacked")
    sets: dict[str, EvaluationSetRecord] = Field(
        default_factory=dict, description="by name: the questions and conversations measured with"
    )
    seed: Count
    position: int = Field(default=0, description="place among the methods asked for; orders rows")
    metrics: list[_Metric] = Field(description="the columns that were measured, in order")
    scores: dict[str, dict[str, Score]] = Field(
        description="task -> metric -> score; of an attack 'point/task' -> metric -> score, the "
        "attack's own under its name as the task"
    )
    continuations: dict[str, str] = Field(
        default_factory=dict,
        description="by doc_id: what the model wrote after the prefix; empty if no task let it",
    )
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
    seconds: Amount = Field(description="wall time of the whole cell")

    _read_again: "Callable[[], Result] | None" = PrivateAttr(default=None)  # None: all are here
    _has_outcomes: bool = PrivateAttr(default=False)  # though the other documents are not here

    def at(self, point: str) -> "dict[str, dict[str, Score]]":
        """Of an attack the scores of a point: task -> metric -> score."""
        head = f"{point}/"
        places = [place for place in self.scores if place.rpartition("/")[0] == point]
        return {place.removeprefix(head): self.scores[place] for place in places}

    def leave_documents(self, read_again: "Callable[[], Result]") -> None:
        """Have the documents, which this result is without, from a function that reads it again.

        It raises `UserError` if the result's files are no longer those that were read.
        """
        self._read_again = read_again

    def with_outcomes(self) -> "Result":
        """This result with every score's `documents`; they are read once and kept."""
        if self._read_again is not None and not self._has_outcomes:
            stored = self._read_again().scores
            for task, by_metric in self.scores.items():
                for metric, score in by_metric.items():
                    if metric in stored.get(task, {}):  # else it was added, by a judge perhaps
                        score.documents = stored[task][metric].documents
            self._has_outcomes = True
        return self

    def in_full(self) -> "Result":
        """This result, or a copy with all its documents; whatever else was changed stays so."""
        if self._read_again is None:
            return self
        full = self._read_again()
        texts = {name: getattr(full.forget_set, name) for name in ("prefixes", "suffixes")}
        scores = {
            task: {name: full.scores.get(task, {}).get(name, own) for name, own in scores.items()}
            for task, scores in self.scores.items()
        }
        forget_set = self.forget_set.model_copy(update=texts)
        parts = {"trace": full.trace, "continuations": full.continuations}
        whole = self.model_copy(update={"forget_set": forget_set, "scores": scores, **parts})
        whole._read_again, whole._has_outcomes = None, False
        return whole


def key_of(identity: dict[str, Any]) -> str:
    """sha256 of the canonical JSON: the result's file name."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


#: Of an identity, what does not decide which model is attacked.
_NOT_OF_MODEL = ("software", "tasks", "sets", "texts", "attack")


def attacked_model_in(identity: dict[str, Any], with_software: bool = True) -> str:
    """Digest of what makes the model that a cell measures, unlearned or not.

    Cells that measure the same model with other tasks, or attack it, have the same one.  Without
    the software it is also that of a model which other software unlearned in the same way.
    """
    made = {name: part for name, part in identity.items() if name not in _NOT_OF_MODEL}
    if "benchmark" in made:  # the retrained model is one that tasks compare with
        made["benchmark"] = {n: p for n, p in made["benchmark"].items() if n != "retrained"}
    if identity.get("role") not in TRAINED:
        made.pop("training", None)  # it was not trained, but under attack it may be
        return key_of(made)
    schedule = (identity.get("training") or {}).get("schedule") or {}
    if schedule.get("until") == "budget":  # whose text decides when the training ends
        made["texts"] = identity.get("texts")
    if with_software:
        made["unlearned_by"] = unlearned_by(identity)
    return key_of(made)


def unlearned_by(identity: dict[str, Any]) -> str:
    """Digest of the software that changed the model: of an attack perhaps not what attacks it."""
    if attack := identity.get("attack"):
        return str(attack.get("unlearned_by", ""))
    software, method = identity.get("software") or {}, identity.get("method") or {}
    plugins = software.get("plugins") or {}
    named = {name: software.get(name) for name in ("packages", "harness")}
    return key_of({**named, "method": plugins.get(method.get("name"))})


def question_in(identity: dict[str, Any]) -> str:
    """What a cell asks, whatever software answers it."""
    return canonical({name: part for name, part in identity.items() if name != "software"})
