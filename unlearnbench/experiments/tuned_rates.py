"""Finds the tuned learning rates that belong to a model."""

from pathlib import Path

from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import LearningRates, read_learning_rates
from unlearnbench.experiments.model_choice import ModelChoice

FILE_NAME = "learning_rates.json"


def tuned_rates_for(
    experiment: Experiment, model: ModelChoice, stop: str, warnings: list[str]
) -> LearningRates | None:
    """The rates of --learning-rates, else those beside a nano model's weights; None if neither.

    Rates tuned for other weights are left out with a warning; those tuned under
    another protocol or `stop` line are used and say so.  Raises `UserError` for a
    file that cannot be read.
    """
    path = _path(experiment, model)
    if path is None:
        return None
    tuned = read_learning_rates(path)
    if tuned.weights_sha256 == model.source.weights_sha256:
        return tuned.used_under(experiment.protocol, stop)
    warning = (
        f"{path.name} was tuned for other weights of '{tuned.model}' and is left out for "
        f"'{model.asked}'; tune again with: unlearnbench tune --model {model.asked}"
    )
    if warning not in warnings:
        warnings.append(warning)
    return None


def shipped_path(model: ModelChoice) -> Path | None:
    """Where a nano model's tuned rates are or would be; None for any other model."""
    folder = model.alias.folder if model.alias else None
    return folder / FILE_NAME if folder else None


def _path(experiment: Experiment, model: ModelChoice) -> Path | None:
    if experiment.learning_rates is not None:
        return Path(experiment.learning_rates)
    shipped = shipped_path(model)
    return shipped if shipped is not None and shipped.is_file() else None
