"""A study's record as text for a terminal."""

from collections.abc import Sequence

from unlearnbench.analysis.table import ABSENT, NOT_FORGOTTEN
from unlearnbench.ratings.human.comparison import JudgeComparison
from unlearnbench.ratings.human.rehearsal import describe
from unlearnbench.ratings.human.scores import Agreement, CellScore, Correlation, StudyScores

HOW = "10 (s - 1) / 7; the interval is Student's t over documents"
LIMIT_HIT = "Some run hit the epoch limit before the stop line."


def study_text(scores: StudyScores, judge: JudgeComparison | None) -> str:
    """Annotators, agreement, human scores and, if it is there, the judge."""
    parts = [describe(scores.stand_ins)] if scores.stand_ins else []
    annotators = [(a.annotator, a.n, a.n_missing, a.mean, a.normalised) for a in scores.annotators]
    heads = ("annotator", "scores", "missing", "mean (1-8)", "normalised (0-10)")
    parts += [_table(heads, annotators), agreement_sentence(scores.agreement)]
    if scores.agreement.n_items:
        pairs = [
            (f"{pair.first} and {pair.second}", pair.n, pair.pearson, pair.weighted_kappa)
            for pair in scores.agreement.pairs
        ]
        parts.append(_table(("pair", "items", "Pearson r", "weighted kappa"), pairs))
    cells = [
        (c.model, method_text(c), c.n_documents, c.n_scores, c.mean, c.normalised,
         interval_text(c.low, c.high))
        for c in scores.cells
    ]  # fmt: skip
    header = ("model", "method", "documents", "scores", "mean (1-8)", "human score", "95% interval")
    notes = [f"Human score: {HOW}."]
    if any(one.not_forgotten for one in scores.cells):
        notes.append(f"{NOT_FORGOTTEN} {LIMIT_HIT}")
    parts += [_table(header, cells), "\n".join(notes), *(_judge(judge) if judge else ())]
    return "\n\n".join(parts)


def _judge(judge: JudgeComparison) -> list[str]:
    rows = [(c.model, c.method, c.human, c.judge, c.n_documents) for c in judge.cells]
    lines = [pearson_sentence("models and methods", judge.over_cells)]
    if judge.over_items is not None:
        lines.append(pearson_sentence("single continuations", judge.over_items))
    if judge.unmatched:
        lines.append(f"Not judged: {'; '.join(judge.unmatched)}.")
    if judge.ignored:
        lines.append(f"Judged, but not in the study: {'; '.join(judge.ignored)}.")
    header = ("model", "method", "human score", "judge", "judged documents")
    return [_table(header, rows), "\n".join(lines)]


def agreement_sentence(agreement: Agreement) -> str:
    """Krippendorff's alpha over the items that two or more scored."""
    if agreement.n_items == 0:
        return "Agreement: no item was scored by two annotators."
    return (
        f"Agreement over {agreement.n_items} items: Krippendorff's alpha "
        f"{number_text(agreement.alpha_interval)} (interval), "
        f"{number_text(agreement.alpha_ordinal)} (ordinal)."
    )


def method_text(cell: CellScore) -> str:
    """The method's name, with its marker."""
    return cell.method + (f" {NOT_FORGOTTEN}" if cell.not_forgotten else "")


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


def _table(header: Sequence[str], rows: Sequence[Sequence[str | float | None]]) -> str:
    from tabulate import tabulate

    left = {"annotator", "pair", "model", "method"}
    return tabulate(
        [[number_text(v) if v is None or isinstance(v, float) else v for v in row] for row in rows],
        headers=list(header),
        tablefmt="simple",
        colalign=["left" if name in left else "right" for name in header],
        disable_numparse=True,
    )
