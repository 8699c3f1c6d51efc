"""Where a result goes when its folder cannot be written: hours of work are worth a second try."""

import shlex
import tempfile
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store


def rescue(result: Result, folder: Path) -> str:
    """Keep a result outside its folder; says where it is and how to put it back, or that it is
    lost."""
    try:
        path = Store(Path(tempfile.mkdtemp(prefix="unlearnbench-"))).save(result)
    except (UserError, OSError) as error:
        return f"the result of {result.label} is lost, it cannot be kept elsewhere either: {error}"
    cells = shlex.quote(str(folder.absolute() / "cells"))
    return f"the result is kept in {path}; when there is room: mv {shlex.quote(str(path))} {cells}/"
