"""What judging costs: known roughly before, and to the token after."""

from collections.abc import Iterable
from dataclasses import dataclass

from unlearnbench.ratings.judge.items import Question
from unlearnbench.ratings.judge.records import Reply
from unlearnbench.ratings.judge.rubric import Prompt

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
