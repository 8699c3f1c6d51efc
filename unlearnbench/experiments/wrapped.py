"""Methods with wrappers round them in an experiment: their settings, their parts, their checks."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from unlearnbench.experiments.data_choice import without_weights
from unlearnbench.experiments.model_choice import ModelChoice
from unlearnbench.models.devices import deepspeed
from unlearnbench.models.quantised import check_trained_by
from unlearnbench.registry import WITH, find
from unlearnbench.unlearning.wrapper import made_wrappers, prefix_of


def setting_place(method: Any, name: str) -> str:
    """What a setting of a wrapped method is called on the command line: 'sam.rho'."""
    for kind in getattr(method, "wrapper_kinds", ()):
        of_kind = {prefix_of(kind) + f.name: f.name for f in fields(kind)}
        if name in of_kind:
            return f"{kind.name}.{of_kind[name]}"
    return f"{method.name.partition(WITH)[0]}.{name}"


def explicit_settings(method: Any, overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What --set says of a method: of itself, of each wrapper of it, of both as one name."""
    settings = dict(overrides.get(method.name.partition(WITH)[0], {}))
    for wrapper in getattr(method, "wrapper_kinds", ()):
        of_wrapper = overrides.get(wrapper.name, {})
        settings |= {prefix_of(wrapper) + name: value for name, value in of_wrapper.items()}
    return settings | dict(overrides.get(method.name, {}))


def adapted(methods: dict[str, Any], adapter: str | None) -> dict[str, Any]:
    """The methods by name, each that follows a gradient with the wrapper round it.

    Raises `UserError` for an unknown wrapper.
    """
    if adapter is None:
        return methods
    wrapper: Any = find("wrappers", adapter)
    made: list[Any] = [
        find("methods", f"{name}{WITH}{adapter}")
        if wrapper not in getattr(method, "wrapper_kinds", (wrapper,))
        else method
        for name, method in methods.items()
    ]
    return {method.name: method for method in made}


def parts_of(methods: Mapping[str, Any]) -> dict[str, Any]:
    """The methods and wrappers, by name, that methods with wrappers are made of."""
    return {part.name: part for m in methods.values() for part in getattr(m, "made_of", ())}


def check_wrappers(method: Any, model: ModelChoice) -> None:
    """Raise `UserError` for a model or strategy that a method's wrappers cannot go round.

    Also for a quantised model that a method would train without adapters.
    """
    check_trained_by(method, model.quantise_base)
    wrappers = made_wrappers(method) if getattr(method, "wrapper_kinds", ()) else []
    for wrapper in wrappers:
        wrapper.check(method, lambda: without_weights(model).network)
    if any(wrapper.changes_gradients for wrapper in wrappers):
        deepspeed.check_wrappers(model.strategy.deepspeed)
