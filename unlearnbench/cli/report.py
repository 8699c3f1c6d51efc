"""`unlearnbench report`: the comparison of what lies in a results folder, in any format."""

from pathlib import Path
from typing import Any

import click

from unlearnbench import registry
from unlearnbench.cli.describe import first_sentence
from unlearnbench.errors import UserError
from unlearnbench.registry import load_plugin_file

SOME_FAILED = 1


class _ReportCommand(click.Command):
    """Has one flag per registered report, found when the command is used."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        flags: list[click.Parameter] = [
            click.Option(
                [f"--{name}", "report_name"],
                flag_value=name,
                default=None,
                type=str,
                help=first_sentence(plugin),
            )
            for name, plugin in registry.reports().items()
        ]
        own = super().get_params(ctx)
        return [*own[:-1], *flags, own[-1]]


@click.command(cls=_ReportCommand)
@click.argument("folder", default="results", type=click.Path(path_type=Path), metavar="[DIR]")
@click.option("-o", "output", type=click.Path(path_type=Path), help="write to this file")
@click.option(
    "--plugin",
    multiple=True,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=lambda _c, _p, files: [load_plugin_file(Path(f)) for f in files],
    help="a .py file with reports",
)
def report(folder: Path, output: Path | None, report_name: str | None = None) -> int:
    """Print the comparison of the results in DIR (default: results).

    Files that are no results are named on stderr and left out, and the exit status is 1.
    """
    results, n_damaged = read_results(folder)
    text = render(results, report_name or "plain")
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        _write(output, text)
    return SOME_FAILED if n_damaged else 0


def read_results(folder: Path) -> tuple[list[Any], int]:
    """The current results of a folder and how many files there are none, named on stderr."""
    from unlearnbench.store import Store, newest

    results, damages = Store(folder).load_all()
    for damage in damages:
        click.echo(f"unlearnbench: left out {damage.path}: {damage.reason}", err=True)
    kept, superseded = newest(results)
    if superseded:
        click.echo(
            f"unlearnbench: left out {len(superseded)} results of older software that were "
            "measured again",
            err=True,
        )
    if not kept:
        raise UserError(f"no results in {folder}; make some with: unlearnbench run --out {folder}")
    return kept, len(damages)


def render(results: list[Any], report_name: str) -> str:
    """The results as the report of that name."""
    from unlearnbench.table import build_table

    rendered: str = registry.find("reports", report_name)().render(build_table(results))
    return rendered


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another -o") from error
