"""What a study's ratings say: annotators, their agreement, models and methods, the judge."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from statistics import fmean
from typing import Literal

from pydantic import Field

from unlearnbench.errors import UserError
from unlearnbench.ratings.human.ratings import Filled
from unlearnbench.ratings.human.rehearsal import why_mixed
from unlearnbench.ratings.human.scale import normalised_human_score
from unlearnbench.ratings.human.sheet import Key, KeyItem
from unlearnbench.results.record import Record
from unlearnbench.results.score import Score

CellName = tuple[str, str]  # model and method, as in the key
CONFIDENCE = 0.95


class AnnotatorScores(Record):
    """One annotator's use of the scale."""

    annotator: str
    file: str
    n: int = Field(description="scores given")
    n_missing: int = Field(description="items without a score")
    mean: float | None = Field(description="1..8; null if nothing was scored")
    normalised: float | None = Field(description="the same on 0..10")


class PairAgreement(Record):
    """Two annotators over the items that both scored."""

    first: str
    second: str
    n: int
    pearson: float | None = Field(description="null: fewer than three items, or no spread")
    weighted_kappa: float | None = Field(description="quadratic weights; null: undefined")


class Agreement(Record):
    """Agreement of all annotators."""

    n_items: int = Field(description="items with at least two scores")
    alpha_interval: float | None = Field(description="Krippendorff's alpha; null: undefined")
    alpha_ordinal: float | None
    pairs: list[PairAgreement]


class CellScore(Record):
    """The human score of one model and method."""

    model: str
    method: str
    not_forgotten: bool = Field(description="some run hit the epoch limit before the stop line")
    n_documents: int = Field(description="documents with at least one score")
    n_scores: int
    mean: float | None = Field(description="1..8: over documents, each the mean of its scores")
    normalised: float | None = Field(description="the same on 0..10")
    low: float | None = Field(description="95% interval of `normalised` over documents")
    high: float | None


class StudyScores(Record):
    """The whole record of a study."""

    stand_ins: dict[str, str] = Field(
        default_factory=dict,
        description="by annotator, the formula of the rule in a person's place; empty: people",
    )
    annotators: list[AnnotatorScores]
    agreement: Agreement
    cells: list[CellScore]


def study_scores(key: Key, filled: Sequence[Filled]) -> StudyScores:
    """The record of a key and its filled sheets, all joined by item id.

    Raises `UserError` where people and rules would be mixed.
    """
    for one in filled:
        if (reason := why_mixed(key, one)) is not None:
            raise UserError(f"{one.path}: {reason}")
    by_item = _by_item(filled)
    units = [by_item[item] for item in key.items if len(by_item.get(item, ())) > 1]
    return StudyScores(
        stand_ins=key.stand_ins,
        annotators=[_annotator(one, len(key.items)) for one in filled],
        agreement=Agreement(
            n_items=len(units),
            alpha_interval=krippendorff_alpha(units, "interval"),
            alpha_ordinal=krippendorff_alpha(units, "ordinal"),
            pairs=[_pair(a, b) for a, b in combinations(filled, 2)],
        ),
        cells=[_cell(name, items, by_item) for name, items in cells_of(key).items()],
    )


def cells_of(key: Key) -> dict[CellName, dict[str, KeyItem]]:
    """The key's items by model and method, in the table's order."""
    cells: dict[CellName, dict[str, KeyItem]] = defaultdict(dict)
    for item, entry in sorted(key.items.items(), key=lambda pair: pair[1].position):
        cells[entry.model, entry.method][item] = entry
    return dict(cells)


def item_means(filled: Sequence[Filled]) -> dict[str, float]:
    """The mean score of every item that somebody scored, 1..8."""
    return {item: fmean(scores) for item, scores in _by_item(filled).items()}


def _by_item(filled: Sequence[Filled]) -> dict[str, list[int]]:
    scores: dict[str, list[int]] = defaultdict(list)
    for one in filled:
        for item, score in one.scores.items():
            scores[item].append(score)
    return dict(scores)


def _annotator(one: Filled, n_items: int) -> AnnotatorScores:
    mean = fmean(one.scores.values()) if one.scores else None
    return AnnotatorScores(
        annotator=one.annotator,
        file=one.path.name,
        n=len(one.scores),
        n_missing=n_items - len(one.scores),
        mean=mean,
        normalised=None if mean is None else normalised_human_score(mean),
    )


