"""What every check does: the error, a plugin's description, the process as it was, a nano world."""

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any

from unlearnbench.settings import settings_of

if TYPE_CHECKING:
    from unlearnbench.api import LoadedForgetSet
    from unlearnbench.models.language_model import LanguageModel

MODEL, FORGET_SET = "nano-neo", "nano"
N_ROWS = 2


class ContractError(AssertionError):
    """A plugin breaks its contract; the message says how, and what to do instead."""


def world(n_rows: int = N_ROWS) -> "tuple[LanguageModel, LoadedForgetSet]":
    """A nano model that knows its rows by heart, and the first of them."""
    from unlearnbench.api import load_forget_set, load_model

    model = load_model(MODEL)
    return model, load_forget_set(FORGET_SET, model, limit=n_rows)


def check_described(plugin: type) -> None:
    """What `unlearnbench list` and `show` print of it."""
    if not isinstance(plugin, type):
        raise ContractError(f"{plugin!r:.60} is no class; give the class: check_method(MyMethod)")
    where = plugin.__qualname__
    plugin_kind, name = (getattr(plugin, attribute, None) for attribute in ("plugin_kind", "name"))
    if plugin_kind is None:
        raise ContractError(f"{where} is no plugin; inherit Method, Wrapper, Task, Attack, Report")
    if not isinstance(name, str) or not name:
        raise ContractError(f"{where} has no `name`, by which the command line knows it")
    if plugin_kind in ("methods", "wrappers", "attacks") and not getattr(plugin, "label", ""):
        raise ContractError(f"{where} has no `label`, by which tables know it")
    if not (plugin.__doc__ or "").strip() or (plugin.__doc__ or "").startswith(f"{where}("):
        raise ContractError(f"{where} has no docstring; its first sentence is what `list` prints")
    if not is_dataclass(plugin):
        raise ContractError(f"{where} is no dataclass; decorate it with @dataclass(kw_only=True)")
    for name, setting in settings_of(plugin).items():
        if not setting.meaning and plugin_kind != "reports":  # no option sets a report's
            raise ContractError(
                f"{where}.{name} has no meaning; write {name}: ... = setting(default, 'meaning')"
            )


@contextmanager
def process_untouched(plugin: str) -> Iterator[None]:
    """Raise `ContractError` if what runs inside changed the process it runs in."""
    before = _process_state()
    yield
    after = _process_state()
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        raise ContractError(
            f"{plugin} changed {changed[0]}; leave the process as it was, and draw from a "
            "generator of your own (a method: batch.random)"
        )


def _process_state() -> dict[str, Any]:
    import numpy
    import torch

    state = numpy.random.get_state(legacy=False)
    return {
        "Python's random generator": random.getstate(),
        "NumPy's random generator": str(state),
        "torch's random generator": torch.random.get_rng_state().tolist(),
        "torch's default dtype": torch.get_default_dtype(),
        "whether torch records gradients": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "the working folder": os.getcwd(),  # noqa: PTH109 (a string to compare)
        "the environment variables": dict(os.environ),
        "the import path": list(sys.path),
        "the standard streams": (id(sys.stdout), id(sys.stderr)),
    }
