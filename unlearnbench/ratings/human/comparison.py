"""The study and the judge: both means of the same cells, and Pearson's r over them."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from pydantic import Field

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.agreement import Correlation, pearson
from unlearnbench.ratings.human.ratings import Filled
from unlearnbench.ratings.human.rehearsal import check_judge
from unlearnbench.ratings.human.scale import normalised_human_score
from unlearnbench.ratings.human.scores import CellName, cells_of, item_means
from unlearnbench.ratings.human.sheet import Key, read_table
from unlearnbench.ratings.judge.questions import items_of
from unlearnbench.ratings.judge.replies import Judge, JudgeFiles
from unlearnbench.ratings.judge.scores import JudgeScores
from unlearnbench.results.record import Record, Result
from unlearnbench.results.store import Store

JudgedItem = tuple[str, str]  # result key and doc_id


class JudgedCell(Record):
    """One model and method under both."""

    model: str
    method: str
    human: float = Field(description="normalised, 0..10")
    judge: float = Field(description="0..10")
    n_documents: int | None = Field(description="judged documents of the sheet; null: not known")


class JudgeComparison(Record):
    """Human study and judge over the cells that both have."""

    cells: list[JudgedCell]
    unmatched: list[str] = Field(description="cells of the study that the judge has no score of")
    ignored: list[str] = Field(description="what the judge has and the study has not")
    over_cells: Correlation = Field(description="over model x method means, as in the paper")
    over_items: Correlation | None = Field(
        description="over single continuations; null where the judge's are not known"
    )


def compare_items(
    key: Key, filled: Sequence[Filled], judged: Mapping[JudgedItem, float]
) -> JudgeComparison:
    """The comparison with the judge's score of each continuation, by result key and doc_id.

    A cell's two means are over the very items that both have scored.
    """
    pairs = _paired_scores(key, item_means(filled), judged)
    cells = [
        JudgedCell(
            model=name[0],
            method=name[1],
            human=fmean(human for human, _ in of_cell),
            judge=fmean(judge for _, judge in of_cell),
            n_documents=len(of_cell),
        )
        for name, of_cell in pairs.items()
        if of_cell
    ]
    every = [pair for of_cell in pairs.values() for pair in of_cell]
    over_items = pearson([human for human, _ in every], [judge for _, judge in every])
    return _comparison(cells, pairs, over_items, [])


def _paired_scores(
    key: Key, means: Mapping[str, float], judged: Mapping[JudgedItem, float]
) -> dict[CellName, list[tuple[float, float]]]:
    """By cell, the normalised human score and the judge's of every item that has both."""
    return {
        name: [
            (normalised_human_score(means[item]), judged[entry.result_key, entry.doc_id])
            for item, entry in items.items()
            if item in means and (entry.result_key, entry.doc_id) in judged
        ]
        for name, items in cells_of(key).items()
    }


def compare_means(
    key: Key, filled: Sequence[Filled], judged: Mapping[CellName, float]
) -> JudgeComparison:
    """The comparison with the judge's mean of each model and method.

    A method may be named as in the table ('NEO + ICU') or as registered ('icu').
    """
    names, by_alias = cells_of(key), _cells_by_alias(key)
    judge = {by_alias[name]: score for name, score in judged.items() if name in by_alias}
    ignored = [f"{m}: {n}" for m, n in judged if (m, n) not in by_alias]
    if len(judge) + len(ignored) < len(judged):
        raise UserError("the judge's means name a method twice, by label and by name; keep one")
    human = {name: _human_mean(items, item_means(filled)) for name, items in names.items()}
    cells = [
        JudgedCell(model=name[0], method=name[1], human=mean, judge=judge[name], n_documents=None)
        for name, mean in human.items()
        if mean is not None and name in judge
    ]
    return _comparison(cells, names, None, ignored)


def _human_mean(items: Iterable[str], means: Mapping[str, float]) -> float | None:
    scores = [normalised_human_score(means[item]) for item in items if item in means]
    return fmean(scores) if scores else None


def _cells_by_alias(key: Key) -> dict[CellName, CellName]:
    """Cells by every name they can be called; a name that two cells share is none."""
    cells: dict[CellName, set[CellName]] = defaultdict(set)
    for name, items in cells_of(key).items():
        for entry in items.values():
            registered = entry.method_name if entry.role == "method" else entry.role
            cells[entry.model, registered].add(name)
    unique = {alias: names.pop() for alias, names in cells.items() if len(names) == 1}
    return {**unique, **{name: name for name in cells_of(key)}}


def _comparison(
    cells: list[JudgedCell],
    names: Mapping[CellName, object],
    over_items: Correlation | None,
    ignored: list[str],
) -> JudgeComparison:
    if not cells:
        raise UserError(
            "the judge has no score of any model and method in the key, which are: "
            + "; ".join(f"{model}, {method}" for model, method in names)
        )
    matched = {(cell.model, cell.method) for cell in cells}
    return JudgeComparison(
        cells=cells,
        unmatched=[f"{m}: {n}" for m, n in names if (m, n) not in matched],
        ignored=ignored,
        over_cells=pearson([c.human for c in cells], [c.judge for c in cells]),
        over_items=over_items,
    )


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
        check_judge(key, judge)
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
        text = row["score"].strip()
        score = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else 11.0
        if score > 10 or name in means:
            what = "is there twice" if name in means else f"has the score '{row['score']}'"
            raise UserError(
                f"{path}: row {number}: {name[0]}, {name[1]} {what}; "
                "give one number of 0-10 for each model and method"
            )
        means[name] = score
    return means


_NUMBER = re.compile(r"[0-9]{1,2}(?:[.,][0-9]{0,30})?")
