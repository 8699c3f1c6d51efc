"""Learning rates: tried on a forget set that is in no table, chosen by one rule, kept in a file."""

from collections.abc import Sequence
from dataclasses import replace
from math import fsum, isfinite, log
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import ModelChoice
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.results.record import Result

FILE_NAME = "learning_rates.json"
GRID = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4)
RULE = (
    "of the rates that reach the stop line without collapse within half of the epoch limit, or if "
    "none does within all of it, the one with the lowest mean log perplexity over the validation "
    "texts, the smaller of equals; if none reaches it, the one that ends nearest to it"
)


Rate = Annotated[float, Field(gt=0)]


class _Part(BaseModel):
    # A number that is none would be trained with, and only the loss would tell.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Candidate(_Part):
    """One learning rate that was tried."""

    learning_rate: Rate
    reached: bool = Field(description="the stop line was reached within the epoch limit")
    outcome: str = Field(description="forgotten, not_forgotten, collapsed or failed")
    n_epochs: int = Field(ge=0)
    distance: float | None = Field(
        description="how far EL and MA ended above the line, summed; null for a collapsed model"
    )
    mean_log_perplexity: float | None = Field(description="over the validation texts")


class Tuned(_Part):
    """The rate chosen for one method, with everything it was chosen from."""

    learning_rate: Rate
    reached: bool = Field(description="false: no rate reached the stop line")
    candidates: list[Candidate]


class LearningRates(_Part):
    """The file that `unlearnbench tune` writes."""

    rule: str = RULE
    model: str
    weights_sha256: str
    forget_set: str
    run: str
    protocol: str
    stop: Literal["paper", "calibrated"] | None = None  # not known of files of the first version
    max_epochs: int | None = Field(default=None, ge=1)
    grid: list[Rate]
    methods: dict[str, Tuned]

    def departure(self, protocol: str, stop: str) -> str:
        """' under protocol paper', where a run uses the rates under another; else ''."""
        departures = [f"protocol {self.protocol}"] if self.protocol != protocol else []
        if self.stop not in (None, stop):
            departures.append(f"the {self.stop} stop line")
        return f" under {' and '.join(departures)}" if departures else ""


def read_learning_rates(path: Path) -> LearningRates:
    """The tuned rates in a file; raises `UserError` if it holds none."""
    try:
        return LearningRates.model_validate(parsed(read_regular(path)), strict=True)
    except OSError as error:
        raise UserError(
            f"cannot read learning rates {path}: {error.strerror}; give the file that "
            "`unlearnbench tune` wrote"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{path} holds no learning rates ({first_error(error)}); write one with: "
            "unlearnbench tune"
        ) from error


def tuned_rates_for(experiment: Experiment, model: ModelChoice) -> tuple[LearningRates | None, str]:
    """The rates of --learning-rates, else those beside the weights of a world's model, if any.

    Rates tuned for other weights are left out, and the second value is the warning that says so.
    Raises `UserError` for a file that cannot be read.
    """
    path = shipped_path(model)
    if experiment.learning_rates is not None:
        path = Path(experiment.learning_rates)
    elif path is None or not path.is_file():
        return None, ""
    tuned = read_learning_rates(path)
    if tuned.weights_sha256 == model.source.weights_sha256:
        return tuned, ""
    return None, (
        f"{path.name} was tuned for other weights of '{tuned.model}' and is left out for "
        f"'{model.requested}'; tune again with: unlearnbench tune --model {model.requested}"
    )


def shipped_path(model: ModelChoice) -> Path | None:
    """Where the tuned rates of a world's model are or would be; None for any other model."""
    folder = model.alias.folder if model.alias else None
    return folder / FILE_NAME if folder else None


def tuning_experiments(
    experiment: Experiment, grid: Sequence[float], methods: Sequence[str]
) -> list[Experiment]:
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
    for result in results:
        by_method.setdefault(result.method.name, []).append(candidate_of(result))
    limit_of = {result.method.name: result.method.settings["max_epochs"] for result in results}
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
        methods={name: choose(tried, limit_of[name]) for name, tried in sorted(by_method.items())},
    )
