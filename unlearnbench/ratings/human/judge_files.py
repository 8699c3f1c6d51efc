"""The judge's scores: from the results a study was made of, or means from a CSV."""

import re
from collections.abc import Iterator
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.beside_judge import JudgedItem
from unlearnbench.ratings.human.key import Key
from unlearnbench.ratings.human.scores import CellName
from unlearnbench.ratings.human.spreadsheets import read_table
from unlearnbench.ratings.human.stand_ins import check_judge
from unlearnbench.ratings.judge.items import items_of
from unlearnbench.ratings.judge.records import Judge
from unlearnbench.ratings.judge.replies import JudgeFiles
from unlearnbench.ratings.judge.scores import JudgeScores
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store


def read_judge_scores(folder: Path, judge_id: str | None, key: Key) -> dict[JudgedItem, float]:
    """Scores of 0..10 by result key and doc_id; what has no score is not there.

    Raises `UserError` as `judge_of` does, or if a result of the study is not there.
    """
    files = JudgeFiles(folder)
    judge = judge_of(files, judge_id, key)
    scores = JudgeScores(judge, files.load(judge))
    return {
        (result_key, doc_id): score
        for result_key, result in _results_of(folder, key)
        for doc_id, score in scores.by_doc_id(items_of(result)).items()
    }


def judge_of(files: JudgeFiles, judge_id: str | None, key: Key) -> Judge:
    """The judge to set beside a study: a language model beside people, a rule beside rules.

    Raises `UserError` if there is none, if there are several and none is named, or if the named
    one is of the other kind.
    """
    if judge_id is not None and (judge := files.named(judge_id)) is not None:
        check_judge(key, judge_id, judge.is_rule)
        return judge
    fitting = {n: j for n, j in files.judges().items() if j.is_rule == bool(key.stand_ins)}
    if len(fitting) > 1:
        raise UserError(
            f"{len(fitting)} judges have scored these; --judge-id one: {', '.join(fitting)}"
        )
    if not fitting:
        command = "human rehearse" if key.stand_ins else "judge"
        raise UserError(
            f"no judge has scored {files.results}; let one: unlearnbench {command} {files.results}"
        )
    return next(iter(fitting.values()))


def _results_of(folder: Path, key: Key) -> Iterator[tuple[str, Result]]:
    """The results by the keys they had when the sheet was made."""
    store = Store(folder)
    renamed = store.renamed()
    for result_key in dict.fromkeys(entry.result_key for entry in key.items.values()):
        result = store.load(renamed.get(result_key, result_key))
        if not isinstance(result, Result):
            why = "is not there" if result is None else result.reason
            raise UserError(
                f"{store.path(result_key)}, which the sheet was made from: {why}; "
                "give the results folder of the sheet: --judge RESULTS"
            )
        yield result_key, result


def read_judge_means(path: Path) -> dict[CellName, float]:
    """The judge's means in a CSV with the columns model, method and score (0..10).

    Raises `UserError` naming the row of a score that is none, or of a cell that is
    there twice.
    """
    means: dict[CellName, float] = {}
    for number, row in read_table(path, ("model", "method", "score")):
        name = row["model"].strip(), row["method"].strip()
        score = _score(row["score"])
        if score is None or name in means:
            what = "is there twice" if name in means else f"has the score '{row['score']}'"
            raise UserError(
                f"{path}: row {number}: {name[0]}, {name[1]} {what}; "
                "give one number of 0-10 for each model and method"
            )
        means[name] = score
    return means


def _score(text: str) -> float | None:
    if not _NUMBER.fullmatch(text.strip()):
        return None
    score = float(text.replace(",", "."))
    return score if 0 <= score <= 10 else None


_NUMBER = re.compile(r"[0-9]{1,2}(?:[.,][0-9]{0,30})?")
