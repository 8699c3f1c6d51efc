"""`unlearnbench report`: what lies in a results folder, in any format."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from unlearnbench import registry
from unlearnbench.cli.catalogue import first_sentence
from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import visible
from unlearnbench.files.whole_files import write_whole
from unlearnbench.reading import (
    Results,
    choose_results,
    of_benchmark,
    read_results,
    to_stderr,
)
from unlearnbench.registry import load_plugin_file

if TYPE_CHECKING:
    from unlearnbench.reporting.document import Document, Findings
    from unlearnbench.reporting.report import Report

SOME_FAILED = 1


class _ReportCommand(click.Command):
    """Has one flag per registered report, found when the command is used."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Load the plugins first: the flags of their reports are looked up before any is read."""
        for file in _plugin_files(args):
            load_plugin_file(Path(file))
        return super().parse_args(ctx, args)

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


def _plugin_files(arguments: Sequence[str]) -> Iterator[str]:
    for place, argument in enumerate(arguments):
        if argument == "--plugin":
            yield from arguments[place + 1 : place + 2]
        elif argument.startswith("--plugin="):
            yield argument.partition("=")[2]


@click.command(cls=_ReportCommand)
@click.argument("folder", default="results", type=click.Path(path_type=Path), metavar="[DIR]")
@click.option(
    "-o",
    "output",
    metavar="PATH",
    help="write to this file, in the format of its suffix; to a folder (DIR/): in every format",
)
@click.option(
    "--experiment", metavar="NAME", help="of the results those of this experiment, and its figures"
)
@click.option(
    "--benchmark",
    metavar="NAME",
    help="of the results those of this benchmark, or none  [default: the only one there is]",
)
@click.option(
    "--sections",
    metavar="A,B",
    help="what to print, see: unlearnbench list sections  [default: the experiment's, or table]",
)
@click.option(
    "--beside-published",
    is_flag=True,
    help="the paper's printed values, or a benchmark's boards, beside these, instead",
)
@click.option(
    "--checklist",
    is_flag=True,
    help="what reviewers ask, answered from the results, to publish with the table, instead",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    metavar="A",
    help="A and DIR beside each other, instead: what differs, and whether it is told apart",
)
@click.option(
    "--score",
    metavar="NAME",
    help="what the section 'budgets' judges trials by; a,b: by their harmonic mean  [default: what "
    "they were tuned by, utility kept, or the benchmark's overall score]",
)
@click.option("--document", "doc_id", metavar="ID", help="the row that cases and process show")
@click.option(
    "--judge",
    "judge_id",
    metavar="ID",
    help="whose scores fill the GPT column, or none  [default: the only judge there is]",
)
@click.option(
    "--study",
    metavar="NAME",
    help="whose ratings the section 'human' shows, or none  [default: the only study there is]",
)
@click.option(
    "--trainings",
    metavar="A,B,C",
    multiple=True,
    help="models that are one model trained with several seeds, for the section 'variation' "
    "(repeatable)  [default: those known by alias]",
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="a meta.json, which marks metrics and fills the section 'metrics'  [default: the shipped "
    "one of the results' world]",
)
@click.option(
    "--plugin",
    multiple=True,
    metavar="FILE",
    expose_value=False,  # loaded before the options are parsed
    help="a .py file with reports",
)
def report(
    folder: Path,
    output: str | None,
    experiment: str | None,
    benchmark: str | None,
    sections: str | None,
    beside_published: bool,
    checklist: bool,
    compare: Path | None,
    score: str | None,
    doc_id: str | None,
    judge_id: str | None,
    study: str | None,
    trainings: tuple[str, ...],
    metrics: Path | None,
    report_name: str | None = None,
) -> int:
    """Print the comparison of the results in DIR (default: results).

    DIR may also name results that come with the package (`unlearnbench list results`).
    Files that are no results are named on stderr and left out, and the exit status is 1.
    A run that is still going does no harm: what it has finished is reported.
    """
    from unlearnbench.reporting.comparison import comparison_blocks
    from unlearnbench.reporting.document import Document

    chosen = _chosen(sections, beside_published, checklist, compare, doc_id)
    if trainings and compare is not None:
        raise UserError("--trainings has no place in --compare; leave one of them out")
    results = _read(folder, experiment, benchmark, judge_id, study, trainings)
    n_damaged = results.n_damaged
    if doc_id is not None:
        results = replace(results, findings=replace(results.findings, doc_ids=(doc_id,)))
    if metrics is not None:
        from unlearnbench.analysis.meta.table import read_table

        tested = read_table(metrics)
        results = replace(results, findings=replace(results.findings, metrics=tested))
    if score is not None:
        results = replace(results, findings=replace(results.findings, score=score))
        _check_score(chosen or results.sections, compare, report_name, results.findings)
    if compare is None:
        document = results.report(*chosen).document
    else:  # `--compare A B`: B is the argument, and what is looked at is the step from A to B
        first = _read(compare, experiment, benchmark, judge_id, study)
        n_damaged += first.n_damaged
        names = compare.resolve().name, folder.resolve().name
        if names[0] == names[1]:
            names = str(compare), str(folder)
        blocks = comparison_blocks(first.findings, results.findings, names)
        document = Document(f"{names[0]} and {names[1]}", blocks, first.findings)
    _print(document, report_name, output, experiment or "report")
    return SOME_FAILED if n_damaged else 0