def _pair(first: Filled, second: Filled) -> PairAgreement:
    both = [item for item in first.scores if item in second.scores]
    a, b = [first.scores[i] for i in both], [second.scores[i] for i in both]
    return PairAgreement(
        first=first.annotator,
        second=second.annotator,
        n=len(both),
        pearson=pearson(a, b).r,
        weighted_kappa=quadratic_weighted_kappa(a, b),
    )


def _cell(
    name: CellName, items: Mapping[str, KeyItem], every: Mapping[str, Sequence[int]]
) -> CellScore:
    scores = {item: own for item, own in every.items() if item in items}
    means = {item: fmean(own) for item, own in scores.items()}  # an item is a document of this cell
    by_item = {item: normalised_human_score(mean) for item, mean in means.items()}
    normalised = Score.of(by_item, higher_is_better=True) if by_item else None
    low, high = (normalised and mean_interval(normalised, 0.0, 10.0)) or (None, None)
    return CellScore(
        model=name[0],
        method=name[1],
        not_forgotten=any(entry.status == "not_forgotten" for entry in items.values()),
        n_documents=len(means),
        n_scores=sum(map(len, scores.values())),
        mean=fmean(means.values()) if means else None,
        normalised=normalised.value if normalised else None,
        low=low,
        high=high,
    )


def krippendorff_alpha(
    units: Iterable[Sequence[float]], level: Literal["interval", "ordinal"] = "interval"
) -> float | None:
    """Krippendorff's alpha, 1 - observed / expected disagreement (Krippendorff 2011).

    `units` holds the scores that each item got, from however many annotators; an item
    with fewer than two says nothing about agreement and is left out.  1: perfect, 0:
    as by chance.  None where it is undefined: nobody scored what another did, or all
    scores are equal.
    """
    rated_twice = [scores for scores in units if len(scores) > 1]
    counts = Counter(score for scores in rated_twice for score in scores)
    if len(counts) < 2:
        return None
    places = {score: float(score) for score in counts}
    if level == "ordinal":  # the middle rank of each score
        places = {s: sum(n for t, n in counts.items() if t < s) + counts[s] / 2 for s in counts}
    observed = sum(_mean_disagreement(Counter(scores), places) for scores in rated_twice)
    return 1 - observed / _mean_disagreement(counts, places)


def quadratic_weighted_kappa(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Cohen's kappa of two annotators' paired scores with squared distances (Cohen 1968).

    None where it is undefined: no scores, or both gave one and the same score throughout.
    """
    if not first:
        return None
    observed = fmean((a - b) ** 2 for a, b in zip(first, second, strict=True))
    by_chance = product(Counter(first).items(), Counter(second).items())
    expected = sum(n * m * (a - b) ** 2 for (a, n), (b, m) in by_chance) / len(first) ** 2
    return 1 - observed / expected if expected else None


def _mean_disagreement(counts: Counter[float], places: Mapping[float, float]) -> float:
    """The sum over scores of the mean squared distance to the other scores."""
    pairs = product(counts.items(), counts.items())
    total = sum(n * m * (places[a] - places[b]) ** 2 for (a, n), (b, m) in pairs)
    return total / (counts.total() - 1)


class Correlation(Record):
    """Pearson's r with its 95% interval."""

    r: float | None = Field(description="null: fewer than three pairs, or one side is constant")
    low: float | None = Field(description="95% interval; null: fewer than four pairs")
    high: float | None
    n: int = Field(description="pairs")


def pearson(first: Sequence[float], second: Sequence[float]) -> Correlation:
    """Pearson's r of paired values, its interval by Fisher's transformation."""
    from scipy.stats import pearsonr

    n = len(first)
    if n < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return Correlation(r=None, low=None, high=None, n=n)
    result = pearsonr(first, second)
    low, high = map(float, result.confidence_interval(CONFIDENCE)) if n > 3 else (None, None)
    return Correlation(r=float(result.statistic), low=low, high=high, n=n)


def mean_interval(score: Score, lowest: float, highest: float) -> tuple[float, float] | None:
    """The 95% interval of a mean by Student's t, cut to the range a mean can have.

    None for fewer than two documents.
    """
    from scipy.stats import t

    if score.stderr is None:
        return None
    margin = float(t.ppf((1 + CONFIDENCE) / 2, score.n - 1)) * score.stderr
    return max(lowest, score.value - margin), min(highest, score.value + margin)
