"""The study and the judge: both means of the same cells, and Pearson's r over them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean

from pydantic import Field

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.ratings import Filled, number_in
from unlearnbench.ratings.human.scale import normalised_human_score
from unlearnbench.ratings.human.scores import CellName, Correlation, cells_of, item_means, pearson
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
    means = item_means(filled)
    pairs = {
        name: [
            (normalised_human_score(means[item]), judged[entry.result_key, entry.doc_id])
            for item, entry in items.items()
            if item in means and (entry.result_key, entry.doc_id) in judged
        ]
        for name, items in cells_of(key).items()
    }
    return _comparison(pairs, by_item=True)


def compare_means(
    key: Key, filled: Sequence[Filled], judged: Mapping[CellName, float]
) -> JudgeComparison:
    """The comparison with the judge's mean of each model and method.

    A method may be named as in the table ('NEO + ICU') or as registered ('icu').
    """
    cells, means = cells_of(key), item_means(filled)
    names: dict[CellName, set[CellName]] = defaultdict(set)  # by every name a cell can be called
    for name, items in cells.items():
        for entry in items.values():
            registered = entry.method_name if entry.role == "method" else entry.role
            names[entry.model, registered].add(name)
    # A name that two cells share is none.
    by_alias = {alias: shared.pop() for alias, shared in names.items() if len(shared) == 1}
    by_alias |= {name: name for name in cells}
    judge = {by_alias[name]: score for name, score in judged.items() if name in by_alias}
    ignored = [f"{m}: {n}" for m, n in judged if (m, n) not in by_alias]
    if len(judge) + len(ignored) < len(judged):
        raise UserError("the judge's means name a method twice, by label and by name; keep one")
    pairs: dict[CellName, list[tuple[float, float]]] = {}
    for name, items in cells.items():
        human = [normalised_human_score(means[item]) for item in items if item in means]
        pairs[name] = [(fmean(human), judge[name])] if human and name in judge else []
    return _comparison(pairs, by_item=False, ignored=ignored)


def _comparison(
    pairs: Mapping[CellName, Sequence[tuple[float, float]]],
    by_item: bool,
    ignored: Sequence[str] = (),
) -> JudgeComparison:
    """The comparison of pairs of human and judge's scores: of each item, or one of each cell."""
    cells = [
        JudgedCell(
            model=model,
            method=method,
            human=fmean(human for human, _ in of_cell),
            judge=fmean(judge for _, judge in of_cell),
            n_documents=len(of_cell) if by_item else None,
        )
        for (model, method), of_cell in pairs.items()
        if of_cell
    ]
    if not cells:
        raise UserError(
            "the judge has no score of any model and method in the key, which are: "
            + "; ".join(f"{model}, {method}" for model, method in pairs)
        )
    return JudgeComparison(
        cells=cells,
        unmatched=[f"{m}: {n}" for (m, n), of_cell in pairs.items() if not of_cell],
        ignored=list(ignored),
        over_cells=pearson([cell.human for cell in cells], [cell.judge for cell in cells]),
        over_items=pearson(*zip(*chain(*pairs.values()), strict=True)) if by_item else None,
    )


def compare_with_judge(
    key: Key, filled: Sequence[Filled], folder: Path, judge_id: str | None
) -> tuple[Judge, JudgeComparison]:
    """The judge of a results folder that fits the study, and the comparison with its scores.

    A language model stands beside people, a rule beside rules.  Raises `UserError` if there is no
    such judge, if there are several and none is named, if the named one is of the other kind, or
    if a result of the study is not there.
    """
    files, store, by_rules = JudgeFiles(folder), Store(folder), bool(key.stand_ins)
    judge = files.named(judge_id, is_rule=by_rules)
    if judge is None:
        command = "human rehearse" if by_rules else "judge"
        raise UserError(f"no judge has scored {folder}; let one: unlearnbench {command} {folder}")
    if judge.is_rule != by_rules:
        kinds = ("a rule", "people") if judge.is_rule else ("no rule", "rules")
        raise UserError(
            f"judge {judge.id} is {kinds[0]}, and {kinds[1]} rated this sheet: the two are "
            "never set beside each other; see all judges with: unlearnbench judge RESULTS --list"
        )
    key, scores = key.renamed(store.renamed()), JudgeScores(judge, files.load(judge))
    judged: dict[JudgedItem, float] = {}
    for result_key in dict.fromkeys(entry.result_key for entry in key.items.values()):
        result = store.load(result_key)
        if not isinstance(result, Result):
            reason = "is not there" if result is None else result.reason
            raise UserError(
                f"{store.path(result_key)}, which the sheet was made from: {reason}; "
                "give the results folder of the sheet: --judge RESULTS"
            )
        for doc_id, score in scores.by_doc_id(items_of(result)).items():
            judged[result_key, doc_id] = score
    return judge, compare_items(key, filled, judged)


def read_judge_means(path: Path) -> dict[CellName, float]:
    """The judge's means in a CSV with the columns model, method and score (0..10).

    Raises `UserError` naming the row of a score that is none, or of a cell that is
    there twice.
    """
    means: dict[CellName, float] = {}
    for number, row in read_table(path, ("model", "method", "score")):
        name = row["model"].strip(), row["method"].strip()
        score = number_in(row["score"].strip(), decimals=30)
        if score is None or not 0 <= score <= 10 or name in means:
            what = "is there twice" if name in means else f"has the score '{row['score']}'"
            raise UserError(
                f"{path}: row {number}: {name[0]}, {name[1]} {what}; "
                "give one number of 0-10 for each model and method"
            )
        means[name] = score
    return means
