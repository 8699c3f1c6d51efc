"""Definitions in TOML files: one that comes with the package by its name, or a file of a user's."""

from collections.abc import Mapping
from pathlib import Path

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.whole_files import read_regular


def read_named_toml(kind: str, name: str, shipped: Mapping[str, Path]) -> tuple[Path, str]:
    """The path and text of the shipped definition of that name, or of that .toml file.

    `kind` is what messages call it: 'experiment'.  Raises `UserError` naming the nearest if there
    is none, and for a file that cannot be read.
    """
    see = f"unlearnbench list {kind}s"
    try:
        path = shipped.get(name) or Path(name).expanduser()
    except RuntimeError:  # '~nobody/x.toml'
        path = Path(name)
    if path.suffix != ".toml":
        raise unknown(kind, name, shipped, see)
    try:
        return path, read_regular(path).decode()
    except (OSError, ValueError) as error:  # a ValueError: a name with a NUL, or not UTF-8
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UserError(f"cannot read the {kind} {path}: {reason}; see: {see}") from error
