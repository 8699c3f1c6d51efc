"""`unlearnbench list` and `show`: what there is, from the code's own declarations."""

import inspect
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import click

from unlearnbench import registry
from unlearnbench.errors import unknown
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.protocol import Protocol
from unlearnbench.settings import settings_of

KINDS = (
    "methods",
    "wrappers",
    "models",
    "tasks",
    "attacks",
    "benchmarks",
    "pools",
    "reports",
    "sections",
    "experiments",
    "results",
)


def _load_plugins(_: click.Context, __: click.Parameter, files: tuple[str, ...]) -> None:
    for file in files:
        registry.load_plugin_file(Path(file))


_plugin_option = click.option(
    "--plugin",
    multiple=True,
    metavar="FILE",
    expose_value=False,  # loaded while the options are parsed
    callback=_load_plugins,
    help="a .py file with methods, tasks or reports",
)


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="for programs")
@_plugin_option
def list_command(kind: str | None, as_json: bool) -> None:
    """Print the names of what there is, of one kind or of every, with one sentence each."""
    kinds = {one: sentences(one) for one in KINDS if kind in (one, None)}
    if as_json:
        items = {
            one: [
                {"name": name, "summary": sentence, **_by_default(one, name)}
                for name, sentence in of_kind.items()
            ]
            for one, of_kind in kinds.items()
        }
        click.echo(json.dumps(items if kind is None else items[kind], indent=1))
        return
    parts = []
    for one, of_kind in kinds.items():
        width = max(map(len, of_kind), default=0)
        lines = [
            f"{name:<{width}}  {_mark(one, name)}{sentence}" for name, sentence in of_kind.items()
        ]
        parts.append("\n".join(lines if kind else [f"{one}:", *(f"  {line}" for line in lines)]))
    click.echo("\n\n".join(parts))


def _by_default(kind: str, name: str) -> dict[str, bool]:
    """Whether a run takes it unnamed; nothing of what no run takes, or what every run does."""
    if kind not in ("methods", "attacks"):
        return {}
    return {"default": registry.is_default(registry.find(kind, name))}


def _mark(kind: str, name: str) -> str:
    of_method = _by_default(kind, name)
    if not of_method:
        return ""
    is_sham = getattr(registry.find(kind, name), "is_sham", False)
    return f"{'default' if of_method['default'] else 'sham' if is_sham else '':<7}  "


@click.command()
@click.argument("name")
@_plugin_option
def show(name: str) -> None:
    """Describe what `list` names, or 'protocol', 'result', 'experiment', 'benchmark' or 'pools'."""
    click.echo(describe(name))


def sentences(kind: str) -> dict[str, str]:
    """The first sentence about each thing of a kind, by name."""
    from unlearnbench.data.benchmarks.definition import find_benchmark
    from unlearnbench.data.benchmarks.definition import shipped as benchmarks
    from unlearnbench.experiments.named import find_experiment, shipped
    from unlearnbench.experiments.pools.definition import find_pools
    from unlearnbench.experiments.pools.definition import shipped as pools
    from unlearnbench.reporting import sections
    from unlearnbench.results.shipped import shipped as results

    if kind == "models":
        return {name: str(alias) for name, alias in aliases().items() if not alias.is_of_pool}
    if kind == "experiments":
        return {name: f"{find_experiment(name).definition.summary}." for name in shipped()}
    if kind == "benchmarks":
        return {name: f"{find_benchmark(name).definition.summary}." for name in benchmarks()}
    if kind == "pools":
        return {name: f"{find_pools(name).definition.summary}." for name in pools()}
    if kind == "results":  # which `report` reads by the name of the experiment that they are of
        return {name: f"{find_experiment(name).definition.summary}." for name in results()}
    own = {name: sections.summary(name) for name in sections.names()} if kind == "sections" else {}
    plugins = sections.figures() if kind == "sections" else registry.plugins(kind)
    return own | {name: first_sentence(plugin) for name, plugin in plugins.items()}


def first_sentence(plugin: type) -> str:
    """The first line of a class's docstring."""
    return (inspect.getdoc(plugin) or "").split("\n")[0]


def describe(name: str) -> str:
    """The page about a plugin (also kumpr+sam), a model, the protocol or the result's schema."""
    from unlearnbench.data.benchmarks.definition import find_benchmark
    from unlearnbench.data.benchmarks.definition import shipped as benchmarks
    from unlearnbench.experiments.named import find_experiment, shipped
    from unlearnbench.experiments.pools.definition import ENDING, find_pools
    from unlearnbench.experiments.pools.definition import shipped as pools
    from unlearnbench.reporting import sections
    from unlearnbench.unlearning.noise import Noise

    pages: dict[str, Callable[[], str]] = {n: partial(_model, a) for n, a in aliases().items()}
    for kind in reversed(registry.KINDS):
        pages |= {n: partial(_plugin, kind, n, one) for n, one in registry.plugins(kind).items()}
    for section in sections.names():
        pages[section] = partial("{} (section)\n\n{}".format, section, sections.summary(section))
    for experiment in shipped():
        pages[experiment] = lambda: find_experiment(name).text.rstrip()
    for benchmark in benchmarks():
        pages.setdefault(benchmark, lambda: find_benchmark(name).text.rstrip())
    for pool in pools():  # a world's name stands for its benchmark
        pages[pool + ENDING] = lambda: find_pools(name.removesuffix(ENDING)).text.rstrip()
    if registry.WITH in name:
        pages[name] = partial(_plugin, "methods", name, registry.find("methods", name))
    pages[Noise.name] = partial(_plugin, "shams", Noise.name, Noise)
    pages |= {"protocol": _protocol, "result": result_schema, "experiment": _definition}
    pages |= {"benchmark": _benchmark, "pools": _pools}
    if name not in pages:
        raise unknown("name", name, pages, "unlearnbench list methods")
    return pages[name]()


