"""The schedule that an experiment asks for, and whether it can be had; checked before any run."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError, unknown
from unlearnbench.models.devices.schedule import Schedule
from unlearnbench.settings import settings_of
from unlearnbench.unlearning.gradient_method import GradientMethod

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment

FIELDS = tuple(Schedule.__dataclass_fields__)
# Options that have a meaning together with another one only: what it must be.
_ONLY_WITH = {
    "weight_decay": ("optimizer", "adamw"),
    "max_steps": ("until", "steps"),
    "utility_budget": ("until", "budget"),
    "budget_text": ("until", "budget"),
    "budget_every": ("until", "budget"),
}
_NEEDS = {"steps": ("max_steps", "100"), "budget": ("utility_budget", "1.02")}


def choose_schedule(experiment: "Experiment") -> Schedule:
    """The schedule of an experiment; raises `UserError` for options that do not go together."""
    chosen = Schedule(**{name: getattr(experiment, name) for name in FIELDS})
    for name, (other, value) in _ONLY_WITH.items():
        if name in chosen.identity and getattr(chosen, other) != value:
            raise UserError(
                f"{_flag(name)} {getattr(chosen, name)} has a meaning with {_flag(other)} {value} "
                f"only; add it, or leave {_flag(name)} out"
            )
    if chosen.until in _NEEDS:
        name, example = _NEEDS[chosen.until]
        if getattr(chosen, name) is None:
            raise UserError(f"--until {chosen.until} needs {_flag(name)}, e.g. {example}")
    if chosen.warmup_steps and chosen.warmup_epochs:
        raise UserError("the warm-up is in steps or in epochs: --warmup-steps or --warmup-epochs")
    return chosen


def with_budget_text(schedule: Schedule, texts: Iterable[str]) -> Schedule:
    """The schedule with the name of its budget's text: by default the first of the run's texts.

    One without a budget is given back.  Raises `UserError` for a text that is not there.
    """
    if schedule.until != "budget":
        return schedule
    names = tuple(texts)
    if not names:
        raise UserError(
            "--until budget looks at a validation text, and there is none: --text wikitext=FILE"
        )
    if schedule.budget_text is not None and schedule.budget_text not in names:
        raise unknown("--budget-text", schedule.budget_text, names, "unlearnbench run --help")
    return replace(schedule, budget_text=schedule.budget_text or names[0])


def schedule_for(method: Any, schedule: Schedule, warnings: list[str]) -> Schedule:
    """What of the schedule a method heeds: nothing if it follows no gradient.

    What is left out is added to the warnings.
    """
    ignored = schedule.identity
    if not ignored or issubclass(method, GradientMethod):
        return schedule
    flags = ", ".join(map(_flag, ignored))
    warnings.append(f"method '{method.name}' follows no gradient: {flags} is left out for it")
    return Schedule()


def check_warmup(schedule: Schedule, method: str, settings: Mapping[str, Any], n_rows: int) -> None:
    """Raise `UserError` for a warm-up that is longer than the run of a method with its settings."""
    length = schedule.length(n_rows, int(settings["batch_size"]), int(settings["max_epochs"]))
    if length.n_warmup > length.n_steps:
        flag = _flag("warmup_steps" if schedule.warmup_steps else "warmup_epochs")
        raise UserError(
            f"{flag}: a warm-up of {length.n_warmup} steps is longer than the {length.n_steps} "
            f"steps that {method} has over {n_rows} rows; make it shorter, or the run longer: "
            "--max-epochs"
        )


def _flag(name: str) -> str:
    from unlearnbench.experiments.experiment import Experiment

    return f"--{settings_of(Experiment)[name].flag}"
