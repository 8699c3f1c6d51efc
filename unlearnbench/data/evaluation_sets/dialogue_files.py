"""Conversations in the JSON their published files have: {"text": {row: [turn, ...]}}."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import RepeatedNameError, parsed
from unlearnbench.files.tables import text_of_file

_SHAPE = 'needs {"text": {"0": ["turn", "reply"], ...}}; see docs/dialogue.md'


def read_dialogue_file(path: Path) -> list[dict[str, Any]]:
    """The rows of a file as {"doc_id": key, "turns": [text, ...]}, in the file's order.

    Every row has at least two turns, and its last one, the reply to be compared with,
    is not blank; an earlier turn may be.
    Raises `UserError` naming file, row and field for anything else.
    """
    rows = _rows_by_key(path)
    for key, turns in rows.items():
        if not key.strip():
            raise UserError(f"{path.name}: a row has no name, {key!r:.60}; give it one; {_SHAPE}")
        _check_turns(turns, f"{path.name}, row {key!r:.60}")
    return [{"doc_id": key, "turns": turns} for key, turns in rows.items()]


def write_dialogue_file(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows so that `read_dialogue_file` gives them back."""
    text = {row["doc_id"]: row["turns"] for row in rows}
    content = json.dumps({"text": text}, ensure_ascii=False, indent=0) + "\n"
    path.write_text(content, encoding="utf-8")


def _rows_by_key(path: Path) -> dict[str, Any]:
    try:
        content = parsed(text_of_file(path))
    except RepeatedNameError as error:
        raise UserError(f"{path.name}: row {error.name!a} is there twice; rename one") from error
    except ValueError as error:
        raise UserError(f"{path.name}: not JSON ({error}); {_SHAPE}") from error
    rows = content.get("text") if isinstance(content, dict) else None
    if not isinstance(rows, dict):
        raise UserError(f"{path.name}: field 'text' is {_what(rows)}, not rows by name; {_SHAPE}")
    if not rows:
        raise UserError(f"{path.name}: field 'text' has no rows; {_SHAPE}")
    return rows


def _check_turns(turns: Any, where: str) -> None:
    if not isinstance(turns, list):
        raise UserError(f"{where}: field 'text' is {_what(turns)}, not a list of turns; {_SHAPE}")
    for at, turn in enumerate(turns):
        if not isinstance(turn, str):
            raise UserError(f"{where}: turn {at} is {_what(turn)}, not text; {_SHAPE}")
    if len(turns) < 2:
        raise UserError(
            f"{where}: has {len(turns)} of the two turns that it takes, one to reply to and the "
            "reply; complete or remove the row"
        )
    if not turns[-1].strip():
        raise UserError(
            f"{where}: turn {len(turns) - 1}, the reply, is empty; fill it or remove the row"
        )


def _what(value: Any) -> str:
    return "missing" if value is None else type(value).__name__
