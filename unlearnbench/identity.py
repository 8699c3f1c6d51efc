"""A cell's identity: everything that can change its numbers, and the key made of it."""

import hashlib
import inspect
import json
from functools import cache
from pathlib import Path
from typing import Any


def canonical(identity: Any) -> str:
    """JSON with one way to write each value: sorted names, no spaces."""
    return json.dumps(identity, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def key_of(identity: dict[str, Any]) -> str:
    """sha256 of the canonical JSON: the result's file name."""
    return hashlib.sha256(canonical(identity).encode()).hexdigest()


def question_in(identity: dict[str, Any]) -> str:
    """What a cell asks, whatever software answers it."""
    return canonical({name: part for name, part in identity.items() if name != "software"})


@cache
def source_sha256(plugin: type) -> str:
    """sha256 of the file a plugin is written in: an edited method is another method.

    Read once in a process, like the plugin itself: a later edit is nothing that it runs.
    For a built-in one also of what the files of its folder share: `_*.py` and task files.
    """
    file = Path(inspect.getfile(plugin))
    parts = [file]
    if plugin.__module__.startswith("unlearnbench."):
        shared = ("_[!_]*.py", "*/*.yaml")
        parts += sorted(path for pattern in shared for path in file.parent.glob(pattern))
    return hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()


@cache
def harness_sha256() -> str:
    """sha256 over the harness's own source that takes part in a measurement.

    A release has one value; in a checkout an edited loss or metric is never
    mistaken for the old one.  What only shows or stores results is left out.
    """
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    measuring = ("*.py", "metrics/*.py", "forget_sources/*.py", "evaluation_sets/*.py")
    for path in sorted(path for pattern in measuring for path in here.glob(pattern)):
        if path.stem not in _SHOWS_OR_STORES:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


_SHOWS_OR_STORES = {
    "__main__",
    "columns",
    "conditions",
    "continuations",
    "document",
    "experiment",
    "figure",
    "findings",
    "footnotes",
    "grid",
    "identity",
    "normalized",
    "parlai_sets",
    "plan_choices",
    "planner",
    "progress",
    "ranking",
    "registry",
    "report",
    "secret_values",
    "set_options",
    "store",
    "table",
    "table_notes",
    "table_rows",
    "tracing",
    "tuned_rates",
    "tuning",
    "visible_text",
    "whole_files",
}
