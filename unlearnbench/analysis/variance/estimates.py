"""A line of a family, or the difference of two, in one column: mean, mean squares and order."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unlearnbench.analysis.statistics.outcomes import ByKey
from unlearnbench.analysis.table import Column
from unlearnbench.analysis.variance.components import MeanSquares, Sample, mean_squares, seeds_alike
from unlearnbench.analysis.variance.families import Line
from unlearnbench.analysis.variance.samples import samples_of
from unlearnbench.analysis.variance.statements import Order, order_of, table_differences

_LARGEST_LOG = 700.0  # of a float


@dataclass(frozen=True, eq=False)
class Estimate:
    """One number with everything that it varies with."""

    column: Column
    labels: tuple[str, ...]  # of the line, or of first and second
    sample: Sample  # in printed units, of an exponential of a mean in logarithms
    is_log: bool = False
    n_left_out: int = 0  # runs that not all trainings have
    order: Order | None = None  # of two lines in several trainings
    same_seeds: bool = False  # all trainings have the same ones

    @cached_property
    def squares(self) -> MeanSquares:
        """The sample's mean squares."""
        return mean_squares(self.sample)

    @property
    def seeds_alike(self) -> float | None:
        """The p-value of whether seeds act alike in all trainings; None where it cannot be seen."""
        return seeds_alike(self.sample) if self.same_seeds else None

    def printed(self, value: float) -> float:
        """A value of the sample in printed units."""
        if not self.is_log:
            return value
        return math.exp(value) * self.column.scale if value < _LARGEST_LOG else math.inf

    def ends(self, over: str) -> tuple[float, float] | None:
        """The 95% interval in printed units over items, seeds, trainings or all."""
        reach = self.squares.reach(over)
        if reach is None:
            return None
        return self.printed(self.sample.mean - reach), self.printed(self.sample.mean + reach)


def estimate(line: Line, column: Column, by_key: ByKey) -> Estimate | None:
    """A line in a column; None where there is no finite number."""
    made = samples_of([line], column, by_key)
    if made is None:
        return None
    return Estimate(
        column, (line.label,), made.samples[0], made.is_log, made.n_left_out,
        same_seeds=made.same_seeds,
    )  # fmt: skip


def difference(first: Line, second: Line, column: Column, by_key: ByKey) -> Estimate | None:
    """First minus second over what both have; None where that is nothing.

    The order is by the table's own values.
    """
    made = samples_of([first, second], column, by_key)
    if made is None:
        return None
    sample = made.samples[0].minus(made.samples[1])
    by_training = table_differences(first, second, column, made.is_log)
    labels = (first.label, second.label)
    return Estimate(column, labels, sample, made.is_log, made.n_left_out, _order(by_training))


def in_scores(first: Line, second: Line, column: Column) -> Estimate | None:
    """The difference in s_z or s_m, which have one value a training; None for one training."""
    values = table_differences(first, second, column, is_log=False)
    if len(values) < 2:
        return None
    runs = np.array(values)[:, None, None]
    return Estimate(column, (first.label, second.label), Sample(runs), order=_order(values))


def _order(by_training: Sequence[float]) -> Order | None:
    return order_of(by_training) if len(by_training) > 1 else None
