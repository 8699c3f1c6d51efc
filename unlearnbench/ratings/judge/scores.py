"""From a judge's replies to the scores a table shows, and what the table must say about them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from unlearnbench.analysis.table import Note
from unlearnbench.ratings.judge.items import Item, items_of
from unlearnbench.ratings.judge.records import Judge, Reply
from unlearnbench.results.record import Result
from unlearnbench.results.score import Metric, Score, table_i

TASK, METRIC = "judge", "gpt"
RECORD = replace(table_i(METRIC)[0], task=TASK)
# What a rule gives is no measurement: it says so in the heading and counts in no normalised score.
STAND_IN = replace(RECORD, label="GPT (rule)", in_score=False)


@dataclass(frozen=True)
class JudgeScores:
    """A judge and its replies by item."""

    judge: Judge
    replies: Mapping[str, Reply]

    @property
    def record(self) -> Metric:
        """The column that the scores fill."""
        return STAND_IN if self.judge.is_rule else RECORD

    def by_doc_id(self, items: Mapping[str, Item]) -> dict[str, float]:
        """The scores of items by doc_id; one without a score is left out."""
        found = {doc_id: self.replies.get(item.key) for doc_id, item in items.items()}
        scores = {doc_id: reply.score for doc_id, reply in found.items() if reply is not None}
        return {doc_id: score for doc_id, score in scores.items() if score is not None}

    def coverage(self, items: Mapping[str, Item]) -> "Coverage":
        """How many of the items have a score, and why the others have none."""
        counts = Counter(_state(self.replies.get(item.key)) for item in items.values())
        return Coverage(counts["scored"], counts["unparsable"], counts["unanswered"])

    def coverage_of(self, cells: Iterable[Mapping[str, Item]]) -> "Coverage":
        """The coverage of several cells' items together."""
        return sum(map(self.coverage, cells), Coverage())


@dataclass(frozen=True)
class Coverage:
    """How many continuations a judge has scored."""

    scored: int = 0
    unparsable: int = 0
    unanswered: int = 0  # never asked, or failed

    def __add__(self, other: "Coverage") -> "Coverage":
        return Coverage(
            self.scored + other.scored,
            self.unparsable + other.unparsable,
            self.unanswered + other.unanswered,
        )

    @property
    def total(self) -> int:
        """Continuations there are."""
        return self.scored + self.unparsable + self.unanswered

    def __str__(self) -> str:
        missing = [f"{n} {what}" for n, what in self._missing if n]
        return f"{self.scored} of {self.total}" + (f" ({', '.join(missing)})" if missing else "")

    @property
    def _missing(self) -> tuple[tuple[int, str], ...]:
        return (self.unparsable, "unparsable"), (self.unanswered, "without an answer")


def with_judge_scores(results: Sequence[Result], judge_scores: JudgeScores) -> list[Result]:
    """The results with the judge's mean over each one's documents as metric 'gpt' of task 'judge'.

    Scores are 0 to 10 and found by the texts of the document itself, so neither the order
    of rows nor that of replies can matter.  A result without any score is left as it is.
    """
    return [
        _with_score(result, judge_scores.by_doc_id(items_of(result)), judge_scores.record)
        for result in results
    ]


def score_of(by_doc_id: Mapping[str, float]) -> Score:
    """Mean and standard error over documents; there must be at least one."""
    return Score.of(by_doc_id, higher_is_better=True)


def judge_note(results: Sequence[Result], judge_scores: JudgeScores) -> Note:
    """Who gave the GPT scores, and whose means are over fewer continuations than there are."""
    by_row = _coverage_by_row(results, judge_scores)
    told = [f"{row} {found}" for row, found in by_row.items() if found.scored < found.total]
    bare = [row for row, found in by_row.items() if not found.total]
    return Note(
        "judge",
        _who(judge_scores.judge)
        + (f" Not every continuation has a score: {', '.join(told)}." if told else "")
        + (f" No continuations are stored for {', '.join(bare)}." if bare else ""),
    )


def _who(judge: Judge) -> str:
    if judge.is_rule:
        return (
            f"{STAND_IN.label}: a stand-in, in no s_z and s_m: mean score, 0 to 10, by rule "
            f"{judge.judge_model}, no language model: {judge.prompt}"
        )
    return (
        f"{RECORD.label}: mean score, 0 to 10, given by {judge.judge_model} at {judge.endpoint} "
        f"(judge {judge.id}, wording {judge.prompt_sha256[:8]})."
    )


def _coverage_by_row(results: Sequence[Result], judge_scores: JudgeScores) -> dict[str, Coverage]:
    """By the row's label, over all runs and settings that share it."""
    several = len({result.group for result in results}) > 1
    by_row: dict[str, Coverage] = {}
    for result in results:
        if result.status != "failed":
            row = f"{result.group}: {result.label}" if several else result.label
            by_row[row] = by_row.get(row, Coverage()) + judge_scores.coverage(items_of(result))
    return by_row


def _with_score(result: Result, scores: Mapping[str, float], record: Metric) -> Result:
    if not scores:
        return result
    metrics = [m for m in result.metrics if (m.task, m.name) != (TASK, METRIC)]
    return result.model_copy(
        update={
            "metrics": [*metrics, record],
            "scores": {**result.scores, TASK: {METRIC: score_of(scores)}},
        }
    )


def _state(reply: Reply | None) -> str:
    if reply is None:
        return "unanswered"
    return "unparsable" if reply.score is None else "scored"
