"""unlearnbench compares methods that make a language model forget.

    import unlearnbench as ub

    model = ub.load_model("nano-neo")
    forget_set = ub.load_forget_set("nano", model, limit=8)
    ub.unlearn(model, forget_set, "icu", alpha=0.1)
    ub.evaluate(model, tasks=["forgetting"], forget_set=forget_set)

Importing the package loads nothing else: every name is fetched when it is first used.
`docs/python.md` shows all of them.
"""

from importlib import import_module as _import_module
from pathlib import Path as _Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from unlearnbench.api import (
        attack,
        evaluate,
        forget,
        load_forget_set,
        load_model,
        make_examiner,
        meta,
        run,
        unlearn,
    )
    from unlearnbench.attacking.attack import Attack, Point, Target
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.errors import UserError
    from unlearnbench.metrics.task import Task, TaskContext
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.reading import Results, load_results
    from unlearnbench.registry import register
    from unlearnbench.reporting.report import Report
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.results.score import Metric, Score
    from unlearnbench.settings import setting
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
    from unlearnbench.unlearning.gradient_method import GradientMethod
    from unlearnbench.unlearning.method import Method
    from unlearnbench.unlearning.wrapper import Wrapper

    methods: Mapping[str, type[Method]]
    wrappers: Mapping[str, type[Wrapper]]
    tasks: Mapping[str, type[Task]]
    attacks: Mapping[str, type[Attack]]
    reports: Mapping[str, type[Report]]

__version__ = "0.1.0"

__all__ = [
    "Attack",
    "Examiner",
    "ForgetAndRetain",
    "ForgetSet",
    "GradientMethod",
    "LanguageModel",
    "Method",
    "Metric",
    "Point",
    "Protocol",
    "Report",
    "Results",
    "Score",
    "Target",
    "Task",
    "TaskContext",
    "UnlearnBatch",
    "UnlearnTrace",
    "UserError",
    "Wrapper",
    "__version__",
    "attack",
    "attacks",
    "evaluate",
    "forget",
    "load_forget_set",
    "load_model",
    "load_results",
    "make_examiner",
    "meta",
    "methods",
    "register",
    "reports",
    "run",
    "setting",
    "tasks",
    "unlearn",
    "wrappers",
]

_NAMES_BY_MODULE = {
    "api": "attack evaluate forget load_forget_set load_model make_examiner meta run unlearn",
    "attacking.attack": "Attack Point Target",
    "data.forget_set": "ForgetSet",
    "errors": "UserError",
    "metrics.task": "Task TaskContext",
    "models.language_model": "LanguageModel",
    "protocol": "Protocol",
    "reading": "Results load_results",
    "registry": "register",
    "reporting.report": "Report",
    "results.score": "Metric Score",
    "results.record": "UnlearnTrace",
    "settings": "setting",
    "unlearning.batch": "UnlearnBatch",
    "unlearning.examiner": "Examiner",
    "unlearning.forget_and_retain": "ForgetAndRetain",
    "unlearning.gradient_method": "GradientMethod",
    "unlearning.method": "Method",
    "unlearning.wrapper": "Wrapper",
}
_MODULES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}
_PLUGIN_PACKAGES = ("methods", "wrappers", "tasks", "attacks", "reports")

# A wheel holds the plugin packages inside this package; a checkout has them beside it.
_here = _Path(__file__).resolve().parent
if not (_here / "methods").is_dir():
    __path__.append(str(_here.parent))


def __getattr__(name: str) -> object:
    """The public name, imported when it is first asked for."""
    if name in _PLUGIN_PACKAGES:  # each is a mapping of its plugins by name
        return _import_module(f"{__name__}.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(_import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names; an editor completes them before any is imported."""
    return list(__all__)
