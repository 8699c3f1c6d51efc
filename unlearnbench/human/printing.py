"""A study's record as text for a terminal."""

from collections.abc import Sequence

from unlearnbench.human.judged import JudgeComparison, PearsonRecord
from unlearnbench.human.scores import Agreement, CellScore, StudyScores

ABSENT = "–"
NOT_FORGOTTEN = "†"


def study_text(scores: StudyScores, judge: JudgeComparison | None) -> str:
    """Annotators, agreement, human scores and, if it is there, the judge."""
    parts = [_annotators(scores), _agreement(scores.agreement), _cells(scores.cells)]
    if judge is not None:
        parts.append(_judge(judge))
    return "\n\n".join(parts)


def _annotators(scores: StudyScores) -> str:
    rows = [
        (one.annotator, str(one.n), str(one.n_missing), _number(one.mean), _number(one.normalised))
        for one in scores.annotators
    ]
    return _table(("annotator", "scores", "missing", "mean (1-8)", "normalised (0-10)"), rows)


def _agreement(agreement: Agreement) -> str:
    if agreement.n_items == 0:
        return "Agreement: no item was scored by two annotators."
    told = (
        f"Agreement over {agreement.n_items} items: Krippendorff's alpha "
        f"{_number(agreement.alpha_interval)} (interval), "
        f"{_number(agreement.alpha_ordinal)} (ordinal)."
    )
    rows = [
        (
            f"{pair.first} and {pair.second}",
            str(pair.n),
            _number(pair.pearson),
            _number(pair.weighted_kappa),
        )
        for pair in agreement.pairs
    ]
    return f"{told}\n\n" + _table(("pair", "items", "Pearson r", "weighted kappa"), rows)


def _cells(cells: Sequence[CellScore]) -> str:
    rows = [
        (
            one.model,
            one.method + (f" {NOT_FORGOTTEN}" if one.not_forgotten else ""),
            str(one.n_documents),
            str(one.n_scores),
            _number(one.mean),
            _number(one.normalised),
            _interval(one.low, one.high),
        )
        for one in cells
    ]
    header = ("model", "method", "documents", "scores", "mean (1-8)", "human score", "95% interval")
    notes = ["Human score: 10 (s - 1) / 7; the interval is Student's t over documents."]
    if any(one.not_forgotten for one in cells):
        notes.append(f"{NOT_FORGOTTEN} Some run hit the epoch limit before the stop line.")
    return _table(header, rows) + "\n\n" + "\n".join(notes)


def _judge(judge: JudgeComparison) -> str:
    rows = [
        (
            one.model,
            one.method,
            _number(one.human),
            _number(one.judge),
            ABSENT if one.n_documents is None else str(one.n_documents),
        )
        for one in judge.cells
    ]
    lines = [_pearson("models and methods", judge.over_cells)]
    if judge.over_items is not None:
        lines.append(_pearson("single continuations", judge.over_items))
    if judge.unmatched:
        lines.append(f"Not judged: {'; '.join(judge.unmatched)}.")
    if judge.ignored:
        lines.append(f"Judged, but not in the study: {'; '.join(judge.ignored)}.")
    header = ("model", "method", "human score", "judge", "judged documents")
    return _table(header, rows) + "\n\n" + "\n".join(lines)


def _pearson(over: str, found: PearsonRecord) -> str:
    if found.r is None:
        return (
            f"Pearson r over {found.n} {over}: undefined (fewer than three, or one side constant)."
        )
    interval = _interval(found.low, found.high, digits=4)
    told = "no interval with fewer than four" if interval == ABSENT else f"95% interval {interval}"
    return f"Pearson r over {found.n} {over}: {found.r:.4f} ({told})."


def _number(value: float | None, digits: int = 2) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"


def _interval(low: float | None, high: float | None, digits: int = 2) -> str:
    if low is None or high is None:
        return ABSENT
    return f"{low:.{digits}f} to {high:.{digits}f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    left = {"annotator", "pair", "model", "method"}
    aligned = ["left" if name in left else "right" for name in header]
    return tabulate(
        rows,
        headers=list(header),
        tablefmt="simple",
        colalign=aligned,
        disable_numparse=True,
    )
