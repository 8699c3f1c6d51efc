"""What the judge's files hold: who judged, and each reply."""

import hashlib
import re
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, computed_field

from unlearnbench.files.strict_json import canonical
from unlearnbench.ratings.judge.parsing import parse_score
from unlearnbench.ratings.judge.rubric import Prompt

#: The endpoint of a rule that stands in for a judge; no server's name has a space in it.
NO_MODEL = "a rule, no language model"


class Judge(BaseModel):
    """Who judged: scores of two that differ in any of this are never mixed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    judge_model: str = Field(description="the name the server knows the model by")
    endpoint: str = Field(description="host, port and path of the server")
    prompt_sha256: str = Field(description="of the wording")
    temperature: float = 0.0
    prompt: str = Field(description="the wording itself")

    @classmethod
    def of(cls, model: str, endpoint: str, prompt: Prompt) -> "Judge":
        """The judge with that model, endpoint and wording."""
        return cls(
            judge_model=model, endpoint=endpoint, prompt_sha256=prompt.sha256, prompt=prompt.text
        )

    @property
    def is_rule(self) -> bool:
        """Whether it is a stand-in: a rule that scored where no language model was asked."""
        return self.endpoint == NO_MODEL

    @property
    def id(self) -> str:
        """The model's name and a digest over everything: the files' name."""
        identity = self.model_dump(exclude={"prompt"})
        digest = hashlib.sha256(canonical(identity).encode()).hexdigest()[:8]
        name = re.sub(r"[^a-z0-9.]+", "-", self.judge_model.lower()).strip("-.")[-40:].strip("-.")
        return f"{name}-{digest}" if name else digest


class Reply(BaseModel):
    """One answer of the judge, whole."""

    item: str = Field(
        pattern="^[0-9a-f]{64}$", description="sha256 of prefix, reference and candidate"
    )
    cell: str = Field(description="key of the first result the item stands in")
    doc_id: str
    reply: str
    finish_reason: str | None = Field(description="'length': cut off at max_tokens")
    max_tokens: int = Field(ge=0)
    served_model: str | None = Field(default=None, description="what the server says answered")
    prompt_tokens: int | None = Field(default=None, ge=0, description="as the server counts them")
    completion_tokens: int | None = Field(default=None, ge=0)
    at: str = Field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def is_cut_off(self) -> bool:
        """Whether the token limit ended it."""
        return self.finish_reason == "length"

    @computed_field(description="0 to 10; null: none could be read from the reply")  # type: ignore[prop-decorator]
    @property
    def score(self) -> float | None:
        """Read from the reply anew every time, so that all replies are read by one rule."""
        return parse_score(self.reply, cut_off=self.is_cut_off)
