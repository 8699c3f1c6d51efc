"""`unlearnbench human score`: what filled sheets say, and how they agree with the judge."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.ratings.human.beside_judge import JudgeComparison
    from unlearnbench.ratings.human.filled import Filled
    from unlearnbench.ratings.human.key import Key

_FILE = click.Path(path_type=Path)


@click.command()
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
    from unlearnbench.ratings.human.key import read_key
    from unlearnbench.ratings.human.printing import study_text
    from unlearnbench.ratings.human.scores import study_scores

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
    from unlearnbench.ratings.human.filled import named_files, read_filled

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
    from unlearnbench.ratings.human.beside_judge import compare_items, compare_means
    from unlearnbench.ratings.human.judge_files import read_judge_means, read_judge_scores

    if judged is not None and judge_csv is not None:
        raise UserError("--judge and --judge-csv are two ways to name one judge; take one of them")
    if judge_csv is not None and key.stand_ins:
        raise UserError(
            "rules rated this sheet, and only a rule's scores are set beside theirs; take "
            "--judge RESULTS"
        )
    if judged is not None:
        return compare_items(key, filled, read_judge_scores(judged, judge_id, key))
    if judge_csv is not None:
        return compare_means(key, filled, read_judge_means(judge_csv))
    return None


def _json(record: dict) -> str:
    import json

    return json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
