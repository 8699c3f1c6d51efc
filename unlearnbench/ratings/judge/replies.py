"""The judge's files beside the results: every reply, kept as soon as it arrives.

RESULTS/judge/<id>.json    which model, endpoint and wording the judge is, with the wording itself
RESULTS/judge/<id>.jsonl   one reply a line, only ever appended to
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, computed_field

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.strict_json import canonical, first_error, parsed
from unlearnbench.files.whole_files import read_regular, write_whole
from unlearnbench.ratings.judge.rubric import Prompt, parse_score

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


FOLDER = "judge"


@dataclass(frozen=True)
class JudgeFiles:
    """The judges in one results folder."""

    results: Path

    @property
    def folder(self) -> Path:
        """Where their files are."""
        return self.results / FOLDER

    def replies_path(self, judge_id: str) -> Path:
        """The file of a judge's replies."""
        return self.folder / f"{judge_id}.jsonl"

    def judges(self) -> dict[str, Judge]:
        """Every judge that has replied, by id; raises `UserError` naming a file that is none."""
        paths = sorted(self.folder.glob("*.json"))
        return {path.stem: _read_judge(path) for path in paths if self._has_replies(path.stem)}

    def _has_replies(self, judge_id: str) -> bool:
        path = self.replies_path(judge_id)
        return path.exists() and path.stat().st_size > 0

    def named(self, judge_id: str | None, is_rule: bool | None = None) -> Judge | None:
        """The judge of that id, or the only one there is (of that kind); None if there is none.

        Of no given kind, a rule that stands in for a judge is taken by itself only where no
        language model has judged.  Raises `UserError` for an unknown id, and naming them all if
        none was chosen of several.
        """
        judges = self.judges()
        if judge_id is not None and judge_id not in judges:
            raise unknown("judge", judge_id, judges, f"unlearnbench judge {self.results} --list")
        if judge_id is not None:
            return judges[judge_id]
        candidates = [one for one in judges.values() if one.is_rule == bool(is_rule)]
        if is_rule is None:
            candidates = candidates or [*judges.values()]
        if len(candidates) > 1:
            raise UserError(
                f"{len(candidates)} judges have scored these results; choose one with "
                "unlearnbench report --judge ID (or none), or human score --judge-id ID: "
                + ", ".join(one.id for one in candidates)
            )
        return next(iter(candidates), None)

    def load(self, judge: Judge) -> dict[str, Reply]:
        """The latest reply by item; a last line that a killed run left half-written is none."""
        path = self.replies_path(judge.id)
        if not path.exists():
            return {}
        *lines, _unfinished = _read_bytes(path).split(b"\n")
        replies = (_read_reply(path, n, line) for n, line in enumerate(lines, start=1))
        return {reply.item: reply for reply in replies}

    @contextmanager
    def writing(self, judge: Judge) -> Iterator[Callable[[Reply], None]]:
        """Yields what appends a reply; one process at a time, else `UserError`.

        What a server has answered is on disk before the next question; what a rule gives can be
        had again and is not waited for.
        """
        path = self.replies_path(judge.id)
        with _locked(path):
            with _refusals(path):
                file = path.open("ab")
                # Half a reply, behind the last line break, will be asked again.
                file.truncate(read_regular(path).rfind(b"\n") + 1)
            if (own := path.with_suffix(".json")).exists():
                _read_judge(own)
            else:
                write_whole(own, judge.model_dump_json(indent=1) + "\n", "check the results folder")

            def append(reply: Reply) -> None:
                with _refusals(path):
                    file.write(reply.model_dump_json().encode() + b"\n")
                    if not judge.is_rule:
                        file.flush()
                        os.fsync(file.fileno())

            try:
                yield append
            finally:
                with _refusals(path):
                    file.close()
                # A mistyped name or address leaves no judge behind.
                if not self._has_replies(judge.id):
                    own.unlink(missing_ok=True)
                    path.unlink(missing_ok=True)


def _read_judge(path: Path) -> Judge:
    try:
        judge = Judge.model_validate(parsed(_read_bytes(path)), strict=True)
    except ValueError as error:
        raise _damaged(path, error) from error
    if judge.id != path.stem or Prompt(judge.prompt).sha256 != judge.prompt_sha256:
        raise UserError(
            f"{path} was edited or renamed: its name is not that of its content; put it back, or "
            "move it and its .jsonl away and judge again: unlearnbench judge"
        )
    return judge


def _read_reply(path: Path, number: int, line: bytes) -> Reply:
    try:
        fields = parsed(line)
        if isinstance(fields, dict):
            # The reply is what counts; what was read from it is there for people to look at.
            fields.pop("score", None)
        return Reply.model_validate(fields, strict=True, extra="forbid")
    except ValueError as error:
        raise _damaged(path, error, number) from error


def _damaged(path: Path, error: ValueError, line: int | None = None) -> UserError:
    where = f"{path}, line {line}," if line else str(path)
    return UserError(
        f"{where} is damaged: {first_error(error)}; delete "
        f"{'that line' if line else 'it'} and ask again what it held: unlearnbench judge"
    )


def _read_bytes(path: Path) -> bytes:
    with _refusals(path, "read"):
        return read_regular(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(f".{path.stem}.lock"), blocking=False)
    with _refusals(path):
        try:
            lock.acquire()  # makes the folder, too
        except Timeout:
            raise UserError(
                f"{path} is being written by another `unlearnbench judge`; wait for it to end"
            ) from None
    try:
        yield
    finally:
        # While it is held: whoever waits for this file sees that it is gone and makes another.
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()


@contextmanager
def _refusals(path: Path, what: str = "write") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot {what} {path}: {error.strerror}; check the results folder") from (
            error
        )
