"""What results hold for derived scores: values by item, and the results to compare with."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unlearnbench.analysis.build_table import failure_of
from unlearnbench.results.record import Result

if TYPE_CHECKING:
    from unlearnbench.analysis.derived.resampling import Estimate

ANSWERS, REPLIES, MEMBERSHIP, CHOICES = "answers", "replies", "membership", "multiple_choice"
DISTANCE = "distance"
DEPTH = "depth"  # an attack, which describes the model: task and metric
TASKS = frozenset({ANSWERS, REPLIES, MEMBERSHIP, CHOICES, DISTANCE})


class Unfit(Exception):
    """Why a score cannot be derived, though what it is made of was measured."""


def is_forget(split: str) -> bool:
    """Whether a split is the forget set or a form of it ('forget_rephrased')."""
    return split == "forget" or split.startswith("forget_")


@dataclass(frozen=True, eq=False)
class Measured:
    """One result's values by item."""

    result: Result
    #: by task and metric: the same number is a part of several rows' scores
    estimates: dict[tuple[str, str], "Estimate"] = field(default_factory=dict, repr=False)

    def splits(self, task: str, ending: str) -> list[str]:
        """The splits of which a metric with that ending was measured, in their order."""
        names = self.result.scores.get(task, {})
        return [name.removesuffix(ending) for name in names if name.endswith(ending)]

    def has(self, task: str, *metrics: str) -> bool:
        """Whether all of these were measured."""
        return self.result.scores.get(task, {}).keys() >= set(metrics)

    def items(self, task: str, metric: str) -> dict[str, float]:
        """The values by doc_id; empty where only their mean is known.

        Raises `Unfit` where some are not numbers, `KeyError` where it was not measured.
        """
        values = self.result.with_outcomes().scores[task][metric].documents
        n_missing = sum(map(math.isnan, values.values()))
        if n_missing:
            raise Unfit(f"{task}.{metric} is not a number in {n_missing} of {len(values)} items")
        return values

    def known(self, task: str, metric: str) -> dict[str, float]:
        """The values by doc_id; raises `Unfit` where only their mean is known, too."""
        if not (values := self.items(task, metric)):
            raise Unfit(f"{task}.{metric} has no values by item")
        return values

    def mean(self, task: str, split: str, ending: str) -> "Estimate":
        """The mean of a split's metric with its resamples."""
        from unlearnbench.analysis.derived import resampling

        name = f"{split}_{ending}"
        if (task, name) not in self.estimates:
            score = self.result.scores[task][name]
            values = self.items(task, name)
            if math.isnan(score.value) or not all(map(math.isfinite, values.values())):
                raise Unfit(f"{task}.{name} is not finite")
            self.estimates[task, name] = (
                resampling.mean(split, values)
                if values
                else resampling.Estimate(score.value, None, score.n)
            )
        return self.estimates[task, name]


def same_items(
    first: Mapping[str, float], second: Mapping[str, float], what: str
) -> tuple[list[float], list[float]]:
    """Both values of every item, in one order; raises `Unfit` unless the items are the same."""
    if first.keys() != second.keys():
        n_common = len(first.keys() & second.keys())
        raise Unfit(
            f"{what}: the retrained reference was measured on other items ({len(second)}, of which "
            f"{n_common} are among this row's {len(first)}); measure both with the same data and "
            "limit"
        )
    items = sorted(first)
    return [first[item] for item in items], [second[item] for item in items]


# ---- results to compare with


def of_role(role: str, result: Result, results: Iterable[Result]) -> list[Result]:
    """The results with that role of the same group and forget set that did not fail."""
    return [
        other
        for other in results
        if other.role == role
        and other.group == result.group
        and _is_same_set(other, result)
        and failure_of(other) is None
    ]


def _is_same_set(first: Result, second: Result) -> bool:
    # Under another tokenizer the hash of the token ids is another: there the rows' names decide.
    a, b = first.forget_set, second.forget_set
    sources = {(r.identity.get("forget_set") or {}).get("sha256") for r in (first, second)}
    if None not in sources and len(sources) > 1:
        return False  # an edited file's rows may have the same names
    return a.content_sha256 == b.content_sha256 or (a.run, a.doc_ids) == (b.run, b.doc_ids)


def closest(result: Result, candidates: Iterable[Result]) -> Result | None:
    """Of those measured alike the one of the same seed, then of the lowest; the latest of them."""
    alike = [each for each in candidates if unlike(result, each) is None]
    by_time = sorted(alike, key=lambda r: (r.started_at, r.key), reverse=True)
    return min(by_time, key=lambda r: (r.seed != result.seed, r.seed), default=None)


def unlike(result: Result, other: Result) -> str | None:
    """How another result was measured differently, in words; None if it was not."""
    own, others = (r.identity.get("tasks") or {} for r in (result, other))
    if own.get("limit") != others.get("limit"):
        limits = [_limit(each.get("limit")) for each in (own, others)]
        return f"it was measured on {limits[1]}, this row on {limits[0]}"
    ours, theirs = (each.get("settings") or {} for each in (own, others))
    for task in sorted(TASKS & ours.keys() & theirs.keys()):
        if ours[task] != theirs[task]:
            return f"its task {task} was run with other settings"
    return _unlike_splits(result, other)


def _unlike_splits(result: Result, other: Result) -> str | None:
    if result.benchmark is None or other.benchmark is None:
        return None
    if result.imported or other.imported:  # other harnesses know no such digests: items decide
        return None
    kinds = [each.benchmark.template for each in (result, other) if each.benchmark]
    if kinds[0] != kinds[1]:
        return f"it was asked in the {kinds[1]} template, this row in the {kinds[0]} one"
    own, others = result.benchmark.splits, other.benchmark.splits
    for name in sorted(own.keys() & others.keys()):
        if own[name].sha256 != others[name].sha256:
            return f"its split '{name}' holds other items, or is asked or measured otherwise"
    return None


def _limit(limit: object) -> str:
    return "all items" if limit is None else f"at most {limit} items"