def _plugin(kind: str, name: str, plugin: Any) -> str:
    lines = [f"{name} ({kind.removesuffix('s')})", "", inspect.getdoc(plugin) or ""]
    if formula := getattr(plugin, "formula", ""):
        lines += ["", "Formula:", *(f"  {line.strip()}" for line in formula.split("\n"))]
    if hasattr(plugin, "sequences_per_row"):
        lines += ["", *_cost(plugin)]
    if getattr(plugin, "source", ""):
        lines += ["", f"Source: {plugin.source}"]
    if kind == "methods" or hasattr(plugin, "__dataclass_fields__"):
        settings = settings_of(plugin)
        lines += ["", f"Settings (--set {name}.NAME=VALUE):"] if settings else [""]
        for one in settings.values():
            lines += [f"  {one.name} = {one.text()}  ({one.kind})", f"      {one.meaning}"]
            lines += [f"      default from: {one.source}"] if one.source else []
            lines += [f"      searched in: {one.search}"] if one.search else []
    if getattr(plugin, "published_faults", ()):
        lines += ["", "Published faults:", *_faults(plugin)]
    if kind == "tasks":
        lines += ["", "Metrics:"]
        for m in plugin.metrics:
            better = "higher" if m.higher_is_better else "lower"
            lines.append(f"  {m.name}: {m.label}, {better} is better")
    if getattr(plugin, "citation", ""):
        lines += ["", inspect.cleandoc(plugin.citation)]
    return "\n".join(lines)


def _cost(method: Any) -> list[str]:
    """What a method needs beside the rows to forget, and what a step of it costs."""
    lines = [
        f"Needs: {', '.join(method.needs) or 'nothing but the rows to forget'}",
        f"Cost per step: {method.sequences_per_row} x gradient ascent, "
        "by the sequences that it scores with gradients for each row",
    ]
    if "original model" in method.needs:
        over = " and retain items" if "retain items" in method.needs else ""
        lines.append(f"Before the first step: one pass of the original model over rows{over}")
    return lines


def _faults(plugin: Any) -> Iterator[str]:
    """Where published code departs from the paper, and how to have it so."""
    for fault in plugin.published_faults:
        switch = f"{fault.setting} = {fault.released}" if fault.setting else "no setting"
        by_protocol = "--protocol released, or --set" if fault.corrected is None else "--set only"
        how = f" ({by_protocol})" if fault.setting else ""
        yield f"  {switch}{how}"
        yield f"      released: {fault.code}"
        yield f"      paper: {fault.paper}"
        yield f"      source: {fault.source}"


def _protocol() -> str:
    released = Protocol.named("released")
    lines = [inspect.getdoc(Protocol) or "", "", "Settings (--set protocol.NAME=VALUE):"]
    for one in settings_of(Protocol).values():
        lines += [f"  {one.name}  ({one.kind})", f"      {one.meaning}"]
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


def _pools() -> str:
    from unlearnbench.experiments.pools.definition import Definition, Member

    lines = ["Pools of models are a TOML file: unlearnbench meta FILE.toml", ""]
    for part, where in ((Definition, "the file"), (Member, "each [[with]] and [[without]]")):
        lines += [f"Keys of {where}:"]
        for name, field in part.model_fields.items():
            lines.append(f"  {field.alias or name}  {field.description or ''}".rstrip())
    lines += ["", "One to copy: unlearnbench show nano-tofu-pools > mine.toml"]
    return "\n".join(lines)


def _benchmark() -> str:
    from unlearnbench.data.benchmarks import definition

    lines = ["A benchmark is a TOML file: unlearnbench run --benchmark FILE.toml", ""]
    for part, where in (
        (definition.Definition, "the file"),
        (definition.Fields, "fields"),
        (definition.TemplatePart, "template"),
        (definition.TableSource, "each of tables"),
        (definition.ForgetPart, "each of forget"),
        (definition.SplitPart, "each of splits"),
    ):
        lines += [f"Keys of {where}:"]
        for name, field in part.model_fields.items():
            lines.append(f"  {name}  {field.description or ''}".rstrip())
    lines += ["", "One to copy: unlearnbench show nano-tofu > mine.toml"]
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
