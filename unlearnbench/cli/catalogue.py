"""`unlearnbench list` and `show`: what there is, from the code's own declarations."""

import json
from pathlib import Path

import click

from unlearnbench.cli.describe import describe, first_sentence
from unlearnbench.registry import load_plugin_file

KINDS = ("methods", "models", "tasks", "reports", "sections", "experiments")
PLUGIN_HELP = "a .py file with methods, tasks or reports"


@click.command(name="list")
@click.argument("kind", type=click.Choice(KINDS))
@click.option("--json", "as_json", is_flag=True, help="for programs")
@click.option("--plugin", multiple=True, metavar="FILE", help=PLUGIN_HELP)
def list_command(kind: str, as_json: bool, plugin: tuple[str, ...]) -> None:
    """Print the names of methods, models, tasks or reports, with one sentence each."""
    for file in plugin:
        load_plugin_file(Path(file))
    known = sentences(kind)
    if as_json:
        click.echo(json.dumps([{"name": n, "summary": s} for n, s in known.items()], indent=1))
        return
    width = max(map(len, known), default=0)
    for name, sentence in known.items():
        click.echo(f"{name:<{width}}  {sentence}")


@click.command()
@click.argument("name")
@click.option("--plugin", multiple=True, metavar="FILE", help=PLUGIN_HELP)
def show(name: str, plugin: tuple[str, ...]) -> None:
    """Describe a method, model, task or report by name, or 'protocol' or 'result'."""
    for file in plugin:
        load_plugin_file(Path(file))
    click.echo(describe(name))


def sentences(kind: str) -> dict[str, str]:
    """The first sentence about each thing of a kind, by name."""
    if kind == "models":
        from unlearnbench.model_aliases import aliases

        return {name: str(alias) for name, alias in aliases().items()}
    from unlearnbench import registry

    plugins: dict[str, type] = getattr(registry, kind)()
    return {name: first_sentence(plugin) for name, plugin in plugins.items()}
