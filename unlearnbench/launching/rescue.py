"""Where a result goes when its folder cannot be written: hours of work are worth a second try."""

import shlex
import tempfile
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.result import Result
from unlearnbench.store import Store


def rescue(result: Result, folder: Path) -> str:
    """Keep a result outside its folder; says where it is and how to put it back.

    Raises `UserError` if it cannot be written there either.
    """
    path = Store(_elsewhere()).save(result)
    cells = shlex.quote(str(folder / "cells"))
    return f"the result is kept in {path}; when there is room: mv {shlex.quote(str(path))} {cells}/"


def _elsewhere() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="unlearnbench-"))
    except OSError as error:
        raise UserError(
            f"cannot keep a result anywhere: {error.strerror}; free some disk"
        ) from error
