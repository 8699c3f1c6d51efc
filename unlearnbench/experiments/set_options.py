"""`--set OWNER.NAME=VALUE`: settings of methods, tasks and the protocol."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from unlearnbench.errors import UserError, unknown
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods, tasks
from unlearnbench.settings import parse_setting

Overrides = dict[str, dict[str, Any]]


def parse_set(texts: Sequence[str], owners: Mapping[str, type]) -> Overrides:
    """The values by owner and name, each checked against the field's type.

    `owners` are the methods and tasks of this experiment, by name.  Raises
    `UserError` naming the nearest owner or field.
    """
    known: dict[str, type] = {"protocol": Protocol, **owners}
    found: Overrides = {}
    for text in texts:
        place, equals, value = text.partition("=")
        owner, dot, name = place.strip().partition(".")
        if not (equals and dot):
            raise UserError(
                f"--set {text!r} is not of the form OWNER.NAME=VALUE: --set icu.alpha=0.1"
            )
        if owner not in known and (owner in methods() or owner in tasks()):
            raise UserError(
                f"--set {text}: '{owner}' takes no part in this run; name it in --methods/--tasks"
            )
        if owner not in known:
            raise unknown("owner in --set", owner, known, "unlearnbench run --help")
        if name == "seed" and owner != "protocol":
            raise UserError(f"--set {text} would hide the seed; use: --seeds {value}")
        found.setdefault(owner, {})[name] = parse_setting(known[owner], owner, name, value.strip())
    return found


def protocol_of(name: Any, overrides: Overrides) -> Protocol:
    """The named protocol with its single settings."""
    return replace(Protocol.named(name), **overrides.get("protocol", {}))
