"""`unlearnbench list` and `show`: what there is, from the code's own declarations."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from unlearnbench import registry
from unlearnbench.errors import unknown
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.protocol import Protocol
from unlearnbench.settings import settings_of

KINDS = ("methods", "models", "tasks", "reports", "sections", "experiments")
PLUGIN_HELP = "a .py file with methods, tasks or reports"


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="for programs")
@click.option("--plugin", multiple=True, metavar="FILE", help=PLUGIN_HELP)
def list_command(kind: str | None, as_json: bool, plugin: tuple[str, ...]) -> None:
    """Print the names of what there is, of one kind or of every, with one sentence each."""
    for file in plugin:
        registry.load_plugin_file(Path(file))
    if as_json:
        kinds = {one: _as_records(sentences(one)) for one in KINDS if kind in (one, None)}
        click.echo(json.dumps(kinds if kind is None else kinds[kind], indent=1))
    elif kind is not None:
        _print(sentences(kind))
    else:
        for at, one in enumerate(KINDS):
            click.echo(f"{chr(10) * (at > 0)}{one}:")
            _print(sentences(one), margin="  ")


def _as_records(summaries: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "summary": sentence} for name, sentence in summaries.items()]


def _print(summaries: dict[str, str], margin: str = "") -> None:
    width = max(map(len, summaries), default=0)
    for name, sentence in summaries.items():
        click.echo(f"{margin}{name:<{width}}  {sentence}")


@click.command()
@click.argument("name")
@click.option("--plugin", multiple=True, metavar="FILE", help=PLUGIN_HELP)
def show(name: str, plugin: tuple[str, ...]) -> None:
    """Describe anything that `list` names, or 'protocol', 'result' or 'experiment'."""
    for file in plugin:
        registry.load_plugin_file(Path(file))
    click.echo(describe(name))


def sentences(kind: str) -> dict[str, str]:
    """The first sentence about each thing of a kind, by name."""
    from unlearnbench.experiments.named import find_experiment, shipped
    from unlearnbench.reporting import sections

    if kind == "models":
        return {name: str(alias) for name, alias in aliases().items()}
    if kind == "experiments":
        return {name: f"{find_experiment(name).definition.summary}." for name in shipped()}
    own = {name: sections.summary(name) for name in sections.names()} if kind == "sections" else {}
    plugins = sections.figures() if kind == "sections" else registry.plugins(kind)
    return own | {name: first_sentence(plugin) for name, plugin in plugins.items()}


def first_sentence(plugin: type) -> str:
    """The first line of a class's docstring."""
    return (inspect.getdoc(plugin) or "").split("\n")[0]


def describe(name: str) -> str:
    """The page about a method, model, task or report, the protocol or the result's schema."""
    from unlearnbench.experiments.named import find_experiment, shipped
    from unlearnbench.reporting import sections

    models = aliases()
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
    plugins = {kind: registry.plugins(kind) for kind in registry.KINDS}
    for kind, of_kind in plugins.items():
        if name in of_kind:
            return _plugin(kind, name, of_kind[name])
    if name in models:
        return _model(models[name])
    registered = [one for of_kind in plugins.values() for one in of_kind]
    names = [*fixed, *registered, *models, *shipped(), *sections.names()]
    raise unknown("name", name, names, "unlearnbench list methods")


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
    settings = settings_of(owner)
    lines = [f"Settings (--set {owner_name}.NAME=VALUE):"] if settings else []
    for one in settings.values():
        lines += [f"  {one.name} = {one.text()}  ({one.kind})", f"      {one.meaning}"]
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
