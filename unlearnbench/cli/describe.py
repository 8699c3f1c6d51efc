"""What `unlearnbench show NAME` prints."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from unlearnbench import registry
from unlearnbench.errors import unknown
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.protocol import Protocol
from unlearnbench.settings import settings_of

if TYPE_CHECKING:
    pass


def first_sentence(plugin: type) -> str:
    """The first line of a class's docstring."""
    return (inspect.getdoc(plugin) or "").split("\n")[0]


def describe(name: str) -> str:
    """The page about a method, model, task or report, the protocol or the result's schema."""
    from unlearnbench.experiments.named import find_experiment, shipped
    from unlearnbench.reporting import sections

    known = aliases()
    fixed: dict[str, Callable[[], str]] = {
        "protocol": _protocol,
        "result": result_schema,
        "experiment": _definition,
    }
    if name in fixed:
        return fixed[name]()
    if name in shipped():
        return find_experiment(name).text.rstrip()
    if name in sections.names():
        return f"{name} (section)\n\n{sections.summary(name)}"
    for kind in registry.KINDS:
        plugins: dict[str, type] = getattr(registry, kind)()
        if name in plugins:
            return _plugin(kind, name, plugins[name])
    if name in known:
        return _model(known[name])
    names = [*fixed, *_all_names(), *known, *shipped(), *sections.names()]
    raise unknown("name", name, names, "unlearnbench list methods")


def _all_names() -> Iterator[str]:
    for kind in registry.KINDS:
        yield from getattr(registry, kind)()


def _plugin(kind: str, name: str, plugin: Any) -> str:
    lines = [f"{name} ({kind.removesuffix('s')})", "", inspect.getdoc(plugin) or ""]
    if getattr(plugin, "source", ""):
        lines += ["", f"Source: {plugin.source}"]
    if kind == "methods" or hasattr(plugin, "__dataclass_fields__"):
        lines += ["", *_settings(name, plugin)]
    if kind == "tasks":
        lines += ["", "Metrics:", *_metrics(plugin)]
    if getattr(plugin, "citation", ""):
        lines += ["", inspect.cleandoc(plugin.citation)]
    return "\n".join(lines)


def _settings(owner_name: str, owner: type) -> list[str]:
    found = settings_of(owner)
    if not found:
        return []
    lines = [f"Settings (--set {owner_name}.NAME=VALUE):"]
    for one in found.values():
        lines.append(f"  {one.name} = {one.text()}  ({one.kind})")
        lines.append(f"      {one.meaning}")
    return lines


def _metrics(task: Any) -> list[str]:
    return [
        f"  {m.name}: {m.label}, {'higher' if m.higher_is_better else 'lower'} is better"
        for m in task.metrics
    ]


def _protocol() -> str:
    released = Protocol.named("released")
    lines = [inspect.getdoc(Protocol) or "", "", "Settings (--set protocol.NAME=VALUE):"]
    for one in settings_of(Protocol).values():
        lines.append(f"  {one.name}  ({one.kind})")
        lines.append(f"      {one.meaning}")
        lines.append(f"      paper: {one.text()}; released: {getattr(released, one.name)}")
    return "\n".join(lines)


def _definition() -> str:
    from unlearnbench.experiments.named import Definition, Published, Variant

    lines = ["An experiment is a TOML file: unlearnbench run --experiment FILE.toml", ""]
    for part, where in (
        (Definition, "the file"),
        (Published, "published"),
        (Variant, "each [[variants]]"),
    ):
        lines += [f"Keys of {where}:"]
        for name, field in part.model_fields.items():
            lines.append(f"  {name}  {field.description or ''}".rstrip())
    lines += ["", "One to copy: unlearnbench show nano-ablation > mine.toml"]
    return "\n".join(lines)


def _model(alias: ModelAlias) -> str:
    lines = [f"{alias.name} (model)", "", alias.description, ""]
    lines.append(f"From: {alias.hub_id or 'comes with unlearnbench'}; licence: {alias.licence}")
    for role, name in alias.references.items():
        lines.append(f"Reference row '{role}': {name}")
    if alias.citation:
        lines += ["", alias.citation]
    return "\n".join(lines)


def result_schema() -> str:
    """Every field of a result file with its meaning, part by part."""
    from unlearnbench.results.record import Result

    lines: list[str] = []
    for part in _parts(Result, []):
        lines += [f"{part.__name__}: {first_sentence(part)}"]
        types = get_type_hints(part)
        for name, field in part.__pydantic_fields__.items():
            meaning = f"  {field.description}" if field.description else ""
            lines.append(f"  {name}: {_type_name(types[name])}{meaning}")
        lines.append("")
    return "\n".join(lines).rstrip()


def _parts(model: Any, seen: list[Any]) -> list[Any]:
    """The record and every record in its fields, each once, the outer one first."""
    if model not in seen:
        seen.append(model)
        for field in model.__pydantic_fields__.values():
            for inner in _records_in(field.annotation):
                _parts(inner, seen)
    return seen


def _records_in(annotation: Any) -> Iterator[Any]:
    if hasattr(annotation, "__pydantic_fields__"):
        yield annotation
    for argument in get_args(annotation):
        yield from _records_in(argument)


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    text = str(annotation).replace("typing.", "")
    return re.sub(r"unlearnbench(\.\w+)*\.(?=[A-Z])", "", text)