def _check_score(
    sections: Sequence[str], compare: Path | None, report_name: str | None, findings: "Findings"
) -> None:
    """Raise `UserError` where --score would judge nothing, and for a score that no trial has."""
    from unlearnbench.reporting.sections.budgets import FIGURES

    if compare is not None:
        raise UserError("--score has no place in --compare; leave one of them out")
    if "budgets" not in sections and report_name not in FIGURES:
        raise UserError("--score is of the section 'budgets' alone; add it: --sections budgets")
    if not findings.budgets:
        raise UserError(
            "--score judges trials, and no method has two configurations on the same forget sets; "
            "try some: unlearnbench tune --random 12"
        )


def _chosen(
    sections: str | None,
    beside_published: bool,
    checklist: bool,
    compare: Path | None,
    doc_id: str | None,
) -> tuple[str, ...]:
    """The sections asked for by flag; empty: the experiment's own, or the table.

    Raises `UserError` for flags of which one would be ignored.
    """
    flags = {
        "--sections": sections is not None,
        "--beside-published": beside_published,
        "--checklist": checklist,
        "--compare": compare is not None,
    }
    named = [flag for flag, is_given in flags.items() if is_given]
    if len(named) > 1:
        raise UserError(f"{' and '.join(named)} ask for different reports; give one of them")
    if doc_id is not None and compare is not None:
        raise UserError("--document has no place in --compare; leave one of them out")
    if sections is None:
        alone = {"beside-published": beside_published, "checklist": checklist}
        return tuple(name for name, is_given in alone.items() if is_given)
    chosen = tuple(filter(None, map(str.strip, sections.split(","))))
    if not chosen:
        raise UserError("--sections names none; see: unlearnbench list sections")
    return chosen


def _read(
    folder: Path,
    experiment: str | None,
    benchmark: str | None,
    judge_id: str | None,
    study: str | None,
    trainings: Sequence[str] = (),
) -> Results:
    from unlearnbench.results.shipped import results_folder

    folder, of_experiment = results_folder(folder)
    experiment = experiment or of_experiment
    every, n_damaged = read_results(folder, attacked=True)
    if experiment is None or benchmark is not None:
        every = of_benchmark(every, benchmark, folder)
    families = [tuple(filter(None, map(str.strip, names.split(",")))) for names in trainings]
    if not all(families):
        raise UserError("--trainings names no model; give two or more: --trainings A,B")
    results = choose_results(folder, every, experiment, judge_id, study, trainings=families)
    return replace(results, n_damaged=results.n_damaged + n_damaged)


def _print(document: "Document", name: str | None, output: str | None, stem: str) -> None:
    if output is None:
        text = registry.find("reports", name or "plain")().render(document).rstrip("\n")
        # Some formats hold texts exactly as a model wrote them; a terminal would obey them.
        click.echo(visible(text) if sys.stdout.isatty() else text)
    elif name is None and (output.endswith("/") or Path(output).is_dir()):
        stem = Path(stem).name.removesuffix(".toml")
        for kind in _formats():
            for file_name, content in kind().files(document, stem).items():
                write_whole(Path(output) / file_name, content, "choose another -o")
        to_stderr(f"written to {Path(output)}: {stem}.*")
    else:
        path = Path(output)
        if path.is_dir():
            raise UserError(f"{output} is a folder; give a file, or no --{name}")
        _write_report(_report_for(name, path), document, path)


def _report_for(name: str | None, path: Path) -> "Report":
    """The report of that name; without one, the format that the file's suffix stands for."""
    if name is not None:
        return cast("Report", registry.find("reports", name)())
    kinds = {kind.suffix: kind for kind in _formats()}
    if path.suffix not in kinds:
        suffixes = ", ".join(sorted(kinds))
        raise UserError(
            f"-o {path}: no format has the suffix '{path.suffix}'; take one of {suffixes}, "
            "or name a figure: --trade-off -o trade-off.pdf"
        )
    return kinds[path.suffix]()


def _write_report(report: "Report", document: "Document", path: Path) -> None:
    """Write the report to that file, and beside it whatever files it needs.

    Raises `UserError` if there is nothing to show, and for a suffix that no picture has.
    """
    from unlearnbench.reporting.report import KINDS, Figure

    if isinstance(report, Figure):
        kind = KINDS.get(path.suffix.removeprefix("."))
        if kind is None:
            raise UserError(f"-o {path}: a figure is written as {', '.join(KINDS)}")
        image = report.image(document.findings, kind)
        written = {} if image is None else {path.name: image}
    else:
        written = report.files(document, path.stem)
    if not written:
        raise UserError(f"{report.name} has nothing to show of these results")
    for name, content in written.items():
        own = name in (path.name, path.stem + report.suffix)
        write_whole(path if own else path.parent / name, content, "choose another -o")


def _formats() -> "list[type[Report]]":
    """The text formats, one per suffix; figures come with those that hold pictures."""
    from unlearnbench.reporting.report import Figure, Report

    formats: dict[str, type[Report]] = {}
    for kind in registry.reports().values():
        if issubclass(kind, Report) and not issubclass(kind, Figure):
            formats.setdefault(kind.suffix, kind)
    return list(formats.values())
