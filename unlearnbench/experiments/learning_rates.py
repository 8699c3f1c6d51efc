"""Learning rates and weights: tried on a forget set that is in no table, chosen by one rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unlearnbench.analysis.budgets.scoring import Objective, mean_log_perplexity
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import ModelChoice
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.registry import WITH
from unlearnbench.results.record import Result

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
    score: float | None = Field(default=None, description="what --score judges by")
    key: str = Field(default="", description="of its result in the results folder")


class Budget(_Part):
    """How many configurations of a method were tried, and how they were come by."""

    sampler: Literal["grid", "random", "tpe"]
    n: int = Field(ge=1, description="configurations")
    seed: int | None = Field(default=None, description="of the draws; null for a grid")
    space: dict[str, str] = Field(description="by setting, as --space writes it")

    @property
    def in_words(self) -> str:
        """'12 random configurations (seed 0)'."""
        kind = {"grid": "", "random": "random ", "tpe": "TPE "}[self.sampler]
        seed = "" if self.seed is None else f" (seed {self.seed})"
        return f"{self.n} {kind}configuration{'' if self.n == 1 else 's'}{seed}"


class Tuned(_Part):
    """The rate and settings chosen for one method, with everything they were chosen from."""

    learning_rate: Rate
    settings: dict[str, Value] = Field(default_factory=dict)
    reached: bool = Field(
        description="false: no candidate reached the stop line, or none could be judged by --score"
    )
    candidates: list[Candidate] = Field(description="in the order in which they were tried")
    budget: Budget | None = None  # not known of files of the first versions


class LearningRates(_Part):
    """The file that `unlearnbench tune` writes."""

    rule: str = RULE
    score: str = Field(default="", description="of --score; empty: the rule of the stop line")
    model: str
    weights_sha256: str
    forget_set: str
    run: str
    protocol: str
    stop: Literal["paper", "calibrated", "rows"] | None = (
        None  # not known of files of the first version
    )
    max_epochs: int | None = Field(default=None, ge=1)
    limit: int | None = Field(default=None, description="of rows to forget; null: all of them")
    task_limit: int | None = Field(default=None, description="of items of a task; null: all")
    schedule: dict[str, Value] = Field(
        default_factory=dict, description="how runs were trained and ended, where not the plain way"
    )
    grid: list[Rate] = Field(description="all rates that were tried")
    methods: dict[str, Tuned]

    def rated(self, method: str) -> str:
        """Under which name a method was tuned, with its wrappers or alone; empty if it was not."""
        bare = method.partition(WITH)[0]
        return next((name for name in (method, bare) if name in self.methods), "")

    def warnings_for(self, shared: Mapping[str, int]) -> list[str]:
        """The warning that runs have rows in common with what was tuned on, by number, if any."""
        return [
            f"forget set {run} has {n} rows of {self.forget_set}, on which settings were tuned: "
            "what is measured on them flatters the methods that were tuned most"
            for run, n in shared.items()
        ]

    def budget_of(self, method: str) -> str:
        """', chosen among 12 random configurations of each method'; '' where it is not known.

        Without 'of each method' where the methods of the file had unlike budgets.
        """
        own = self.methods[method].budget
        if own is None:
            return ""
        others = {
            (m.budget.sampler, m.budget.n) if m.budget else None for m in self.methods.values()
        }
        return f", chosen among {own.in_words}" + (" of each method" if len(others) == 1 else "")

    @property
    def conditions(self) -> dict[str, Any]:
        """What all of its methods were tuned under."""
        kept = (
            "weights_sha256", "forget_set", "run", "protocol", "stop", "max_epochs", "limit",
            "task_limit", "schedule", "score",
        )  # fmt: skip
        # How a score is called in the rule is known when it has been measured.
        return {
            **{name: getattr(self, name) for name in kept},
            "rule": _rule(self.rule, self.score),
        }

    def check_joins(
        self, path: Path, conditions: Mapping[str, Any], methods: Sequence[str]
    ) -> None:
        """Raise `UserError` if what this file keeps beside `methods` was tuned otherwise."""
        kept = sorted(self.methods.keys() - set(methods))
        differing = [name for name, value in self.conditions.items() if value != conditions[name]]
        if kept and differing:
            name = differing[0]
            values = (of[name] for of in (self.conditions, conditions))
            own, other = ("none" if value is None else str(value)[:60] for value in values)
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

    def departure(self, protocol: str, stop: str, schedule: Mapping[str, Any] | None = None) -> str:
        """' under protocol paper', where a run uses the rates under another; else ''."""
        departures = [f"protocol {self.protocol}"] if self.protocol != protocol else []
        if self.stop not in (None, stop) and (self.stop, stop) != ("calibrated", "rows"):
            departures.append(f"the {self.stop} stop line")
        if schedule is not None and self.schedule != schedule:
            words = (f"{name.replace('_', ' ')} {v}" for name, v in self.schedule.items())
            departures.append(
                f"the schedule {', '.join(words)}" if self.schedule else "the plain schedule"
            )
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

    A retraining has those of the model that it is a retraining of: a table of both asks what the
    seed of training changes, not what tuning does.  Rates tuned for other weights are left out, and
    the second value is the warning that says so.
    Raises `UserError` for a file that cannot be read.
    """
    path, original = shipped_path(model), _original_of(model)
    if original is not None and original.folder is not None and not (path and path.is_file()):
        path = original.folder / FILE_NAME
    if experiment.learning_rates is not None:
        path = Path(experiment.learning_rates)
    elif path is None or not path.is_file():
        return None, ""
    tuned = read_learning_rates(path)
    if tuned.weights_sha256 == model.source.weights_sha256:
        return tuned, ""
    if original is not None and tuned.model == original.name:
        return tuned, ""
    return None, (
        f"{path.name} was tuned for other weights of '{tuned.model}' and is left out for "
        f"'{model.requested}'; tune again with: unlearnbench tune --model {model.requested}"
    )


