"""What `unlearnbench judge` says: the cost before and after, the scores by row, the judges."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from unlearnbench.ratings.judge.asking import Outcome
from unlearnbench.ratings.judge.items import Question
from unlearnbench.ratings.judge.records import Reply
from unlearnbench.ratings.judge.rubric import Prompt
from unlearnbench.ratings.judge.scores import JudgeScores, score_of
from unlearnbench.ratings.judge.selection import SelectedCell, Selection

_MOST_REASONS = 5


def cost_before(
    selection: Selection, questions: Mapping[str, Question], prompt: Prompt, max_tokens: int
) -> str:
    """Items and tokens that are going to be asked and answered."""
    distinct = selection.questions()
    tokens = estimated_prompt_tokens(questions.values(), prompt)
    return (
        f"{selection.n_continuations} continuations of {len(selection.cells)} cells, "
        f"{len(distinct)} distinct; {len(distinct) - len(questions)} answered before, "
        f"{len(questions)} to ask: about {tokens:,} prompt tokens (four characters for one) and "
        f"at most {len(questions) * max_tokens:,} completion tokens, retries not counted"
    )


def cost_after(outcome: Outcome) -> str:
    """Items and tokens of this run as the server counted them."""
    n_scored = sum(reply.score is not None for reply in outcome.replies)
    return (
        f"{n_scored} scored, {len(outcome.replies) - n_scored} unparsable, "
        f"{len(outcome.failures)} failed; {Usage.of(outcome.replies)}"
    )


def warnings(outcome: Outcome) -> Iterator[str]:
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

    return tabulate(
        [_line(cell, scores) for cell in cells],
        headers=("row", "forget set", "GPT", "±", "scored", "unparsable", "unanswered"),
        colalign=("left", "left", *["right"] * 5),
        tablefmt="plain",
        disable_numparse=True,
    )


def judges_table(judges: Sequence[JudgeScores], selection: Selection) -> str:
    """One line per judge: who it is, what it has scored of the results, what that took."""
    from tabulate import tabulate

    return tabulate(
        [_judge_line(judge, selection) for judge in judges],
        headers=("judge", "model", "endpoint", "wording", "scored", "tokens"),
        tablefmt="plain",
        disable_numparse=True,
    )


def _line(cell: SelectedCell, scores: JudgeScores) -> list[str]:
    by_doc_id, coverage = scores.by_doc_id(cell.items), scores.coverage(cell.items)
    mean = score_of(by_doc_id) if by_doc_id else None
    error = mean.stderr if mean else None
    return [
        cell.result.label,
        cell.result.forget_set.run,
        f"{mean.value:.2f}" if mean else "–",
        f"{error:.2f}" if error is not None else "–",
        str(coverage.scored),
        str(coverage.unparsable),
        str(coverage.unanswered),
    ]


def _judge_line(scores: JudgeScores, selection: Selection) -> list[str]:
    judge = scores.judge
    coverage = scores.coverage_of(cell.items for cell in selection.cells)
    wording = judge.prompt_sha256[:8]
    tokens = str(Usage.of(scores.replies.values()))
    return [judge.id, judge.judge_model, judge.endpoint, wording, str(coverage), tokens]


# English in a large vocabulary; the judge's own tokenizer is not known here.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Usage:
    """Tokens as the server reports them."""

    prompt_tokens: int
    completion_tokens: int
    n_untold: int  # replies whose server reported none

    @classmethod
    def of(cls, replies: Iterable[Reply]) -> "Usage":
        """The sums over replies."""
        told = list(replies)
        return cls(
            sum(r.prompt_tokens or 0 for r in told),
            sum(r.completion_tokens or 0 for r in told),
            sum(r.prompt_tokens is None or r.completion_tokens is None for r in told),
        )

    def __str__(self) -> str:
        untold = f" ({self.n_untold} replies came without a count)" if self.n_untold else ""
        counted = f"{self.prompt_tokens:,} prompt and {self.completion_tokens:,} completion tokens"
        return counted + untold


def estimated_prompt_tokens(questions: Iterable[Question], prompt: Prompt) -> int:
    """Tokens of all prompts, taking four characters for one."""
    items = (question.item for question in questions)
    lengths = (len(prompt.render(i.prefix, i.reference, i.candidate)) for i in items)
    return sum(-(-length // CHARACTERS_PER_TOKEN) for length in lengths)
