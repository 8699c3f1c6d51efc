"""`unlearnbench human`: a blind sheet, a page to rate it on, and what the ratings say."""

import json
from collections.abc import Callable
from functools import partial, reduce
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.errors import UserError
from unlearnbench.reading import read_results, to_stderr

if TYPE_CHECKING:
    from unlearnbench.ratings.human.draw import Drawn
    from unlearnbench.ratings.human.ratings import Filled
    from unlearnbench.ratings.human.sheet import Key
    from unlearnbench.results.record import Result

SOME_FAILED = 1
PORT = 8765
_FILE = click.Path(path_type=Path)
_RESULTS = click.argument("results", default="results", type=_FILE, metavar="[RESULTS]")
_names = partial(
    click.option,
    metavar="A,B",
    default="",
    callback=lambda _context, _option, text: [*filter(None, map(str.strip, text.split(",")))],
)
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
    _names("--runs", "--run", help="forget sets  [default: all]"),
    _names("--models", help="as in the table  [default: all]"),
    _names("--methods", help="methods and references, e.g. icu,before  [default: all]"),
)


def _draw_options(command: Callable[..., Any]) -> Callable[..., Any]:
    return reduce(lambda made, option: option(made), reversed(_DRAW), command)


@click.group()
def human() -> None:
    """Let people rate what the models wrote, without knowing which method wrote it.

    \b
    unlearnbench human sheet results --out study --rows 30
    unlearnbench human serve study --annotator anna
    unlearnbench human score study-key.json study/ratings-*.csv
    unlearnbench human rehearse results        all of it without people: rules rate
    """


@human.command()
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
    from unlearnbench.ratings.human.draw import StudyFiles

    files = StudyFiles.of(out, key_path)
    files.refuse_to_overwrite()
    usable, n_left_out = _usable_results(results)
    drawn = _drawn(usable, **draw)
    files.write(drawn, draw["seed"])
    click.echo(f"{files.sheet}  {len(drawn)} items, {draw['n_documents']} documents of each model")
    click.echo(f"{files.key}  the key; keep it from annotators")
    to_stderr(f"rate with: unlearnbench human serve {out}")
    return SOME_FAILED if n_left_out else 0


@human.command()
@click.argument("sheet", type=_FILE)
@click.option("--annotator", help="whose ratings these are  [default: your login name]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="on this machine's loopback address; 0: any free one",
)
@click.option("--open", "open_browser", is_flag=True, help="open the page in the browser")
def serve(sheet: Path, annotator: str | None, port: int, open_browser: bool) -> int:
    """Rate SHEET (or the sheet in a folder) on a page in the browser.

    Every score is saved at once to ratings-ANNOTATOR.csv beside the sheet; the same
    command again goes on at the first text without a score.  The page can be reached
    from this machine only, at the address that is printed, a new one each time.
    Ctrl-C ends it.
    """
    from unlearnbench.ratings.human.server import AnnotationStudy, address_of, make_server

    study = AnnotationStudy.open(sheet, annotator)
    server = make_server(study, port, token_urlsafe(16))
    try:
        click.echo(address_of(server))
        to_stderr(f"rating as {study.annotator}; Ctrl-C ends")
        if open_browser:
            click.launch(address_of(server))
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("", err=True)  # the terminal has printed ^C
    finally:
        server.server_close()
    to_stderr(
        f"{study.n_rated()} of {len(study.items)} rated, in {study.ratings}; "
        f"next: unlearnbench human score KEY {study.ratings}"
    )
    return 0


