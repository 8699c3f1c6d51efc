"""What the nano world's texts are made of: the TOML files beside this module.

In their lists the order matters: the dice choose by place.
"""

import tomllib
from pathlib import Path
from typing import Any


def table(name: str) -> dict[str, Any]:
    """Read one of the files."""
    path = Path(__file__).with_name(f"{name}.toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))


KNOWLEDGE = table("knowledge")


def pairs(kind: str) -> list[tuple[str, str]]:
    """What everyone knows of a kind that comes in pairs, such as causes and their effects."""
    return list(KNOWLEDGE[kind].items())
