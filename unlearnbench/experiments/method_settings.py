"""The settings of methods, tasks and the protocol: what --set says, what tuning and rules say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import LearningRates
from unlearnbench.protocol import LARGE, Protocol
from unlearnbench.registry import methods, tasks
from unlearnbench.settings import parse_setting

Overrides = dict[str, dict[str, Any]]


def parse_set(texts: Sequence[str], owners: Mapping[str, type]) -> Overrides:
    """The values by owner and name, each checked against the field's type.

    `owners` are the methods and tasks of this experiment, by name.  Raises
    `UserError` naming the nearest owner or field.
    """
    owners = {"protocol": Protocol, **owners}
    overrides: Overrides = {}
    for text in texts:
        place, equals, value = text.partition("=")
        owner, dot, name = place.strip().partition(".")
        if not (equals and dot):
            raise UserError(
                f"--set {text!r} is not of the form OWNER.NAME=VALUE: --set icu.alpha=0.1"
            )
        if owner not in owners and (owner in methods() or owner in tasks()):
            raise UserError(
                f"--set {text}: '{owner}' takes no part in this run; name it in --methods/--tasks"
            )
        if owner not in owners:
            raise unknown("owner in --set", owner, owners, "unlearnbench run --help")
        if name == "seed" and owner != "protocol":
            raise UserError(f"--set {text} would hide the seed; use: --seeds {value}")
        parsed = parse_setting(owners[owner], owner, name, value.strip())
        overrides.setdefault(owner, {})[name] = parsed
    return overrides


def protocol_of(name: Any, overrides: Overrides) -> Protocol:
    """The named protocol with its single settings."""
    return replace(Protocol.named(name), **overrides.get("protocol", {}))


@dataclass(frozen=True)
class Chosen:
    """A method's settings before the seed, and where the ones that are no default came from."""

    values: dict[str, Any]
    origins: dict[str, str]


def choose_settings(
    method: Any,
    explicit: Mapping[str, Any],
    experiment: Experiment,
    n_parameters: int,
    protocol: Protocol,
    tuned: LearningRates | None,
    stop: str,
) -> Chosen:
    """Explicit settings, then flags for every method, tuned values, rules for large models.

    Rates that were tuned under another protocol or `stop` line are used, and their origin says so.
    Whatever none of them names is left to the method's own default.
    """
    chosen = Chosen({}, {})

    def choose(name: str, value: Any, origin: str) -> None:
        chosen.values[name], chosen.origins[name] = value, origin

    # The weaker reason first: what is chosen later stands.
    if n_parameters >= LARGE:
        choose("batch_size", 4, "4 rows for models of 10^9 parameters and more")
        if protocol.large_model_learning_rate == "2e-6":
            choose("learning_rate", 2e-6, "2e-6 above 10^9 parameters (large_model_learning_rate)")
    if tuned and tuned.max_epochs is not None:
        choose("max_epochs", tuned.max_epochs, "the limit that the learning rates were tuned with")
    if tuned and method.name in tuned.methods:
        one, departure = tuned.methods[method.name], tuned.departure(experiment.protocol, stop)
        missed = "" if one.reached else " (none reached it)"
        origin = f"tuned{departure} on forget set {tuned.forget_set}: {tuned.rule}{missed}"
        choose("learning_rate", one.learning_rate, origin)
    if experiment.max_epochs is not None:
        choose("max_epochs", experiment.max_epochs, "--max-epochs")
    if experiment.batch_size is not None:
        choose("batch_size", experiment.batch_size, "--batch-size")
    for name, value in explicit.items():
        choose(name, value, f"--set {method.name}.{name}")
    return chosen


def construct(method: Any, values: dict[str, Any]) -> Any:
    """The method with these settings; raises `UserError` where it refuses them."""
    try:
        return method(**values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{method.name}: {error}; see: unlearnbench show {method.name}") from error
