"""`unlearnbench human sheet` and `rehearse`: drawing a sheet, for people or for rules."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.ratings.human.drawing import Drawn
    from unlearnbench.results.record import Result

SOME_FAILED = 1
_FILE = click.Path(path_type=Path)
_RESULTS = click.argument("results", default="results", type=_FILE, metavar="[RESULTS]")
_DRAW = (
    click.option(
        "--rows",
        "n_documents",
        type=click.IntRange(min=1),
        default=30,
        show_default=True,
        help="documents per model; every method gets the same",
    ),
    click.option(
        "--seed",
        default=42,
        show_default=True,
        help="of ids, order and draw; keep it from annotators, as the key",
    ),
    click.option("--runs", "--run", metavar="A,B", default="", help="forget sets  [default: all]"),
    click.option("--models", metavar="A,B", default="", help="as in the table  [default: all]"),
    click.option(
        "--methods",
        metavar="A,B",
        default="",
        help="methods and references, e.g. icu,before  [default: all]",
    ),
)


def _draw_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda made, option: option(made), reversed(_DRAW), command)


@click.command()
@_RESULTS
@click.option("--out", type=_FILE, required=True, help="new folder, to be given to annotators")
@click.option(
    "--key", "key_path", type=_FILE, help="file for the key  [default: OUT-key.json, beside OUT]"
)
@_draw_options
def sheet(results: Path, out: Path, key_path: Path | None, **draw: Any) -> int:
    """Write a blind, shuffled annotation sheet of the continuations in RESULTS, and its key.

    OUT gets sheet.csv and instructions.md; the key, which says what wrote each item,
    lies beside it and is not for annotators.  A sheet or key that is there already is
    never overwritten.  Results without continuations are named on stderr and left out,
    and the exit status is 1.

    `unlearnbench report RESULTS` finds the ratings by itself if OUT is RESULTS/human/NAME.
    """
    from unlearnbench.ratings.human.drawing import StudyFiles

    files = StudyFiles.of(out, key_path)
    files.refuse_to_overwrite()
    usable, n_left_out = _usable_results(results)
    drawn = _drawn(usable, **draw)
    files.write(drawn, draw["seed"])
    click.echo(f"{files.sheet}  {len(drawn)} items, {draw['n_documents']} documents of each model")
    click.echo(f"{files.key}  the key; keep it from annotators")
    click.echo(f"unlearnbench: rate with: unlearnbench human serve {out}", err=True)
    return SOME_FAILED if n_left_out else 0


@click.command()
@_RESULTS
@click.option("--out", type=_FILE, help="folder  [default: RESULTS/human/rehearsal]")
@_draw_options
def rehearse(results: Path, out: Path | None, **draw: Any) -> int:
    """Go the way of a study without people: rules rate a sheet, and a rule judges RESULTS.

    The sheet is drawn as `unlearnbench human sheet` draws it; three stated rules rate it in
    annotators' place, and one scores all continuations in the judge's.  Every file says that
    they are stand-ins, and they are never mixed with people's ratings or a judge's scores.
    The same command again adds what is missing and overwrites nothing.
    """
    from unlearnbench.ratings.human.drawing import StudyFiles
    from unlearnbench.ratings.human.rehearsal import write_rehearsal
    from unlearnbench.ratings.human.stand_ins import STAND_INS

    files = StudyFiles.of(out or results / "human" / "rehearsal")
    usable, n_left_out = _usable_results(results)
    ratings = write_rehearsal(files, _drawn(usable, **draw), draw["seed"])
    for path in (files.sheet, files.key, *ratings, _judge_by_rule(results, usable)):
        click.echo(path)
    told = " ".join(map(str, ratings))
    click.echo(f"unlearnbench: {STAND_INS}", err=True)
    click.echo(
        f"unlearnbench: see what they say: unlearnbench human score {files.key} {told} "
        f"--judge {results}",
        err=True,
    )
    return SOME_FAILED if n_left_out else 0


def _judge_by_rule(folder: Path, results: list["Result"]) -> Path:
    """Let the rule score what it has not scored yet; the file of its scores."""
    from unlearnbench.ratings.judge.replies import JudgeFiles
    from unlearnbench.ratings.judge.rule import judge_by_rule, stand_in_judge
    from unlearnbench.ratings.judge.selection import select

    files = JudgeFiles(folder)
    judge_by_rule(files, select(results))
    return files.replies_path(stand_in_judge().id)


def _drawn(
    results: list["Result"], n_documents: int, seed: int, runs: str, models: str, methods: str
) -> list["Drawn"]:
    """The items, with documents that a reader could tell apart named on stderr."""
    from unlearnbench.ratings.human.drawing import draw, of_methods, of_models, of_runs
    from unlearnbench.ratings.human.rows import study_rows

    rows = of_models(study_rows(of_runs(results, _names(runs))), _names(models))
    drawn = draw(of_methods(rows, _names(methods)), n_documents, seed)
    _warn_of_differing_texts(drawn)
    return drawn


def _usable_results(folder: Path) -> tuple[list["Result"], int]:
    """The results that can take part, and how many cannot, named on stderr."""
    from unlearnbench.ratings.human.rows import usable
    from unlearnbench.reading import read_results

    found, n_damaged = read_results(folder)
    results, left_out = usable(found)
    for told in left_out:
        click.echo(f"unlearnbench: left out {told}", err=True)
    if not results:
        raise UserError(
            f"no result in {folder} holds continuations; "
            f"measure them with: unlearnbench run --tasks forgetting --out {folder}"
        )
    return results, n_damaged + len(left_out)


def _warn_of_differing_texts(drawn: list["Drawn"]) -> None:
    from unlearnbench.ratings.human.drawing import documents_whose_texts_differ

    for source, run, doc_id in documents_whose_texts_differ(drawn):
        click.echo(
            f"unlearnbench: {source}, forget set {run}, doc_id {doc_id}: prefix or reference is "
            "not written alike for all methods; an annotator could tell some apart",
            err=True,
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
