"""A cell's identity: everything that can change its numbers, and the key made of it."""

import hashlib
from typing import Any

from unlearnbench.files.strict_json import canonical


def key_of(identity: dict[str, Any]) -> str:
    """sha256 of the canonical JSON: the result's file name."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


def question_in(identity: dict[str, Any]) -> str:
    """What a cell asks, whatever software answers it."""
    return canonical({name: part for name, part in identity.items() if name != "software"})
