"""The judge's files beside the results: every reply, kept as soon as it arrives.

RESULTS/judge/<id>.json    which model, endpoint and wording the judge is, with the wording itself
RESULTS/judge/<id>.jsonl   one reply a line, only ever appended to
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.ratings.judge.records import Judge, Reply
from unlearnbench.ratings.judge.rubric import Prompt

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

    def named(self, judge_id: str | None) -> Judge | None:
        """The judge of that id, or the only one there is; None if there is none.

        A rule that stands in for a judge is taken by itself only where no language model has
        judged.  Raises `UserError` for an unknown id, and naming them all if none was chosen of
        several.
        """
        known = self.judges()
        if judge_id is not None and judge_id not in known:
            raise unknown("judge", judge_id, known, f"unlearnbench judge {self.results} --list")
        if judge_id is not None:
            return known[judge_id]
        candidates = [one for one in known.values() if not one.is_rule] or [*known.values()]
        if len(candidates) > 1:
            raise UserError(
                f"{len(candidates)} judges have scored these results; choose one with "
                "unlearnbench report --judge ID, or --judge none: "
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
        with _refusals(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            file = path.open("ab")
        with file:
            _lock(file.fileno(), path)
            with _refusals(path):
                _save_judge(path.with_suffix(".json"), judge)
                _drop_unfinished_line(path)

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
                    file.flush()
                # A mistyped name or address leaves no judge behind.
                if not self._has_replies(judge.id):
                    path.with_suffix(".json").unlink(missing_ok=True)
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
        f"{where} is damaged: {_told(error)}; delete "
        f"{'that line' if line else 'it'} and ask again what it held: unlearnbench judge"
    )


def _told(error: ValueError) -> str:
    """What is wrong, in one line."""
    if isinstance(error, ValidationError):
        return first_error(error)
    return " ".join(str(error).split())


def _read_bytes(path: Path) -> bytes:
    with _refusals(path, "read"):
        return read_regular(path)


def _save_judge(path: Path, judge: Judge) -> None:
    if path.exists():
        _read_judge(path)
        return
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(judge.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _drop_unfinished_line(path: Path) -> None:
    """Cut off what stands behind the last line break: half a reply, which will be asked again."""
    content = read_regular(path)
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise UserError(
            f"{path} is being written by another `unlearnbench judge`; wait for it to end"
        ) from None


@contextmanager
def _refusals(path: Path, what: str = "write") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot {what} {path}: {error.strerror}; check the results folder") from (
            error
        )
