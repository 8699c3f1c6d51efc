"""Learning rates and weights: tried on a forget set that is in no table, chosen by one rule."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from math import fsum, isfinite, log
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import ModelChoice
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.registry import WITH, find
from unlearnbench.results.record import Result
from unlearnbench.settings import parse_setting, settings_of

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

FILE_NAME = "learning_rates.json"
GRID = (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4)
RULE = (
    "of the rates that reach the stop line without collapse within half of the epoch limit, or if "
    "none does within all of it, the one with the lowest mean log perplexity over the validation "
    "texts, the smaller of equals; if none reaches it, the one that ends nearest to it"
)


Rate = Annotated[float, Field(gt=0)]
Value = bool | int | float | str | None
# By method: its settings to try beside the rate, and the values of each, as text and in order.
Tries = Mapping[str, Mapping[str, Sequence[str]]]
# Settings that are tuned otherwise, or by which the rule judges.
_NOT_TRIED = {
    "learning_rate": "rates are tried with --grid",
    "max_epochs": "the rule judges by it; say it with --max-epochs",
    "seed": "say it with --seeds",
}


class _Part(BaseModel):
    # A number that is none would be trained with, and only the loss would tell.
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Candidate(_Part):
    """One learning rate that was tried, with the values of other settings tried beside it."""

    learning_rate: Rate
    settings: dict[str, Value] = Field(default_factory=dict)
    reached: bool = Field(description="the stop line was reached within the epoch limit")
    outcome: str = Field(description="forgotten, not_forgotten, collapsed or failed")
    n_epochs: int = Field(ge=0)
    distance: float | None = Field(
        description="how far EL and MA ended above the line, summed; null for a collapsed model"
    )
    mean_log_perplexity: float | None = Field(description="over the validation texts")


class Tuned(_Part):
    """The rate and settings chosen for one method, with everything they were chosen from."""

    learning_rate: Rate
    settings: dict[str, Value] = Field(default_factory=dict)
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

    @property
    def conditions(self) -> dict[str, Any]:
        """What all of its methods were tuned under."""
        kept = ("weights_sha256", "forget_set", "run", "protocol", "stop", "max_epochs", "rule")
        return {name: getattr(self, name) for name in kept}

    def check_joins(
        self, path: Path, conditions: Mapping[str, Any], methods: Sequence[str]
    ) -> None:
        """Raise `UserError` if what this file keeps beside `methods` was tuned otherwise."""
        kept = sorted(self.methods.keys() - set(methods))
        differing = [name for name, value in self.conditions.items() if value != conditions[name]]
        if kept and differing:
            name = differing[0]
            own, other = (str(of[name])[:60] for of in (self.conditions, conditions))
            raise UserError(
                f"{path} keeps {', '.join(kept)}, tuned with {name.replace('_', ' ')} {own}, not "
                f"{other}; tune them alike, or write another file: -o FILE"
            )

    def joined(self, newer: "LearningRates") -> "LearningRates":
        """The newer file's methods, and of this one's those that it has not."""
        return newer.model_copy(
            update={
                "grid": sorted({*self.grid, *newer.grid}),
                "methods": dict(sorted({**self.methods, **newer.methods}.items())),
            }
        )

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


def parse_tries(options: Sequence[str], methods: Sequence[str]) -> Tries:
    """NAME.SETTING=A,B,C, each once, as values by method and setting; all are checked.

    Raises `UserError` for a method that is not tuned, and for a setting or value that it cannot
    have.
    """
    tries: dict[str, dict[str, Sequence[str]]] = {}
    for option in options:
        place, equals, text = option.partition("=")
        method, dot, name = place.strip().partition(".")
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not (equals and dot and values):
            raise UserError(f"--try {option!r} is not NAME.SETTING=A,B: --try icu.alpha=0.1,0.5")
        if method not in methods:
            raise unknown("method in --try", method, methods, "unlearnbench tune --help")
        if name in _NOT_TRIED:
            raise UserError(f"--try {option}: {_NOT_TRIED[name]}")
        if name in tries.get(method, {}):
            raise UserError(f"--try {method}.{name} is there twice; give all its values at once")
        kind = find("methods", method)
        parsed = [parse_setting(kind, method, name, value) for value in values]
        if settings_of(kind)[name].is_list:  # its own commas would be taken for those between
            raise UserError(f"--try {option}: {method}.{name} is a list; say it with --set")
        first: dict[Any, str] = {}  # of texts that mean the same
        for value, one in zip(values, parsed, strict=True):
            first.setdefault(one, value)
        tries.setdefault(method, {})[name] = list(first.values())
    return tries


def tuning_experiments(
    experiment: Experiment,
    grid: Sequence[float],
    methods: Sequence[str],
    tries: Tries | None = None,
) -> list[Experiment]:
    """One experiment per learning rate, methods only, measuring nothing but perplexity.

    A method with settings to try has for each rate one experiment per combination of their values.
    """
    tries = tries or {}
    plain = [name for name in methods if name not in tries]
    trials: list[tuple[list[str], float, list[str]]]
    trials = [(plain, rate, []) for rate in sorted(set(grid))] if plain else []
    for name in (name for name in methods if name in tries):
        combinations = [
            [f"{name}.{one}={value}" for one, value in zip(tries[name], values, strict=True)]
            for values in product(*tries[name].values())
        ]
        trials += [([name], rate, own) for rate in sorted(set(grid)) for own in combinations]

    def of(names: list[str]) -> list[str]:
        """What --set says, without settings of methods that stand in other experiments."""
        others = _parts(methods) - _parts(names)
        return [one for one in experiment.settings if one.partition(".")[0].strip() not in others]

    return [
        replace(
            experiment,
            methods=tuple(names),
            settings=(
                *of(names),
                *own,
                *(f"{name}.learning_rate={rate!r}" for name in names),
            ),
            references=("none",),
            tasks=("perplexity",),
            el_epochs="deciding",
        )
        for names, rate, own in trials
    ]


def _parts(methods: Sequence[str]) -> set[str]:
    """What --set may call owners of the methods' settings: they, and what they are made of."""
    return {part for name in methods for part in (name, *name.split(WITH))}


