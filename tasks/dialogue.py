"""Replies in four sets of conversations: Table I's Dia Avg."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.data.evaluation_sets import DIALOGUE_SETS
from unlearnbench.metrics.task import Task, TaskContext
from unlearnbench.metrics.text import token_f1
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score, table_i
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

AVERAGE = "dia_avg"
SPEAKER = "\nUser "  # where a new turn begins, and therefore where a reply ends

# ParlAI's marks as they stand apart in tokenised text, and as they stand in written text.
_MARKS = ((" .", "."), (" ,", ","), (" ?", "?"), (" !", "!"), (" ' ", "'"))
_FIRST_PERSON = ("i", "i'm", "i've", "i'll", "i'd")
_SENTENCE_END = "?.!"


def _of_set(name: str) -> Metric:
    label = f"{name.replace('_', ' ').title().replace(' Of ', ' of ')} (F1)"
    return Metric(name, label, higher_is_better=True, unit="%", scale=100.0, in_score=False)


@register
@dataclass(kw_only=True)
class Dialogue(Task):
    """Token F1 of the replies to four sets of conversations, and their mean."""

    name = "dialogue"
    source = (
        "ParlAI's F1; Dinan et al. 2019, Rashkin et al. 2019, Smith et al. 2020, "
        "Komeili et al. 2021"
    )
    needs = DIALOGUE_SETS
    is_of_model_alone = True
    metrics = (*table_i(AVERAGE), *map(_of_set, needs))

    new_tokens: int = setting(32, "tokens of a reply at most", minimum=1)
    batch_size: int = setting(
        16, "conversations at a time at least; more where memory allows", minimum=1
    )

    def measure(self, model: "LanguageModel", context: TaskContext) -> dict[str, Score]:
        """F1 by set and, where all four are there, their unweighted mean; `outputs` by set."""
        sets = {name: context.sets[name] for name in self.needs if name in context.sets}
        rows = {name: each.rows[: context.limit] for name, each in sets.items()}
        # By set and `doc_id`: what the model reads, and what its reply is compared with.
        requested = {
            name: {row["doc_id"]: conversation_prompt(row["turns"]) for row in own}
            for name, own in rows.items()
            if own
        }
        prompts = [prompt for each in requested.values() for prompt, _ in each.values()]
        replies = self._replies(model, prompts)
        scores = {name: _score(each, replies) for name, each in requested.items()}
        if len(scores) < len(self.needs):
            return scores
        are_degenerate = all(score.degenerate for score in scores.values())
        return {AVERAGE: Score.mean_of(scores, degenerate=are_degenerate), **scores}

    def _replies(self, model: "LanguageModel", prompts: list[str]) -> dict[str, str]:
        """What the model answers to each prompt; those of all sets go through it together."""
        from unlearnbench.models.generation.replies import write_replies

        unique = list(dict.fromkeys(prompts))
        written = write_replies(model, unique, SPEAKER, self.new_tokens, self.batch_size)
        return {prompt: reply.strip() for prompt, reply in zip(unique, written, strict=True)}


def _score(requested: Mapping[str, tuple[str, str]], written: Mapping[str, str]) -> Score:
    replies = {doc: written[prompt] for doc, (prompt, _) in requested.items()}
    f1 = {doc: token_f1(replies[doc], [reference]) for doc, (_, reference) in requested.items()}
    return Score.of(
        f1,
        higher_is_better=True,
        outputs=replies,
        degenerate=len(replies) > 1 and len(set(replies.values())) == 1,
    )


def conversation_prompt(turns: Sequence[str]) -> tuple[str, str]:
    """What the model reads, and the reply it is compared with: the last turn.

    Turns are normalised; the prompt ends with the tag of the one who replies, without a space.
    """
    *turns_before, reply = (normalize_reply(turn) for turn in turns)
    lines = [f"User {1 + at % 2}: {turn}" for at, turn in enumerate(turns_before)]
    return "\n".join([*lines, f"User {1 + len(turns_before) % 2}:"]), reply


def normalize_reply(text: str) -> str:
    """Lower case but for sentence starts and 'I', no space before punctuation.

    Equal to version 1 of `parlai.utils.strings.normalize_reply` (ParlAI 1.7.2) for every text.
    """
    spaced = text.lower()
    for apart, written in _MARKS:
        spaced = spaced.replace(written, apart).replace("  ", " ")
    words = spaced.split(" ")
    started = (
        word[:1].upper() + word[1:] if _is_upper(words, at) else word
        for at, word in enumerate(words)
    )
    joined = f" {' '.join(started)} "
    for apart, written in _MARKS:
        joined = joined.replace(apart, written)
    return joined.strip().replace("  ", " ")


def _is_upper(words: Sequence[str], at: int) -> bool:
    if at == 0 or words[at] in _FIRST_PERSON:
        return True
    # An empty word (of two spaces) counts as a sentence's end as well; the first word never does.
    return at > 1 and words[at - 1] in _SENTENCE_END
