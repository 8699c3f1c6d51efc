"""`unlearnbench report`: the comparison of what lies in a results folder, in any format."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench import registry
from unlearnbench.cli.describe import first_sentence
from unlearnbench.errors import UserError
from unlearnbench.registry import load_plugin_file

if TYPE_CHECKING:
    from unlearnbench.document import Document
    from unlearnbench.result import Result
    from unlearnbench.table import Note

NO_JUDGE = "none"
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
    "--judge",
    "judge_id",
    metavar="ID",
    help="whose scores fill the GPT column, or none  [default: the only judge there is]",
)
@click.option(
    "--plugin",
    multiple=True,
    metavar="FILE",
    is_eager=True,
    expose_value=False,
    callback=lambda _c, _p, files: [load_plugin_file(Path(f)) for f in files],
    help="a .py file with reports",
)
def report(
    folder: Path, output: Path | None, judge_id: str | None, report_name: str | None = None
) -> int:
    """Print the comparison of the results in DIR (default: results).

    Files that are no results are named on stderr and left out, and the exit status is 1.
    """
    results, n_damaged = read_results(folder)
    judged, notes = judged_results(results, folder, judge_id)
    document = make_document(judged, notes)
    text = registry.find("reports", report_name or "plain")().render(document)
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


def judged_results(
    results: list[Any], folder: Path, judge_id: str | None = None
) -> "tuple[list[Any], list[Note]]":
    """The results with a judge's scores from the folder, and what a table says about them.

    Without an id it is the only judge there is, if there is one; `none` leaves it out.
    Raises `UserError` for an unknown judge, and if none was chosen of several.
    """
    from unlearnbench.judging.joining import JudgeScores, judge_note, with_judge_scores
    from unlearnbench.judging.replies import JudgeFiles

    files = JudgeFiles(folder)
    judge = None if judge_id == NO_JUDGE else files.named(judge_id)
    if judge is None:
        return results, []
    scores = JudgeScores(judge, files.load(judge))
    return with_judge_scores(results, scores), [judge_note(results, scores)]


def make_document(results: "Sequence[Result]", notes: "Sequence[Note]" = ()) -> "Document":
    """The results' comparison table as a document, with these notes under the table's own."""
    from unlearnbench import sections
    from unlearnbench.findings import findings_of

    return sections.make_document(findings_of(results, notes))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another -o") from error
