"""Options of Python, checked as the command line checks its flags."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from unlearnbench.experiments.experiment import Experiment
from unlearnbench.protocol import PAPER, Protocol
from unlearnbench.settings import plain


def experiment_of(**options: Any) -> Experiment:
    """The experiment of these options, each checked; None stands for the default."""
    return Experiment.parse(without_none(options), spelling="{}")


def without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: plain(value)
        for name, value in options.items()
        if value is not None and (not isinstance(value, tuple) or value)
    }


def protocol_settings(protocol: str | Protocol) -> dict[str, Any]:
    """What makes the paper's protocol this one; raises `UserError` for an unknown name."""
    if not isinstance(protocol, Protocol):
        protocol = Protocol.named(experiment_of(protocol=protocol).protocol)
    values = {field.name: getattr(protocol, field.name) for field in fields(Protocol)}
    return {f"protocol.{n}": v for n, v in values.items() if v != getattr(PAPER, n)}


def warn(messages: Sequence[str]) -> None:
    for message in messages:
        warnings.warn(message, stacklevel=3)
