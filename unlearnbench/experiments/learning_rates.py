"""Which learning rate and batch size a cell uses, and the sentence that says why."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import ModelChoice
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.protocol import LARGE, Protocol

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

    @model_validator(mode="after")
    def _is_a_candidate(self) -> "Tuned":
        if self.learning_rate not in [one.learning_rate for one in self.candidates]:
            raise ValueError(f"{self.learning_rate} is none of the candidates")
        return self


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
    #: How the run that reads the file departs from the tuning; not part of the file.
    _departure: str = PrivateAttr(default="")

    @property
    def departure(self) -> str:
        """' under protocol paper', where the run that uses the rates is under another; else ''."""
        return self._departure

    def used_under(self, protocol: str, stop: str) -> "LearningRates":
        """A copy that says how it was tuned where that is not how it is used."""
        used = self.model_copy()
        told = [f"protocol {self.protocol}"] if self.protocol != protocol else []
        if self.stop not in (None, stop):
            told.append(f"the {self.stop} stop line")
        used._departure = f" under {' and '.join(told)}" if told else ""
        return used


@dataclass(frozen=True)
class Chosen:
    """A method's settings before the seed, and where the ones that are no default came from."""

    values: dict[str, Any]
    origins: dict[str, str]


def read_learning_rates(path: Path) -> LearningRates:
    """The tuned rates in a file; raises `UserError` if it holds none."""
    try:
        return LearningRates.model_validate(parsed(read_regular(path)), strict=True)
    except OSError as error:
        raise UserError(
            f"cannot read learning rates {path}: {error.strerror}; give the file that "
            "`unlearnbench tune` wrote"
        ) from error
    except ValidationError as error:
        raise _none(path, first_error(error)) from error
    except ValueError as error:
        raise _none(path, " ".join(str(error).split())) from error


def _none(path: Path, why: str) -> UserError:
    return UserError(f"{path} holds no learning rates ({why}); write one with: unlearnbench tune")


def choose_settings(
    method: Any,
    explicit: dict[str, Any],
    n_parameters: int,
    protocol: Protocol,
    tuned: LearningRates | None,
) -> Chosen:
    """Explicit settings, then the tuned rate, then the rules for large models, then defaults."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value, origin in _rules(method, n_parameters, protocol, tuned):
        values[name], origins[name] = value, origin
    for name, value in explicit.items():
        values[name], origins[name] = value, f"--set {method.name}.{name}"
    return Chosen(values, origins)


def _rules(
    method: Any, n_parameters: int, protocol: Protocol, tuned: LearningRates | None
) -> list[tuple[str, Any, str]]:
    """Setting, value and reason, the weaker rule first."""
    found: list[tuple[str, Any, str]] = []
    if n_parameters >= LARGE:
        found.append(("batch_size", 4, "4 rows for models of 10^9 parameters and more"))
        if protocol.large_model_learning_rate == "2e-6":
            found.append(
                ("learning_rate", 2e-6, "2e-6 above 10^9 parameters (large_model_learning_rate)")
            )
    if tuned and tuned.max_epochs is not None:
        found.append(
            ("max_epochs", tuned.max_epochs, "the limit that the learning rates were tuned with")
        )
    if tuned and method.name in tuned.methods:
        one = tuned.methods[method.name]
        missed = "" if one.reached else " (none reached it)"
        origin = f"tuned{tuned.departure} on forget set {tuned.forget_set}: {tuned.rule}{missed}"
        found.append(("learning_rate", one.learning_rate, origin))
    return found


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
