"""Plugins: methods, wrappers, tasks, attacks, reports, found by entry points or given as files."""

import hashlib
import importlib
import importlib.util
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from unlearnbench.errors import UserError, unknown

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

KINDS = ("methods", "wrappers", "tasks", "attacks", "reports")
WITH = "+"  # between a method's name and those of its wrappers
_FILE_MODULE = "unlearnbench_plugin_"
ALL = "all"  # in place of names: every registered plugin of the kind
# --set protocol.NAME means the protocol's setting, and --methods all every method.
_NAME = re.compile(rf"(?!(?:protocol|{ALL})$)\w[\w-]*")

T = TypeVar("T", bound=type[Any])
_plugins: dict[str, dict[str, type]] = {kind: {} for kind in KINDS}
_discovered: set[str] = set()


def register(plugin: T) -> T:
    """Class decorator: make a method, wrapper, task, attack or report known under its `name`.

    Raises `UserError` if another class has that name, naming both modules.
    """
    kind, name = _kind_of(plugin), getattr(plugin, "name", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"{_where(plugin)} has no name that an option can take (it is {name!r:.40}); give it "
            "one of letters, digits, - and _: name = 'my_method'"
        )
    if kind in ("methods", "wrappers", "attacks") and not isinstance(
        getattr(plugin, "label", None), str
    ):
        raise UserError(f"{_where(plugin)} has no label, its name in tables: label = 'Mine'")
    other = _plugins[kind].get(name)
    if other is not None and _where(other) != _where(plugin):
        raise UserError(
            f"two {kind} are called '{name}': {_where(other)} and {_where(plugin)}; rename one"
        )
    _plugins[kind][name] = plugin
    return plugin


def plugins(kind: str) -> dict[str, type]:
    """Every registered class of a kind by name."""
    if kind not in _discovered:
        _discovered.add(kind)
        _discover(kind)
    return dict(sorted(_plugins[kind].items()))


methods, wrappers, tasks, attacks, reports = (partial(plugins, kind) for kind in KINDS)


def find(kind: str, name: str) -> type:
    """The plugin of that kind and name; raises `UserError` with the nearest name otherwise.

    A method's name may have wrappers behind it, which go round it in that order: 'kumpr+sam'.
    """
    if kind == "methods" and WITH in str(name):
        inner, _, wrapper = name.rpartition(WITH)
        wrapped: type = find("wrappers", wrapper).of(find("methods", inner))  # type: ignore[attr-defined]
        return wrapped
    available = plugins(kind)
    if name not in available:
        raise unknown(kind.removesuffix("s"), name, available, f"unlearnbench list {kind}")
    return available[name]


class PluginPackage(ModuleType, Mapping[str, Any]):
    """The class of the packages `methods`, `tasks` and so on: each maps names to plugins.

    `unlearnbench.methods["icu"]` is the class that is registered under that name, wherever it
    comes from.
    """

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, name: str) -> type:
        """The plugin of that name; raises `UserError` with the nearest name otherwise."""
        return find(self._kind, name)

    def __contains__(self, name: object) -> bool:
        return name in plugins(self._kind)

    def __iter__(self) -> Iterator[str]:
        return iter(plugins(self._kind))

    def __len__(self) -> int:
        return len(plugins(self._kind))

    def get(self, name: str, default: Any = None) -> Any:
        """The plugin of that name, or the default where there is none."""
        return plugins(self._kind).get(name, default)

    @property
    def _kind(self) -> str:
        return self.__name__.rpartition(".")[2]


def load_plugin_file(path: Path) -> ModuleType:
    """Import a plugin from a file; its `@register` decorators do the rest."""
    if not path.is_file():
        raise UserError(
            f"no plugin file at {path}; give the path of a .py file: --plugin my_method.py"
        )
    for kind in KINDS:  # first, so that a name taken twice is laid at the file's door
        plugins(kind)
    # Two files of one name in two folders are two modules.
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    module_name = f"{_FILE_MODULE}{path.stem}_{place}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file; --plugin takes a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"plugin {path} failed to import: {type(error).__name__}: {error}"
        ) from error
    return module


def _discover(kind: str) -> None:
    from importlib.metadata import entry_points  # takes longer than all of `--help` may

    builtin = f"unlearnbench.{kind}"
    points = list(entry_points(group=builtin))
    # A bare checkout has no entry points of its own.
    if not any(p.value == builtin for p in points):
        _import_tree(builtin)
    for point in points:
        _load(point)


def _load(point: "EntryPoint") -> None:
    """Import what an entry point names; a broken one of somebody else's costs a warning only."""
    try:
        _import_tree(point.module)
    except Exception as error:
        if point.module.startswith("unlearnbench."):
            raise
        owner = point.dist.name if point.dist else "an unnamed distribution"
        warnings.warn(
            f"plugin '{point.name}' of {owner} is left out: {type(error).__name__}: {error}",
            stacklevel=2,
        )


def _import_tree(module_name: str) -> None:
    """Import a module, and if it is a package its modules: one file there is one plugin."""
    module = importlib.import_module(module_name)
    for submodule in pkgutil.iter_modules(getattr(module, "__path__", [])):
        if not submodule.name.startswith("_"):
            importlib.import_module(f"{module_name}.{submodule.name}")


def _kind_of(plugin: type) -> str:
    kind = getattr(plugin, "plugin_kind", None)  # each contract declares its own
    if kind in KINDS:
        return kind
    raise UserError(
        f"{_where(plugin)} is none of Method, Wrapper, Task, Attack, Report; inherit from one"
    )


def is_default(plugin: type) -> bool:
    """Whether a run takes the plugin unnamed: one of a --plugin file, or a built-in one.

    Of the built-in methods those that say `runs_by_default`, of tasks and attacks all that do not
    deny it; reports all.
    """
    is_built_in = plugin.__module__.startswith("unlearnbench.")
    by_default: bool = getattr(plugin, "runs_by_default", True)
    return plugin.__module__.startswith(_FILE_MODULE) or (is_built_in and by_default)


def _where(plugin: type) -> str:
    file = getattr(sys.modules.get(plugin.__module__), "__file__", None)
    if plugin.__module__.startswith(_FILE_MODULE) and file:
        return f"{plugin.__qualname__} in {file}"
    return f"{plugin.__module__}.{plugin.__qualname__}"