def _original_of(model: ModelChoice) -> ModelAlias | None:
    """The model of which this one is a retraining, if it is one."""
    name = model.alias.retraining_of if model.alias else None
    return aliases().get(name) if name else None


def shipped_path(model: ModelChoice) -> Path | None:
    """Where the tuned rates of a world's model are or would be; None for any other model."""
    folder = model.alias.folder if model.alias else None
    return folder / FILE_NAME if folder else None


def candidate_of(
    result: Result, tried: Sequence[str] = (), score: float | None = None
) -> Candidate:
    """What the rule needs to know of one trial; `tried` names the settings beside the rate."""
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
        score=score,
        key=result.key,
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


def choose(
    candidates: Sequence[Candidate], max_epochs: int, higher_is_better: bool | None = None
) -> Tuned:
    """Apply the rule (`RULE`) to what was tried of one method, or take the best `score`.

    Half of the epoch limit, because a rate that needs nearly all of it on one forget set
    would miss the line on the next.  Of equal candidates with one rate the first stands.
    """
    if higher_is_better is not None:
        return _best_score(candidates, higher_is_better)
    reached = [c for c in candidates if c.reached and c.mean_log_perplexity is not None]
    early = [c for c in reached if 2 * c.n_epochs <= max_epochs]
    if reached:
        best = min(early or reached, key=lambda c: (c.mean_log_perplexity, c.learning_rate))
    else:
        best = min(
            candidates, key=lambda c: (c.distance is None, c.distance or 0.0, c.learning_rate)
        )
    return _tuned(best, bool(reached), candidates)


def _best_score(candidates: Sequence[Candidate], higher_is_better: bool) -> Tuned:
    sign = -1.0 if higher_is_better else 1.0
    judged = [(sign * c.score, at) for at, c in enumerate(candidates) if c.score is not None]
    best = candidates[min(judged)[1]] if judged else min(candidates, key=lambda c: c.learning_rate)
    return _tuned(best, bool(judged), candidates)


def _tuned(best: Candidate, reached: bool, candidates: Sequence[Candidate]) -> Tuned:
    return Tuned(
        learning_rate=best.learning_rate,
        settings=best.settings,
        reached=reached,
        candidates=list(candidates),
    )


def rule_of(objective: Objective | None) -> str:
    """The rule in words; without an objective that of the stop line."""
    if objective is None:
        return RULE
    which = "highest" if objective.higher_is_better else "lowest"
    return (
        f"of the configurations that did not fail, the one with the {which} "
        f"{objective.column.label}, the first of equals"
    )


def _rule(rule: str, score: str) -> str:
    return "" if score else rule


def conditions_of(cells: "Sequence[Cell]", score: str = "") -> dict[str, Any]:
    """What the file of these cells' results will say they were tuned under."""
    cell, limits = cells[0], {cell.settings["max_epochs"] for cell in cells}
    schedules = [cell.main.strategy.schedule.identity for cell in cells]
    return {
        "weights_sha256": cell.main.source.weights_sha256,
        "forget_set": cell.data.source.title(cell.run),
        "run": cell.run,
        "protocol": cell.protocol_name,
        "stop": cell.stop,
        "max_epochs": limits.pop() if len(limits) == 1 else None,
        "limit": cell.limit,
        "task_limit": cell.task_limit,
        "schedule": next(filter(None, schedules), {}),
        "score": score,
        "rule": _rule(RULE, score),
    }


@dataclass(frozen=True)
class Tried:
    """What a file says of its trials beside their results."""

    settings: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by method, beside rates
    budgets: Mapping[str, Budget] = field(default_factory=dict)  # by method
    objective: Objective | None = None  # None: the rule of the stop line
    scores: Mapping[str, float | None] = field(default_factory=dict)  # by key of the result
    score: str = ""  # as --score names it


def learning_rates(results: Sequence[Result], tried: Tried | None = None) -> LearningRates:
    """The file's content from every candidate's result; all are of one model and forget set.

    The results are in the order in which they were tried.
    The epoch limit is the one they were tried with; null if methods had limits of their own.
    """
    tried = tried or Tried()
    first = results[0]
    by_method: dict[str, list[Candidate]] = {}
    for result in results:
        name = result.method.name
        own = tuple(tried.settings.get(name, ()))
        made = candidate_of(result, own, tried.scores.get(result.key))
        by_method.setdefault(name, []).append(made)
    limit_of = {result.method.name: result.method.settings["max_epochs"] for result in results}
    limits = {result.method.settings["max_epochs"] for result in results}
    higher = tried.objective.higher_is_better if tried.objective else None
    methods = {name: choose(own, limit_of[name], higher) for name, own in sorted(by_method.items())}
    schedules = [(r.identity.get("training") or {}).get("schedule") for r in results]
    return LearningRates(
        rule=rule_of(tried.objective),
        score=tried.score,
        model=first.model.name,
        weights_sha256=first.model.weights_sha256,
        forget_set=first.forget_set.name,
        run=first.forget_set.run,
        protocol=first.protocol_name,
        stop=first.stop.source,
        max_epochs=limits.pop() if len(limits) == 1 else None,
        limit=first.identity.get("forget_set", {}).get("limit"),
        task_limit=first.identity.get("tasks", {}).get("limit"),
        schedule=next(filter(None, schedules), {}),
        grid=sorted({c.learning_rate for own in by_method.values() for c in own}),
        methods={
            name: one.model_copy(update={"budget": tried.budgets.get(name)})
            for name, one in methods.items()
        },
    )
