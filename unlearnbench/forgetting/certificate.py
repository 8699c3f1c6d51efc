"""What a request ends with on paper: what was requested, done, measured, and what was not.

It holds digests of rows and texts, never the texts.  Each certificate of a chain holds the digest
of the one before.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearnbench.data.row_limit import RowLimit, RowState
from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular, write_whole

FILE_NAME = "certificate.json"
VERSION = 1
Status = Literal["forgotten", "nothing qualified", "nothing known"]
Share = Annotated[float, Field(description="0..1")]


class Part(BaseModel):
    """A part of a certificate; unknown fields are an error, so that a foreign file is noticed."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")


class DataFile(Part):
    """A file, or a set by name, that took part."""

    role: Literal["forget", "pool", "keep", "unseen", "rows"]
    name: str = Field(description="file name or the data set's; no folder")
    sha256: str | None = Field(description="of the file's bytes; null for what is no single file")


class Weights(Part):
    """A model as its files hold it."""

    name: str
    weights_sha256: str = Field(description="over weights, configuration and tokenizer files")
    architecture: str
    n_parameters: int


class RowEvidence(Part):
    """One row before and after; what it says is in the file of the request alone."""

    doc_id: str
    before: RowState
    known_before: bool = Field(description="false: nothing could be shown to be removed")
    after: RowState | None = Field(description="null where no model was handed out")
    known_after: bool | None


class EarlierRow(Part):
    """A row of an earlier request of the chain, measured again under the new model."""

    request: int
    doc_id: str
    then: RowState = Field(description="after its own request")
    now: RowState
    known_then: bool
    known_now: bool
    came_back: bool = Field(description="known now and not then")


class TextUtility(Part):
    """What is kept: NLL of a text, in nats per token."""

    text: str
    n: int = Field(description="windows")
    before: float
    after: float | None
    loss: Share | None = Field(description="after / before - 1")


class Tried(Part):
    """A model that was tried."""

    method: str
    label: str
    settings: dict[str, Any]
    origin: str = Field(description="of its rate: requested, tuned or a step of the ladder")
    outcome: str
    rows_left: list[str] = Field(description="known before and still")
    utility_loss: Share | None
    came_back: list[str] = Field(description="rows of earlier requests; of a model that qualifies")
    tokens: int = Field(description="through the network while unlearning")
    seconds: float
    why_not: str = Field(description="why it does not qualify; empty: it does")
    key: str = Field(description="of its result in private/")


class PointEvidence(Part):
    """A state of an attack."""

    point: str
    metric: str
    after: float = Field(description="of the unlearned model, mean over the rows")
    low: float | None = Field(
        description="95% interval of that mean over the rows, by resampling them; null for fewer "
        "than 10"
    )
    high: float | None
    worst: float | None = Field(default=None, description="of the row that is best known")
    before: float | None = Field(description="the same of the model before unlearning")
    rows_over_limit: list[str] | None = Field(
        description="rows over the row limit; null where single rows were not measured so"
    )
    unseen_over_limit: int | None = Field(
        default=None,
        description="rows over the limit of as many that the model never saw, under the same "
        "attack; null: the attack trains on no rows, or there are no unseen ones",
    )
    facts: dict[str, float] = Field(description="what the attack says itself, bounds among it")


class AttackEvidence(Part):
    """An attack on the model handed out; nothing that was not measured is said of others."""

    name: str
    label: str
    settings: dict[str, Any]
    points: list[PointEvidence]
    n_unseen: int = Field(default=0, description="rows of the control, which were never seen")
    problem: str = Field(default="", description="why it failed; then nothing was measured")


class StopLineEvidence(Part):
    """The line that a method had to reach, and how it was come by."""

    el: float
    ma: float
    source: Literal["paper", "calibrated", "rows"]
    n_unseen: int
    how: str


class Previous(Part):
    """The certificate before this one."""

    request: int
    certificate_sha256: str


class Certificate(Part):
    """The record of one request."""

    version: int = VERSION
    request: int = Field(description="its number in the chain, from 1")
    status: Status
    statement: str = Field(description="what was measured, in words that claim no more")
    issued_at: str = Field(description="UTC, ISO 8601")
    base_model: str = Field(description="the model that the chain began with")
    model_before: Weights
    model_after: Weights | None
    data: list[DataFile]
    rows_sha256: str = Field(description="of the rows as the harness reads them")
    stop_line: StopLineEvidence
    row_limit: RowLimit
    nll_limit_after: float | None = Field(
        default=None,
        description="the limit of NLL under the model handed out: that of unseen rows under it",
    )
    rows: list[RowEvidence]
    not_known_before: list[str] = Field(description="rows that the model did not know by this line")
    earlier_rows: list[EarlierRow]
    utility: list[TextUtility]
    max_utility_loss: Share
    rule: str
    method: str | None
    settings: dict[str, Any]
    seed: int | None
    tried: list[Tried]
    not_tried: dict[str, str] = Field(description="method -> why")
    attacks: list[AttackEvidence]
    not_tested: list[str]
    software: dict[str, str] = Field(description="version by package")
    platform: str
    files: dict[str, str] = Field(description="SHA-256 of what lies beside this file")
    previous: Previous | None

    @property
    def came_back(self) -> list[EarlierRow]:
        """Rows of earlier requests that are known again."""
        return [row for row in self.earlier_rows if row.came_back]

    def write(self, folder: Path) -> Path:
        """Write it into a folder, whole."""
        path = folder / FILE_NAME
        write_whole(path, self.model_dump_json(indent=1) + "\n", "choose another --out")
        return path


def read_certificate(path: Path) -> Certificate:
    """The certificate in a file; raises `UserError` where there is none."""
    try:
        return Certificate.model_validate(parsed(read_regular(path)))
    except OSError as error:
        raise UserError(
            f"no certificate at {path}: {error.strerror}; name a folder that `unlearnbench forget` "
            "has written"
        ) from error
    except ValidationError as error:
        raise UserError(f"{path} is no certificate ({first_error(error)})") from error
    except ValueError as error:
        raise UserError(f"{path} is no certificate ({error})") from error


def certificate_sha256(path: Path) -> str:
    """Digest of a certificate's bytes; raises `UserError` where it cannot be read."""
    try:
        return hashlib.sha256(read_regular(path)).hexdigest()
    except OSError as error:
        raise UserError(f"no certificate at {path}: {error.strerror}") from error
