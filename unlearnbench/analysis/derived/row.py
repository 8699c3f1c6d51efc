"""The derived scores of one result while they are made, and what they are made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from unlearnbench.analysis.derived.measured import Measured, Unfit
from unlearnbench.analysis.derived.resampling import Estimate
from unlearnbench.analysis.derived.score import METRICS, Derived, DerivedMetric
from unlearnbench.errors import UserError


@dataclass
class Row:
    """One result with those it is compared with."""

    own: Measured
    reference: Measured | None  # retrained
    before: Measured | None
    scores: dict[str, Derived] = field(default_factory=dict)
    metrics: dict[str, DerivedMetric] = field(default_factory=dict)
    estimates: dict[str, Estimate] = field(default_factory=dict)  # what others are made of
    n_margins: tuple[int, int] | None = None  # seeds of its own and retrained models in KLOM
    reasons: list[str] = field(default_factory=list)  # why a score that could be is not there

    def attempt(self, derive: Callable[["Row"], None]) -> None:
        """Derive some scores; what is in the way becomes a reason."""
        try:
            derive(self)
        except (Unfit, UserError, ValueError) as error:
            self.reasons.append(str(error))

    def put(
        self,
        name: str,
        value: float,
        n: int,
        interval: tuple[float | None, float | None] | None = None,
        relative_to: str = "",
    ) -> None:
        """Add a score of a known metric."""
        low, high = interval or (None, None)
        metric = METRICS[name]
        self._add(
            metric,
            Derived(
                value=value, n=n, higher_is_better=metric.higher_is_better, low=low, high=high,
                relative_to=relative_to,
            ),
        )  # fmt: skip

    def put_estimate(self, name: str, estimate: Estimate, relative_to: str = "") -> None:
        """Add a score with the percentiles of its resamples, and keep those for others."""
        self.estimates[name] = estimate
        self.put(name, estimate.value, estimate.n, estimate.interval, relative_to)

    def put_items(self, metric: DerivedMetric, items: Mapping[str, float]) -> None:
        """Add a score that is the mean of its items, whose interval is that of any measured."""
        self._add(metric, Derived.of(items, higher_is_better=metric.higher_is_better))  # type: ignore

    def _add(self, metric: DerivedMetric, score: "Derived") -> None:
        self.metrics[metric.name], self.scores[metric.name] = metric, score
