"""`unlearnbench list` and `show`: what there is, from the code's own declarations."""

import json
from collections.abc import Callable
from pathlib import Path

import click

from unlearnbench.cli.describe import describe, first_sentence
from unlearnbench.registry import load_plugin_file

KINDS = ("methods", "models", "tasks", "reports", "sections", "experiments")
PLUGIN_HELP = "a .py file with methods, tasks or reports"


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS), required=False)
@click.option("--json", "as_json", is_flag=True, help="for programs")
@click.option("--plugin", multiple=True, metavar="FILE", help=PLUGIN_HELP)
def list_command(kind: str | None, as_json: bool, plugin: tuple[str, ...]) -> None:
    """Print the names of what there is, of one kind or of every, with one sentence each."""
    for file in plugin:
        load_plugin_file(Path(file))
    if as_json:
        kinds = {one: _as_records(sentences(one)) for one in KINDS if kind in (one, None)}
        click.echo(json.dumps(kinds if kind is None else kinds[kind], indent=1))
    elif kind is not None:
        _print(sentences(kind))
    else:
        for at, one in enumerate(KINDS):
            click.echo(f"{chr(10) * (at > 0)}{one}:")
            _print(sentences(one), margin="  ")


def _as_records(known: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "summary": sentence} for name, sentence in known.items()]


def _print(known: dict[str, str], margin: str = "") -> None:
    width = max(map(len, known), default=0)
    for name, sentence in known.items():
        click.echo(f"{margin}{name:<{width}}  {sentence}")


@click.command()
@click.argument("name")
@click.option("--plugin", multiple=True, metavar="FILE", help=PLUGIN_HELP)
def show(name: str, plugin: tuple[str, ...]) -> None:
    """Describe anything that `list` names, or 'protocol', 'result' or 'experiment'."""
    for file in plugin:
        load_plugin_file(Path(file))
    click.echo(describe(name))


def _models() -> dict[str, str]:
    from unlearnbench.models.aliases import aliases

    return {name: str(alias) for name, alias in aliases().items()}


def _sections() -> dict[str, str]:
    from unlearnbench.reporting import sections

    own = {name: sections.summary(name) for name in sections.names()}
    return {**own, **{name: first_sentence(kind) for name, kind in sections.figures().items()}}


def _experiments() -> dict[str, str]:
    from unlearnbench.experiments.named import find_experiment, shipped

    return {name: f"{find_experiment(name).definition.summary}." for name in shipped()}


_OTHERS: dict[str, Callable[[], dict[str, str]]] = {
    "models": _models,
    "sections": _sections,
    "experiments": _experiments,
}


def sentences(kind: str) -> dict[str, str]:
    """The first sentence about each thing of a kind, by name."""
    if kind in _OTHERS:
        return _OTHERS[kind]()
    from unlearnbench import registry

    plugins: dict[str, type] = getattr(registry, kind)()
    return {name: first_sentence(plugin) for name, plugin in plugins.items()}
