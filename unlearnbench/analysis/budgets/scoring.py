"""One number for a trial: utility kept where the stop line was reached, or a score by its name."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from unlearnbench.analysis.build_table import failure_of
from unlearnbench.analysis.derived import aggregates
from unlearnbench.analysis.derived.measured import of_role
from unlearnbench.analysis.derived.score import BEFORE, METRICS, TASK
from unlearnbench.analysis.table import P_VALUE, Column
from unlearnbench.errors import UserError, unknown
from unlearnbench.results.record import Result

UTILITY_KEPT = Column(
    "utility_kept", "Utility kept (%)", True, unit="%", scale=100.0, in_score=False
)
# Of a benchmark the score of scores that it is ranked by.
_RANKED_BY = ("overall", "semeval_score", "task_aggregate")


def mean_log_perplexity(result: Result) -> float | None:
    """Mean of the logarithms of every validation text's perplexity; None if none was measured."""
    values = [score.value for score in result.scores.get("perplexity", {}).values()]
    if not values or not all(math.isfinite(v) and v > 0 for v in values):
        return None
    return math.fsum(map(math.log, values)) / len(values)


def utility_kept(result: Result, results: Iterable[Result]) -> float | None:
    """Geometric mean over the texts of perplexity before / after, 1 at most; None if not measured.

    Before: of the model before unlearning, whose result is among `results`.
    """
    after = mean_log_perplexity(result)
    before = (mean_log_perplexity(r) for r in of_role(BEFORE, result, results))
    start = next((value for value in before if value is not None), None)
    if after is None or start is None:
        return None
    return min(1.0, math.exp(start - after))


def has_line(result: Result) -> bool:
    """Whether a trial is judged by the stop line: of no benchmark, and traced."""
    return result.benchmark is None and result.imported is None


def known(result: Result, name: str) -> tuple[float, Column] | None:
    """A score by its name ('ma', or 'task.name'), measured, derived or stated by a log."""
    for metric in result.metrics:
        if name in (metric.name, f"{metric.task}.{metric.name}"):
            score = result.scores.get(metric.task, {}).get(metric.name)
            if score is not None and not math.isnan(score.value):
                return score.value, Column(**vars(metric), metric=metric.name)
    stated = result.imported.stated if result.imported else {}
    if name in stated and name in METRICS and not math.isnan(stated[name]):
        return stated[name], Column(**vars(METRICS[name]), metric=name)
    return None


def names_of(results: Iterable[Result]) -> list[str]:
    """The scores that trials can be judged by, by name."""
    names: dict[str, None] = {}
    for result in results:
        measured = [m.name for m in result.metrics if m.higher_is_better is not None]
        stated = list(result.imported.stated) if result.imported else []
        ranked = [n for n in stated if n in METRICS and METRICS[n].higher_is_better is not None]
        names |= dict.fromkeys([*measured, *ranked])
    return list(names)


@dataclass(frozen=True)
class Objective:
    """What trials are judged by: the number of a trial, and which way is better."""

    column: Column  # label, direction and scale of the number
    parts: tuple[str, ...] = ()  # several: the harmonic mean of these shares; none: utility kept

    @property
    def is_utility_kept(self) -> bool:
        """Whether it is that of runs with a stop line."""
        return not self.parts

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger number is better."""
        return bool(self.column.higher_is_better)

    @property
    def is_share(self) -> bool:
        """Whether the number is between 0 and 1 by what it is, whatever the values are."""
        return len(self.parts) != 1 or is_share(self.column)

    def value(self, result: Result, results: Sequence[Result]) -> float | None:
        """The number of one trial; None if it failed or was not measured.

        Utility kept is 0 where the stop line was not reached.  Raises `UserError` for a part of a
        harmonic mean that is no share.
        """
        if failure_of(result) is not None:
            return None
        if self.is_utility_kept:
            kept = utility_kept(result, results)
            reached = result.trace is not None and result.trace.outcome == "forgotten"
            return kept if reached or kept is None else 0.0
        found = [known(result, name) for name in self.parts]
        present = [one for one in found if one is not None]
        if len(present) < len(found):
            return None
        if len(present) == 1:
            return present[0][0]
        return aggregates.harmonic_mean([_share(*one) for one in present])

    def worst(self, values: Sequence[float]) -> float:
        """What a trial that failed counts as: the end of the scale of shares, else the worst."""
        if self.is_share and are_shares(values):
            return 0.0 if self.higher_is_better else 1.0
        return min(values) if self.higher_is_better else max(values)

    @property
    def in_words(self) -> str:
        """What the number is, for a note."""
        label = self.column.label.partition(" (")[0]
        if self.is_utility_kept:
            return (
                "utility kept (the geometric mean over the texts of perplexity before / after, at "
                "most 1) where the stop line was reached, else 0"
            )
        return f"{label} ({'higher' if self.higher_is_better else 'lower'} is better)"


def is_share(column: Column) -> bool:
    """Whether a score can only be between 0 and 1 as stored: per cents, p-values, derived ones."""
    if column.unit:
        return column.unit == P_VALUE or (column.unit == "%" and column.scale == 100.0)
    # Of derived scores those that are no shares have a unit, or say it in their label.
    return column.task == TASK and "(nats)" not in column.label


def are_shares(values: Iterable[float]) -> bool:
    """Whether all values lie within 0 and 1."""
    return all(0.0 <= value <= 1.0 for value in values)


def _share(value: float, column: Column) -> float:
    """A share as more is better; raises `UserError` for what is none."""
    if not 0.0 <= value <= 1.0:
        raise UserError(
            f"--score: {column.label} is {value:g}, no share of 0 to 1 that a harmonic mean could "
            "be of; give one score"
        )
    return value if column.higher_is_better else 1.0 - value


def parts_of(text: str) -> tuple[str, ...]:
    """The names in --score, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def objective_named(text: str, results: Sequence[Result]) -> Objective:
    """The objective of --score: a score by its name, or several, joined by their harmonic mean.

    Raises `UserError` for a score that no result has, and for one that has no direction.
    """
    names = parts_of(text)
    if names == (UTILITY_KEPT.name,):
        return Objective(UTILITY_KEPT)
    columns = [_column(name, results) for name in names]
    if len(columns) == 1:
        return Objective(columns[0], names)
    if not columns:
        raise UserError("--score names none: --score overall, or several: --score a,b")
    label = f"HM of {' and '.join(column.label for column in columns)}"
    return Objective(Column(",".join(names), label, True, decimals=3, in_score=False), names)


def _column(name: str, results: Sequence[Result]) -> Column:
    column = next((one[1] for r in results if (one := known(r, name)) is not None), None)
    if column is None:
        available = [*names_of(results), UTILITY_KEPT.name]
        raise unknown("--score", name, available, "unlearnbench report --csv")
    if column.higher_is_better is None:
        raise UserError(
            f"--score {name}: of {column.label} neither more nor less is better; take another score"
        )
    return column


def default_objective(results: Sequence[Result]) -> Objective | None:
    """Utility kept of runs with a stop line, else the score that a benchmark is ranked by."""
    trials = [r for r in results if r.role == "method"]
    if any(has_line(r) and utility_kept(r, results) is not None for r in trials):
        return Objective(UTILITY_KEPT)
    for name in _RANKED_BY:
        if any(known(r, name) for r in trials):
            return objective_named(name, results)
    return None


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """The mean; None if one is missing or there are none."""
    listed = list(values)
    present = [value for value in listed if value is not None]
    return fmean(present) if present and len(present) == len(listed) else None
