"""What an experiment's options mean for its grid, where they leave something open."""

import os
from pathlib import Path
from typing import Any, Literal

from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.data_choice import DataChoice
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import ModelChoice
from unlearnbench.models.aliases import aliases
from unlearnbench.results.record import Role

REFERENCES: tuple[Role, ...] = ("before", "dedup", "retrained")


def check_revision(experiment: Experiment) -> None:
    """A revision names a state of one repository; raises `UserError` where there are more."""
    known = aliases()
    on_hub = [
        name
        for name in experiment.model
        if not Path(name).expanduser().is_dir() and (name not in known or known[name].hub_id)
    ]
    if experiment.revision is not None and len(on_hub) > 1:
        raise UserError(
            f"--revision {experiment.revision} is a revision of one model, not of "
            f"{len(on_hub)} ({', '.join(on_hub)}); run them one at a time: --model {on_hub[0]}"
        )


def reference_roles(asked: tuple[str, ...]) -> tuple[Role, ...]:
    """The reference rows that were asked for; raises `UserError` for one that does not exist."""
    if asked == ("auto",):
        return REFERENCES
    if asked in (("none",), ()):
        return ()
    for name in asked:
        if name not in REFERENCES:
            known = ("auto", "none", *REFERENCES)
            raise unknown("reference", name, known, "unlearnbench run --help")
    return tuple(role for role in REFERENCES if role in asked)


def construct(method: Any, values: dict[str, Any]) -> Any:
    """The method with these settings; raises `UserError` where it refuses them."""
    try:
        return method(**values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{method.name}: {error}; see: unlearnbench show {method.name}") from error


def el_epochs_of(experiment: Experiment, data: DataChoice) -> Literal["all", "deciding"]:
    """After which epochs EL is measured; in the nano world only where it can decide."""
    if experiment.el_epochs == "auto":
        return "deciding" if data.is_nano else "all"
    return experiment.el_epochs


def threads_of(experiment: Experiment, model: ModelChoice, data: DataChoice) -> int:
    """Torch's threads in each cell: one in the nano world, whose cells run side by side."""
    if experiment.threads > 0:
        return experiment.threads
    return 1 if model.is_nano or data.is_nano else cores()


def cores() -> int:
    """The processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
