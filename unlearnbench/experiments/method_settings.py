"""What methods and tasks are run with: by name, by --set, by a benchmark, by tuning and rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unlearnbench import registry
from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.benchmark_choice import settings_in
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import LearningRates
from unlearnbench.experiments.schedule_choice import choose_schedule
from unlearnbench.experiments.wrapped import setting_place
from unlearnbench.protocol import LARGE, Protocol
from unlearnbench.settings import parse_setting, settings_of
from unlearnbench.unlearning.method import Method, check_unlearn
from unlearnbench.unlearning.noise import Noise

if TYPE_CHECKING:
    from unlearnbench.data.benchmarks.definition import Benchmark


@dataclass(frozen=True)
class Chosen:
    """A method's settings before the seed, and where the ones that are no default came from."""

    values: dict[str, Any]
    origins: dict[str, str]


NO_SETTINGS = Chosen({}, {})
_WITH_SETTINGS = ("methods", "wrappers", "tasks", "attacks")


def parse_set(texts: Sequence[str], owners: Mapping[str, type]) -> dict[str, dict[str, Any]]:
    """The values by owner and name, each checked against the field's type.

    `owners` are the methods and tasks of this experiment, by name.  Raises
    `UserError` naming the nearest owner or field.
    """
    owners = {"protocol": Protocol, **owners}
    overrides: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        owner, dot, name = place.strip().partition(".")
        if not (equals and dot):
            raise UserError(
                f"--set {text!r} is not of the form OWNER.NAME=VALUE: --set icu.alpha=0.1"
            )
        is_known = any(owner in registry.plugins(kind) for kind in _WITH_SETTINGS)
        if owner not in owners and is_known:
            raise UserError(
                f"--set {text}: '{owner}' takes no part in this run; name it in --methods, --tasks "
                "or --attacks"
            )
        if owner == Noise.name and owner not in owners:
            raise UserError(f"--set {text}: '{owner}' is a sham; add --references shams")
        if owner not in owners:
            raise unknown("owner in --set", owner, owners, "unlearnbench run --help")
        if name == "seed" and issubclass(owners[owner], Method):
            raise UserError(f"--set {text} would hide the seed; use: --seeds {value}")
        parsed = parse_setting(owners[owner], owner, name, value.strip())
        overrides.setdefault(owner, {})[name] = parsed
    return overrides


def choose_settings(
    method: Any,
    explicit: Mapping[str, Any],
    experiment: Experiment,
    n_parameters: int,
    protocol: Protocol,
    tuned: LearningRates | None,
    stop: str,
    benchmark: "Benchmark | None" = None,
) -> Chosen:
    """Explicit settings, flags, what was released (if asked), a benchmark's, tuned values, rules.

    Rates that were tuned under another protocol or `stop` line are used, and their origin says so.
    Whatever none of them names is left to the method's own default.
    """
    chosen = Chosen({}, {})

    def choose(name: str, value: Any, origin: str) -> None:
        chosen.values[name], chosen.origins[name] = value, origin

    # The weaker reason first: what is chosen later stands.
    if n_parameters >= LARGE:
        choose("batch_size", 4, "4 rows for models of 10^9 parameters and more")
        # A rate that a method has from its own authors is none of this paper's to lower.
        if protocol.large_model_learning_rate == "2e-6" and not _has_own_rate(method):
            choose("learning_rate", 2e-6, "2e-6 above 10^9 parameters (large_model_learning_rate)")
    if tuned and tuned.max_epochs is not None:
        choose("max_epochs", tuned.max_epochs, "the limit that the learning rates were tuned with")
    of_benchmark = settings_in(benchmark, method) if benchmark is not None else {}
    of_tuning = _tuned_values(method, tuned, experiment, stop) if tuned else ({}, "")
    said = [(of_benchmark, f"benchmark {benchmark.name}" if benchmark else ""), of_tuning]
    # A file that the user names is stronger than a benchmark; one that comes with a model weaker.
    for values, origin in said if experiment.learning_rates else said[::-1]:
        for name, value in values.items():
            choose(name, value, origin)
    if experiment.protocol == "released":
        for name, value in method.released_settings.items():
            choose(name, value, "as released")
        for fault in method.published_faults:
            if fault.setting and fault.corrected is None:
                choose(fault.setting, fault.released, f"as released: {fault.code}")
    if experiment.max_epochs is not None:
        choose("max_epochs", experiment.max_epochs, "--max-epochs")
    if experiment.batch_size is not None:
        choose("batch_size", experiment.batch_size, "--batch-size")
    for name, value in explicit.items():
        choose(name, value, f"--set {setting_place(method, name)}")
    return chosen


def _tuned_values(
    method: Any, tuned: LearningRates, experiment: Experiment, stop: str
) -> tuple[dict[str, Any], str]:
    """What tuning chose for a method, and the origin that says how; nothing where it was not tuned.

    What was tuned for the method alone is taken for one with wrappers that has none of its own.
    """
    rated = tuned.rated(method.name)
    if not rated:
        return {}, ""
    one = tuned.methods[rated]
    schedule = choose_schedule(experiment).identity
    departure = tuned.departure(experiment.protocol, stop, schedule)
    if rated != method.name:
        departure = f" for {rated} alone{departure}"
    missed = (
        "" if one.reached else " (none could be judged)" if tuned.score else " (none reached it)"
    )
    origin = (
        f"tuned{departure} on forget set {tuned.forget_set}{tuned.budget_of(rated)}: "
        f"{tuned.rule}{missed}"
    )
    return {"learning_rate": one.learning_rate, **one.settings}, origin


def _has_own_rate(method: Any) -> bool:
    default = settings_of(Method)["learning_rate"].default
    own = settings_of(method).get("learning_rate")
    return own is not None and own.default != default


def construct(method: Any, values: dict[str, Any]) -> Any:
    """The method with these settings; raises `UserError` where it refuses them."""
    try:
        return method(**values)
    except (ValueError, TypeError) as error:
        raise UserError(f"{method.name}: {error}; see: unlearnbench show {method.name}") from error


def chosen_plugins(kind: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The named plugins, or those that a run takes unnamed (`is_default`); 'all' names every one.

    Raises `UserError` for a name that is unknown, and for a method that cannot be called.
    """
    if names:
        chosen = {name: plugin for one in names for name, plugin in _named(kind, one).items()}
    else:
        chosen = {n: p for n, p in registry.plugins(kind).items() if registry.is_default(p)}
    if kind == "methods":
        for method in chosen.values():
            check_unlearn(method)
    return chosen


def _named(kind: str, name: str) -> dict[str, Any]:
    if name != registry.ALL:
        return {name: registry.find(kind, name)}
    every = registry.plugins(kind).items()
    return {n: plugin for n, plugin in every if not getattr(plugin, "is_sham", False)}
