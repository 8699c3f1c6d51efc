"""Chooses each method's learning rate on a forget set that is in no table."""

from collections.abc import Sequence
from dataclasses import replace
from math import fsum, isfinite, log
from typing import TYPE_CHECKING

from unlearnbench.experiments.learning_rates import RULE, Candidate, LearningRates, Tuned
from unlearnbench.results.record import Result

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment

GRID = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4)


def tuning_experiments(
    experiment: "Experiment", grid: Sequence[float], methods: Sequence[str]
) -> list["Experiment"]:
    """One experiment per learning rate, methods only, measuring nothing but perplexity."""
    return [
        replace(
            experiment,
            methods=tuple(methods),
            settings=(
                *experiment.settings,
                *(f"{name}.learning_rate={rate!r}" for name in methods),
            ),
            references=("none",),
            tasks=("perplexity",),
            el_epochs="deciding",
        )
        for rate in sorted(set(grid))
    ]


def candidate_of(result: Result) -> Candidate:
    """What the rule needs to know of one tried rate."""
    trace = result.trace
    outcome = trace.outcome if trace else "failed"
    return Candidate(
        learning_rate=float(result.method.settings["learning_rate"]),
        reached=outcome == "forgotten",
        outcome=outcome,
        n_epochs=trace.n_epochs if trace else 0,
        distance=distance_to_line(result),
        mean_log_perplexity=mean_log_perplexity(result),
    )


def distance_to_line(result: Result) -> float | None:
    """How far EL and MA ended above the stop line; None for a collapsed model.

    Under 'and' both must come down: the two distances are added.  Under 'or' the
    nearer one decides.
    """
    if result.trace is None or result.trace.outcome == "collapsed":
        return None
    last = result.trace.epochs[-1].metrics
    lines = (("el", result.stop.el), ("ma", result.stop.ma))
    # EL is not measured (NaN) where MA is still above its line, which then is what counts.
    above = [last[name] - line for name, line in lines if isfinite(last[name])]
    together = fsum if result.stop.rule == "and" else min
    return together([max(value, 0.0) for value in above])


def mean_log_perplexity(result: Result) -> float | None:
    """Mean of the logarithms of every validation text's perplexity; None if none was measured."""
    values = [score.value for score in result.scores.get("perplexity", {}).values()]
    if not values or not all(isfinite(v) and v > 0 for v in values):
        return None
    return fsum(map(log, values)) / len(values)


def choose(candidates: Sequence[Candidate], max_epochs: int) -> Tuned:
    """Apply the rule (`RULE`) to the rates tried for one method.

    Half of the epoch limit, because a rate that needs nearly all of it on one forget set
    would miss the line on the next.
    """
    reached = [c for c in candidates if c.reached and c.mean_log_perplexity is not None]
    early = [c for c in reached if 2 * c.n_epochs <= max_epochs]
    if reached:
        best = min(early or reached, key=lambda c: (c.mean_log_perplexity, c.learning_rate))
    else:
        best = min(
            candidates, key=lambda c: (c.distance is None, c.distance or 0.0, c.learning_rate)
        )
    return Tuned(
        learning_rate=best.learning_rate,
        reached=bool(reached),
        candidates=sorted(candidates, key=lambda c: c.learning_rate),
    )


def learning_rates(results: Sequence[Result]) -> LearningRates:
    """The file's content from every candidate's result; all are of one model and forget set.

    The epoch limit is the one they were tried with; null if methods had limits of their own.
    """
    first = results[0]
    by_method: dict[str, list[Candidate]] = {}
    limit_of: dict[str, int] = {}
    for result in results:
        by_method.setdefault(result.method.name, []).append(candidate_of(result))
        limit_of[result.method.name] = result.method.settings["max_epochs"]
    limits = {result.method.settings["max_epochs"] for result in results}
    grid = {c.learning_rate for candidates in by_method.values() for c in candidates}
    return LearningRates(
        rule=RULE,
        model=first.model.name,
        weights_sha256=first.model.weights_sha256,
        forget_set=first.forget_set.name,
        run=first.forget_set.run,
        protocol=first.protocol_name,
        stop=first.stop.source,
        max_epochs=limits.pop() if len(limits) == 1 else None,
        grid=sorted(grid),
        methods={name: choose(found, limit_of[name]) for name, found in sorted(by_method.items())},
    )