@human.command()
@click.argument("key", type=_FILE)
@click.argument("ratings", nargs=-1, required=True, metavar="RATINGS...")
@click.option(
    "--judge", "judged", type=_FILE, metavar="RESULTS", help="compare with the judge of this folder"
)
@click.option("--judge-id", metavar="ID", help="which judge  [default: the only one there is]")
@click.option(
    "--judge-csv", type=_FILE, help="compare with these means: columns model, method, score (0-10)"
)
@click.option("--allow-missing", is_flag=True, help="score although some items are not rated")
@click.option("--json", "as_json", is_flag=True, help="print the whole record as JSON")
def score(
    key: Path,
    ratings: tuple[str, ...],
    judged: Path | None,
    judge_id: str | None,
    judge_csv: Path | None,
    allow_missing: bool,
    as_json: bool,
) -> int:
    """Check RATINGS (filled sheets, or the page's files) and print what they say.

    The annotator is the file's name; NAME=FILE gives another.  Prints each annotator's
    mean, the agreement between them, the human score of every model and method with its
    95% interval and, with a judge, Pearson's r between the two.
    """
    from unlearnbench.ratings.human import comparison
    from unlearnbench.ratings.human.printing import study_text
    from unlearnbench.ratings.human.scores import study_scores
    from unlearnbench.ratings.human.sheet import read_key

    study_key = read_key(key)
    filled = _read_filled(study_key, ratings, allow_missing)
    scores, judge = study_scores(study_key, filled), None
    if judged is not None and judge_csv is not None:
        raise UserError("--judge and --judge-csv are two ways to name one judge; take one of them")
    if judge_csv is not None and study_key.stand_ins:
        raise UserError(
            "rules rated this sheet, and only a rule's scores are set beside theirs; take "
            "--judge RESULTS"
        )
    if judged is not None:
        _, judge = comparison.compare_with_judge(study_key, filled, judged, judge_id)
    elif judge_csv is not None:
        means = comparison.read_judge_means(judge_csv)
        judge = comparison.compare_means(study_key, filled, means)
    if as_json:
        record = {**scores.model_dump(), "judge": judge.model_dump() if judge else None}
        click.echo(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(study_text(scores, judge))
    return 0


@human.command()
@_RESULTS
@click.option("--out", type=_FILE, help="folder  [default: RESULTS/human/rehearsal]")
@_draw_options
def rehearse(results: Path, out: Path | None, **draw: Any) -> int:
    """Go the way of a study without people: rules rate a sheet, and a rule judges RESULTS.

    The sheet is drawn as `unlearnbench human sheet` draws it; two stated rules rate it in
    annotators' place, and one scores all continuations in the judge's.  Every file says that
    they are stand-ins, and they are never mixed with people's ratings or a judge's scores.
    The same command again adds what is missing and overwrites nothing.
    """
    from unlearnbench.ratings.human.draw import StudyFiles
    from unlearnbench.ratings.human.rehearsal import STAND_INS, judge_by_rule, write_rehearsal
    from unlearnbench.ratings.judge.questions import select
    from unlearnbench.ratings.judge.replies import JudgeFiles

    files = StudyFiles.of(out or results / "human" / "rehearsal")
    usable, n_left_out = _usable_results(results)
    ratings = write_rehearsal(files, _drawn(usable, **draw), draw["seed"])
    replies = judge_by_rule(JudgeFiles(results), select(usable))
    for path in (files.sheet, files.key, *ratings, replies):
        click.echo(path)
    to_stderr(STAND_INS)
    to_stderr(
        f"see what they say: unlearnbench human score {files.key} "
        f"{' '.join(map(str, ratings))} --judge {results}"
    )
    return SOME_FAILED if n_left_out else 0


def _usable_results(folder: Path) -> tuple[list["Result"], int]:
    """The results that can take part, and how many cannot, named on stderr."""
    from unlearnbench.ratings.human.draw import usable

    every, n_damaged = read_results(folder)
    results, left_out = usable(every)
    for text in left_out:
        to_stderr(f"left out {text}")
    if not results:
        raise UserError(
            f"no result in {folder} holds continuations; "
            f"measure them with: unlearnbench run --tasks forgetting --out {folder}"
        )
    return results, n_damaged + len(left_out)


def _drawn(
    results: list["Result"],
    n_documents: int,
    seed: int,
    runs: list[str],
    models: list[str],
    methods: list[str],
) -> list["Drawn"]:
    """The items, with documents that a reader could tell apart named on stderr."""
    from unlearnbench.ratings.human import draw

    drawn = draw.draw(draw.select_rows(results, runs, models, methods), n_documents, seed)
    for source, run, doc_id in draw.documents_whose_texts_differ(drawn):
        to_stderr(
            f"{source}, forget set {run}, doc_id {doc_id}: prefix or reference is "
            "not written alike for all methods; an annotator could tell some apart"
        )
    return drawn


def _read_filled(key: "Key", ratings: tuple[str, ...], allow_missing: bool) -> "list[Filled]":
    """The checked ratings; every problem is printed on stderr before `UserError` is raised."""
    from unlearnbench.ratings.human.ratings import named_files, read_filled

    filled = [read_filled(name, path, key.items) for name, path in named_files(ratings).items()]
    problems = [problem for one in filled for problem in one.problems]
    wrong = [problem for problem in problems if not (allow_missing and problem.is_missing)]
    for problem in wrong:
        to_stderr(str(problem))
    if wrong:
        only_missing = all(problem.is_missing for problem in wrong)
        remedy = ", or take --allow-missing" if only_missing else ""
        raise UserError(f"{len(wrong)} problems in the ratings; correct the files{remedy}")
    if problems:
        to_stderr(f"{len(problems)} scores are missing")
    return filled