def candidate_of(result: Result, tried: Sequence[str] = ()) -> Candidate:
    """What the rule needs to know of one tried rate; `tried` names the settings beside it."""
    trace = result.trace
    outcome = trace.outcome if trace else "failed"
    return Candidate(
        learning_rate=float(result.method.settings["learning_rate"]),
        settings={name: result.method.settings[name] for name in tried},
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
    would miss the line on the next.  Of equal candidates with one rate the first stands.
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
        settings=best.settings,
        reached=bool(reached),
        candidates=sorted(candidates, key=lambda c: c.learning_rate),
    )


def conditions_of(cells: "Sequence[Cell]") -> dict[str, Any]:
    """What the file of these cells' results will say they were tuned under."""
    cell, limits = cells[0], {cell.settings["max_epochs"] for cell in cells}
    return {
        "weights_sha256": cell.main.source.weights_sha256,
        "forget_set": cell.data.source.title(cell.run),
        "run": cell.run,
        "protocol": cell.protocol_name,
        "stop": cell.stop,
        "max_epochs": limits.pop() if len(limits) == 1 else None,
        "rule": RULE,
    }


def learning_rates(results: Sequence[Result], tries: Tries | None = None) -> LearningRates:
    """The file's content from every candidate's result; all are of one model and forget set.

    The results are in the order in which they were tried.
    The epoch limit is the one they were tried with; null if methods had limits of their own.
    """
    first = results[0]
    by_method: dict[str, list[Candidate]] = {}
    for result in results:
        name = result.method.name
        tried = tuple((tries or {}).get(name, ()))
        by_method.setdefault(name, []).append(candidate_of(result, tried))
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
