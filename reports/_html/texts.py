"""Texts that models wrote, made harmless: nothing in them can act, hide or turn round."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnbench.files.safe_text import visible

# Within <script> only these can end or change what a browser reads.
_IN_SCRIPT = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def embedded_json(value: Any) -> str:
    """JSON that can stand in a <script> element; numbers that JSON does not know are null."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_IN_SCRIPT)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {visible(str(name)): _plain(part) for name, part in value.items()}
    if isinstance(value, Sequence):
        return [_plain(part) for part in value]
    return value


class Pool:
    """Values that occur many times, each kept once and named by its number."""

    def __init__(self) -> None:
        """An empty pool."""
        self.values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def number(self, value: Any) -> int:
        """The number of a value that JSON can hold; a value that is equal has the same."""
        name = value if isinstance(value, str) else json.dumps(value, default=str)
        if name not in self._numbers:
            self._numbers[name] = len(self.values)
            self.values.append(value)
        return self._numbers[name]
