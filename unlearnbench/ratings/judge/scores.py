"""From a judge's replies to the scores a table shows, and what the command prints of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import Note
from unlearnbench.ratings.judge.questions import Item, Question, SelectedCell, Selection, items_of
from unlearnbench.ratings.judge.replies import Judge, Reply
from unlearnbench.ratings.judge.rubric import Prompt
from unlearnbench.results.record import Result
from unlearnbench.results.score import Metric, Score, table_i

if TYPE_CHECKING:
    from unlearnbench.ratings.judge.client import Outcome  # whose module loads openai

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
        replies = ((doc_id, self.replies.get(item.key)) for doc_id, item in items.items())
        scores = ((doc_id, reply.score) for doc_id, reply in replies if reply is not None)
        return {doc_id: score for doc_id, score in scores if score is not None}

    def coverage(self, items: Iterable[Item]) -> "Coverage":
        """How many of the items have a score, and why the others have none."""
        replies = [self.replies.get(item.key) for item in items]
        answered = [reply for reply in replies if reply is not None]
        n_scored = sum(reply.score is not None for reply in answered)
        return Coverage(n_scored, len(answered) - n_scored, len(replies) - len(answered))


@dataclass(frozen=True)
class Coverage:
    """How many continuations a judge has scored."""

    scored: int
    unparsable: int
    unanswered: int  # never asked, or failed

    @property
    def total(self) -> int:
        """Continuations there are."""
        return self.scored + self.unparsable + self.unanswered

    def __str__(self) -> str:
        counts = ((self.unparsable, "unparsable"), (self.unanswered, "without an answer"))
        missing = [f"{n} {what}" for n, what in counts if n]
        return f"{self.scored} of {self.total}" + (f" ({', '.join(missing)})" if missing else "")


def with_judge_scores(results: Sequence[Result], judge_scores: JudgeScores) -> list[Result]:
    """The results with the judge's mean over each one's documents as metric 'gpt' of task 'judge'.

    Scores are 0 to 10 and found by the texts of the document itself, so neither the order
    of rows nor that of replies can matter.  A result without any score is left as it is.
    """
    judged = []
    for result in results:
        if scores := judge_scores.by_doc_id(items_of(result)):
            metrics = [m for m in result.metrics if (m.task, m.name) != (TASK, METRIC)]
            score = {METRIC: Score.of(scores, higher_is_better=True)}
            update = {
                "metrics": [*metrics, judge_scores.record],
                "scores": {**result.scores, TASK: score},
            }
            result = result.model_copy(update=update)
        judged.append(result)
    return judged


def judge_note(results: Sequence[Result], judge_scores: JudgeScores) -> Note:
    """Who gave the GPT scores, and whose means are over fewer continuations than there are."""
    several = len({result.group for result in results}) > 1
    items: dict[str, list[Item]] = defaultdict(list)  # by the label that runs and settings share
    for result in results:
        if result.status != "failed":
            row = f"{result.group}: {result.label}" if several else result.label
            items[row] += items_of(result).values()
    by_row = {row: judge_scores.coverage(of_row) for row, of_row in items.items()}
    partly = [f"{row} {counts}" for row, counts in by_row.items() if counts.scored < counts.total]
    bare = [row for row, counts in by_row.items() if not counts.total]
    return Note(
        "judge",
        _who(judge_scores.judge)
        + (f" Not every continuation has a score: {', '.join(partly)}." if partly else "")
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


_MOST_REASONS = 5
# English in a large vocabulary; the judge's own tokenizer is not known here.
CHARACTERS_PER_TOKEN = 4


def cost_before(
    selection: Selection, questions: Mapping[str, Question], prompt: Prompt, max_tokens: int
) -> str:
    """Items and tokens that are going to be asked and answered."""
    distinct = selection.questions()
    items = [question.item for question in questions.values()]
    lengths = [len(prompt.render(i.prefix, i.reference, i.candidate)) for i in items]
    tokens = sum(-(-length // CHARACTERS_PER_TOKEN) for length in lengths)
    return (
        f"{len(selection.items())} continuations of {len(selection.cells)} cells, "
        f"{len(distinct)} distinct; {len(distinct) - len(questions)} answered before, "
        f"{len(questions)} to ask: about {tokens:,} prompt tokens (four characters for one) and "
        f"at most {len(questions) * max_tokens:,} completion tokens, retries not counted"
    )


def cost_after(outcome: "Outcome") -> str:
    """Items and tokens of this run as the server counted them."""
    n_scored = sum(reply.score is not None for reply in outcome.replies)
    return (
        f"{n_scored} scored, {len(outcome.replies) - n_scored} unparsable, "
        f"{len(outcome.failures)} failed; {token_counts(outcome.replies)}"
    )


def warnings(outcome: "Outcome") -> Iterator[str]:
    """Why questions failed, and whether more than one model answered."""
    reasons = Counter(outcome.failures.values())
    for reason, n in reasons.most_common(_MOST_REASONS):
        yield f"{n} failed: {reason}"
    if len(reasons) > _MOST_REASONS:
        yield f"and for {len(reasons) - _MOST_REASONS} other reasons"
    if outcome.stopped:
        yield f"stopped after {outcome.stopped}; run the same command to go on"
    models = sorted({reply.served_model for reply in outcome.replies if reply.served_model})
    if len(models) > 1:
        yield f"warning: the server answered with different models: {', '.join(models)}"


def scores_table(cells: Sequence[SelectedCell], scores: JudgeScores) -> str:
    """One line per cell: mean, standard error, and how many continuations they are over."""
    from tabulate import tabulate

    rows = []
    for cell in cells:
        by_doc_id, coverage = scores.by_doc_id(cell.items), scores.coverage(cell.items.values())
        mean = Score.of(by_doc_id, higher_is_better=True) if by_doc_id else None
        numbers = (mean.value, mean.stderr) if mean else (None, None)
        rows.append([
            cell.result.label,
            cell.result.forget_set.run,
            *("–" if number is None else f"{number:.2f}" for number in numbers),
            coverage.scored,
            coverage.unparsable,
            coverage.unanswered,
        ])  # fmt: skip
    return tabulate(
        rows,
        headers=("row", "forget set", "GPT", "±", "scored", "unparsable", "unanswered"),
        colalign=("left", "left", *["right"] * 5),
        tablefmt="plain",
        disable_numparse=True,
    )


def judges_table(judges: Sequence[JudgeScores], selection: Selection) -> str:
    """One line per judge: who it is, what it has scored of the results, what that took."""
    from tabulate import tabulate

    rows = []
    for scores in judges:
        judge, coverage = scores.judge, scores.coverage(selection.items())
        tokens = token_counts(scores.replies.values())
        wording = judge.prompt_sha256[:8]
        rows.append([judge.id, judge.judge_model, judge.endpoint, wording, str(coverage), tokens])
    return tabulate(
        rows,
        headers=("judge", "model", "endpoint", "wording", "scored", "tokens"),
        tablefmt="plain",
        disable_numparse=True,
    )


def token_counts(replies: Iterable[Reply]) -> str:
    """The tokens of all replies as the server reported them, in words."""
    every = list(replies)
    prompt = sum(reply.prompt_tokens or 0 for reply in every)
    completion = sum(reply.completion_tokens or 0 for reply in every)
    n_missing = sum(None in (reply.prompt_tokens, reply.completion_tokens) for reply in every)
    missing = f" ({n_missing} replies came without a count)" if n_missing else ""
    return f"{prompt:,} prompt and {completion:,} completion tokens{missing}"
