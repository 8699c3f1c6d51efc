"""The study beside the judge: its means of the same cells, and Pearson's r over them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from pydantic import Field

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.agreement import pearson
from unlearnbench.ratings.human.filled import Filled
from unlearnbench.ratings.human.key import Key
from unlearnbench.ratings.human.scale import normalised_human_score
from unlearnbench.ratings.human.scores import CellName, cells_of, item_means
from unlearnbench.results.record import Record

JudgedItem = tuple[str, str]  # result key and doc_id


class PearsonRecord(Record):
    """Pearson's r of the normalised human score and the judge's."""

    r: float | None = Field(description="null: fewer than three pairs, or no spread")
    low: float | None = Field(description="95% interval; null: fewer than four pairs")
    high: float | None
    n: int = Field(description="pairs")


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
    over_cells: PearsonRecord = Field(description="over model x method means, as in the paper")
    over_items: PearsonRecord | None = Field(
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
            human=fmean(human for human, _ in found),
            judge=fmean(judge for _, judge in found),
            n_documents=len(found),
        )
        for name, found in pairs.items()
        if found
    ]
    every = [pair for found in pairs.values() for pair in found]
    over_items = _pearson([human for human, _ in every], [judge for _, judge in every])
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
        JudgedCell(model=name[0], method=name[1], human=found, judge=judge[name], n_documents=None)
        for name, found in human.items()
        if found is not None and name in judge
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
    unique = {alias: found.pop() for alias, found in cells.items() if len(found) == 1}
    return {**unique, **{name: name for name in cells_of(key)}}


def _comparison(
    cells: list[JudgedCell],
    names: Mapping[CellName, object],
    over_items: PearsonRecord | None,
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
        over_cells=_pearson([c.human for c in cells], [c.judge for c in cells]),
        over_items=over_items,
    )


def _pearson(human: Sequence[float], judge: Sequence[float]) -> PearsonRecord:
    found = pearson(human, judge)
    if found is None:
        return PearsonRecord(r=None, low=None, high=None, n=len(human))
    return PearsonRecord(r=found.r, low=found.low, high=found.high, n=found.n)
