"""Alternates: what the model itself writes in place of each row's suffix, before it unlearns.

Sampled once by the first process, kept in the cache, and the same whatever the batches are: each
row is sampled alone, by draws that depend on the seed and on its place in the forget set.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from unlearnbench.data.templates import asked_question
from unlearnbench.errors import UserError
from unlearnbench.metrics.measured_once import measured_once
from unlearnbench.models.devices import ranks
from unlearnbench.models.generation.behaviour import behaviour_of
from unlearnbench.models.generation.plain import sample
from unlearnbench.models.network_state import acts_by_weights_alone, state_sha256
from unlearnbench.unlearning.alternatives import answer_ids
from unlearnbench.unlearning.steps import global_generators_kept, seeded_generator

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences

PHASE = "alternates"
# As question-answer rows are written (data/text_files.py).

Ids = list[int]


@dataclass(frozen=True)
class AlternateSettings:
    """How alternates are sampled."""

    n: int = 5  # per row
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 200
    redraws: int = 3  # how often what repeats its row is drawn again
    template: str = ""  # what a chat model is asked about a {question} with its {answer}
    seed: int = 42


@dataclass(frozen=True)
class Alternates:
    """Per row of a forget set n other suffixes, without end of sequence."""

    tokens: list[list[Ids]]
    n_repeats: int  # of them that repeat their row after all redraws

    @property
    def repeated_share(self) -> float:
        """0..1, the share of all alternates that repeat their row."""
        return self.n_repeats / max(sum(map(len, self.tokens)), 1)


@dataclass(frozen=True)
class _Prompt:
    """What one row's alternates are written after, and how far."""

    ids: Ids
    new_tokens: int
    is_reply: bool  # of a chat model: a text of its own, not what stands behind the prompt


def sample_alternates(
    model: "LanguageModel", rows: "Sequences", settings: AlternateSettings
) -> Alternates:
    """The model's own alternates to each row's suffix.

    A row that is question and answer is asked about by the template, where the model has a chat
    template; any other is continued from its given tokens.  Running text gets as many tokens as
    its suffix has, an answer at most `max_new_tokens`; neither outgrows the model's context.  What
    `repeats` its row is drawn again, `redraws` times; then it is taken as it is, and counted.
    Its cost stands in the phase 'alternates' also where they come from the cache.
    Raises `UserError` for a template without {question}.
    """
    if settings.template and "{question}" not in settings.template:
        raise UserError(
            f"the template {settings.template!r:.60} has no place for the question; write "
            "{question} in it, and {answer} where it is to name the answer"
        )

    def measure() -> Any:
        with model.meter.phase(PHASE), global_generators_kept():
            sampled = []
            for row in range(len(rows)):
                sampled.append(_of_row(model, rows, row, settings))
                model.meter.advance(row + 1, len(rows))
        return sampled

    def kept() -> Any:
        if not acts_by_weights_alone(model.network):
            return measure()
        return measured_once("alternates", _question(model, rows, settings), model.meter, measure)

    tokens: list[list[Ids]] = ranks.from_first(kept)
    n_repeats = sum(
        repeats(ids, rows.suffix(row)) for row, of_row in enumerate(tokens) for ids in of_row
    )
    return Alternates(tokens, n_repeats)


def repeats(alternate: Sequence[int], suffix: Sequence[int]) -> bool:
    """Whether an alternate begins with more than half of the suffix's tokens, or is the suffix."""
    both = zip(alternate, suffix, strict=False)
    n_common = next(
        (at for at, (a, b) in enumerate(both) if a != b), min(map(len, (alternate, suffix)))
    )
    return 2 * n_common > len(suffix)


def _question(model: "LanguageModel", rows: "Sequences", settings: AlternateSettings) -> Any:
    """All that can change what is sampled, but the software."""
    return [
        model.source.weights_sha256,  # configuration and tokenizer too
        state_sha256(model.network, rows),
        str(model.network.dtype),
        str(model.device),
        torch.get_num_threads(),
        asdict(settings),
    ]


def _of_row(
    model: "LanguageModel", rows: "Sequences", row: int, settings: AlternateSettings
) -> list[Ids]:
    """[n] alternates of one row, those that repeat it last."""
    prompt, suffix = _prompt_of(model, rows, row, settings), rows.suffix(row)
    use_cache = behaviour_of(model).generates_with_cache
    new: list[Ids] = []
    repeating: list[Ids] = []
    for draw in range(settings.redraws + 1):
        if len(new) == settings.n:
            break
        seed = seeded_generator(settings.seed, f"alternates of row {row}, draw {draw}")
        torch.manual_seed(seed.initial_seed())  # the library samples by the global generators
        made = [
            _as_suffix(model, ids, prompt)
            for ids in sample(
                model,
                prompt.ids,
                prompt.new_tokens,
                settings.n - len(new),
                settings.temperature,
                settings.top_p,
                use_cache,
            )
        ]
        repeating = [ids for ids in made if repeats(ids, suffix)]
        new += [ids for ids in made if not repeats(ids, suffix)]
    return new + repeating[: settings.n - len(new)]


def _prompt_of(
    model: "LanguageModel", rows: "Sequences", row: int, settings: AlternateSettings
) -> _Prompt:
    n_given, suffix = int(rows.n_given[row]), rows.suffix(row)
    given = rows.input_ids[row, :n_given].tolist()
    room = model.max_length - n_given  # for an alternate behind the row's own given tokens
    question = asked_question(model, model.decode(rows.prefix(row)))
    is_chat = getattr(model.tokenizer, "chat_template", None) is not None
    if question is None:
        return _Prompt(given, min(len(suffix), settings.max_new_tokens), False)
    if not settings.template or not is_chat:
        return _Prompt(given, min(settings.max_new_tokens, room), False)
    # Not str.format: braces may stand in a template, a question or an answer.
    texts = {"{question}": question, "{answer}": model.decode(suffix).strip()}
    text = re.sub(r"\{question\}|\{answer\}", lambda at: texts[at[0]], settings.template)
    ids: Any = model.tokenizer.apply_chat_template(
        [{"role": "user", "content": text}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    new_tokens = min(settings.max_new_tokens, room, model.max_length - len(ids))
    if new_tokens < 1:
        raise UserError(
            f"row {rows.doc_ids[row]!r:.60}: the template with its question is {len(ids)} "
            f"tokens long, which leaves no room in the {model.max_length} of {model.source.name}; "
            "write a shorter one"
        )
    return _Prompt(ids, new_tokens, True)


def _as_suffix(model: "LanguageModel", written: Ids, prompt: _Prompt) -> Ids:
    """What was written as it would stand behind the row's given tokens."""
    ids = written[:-1] if written[-1:] == [model.eos_token_id] else written
    if not prompt.is_reply:
        return ids
    text = str(model.tokenizer.decode(ids, skip_special_tokens=True)).strip()
    return answer_ids(model.tokenizer, text)[: prompt.new_tokens] if text else ids
