"""What a log of another harness holds, and what recomputing its aggregates finds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ByItem = Mapping[str, float]  # an item's name -> its value
ByText = Mapping[str, str]
_ROUNDING = 1e-12  # relative: what the order of a sum changes


@dataclass(frozen=True)
class Log:
    """What one file says of one model; tasks and metrics by this harness's names."""

    path: Path
    sha256: str
    kind: str  # 'OpenUnlearning'
    model: str
    benchmark: str = ""  # 'tofu'
    split: str = ""  # 'forget10'; empty where the file does not say
    items: Mapping[str, Mapping[str, ByItem]] = field(default_factory=dict)  # task -> metric
    # Values that the file has no items of: task -> metric -> value, standard error.
    totals: Mapping[str, Mapping[str, tuple[float, float | None]]] = field(default_factory=dict)
    stated: Mapping[str, float] = field(default_factory=dict)  # aggregates by the file's own names
    texts: Mapping[str, ByText] = field(default_factory=dict)  # split -> item -> its answer
    template: Literal["chat", "plain"] = "plain"  # what the questions were put into
    method: str = ""  # what the model was unlearned with, where the file says so
    settings: Mapping[str, Any] = field(default_factory=dict)  # and with which settings

    def values(self, task: str, metric: str) -> ByItem:
        """A metric's values by item; nothing where the file has none."""
        return self.items.get(task, {}).get(metric, {})


@dataclass(frozen=True)
class Check:
    """One aggregate: recomputed from the items, and as the file states it."""

    name: str
    recomputed: float
    stated: float | None = None  # None: the file does not say
    where: str = ""  # whose statement: 'log, TOFU_SUMMARY.json'
    tolerance: float = 0.0  # absolute: what the stated digits leave open

    @property
    def agrees(self) -> bool:
        """Whether the two are one number, but for the rounding of a sum."""
        return self.stated is None or is_same(self.recomputed, self.stated, self.tolerance)

    @property
    def verdict(self) -> str:
        """'equal' to the last digit, 'rounding' of a sum or 'as printed', else 'DIFFERS'.

        Empty where nothing is stated.
        """
        if self.stated is None:
            return ""
        if self.recomputed == self.stated:
            return "equal"
        if is_same(self.recomputed, self.stated):
            return "rounding"
        return "as printed" if self.agrees else "DIFFERS"


def is_same(first: float, second: float, tolerance: float = 0.0) -> bool:
    """Whether two numbers differ by rounding at most; NaN is NaN."""
    if math.isnan(first) or math.isnan(second):
        return math.isnan(first) and math.isnan(second)
    return math.isclose(first, second, rel_tol=_ROUNDING, abs_tol=tolerance)


@dataclass(frozen=True)
class Verification:
    """What recomputing one file found."""

    title: str  # 'OpenUnlearning log of llama-3.2-1b-full, forget10'
    checks: tuple[Check, ...]
    problems: tuple[str, ...] = ()  # one sentence each: impossible, or at odds with itself
    notes: tuple[str, ...] = ()  # what to know that is no fault
    rows: str = ""  # '152 of 152 rows', where a file holds many models

    @property
    def is_sound(self) -> bool:
        """Whether everything agrees and nothing is impossible."""
        return not self.problems and all(check.agrees for check in self.checks)


def impossible_shares(values: Mapping[str, float], what: str, slack: float = 0.0) -> list[str]:
    """A sentence if some of the values, by name, are not within 0 and 1; NaN is not."""
    outside = {n: value for n, value in values.items() if not -slack <= value <= 1 + slack}
    if not outside:
        return []
    name, value = next(iter(outside.items()))
    return [
        f"{what}: {len(outside)} of {len(values)} values are not within 0 and 1, the first "
        f"{value!r} ({name})"
    ]


def unlike_items(own: Log, other: Log) -> str:
    """Why two logs are not of the same items, in words; empty if they may be."""
    if own.benchmark != other.benchmark:
        return f"it is of {other.benchmark}, not of {own.benchmark}"
    for task, metrics in own.items.items():
        for metric, values in metrics.items():
            there = other.values(task, metric)
            if there and there.keys() != values.keys():
                return f"it has {len(there)} items of {metric}, not {len(values)}"
    for split, texts in own.texts.items():
        answers = other.texts.get(split, {})
        for item, text in texts.items():
            if (answer := answers.get(item, text)) != text:
                return f"item {item} of {split} is {answer[:40]!r} there, not {text[:40]!r}"
    return ""
