"""A deletion request, parsed, and what of a run it leaves to the harness."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.nano import find_world

DEFAULT_BUDGET = "2h"
DEFAULT_LOSS = "5%"
DEFAULT_ATTACKS = ("relearn", "quantise", "sample")
_UNITS = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
#: Fields of `Experiment` that a request may give.
OPTIONS = (
    "model", "revision", "forget_set", "runs", "rows", "limit", "pool", "unseen", "refusals",
    "pairing", "methods", "adapter", "learning_rates", "settings", "max_epochs", "batch_size",
    "attacks", "encoder", "text", "data", "stop", "seeds", "task_limit", "device", "dtype",
    "threads", "gradient_accumulation_steps", "gradient_checkpointing", "mixed_precision",
    "plugin", "trust_remote_code", "allow_pickle", "jobs",
)  # fmt: skip
# Of these, files and folders: the next request may be made from another folder.
_FILES = ("rows", "pool", "unseen", "refusals", "learning_rates", "plugin", "encoder", "data")
#: Of an earlier request, what does not hold for the next one.
OF_ONE_REQUEST = ("model", "revision", "forget_set", "runs", "rows", "limit")


@dataclass(frozen=True)
class Request:
    """A request as somebody wrote it."""

    out: Path
    options: Mapping[str, Any] = field(default_factory=dict)  # of `Experiment`, as given
    keep: str | None = None  # a text that must stay known
    on: Path | None = None  # the folder of the request before
    budget: float = 2 * 3600.0  # seconds of trying methods
    max_loss: float | None = None  # share of the NLL at the start; None: as before, or the default


def request_of(
    options: Mapping[str, Any],
    *,
    out: str | Path,
    keep: str | None = None,
    on: str | Path | None = None,
    budget: str | float = DEFAULT_BUDGET,
    max_utility_loss: str | float | None = None,
) -> Request:
    """The request of options by name; raises `UserError` for one that cannot be meant."""
    if options.get("forget_set") is None:
        raise UserError(
            "say what is to be forgotten: --forget-set secrets.jsonl (one object a line, "
            '{"text": "..."}; see docs/forget_sets.md)'
        )
    if on is not None and options.get("model"):
        raise UserError("--on FOLDER goes on from that folder's model; leave --model out")
    for name in ("seeds", "model"):
        if len(items(options.get(name))) > 1:
            raise UserError(f"a request has one of --{name}; leave the others out")
    return Request(
        out=Path(out),
        options={n: _absolute(v) if n in _FILES else v for n, v in options.items()},
        keep=None if keep is None else str(Path(keep).expanduser().absolute()),
        on=None if on is None else Path(on),
        budget=seconds(budget),
        max_loss=None if max_utility_loss is None else share(max_utility_loss),
    )


def items(value: Any, commas: bool = True) -> list[str]:
    """A list as the command line or Python gives it."""
    if isinstance(value, Mapping):
        return [f"{name}={one}" for name, one in value.items()]
    given = value if isinstance(value, list | tuple) else [] if value is None else [value]
    parts = (str(item).split(",") if commas else [str(item)] for item in given)
    return [part.strip() for of in parts for part in of if part.strip()]


def _absolute(value: Any) -> Any:
    """A place that exists by its full path; what is no place, or a world's name, as it is."""
    if isinstance(value, list | tuple):
        return [_absolute(one) for one in value]
    path = Path(str(value)).expanduser()
    return str(path.absolute()) if path.exists() and find_world(str(value)) is None else value


def seconds(text: str | float) -> float:
    """'2h', '30min', '90s' or a number of seconds; raises `UserError` for anything else."""
    if isinstance(text, int | float) and text > 0:
        return float(text)
    form = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?) ?(h|min|m|s)", str(text).strip())
    if form is None or float(form[1]) <= 0:
        raise UserError(f"--budget {text!r:.40} is no time; write it as 2h, 30min or 90s")
    return float(form[1]) * _UNITS[form[2]]


def share(text: str | float) -> float:
    """'5%' or 0.05; raises `UserError` for anything else."""
    form = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,9})?) ?(%?)", str(text).strip())
    if form is None:
        raise UserError(f"--max-utility-loss {text!r:.40} is no share; write it as 5% or 0.05")
    value = float(form[1])
    if form[2]:
        return value / 100
    if value > 1:
        raise UserError(f"--max-utility-loss {text} is more than all of it; did you mean {text}%?")
    return value
