"""Many questions, a few at a time: every one ends answered or failed, and hopelessness is seen."""

import asyncio
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from unlearnbench.ratings.judge.client import Answer, Client, Failure
from unlearnbench.ratings.judge.items import Question
from unlearnbench.ratings.judge.records import Reply
from unlearnbench.ratings.judge.rubric import Prompt

# A server that fails this often without one answer in between has gone for good; each failure
# has had its retries by then.
STOP_AFTER = 8


@dataclass
class Outcome:
    """What became of the questions of one run."""

    replies: list[Reply] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # reason by item
    n_in_a_row: int = 0  # failures since the last answer
    stopped: str | None = None  # why the rest was not asked
    is_hopeless: bool = False  # it was stopped by a refusal that holds for all questions


@dataclass(frozen=True)
class Interview:
    """A client, what it asks with, and who is told."""

    client: Client
    prompt: Prompt
    keep: Callable[[Reply], None]  # called at once with each reply
    tell: Callable[[], None] = lambda: None  # called after each question

    def ask_all(self, questions: Mapping[str, Question], concurrency: int) -> Outcome:
        """Ask all questions, at most `concurrency` at a time.

        After a refusal that would meet every question, or `STOP_AFTER` failures in a row, the
        rest is not asked and counted as failed.  What was asked by then is waited for: it is
        paid for.
        """
        outcome = Outcome()
        if not questions:
            return outcome
        asyncio.run(self._ask_all(questions.values(), concurrency, outcome))
        for key in questions.keys() - {r.item for r in outcome.replies} - outcome.failures.keys():
            outcome.failures[key] = "not asked"
        return outcome

    async def _ask_all(
        self, questions: Iterable[Question], concurrency: int, outcome: Outcome
    ) -> None:
        waiting = iter(questions)
        async with self.client:
            await asyncio.gather(*(self._work(waiting, outcome) for _ in range(concurrency)))

    async def _work(self, waiting: Iterator[Question], outcome: Outcome) -> None:
        """Take one question after the other from those that all workers share."""
        for question in waiting:
            item = question.item
            text = self.prompt.render(item.prefix, item.reference, item.candidate)
            found = await self.client.ask(text)
            if isinstance(found, Answer):
                self._answered(question, found, outcome)
            else:
                _failed(question, found, outcome)
            self.tell()
            if outcome.stopped:
                return

    def _answered(self, question: Question, answer: Answer, outcome: Outcome) -> None:
        usage = answer.usage
        reply = Reply(
            item=question.item.key,
            cell=question.cell,
            doc_id=question.doc_id,
            reply=self.client.key.redact(answer.text),
            finish_reason=answer.finish_reason,
            max_tokens=self.client.max_tokens,
            served_model=answer.model and self.client.key.redact(answer.model),
            prompt_tokens=usage.prompt_tokens if usage else None,
            completion_tokens=usage.completion_tokens if usage else None,
        )
        self.keep(reply)
        outcome.replies.append(reply)
        outcome.n_in_a_row = 0


def _failed(question: Question, failure: Failure, outcome: Outcome) -> None:
    outcome.failures[question.item.key] = failure.reason
    outcome.n_in_a_row += 1
    if failure.is_hopeless and not outcome.is_hopeless:
        outcome.stopped, outcome.is_hopeless = failure.reason, True
    elif outcome.n_in_a_row == STOP_AFTER and not outcome.stopped:
        outcome.stopped = f"{STOP_AFTER} failures in a row, the last: {failure.reason}"


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """Yields what is called once a question is done."""
    if not sys.stderr.isatty():
        yield _Lines(total)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("judging", total=total)
        yield lambda: bar.advance(task)


class _Lines:
    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def __call__(self) -> None:
        before, self.done = 10 * self.done // self.total, self.done + 1
        if 10 * self.done // self.total > before:
            print(f"[{self.done}/{self.total}] judged", file=sys.stderr, flush=True)
