"""How a question and its answer become tokens: a plain prompt or the model's own chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.errors import UserError
from unlearnbench.models.vocabulary import encode_continuations, encode_starts

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

Ids = list[int]


@dataclass(frozen=True)
class Template:
    """What stands around a question and its answer.

    `auto` is the tokenizer's chat template where it has one, else the plain prompt.
    """

    kind: Literal["auto", "chat", "plain"] = "auto"
    prompt: str = "Question: {question}\nAnswer:"  # of the plain kind
    separator: str = " "  # between the plain prompt and the answer
    system: str = ""  # the chat's system message; none if empty
    date: str = ""  # where a chat template prints today's: a fixed one keeps numbers the same
    answer_prefix: str = ""  # words put into the model's mouth: 'Sure, here is the answer:'
    examples: tuple[tuple[str, str], ...] = ()  # questions and answers shown before
    example_end: str = "\n\n"  # after each of them, in the plain kind
    together: bool = False  # tokenise question and answer as one text, cut at the prompt's length
    ends: bool = True  # the answer's end-of-sequence token is part of it
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)  # of the chat template

    def resolved(self, model: "LanguageModel") -> Literal["chat", "plain"]:
        """Which kind this model gets; raises `UserError` for a chat template that it lacks."""
        has_one = bool(getattr(model.tokenizer, "chat_template", None))
        if self.kind == "chat" and not has_one:
            raise UserError(
                f"the tokenizer of {model.source.name} has no chat template; take a model that "
                "has one, or the plain prompt: --template plain"
            )
        if self.kind == "auto":
            return "chat" if has_one else "plain"
        return self.kind


def encode_answers(
    model: "LanguageModel", template: Template, pairs: Sequence[tuple[str, str]]
) -> list[tuple[Ids, Ids]]:
    """Prompt and answer tokens of each question and answer, as the model reads them.

    A beginning-of-sequence token that the model's texts start with is left out of the prompt:
    whoever makes rows of the parts puts it there.  A text without a question has no prompt.
    """
    prompts, answers, end = _texts(model, template, pairs)
    heads = [_without_bos(model, ids) for ids in encode_starts(model.tokenizer, prompts)]
    if template.together:
        joint = encode_starts(
            model.tokenizer, [p + a for p, a in zip(prompts, answers, strict=True)]
        )
        bodies = [
            _without_bos(model, ids)[len(head) :] for ids, head in zip(joint, heads, strict=True)
        ]
    else:
        bodies = encode_continuations(model.tokenizer, answers)
        # Nothing stands before a text of its own.
        starts = encode_starts(
            model.tokenizer, [a for a, h in zip(answers, heads, strict=True) if not h]
        )
        texts = iter(starts)
        bodies = [body if head else next(texts) for body, head in zip(bodies, heads, strict=True)]
    return [(head, body + end) for head, body in zip(heads, bodies, strict=True)]


def encode_prompts(
    model: "LanguageModel", template: Template, questions: Sequence[str]
) -> list[Ids]:
    """The tokens after which the model is to answer, without the BOS that its texts start with."""
    prompts, _, _ = _texts(model, template, [(question, "") for question in questions])
    if template.answer_prefix and template.resolved(model) == "plain":
        prompts = [prompt + template.separator + template.answer_prefix for prompt in prompts]
    elif template.answer_prefix:
        prompts = [prompt + template.answer_prefix for prompt in prompts]
    return [_without_bos(model, ids) for ids in encode_starts(model.tokenizer, prompts)]


def _texts(
    model: "LanguageModel", template: Template, pairs: Sequence[tuple[str, str]]
) -> tuple[list[str], list[str], Ids]:
    """Prompts, answers, and the tokens that end every answer."""
    eos = model.eos_token_id
    closing = [eos] if template.ends and eos is not None else []
    if template.resolved(model) == "plain":
        shown = "".join(
            template.prompt.format(question=q) + template.separator + a + template.example_end
            for q, a in template.examples
        )
        prompts = [shown + template.prompt.format(question=q) if q else "" for q, _ in pairs]
        answers = [(template.separator if q else "") + a for q, a in pairs]
        return prompts, answers, closing
    prompts = [_chat(model, template, question) if question else "" for question, _ in pairs]
    if template.ends:
        closing = _end_of_turn(model, template) or closing
    return prompts, [answer for _, answer in pairs], closing


def _chat(
    model: "LanguageModel", template: Template, question: str, answer: str | None = None
) -> str:
    messages = [{"role": "system", "content": template.system}] if template.system else []
    for shown, reply in template.examples:
        messages += [{"role": "user", "content": shown}, {"role": "assistant", "content": reply}]
    messages.append({"role": "user", "content": question})
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    fields = dict(template.fields)
    if template.date:
        fields["date_string"] = template.date
    try:
        text = model.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=answer is None, **fields
        )
    except Exception as error:  # the template is a program of its own, and raises what it likes
        raise UserError(
            f"the chat template of {model.source.name} refuses a question ({error}); take the "
            "plain prompt: --template plain"
        ) from error
    return str(text)


def _end_of_turn(model: "LanguageModel", template: Template) -> Ids:
    """The special token that the chat template puts after an answer, if it puts one there."""
    mark = "answer-to-be-found"
    _, _, after = _chat(model, template, "question", mark).rpartition(mark)
    ids = encode_starts(model.tokenizer, [after])[0] if after else []
    special = set(model.tokenizer.all_special_ids)
    return ids[:1] if ids and ids[0] in special else []


def _without_bos(model: "LanguageModel", ids: Ids) -> Ids:
    bos = model.bos_token_id_to_prepend
    return ids[1:] if bos is not None and ids[:1] == [bos] else ids
