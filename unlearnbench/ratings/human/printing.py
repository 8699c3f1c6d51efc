"""A study's record as text for a terminal."""

from collections.abc import Sequence

from unlearnbench.ratings.human.agreement import Correlation
from unlearnbench.ratings.human.comparison import JudgeComparison
from unlearnbench.ratings.human.rehearsal import describe
from unlearnbench.ratings.human.scores import Agreement, CellScore, StudyScores

ABSENT = "–"
NOT_FORGOTTEN = "†"
HOW = "10 (s - 1) / 7; the interval is Student's t over documents"
LIMIT_HIT = "Some run hit the epoch limit before the stop line."


def study_text(scores: StudyScores, judge: JudgeComparison | None) -> str:
    """Annotators, agreement, human scores and, if it is there, the judge."""
    parts = [_annotators(scores), _agreement(scores.agreement), _cells(scores.cells)]
    if scores.stand_ins:
        parts.insert(0, describe(scores.stand_ins))
    if judge is not None:
        parts.append(_judge(judge))
    return "\n\n".join(parts)


def _annotators(scores: StudyScores) -> str:
    rows = [
        (
            one.annotator,
            str(one.n),
            str(one.n_missing),
            number_text(one.mean),
            number_text(one.normalised),
        )
        for one in scores.annotators
    ]
    return _table(("annotator", "scores", "missing", "mean (1-8)", "normalised (0-10)"), rows)


def _agreement(agreement: Agreement) -> str:
    if agreement.n_items == 0:
        return agreement_sentence(agreement)
    rows = [
        (
            f"{pair.first} and {pair.second}",
            str(pair.n),
            number_text(pair.pearson),
            number_text(pair.weighted_kappa),
        )
        for pair in agreement.pairs
    ]
    return f"{agreement_sentence(agreement)}\n\n" + _table(
        ("pair", "items", "Pearson r", "weighted kappa"), rows
    )


def agreement_sentence(agreement: Agreement) -> str:
    """Krippendorff's alpha over the items that two or more scored."""
    if agreement.n_items == 0:
        return "Agreement: no item was scored by two annotators."
    return (
        f"Agreement over {agreement.n_items} items: Krippendorff's alpha "
        f"{number_text(agreement.alpha_interval)} (interval), "
        f"{number_text(agreement.alpha_ordinal)} (ordinal)."
    )


def _cells(cells: Sequence[CellScore]) -> str:
    rows = [
        (
            one.model,
            method_text(one),
            str(one.n_documents),
            str(one.n_scores),
            number_text(one.mean),
            number_text(one.normalised),
            interval_text(one.low, one.high),
        )
        for one in cells
    ]
    header = ("model", "method", "documents", "scores", "mean (1-8)", "human score", "95% interval")
    notes = [f"Human score: {HOW}."]
    if any(one.not_forgotten for one in cells):
        notes.append(f"{NOT_FORGOTTEN} {LIMIT_HIT}")
    return _table(header, rows) + "\n\n" + "\n".join(notes)


def method_text(cell: CellScore) -> str:
    """The method's name, with its marker."""
    return cell.method + (f" {NOT_FORGOTTEN}" if cell.not_forgotten else "")


def _judge(judge: JudgeComparison) -> str:
    rows = [
        (
            one.model,
            one.method,
            number_text(one.human),
            number_text(one.judge),
            ABSENT if one.n_documents is None else str(one.n_documents),
        )
        for one in judge.cells
    ]
    lines = [pearson_sentence("models and methods", judge.over_cells)]
    if judge.over_items is not None:
        lines.append(pearson_sentence("single continuations", judge.over_items))
    if judge.unmatched:
        lines.append(f"Not judged: {'; '.join(judge.unmatched)}.")
    if judge.ignored:
        lines.append(f"Judged, but not in the study: {'; '.join(judge.ignored)}.")
    header = ("model", "method", "human score", "judge", "judged documents")
    return _table(header, rows) + "\n\n" + "\n".join(lines)


def pearson_sentence(over: str, result: Correlation) -> str:
    """Pearson's r with its interval, or why there is none."""
    start = f"Pearson r over {result.n} {over}:"
    if result.r is None:
        return f"{start} undefined (fewer than three, or one side constant)."
    if result.low is None:
        return f"{start} {result.r:.4f} (no interval with fewer than four)."
    interval = interval_text(result.low, result.high, digits=4)
    return f"{start} {result.r:.4f} (95% interval {interval})."


def number_text(value: float | None, digits: int = 2) -> str:
    """A number as it is printed; '–' for none."""
    return ABSENT if value is None else f"{value:.{digits}f}"


def interval_text(low: float | None, high: float | None, digits: int = 2) -> str:
    """An interval as it is printed; '–' for none."""
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
