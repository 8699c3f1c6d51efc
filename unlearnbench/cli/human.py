"""`unlearnbench human`: a blind sheet, a page to rate it on, and what the ratings say."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.human.annotation import AnnotationStudy
    from unlearnbench.human.draw import Drawn
    from unlearnbench.human.filled import Filled
    from unlearnbench.human.judged import JudgeComparison
    from unlearnbench.human.key import Key
    from unlearnbench.result import Result

SOME_FAILED = 1
PORT = 8765
_FILE = click.Path(path_type=Path)


@click.group()
def human() -> None:
    """Let people rate what the models wrote, without knowing which method wrote it.

    \b
    unlearnbench human sheet results --out study --rows 30
    unlearnbench human serve study --annotator anna
    unlearnbench human score study-key.json study/ratings-*.csv
    """


@human.command()
@click.argument("results", default="results", type=_FILE, metavar="[RESULTS]")
@click.option("--out", type=_FILE, required=True, help="new folder, to be given to annotators")
@click.option(
    "--key", "key_path", type=_FILE, help="file for the key  [default: OUT-key.json, beside OUT]"
)
@click.option(
    "--rows",
    "n_documents",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="documents per model; every method gets the same",
)
@click.option(
    "--seed",
    default=42,
    show_default=True,
    help="of ids, order and draw; keep it from annotators, as the key",
)
@click.option("--runs", "--run", metavar="A,B", default="", help="forget sets  [default: all]")
@click.option("--models", metavar="A,B", default="", help="as in the table  [default: all]")
@click.option(
    "--methods",
    metavar="A,B",
    default="",
    help="methods and references, e.g. icu,before  [default: all]",
)
def sheet(
    results: Path,
    out: Path,
    key_path: Path | None,
    n_documents: int,
    seed: int,
    runs: str,
    models: str,
    methods: str,
) -> int:
    """Write a blind, shuffled annotation sheet of the continuations in RESULTS, and its key.

    OUT gets sheet.csv and instructions.md; the key, which says what wrote each item,
    lies beside it and is not for annotators.  A sheet or key that is there already is
    never overwritten.  Results without continuations are named on stderr and left out,
    and the exit status is 1.
    """
    from unlearnbench.human.compared import study_rows
    from unlearnbench.human.draw import draw
    from unlearnbench.human.making import StudyFiles, of_methods, of_models, of_runs

    files = StudyFiles.of(out, key_path)
    files.refuse_to_overwrite()
    usable, n_left_out = _usable_results(results)
    rows = of_models(study_rows(of_runs(usable, _names(runs))), _names(models))
    drawn = draw(of_methods(rows, _names(methods)), n_documents, seed)
    _warn_of_differing_texts(drawn)
    files.write(drawn, seed)
    click.echo(f"{files.sheet}  {len(drawn)} items, {n_documents} documents of each model")
    click.echo(f"{files.key}  the key; keep it from annotators")
    click.echo(f"unlearnbench: rate with: unlearnbench human serve {out}", err=True)
    return SOME_FAILED if n_left_out else 0


def _usable_results(folder: Path) -> tuple[list["Result"], int]:
    """The results that can take part, and how many cannot, named on stderr."""
    from unlearnbench.cli.report import read_results
    from unlearnbench.human.compared import usable

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
    from unlearnbench.human.draw import documents_whose_texts_differ

    for source, run, doc_id in documents_whose_texts_differ(drawn):
        click.echo(
            f"unlearnbench: {source}, forget set {run}, doc_id {doc_id}: prefix or reference is "
            "not written alike for all methods; an annotator could tell some apart",
            err=True,
        )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


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
    from this machine only.  Ctrl-C ends it.
    """
    from unlearnbench.human.annotation import AnnotationStudy
    from unlearnbench.human.server import address_of, make_server

    study = AnnotationStudy.open(sheet, annotator)
    server = make_server(study, port)
    try:
        click.echo(address_of(server))
        click.echo(f"unlearnbench: rating as {study.annotator}; Ctrl-C ends", err=True)
        if open_browser:
            click.launch(address_of(server))
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("", err=True)  # the terminal has printed ^C
    finally:
        server.server_close()
    _say_what_is_next(study)
    return 0


def _say_what_is_next(study: "AnnotationStudy") -> None:
    click.echo(
        f"unlearnbench: {study.n_rated()} of {len(study.items)} rated, in {study.ratings}; "
        f"next: unlearnbench human score KEY {study.ratings}",
        err=True,
    )


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
    from unlearnbench.human.key import read_key
    from unlearnbench.human.printing import study_text
    from unlearnbench.human.scores import study_scores

    known = read_key(key)
    filled = _read_filled(known, ratings, allow_missing)
    scores = study_scores(known, filled)
    judge = _compare(known, filled, judged, judge_id, judge_csv)
    if as_json:
        record = {**scores.model_dump(), "judge": judge.model_dump() if judge else None}
        click.echo(_json(record))
    else:
        click.echo(study_text(scores, judge))
    return 0


def _read_filled(key: "Key", ratings: tuple[str, ...], allow_missing: bool) -> "list[Filled]":
    """The checked ratings; every problem is told on stderr before `UserError` is raised."""
    from unlearnbench.human.filled import named_files, read_filled

    filled = [read_filled(name, path, key.items) for name, path in named_files(ratings).items()]
    problems = [problem for one in filled for problem in one.problems]
    wrong = [problem for problem in problems if not (allow_missing and problem.is_missing)]
    for problem in wrong:
        click.echo(f"unlearnbench: {problem}", err=True)
    if wrong:
        only_missing = all(problem.is_missing for problem in wrong)
        remedy = ", or take --allow-missing" if only_missing else ""
        raise UserError(f"{len(wrong)} problems in the ratings; correct the files{remedy}")
    if problems:
        click.echo(f"unlearnbench: {len(problems)} scores are missing", err=True)
    return filled


def _compare(
    key: "Key",
    filled: "list[Filled]",
    judged: Path | None,
    judge_id: str | None,
    judge_csv: Path | None,
) -> "JudgeComparison | None":
    from unlearnbench.human.judge_files import read_judge_means, read_judge_scores
    from unlearnbench.human.judged import compare_items, compare_means

    if judged is not None and judge_csv is not None:
        raise UserError("--judge and --judge-csv are two ways to name one judge; take one of them")
    if judged is not None:
        return compare_items(key, filled, read_judge_scores(judged, judge_id, key))
    if judge_csv is not None:
        return compare_means(key, filled, read_judge_means(judge_csv))
    return None


def _json(record: dict) -> str:
    import json

    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
