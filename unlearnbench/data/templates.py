"""How a question and its answer become tokens: a plain prompt or the model's own chat template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.errors import UserError
from unlearnbench.models.vocabulary import encode_continuations, encode_marked, encode_starts

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
    user: str = "{question}"  # what the user says in a chat
    system: str = ""  # the chat's system message; none if empty
    date: str = ""  # where a chat template prints today's: a fixed one keeps numbers the same
    answer_prefix: str = ""  # words put into the model's mouth: 'Sure, here is the answer:'
    examples: tuple[tuple[str, str], ...] = ()  # questions and answers shown before
    example_end: str = "\n\n"  # after each of them, in the plain kind
    together: bool = False  # tokenise question and answer as one text, cut at the prompt's length
    ends: bool = True  # the answer's end-of-sequence token is part of it
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)  # of the chat template
    # Token ids in front of each prompt, and of a text: what an attack shows before it asks.
    before: tuple[int, ...] = ()

    def __repr__(self) -> str:
        """What digests are made of: without an empty `before`, as when there was none."""
        shown = [f.name for f in fields(self) if f.name != "before" or self.before]
        return f"Template({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

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
    whoever makes rows of the parts puts it there.  A text without a question has no prompt but
    what the template puts before it.
    """
    texts = _texts(model, template, pairs)
    # Each prompt once: an item's paraphrases and wrong answers have the same.
    prompts = list(dict.fromkeys(prompt for prompt, _, _ in texts))
    heads = dict(zip(prompts, _encode(model, template, prompts), strict=True))
    parts = [(prompt, heads[prompt], answer) for prompt, answer, _ in texts]
    if template.together:
        bodies = _bodies_of_joint_texts(model, template, parts)
    else:
        bodies = _bodies(model, parts)
    return [
        ([*template.before, *_without_bos(model, heads[prompt])], body + end)
        for (prompt, _, end), body in zip(texts, bodies, strict=True)
    ]


def encode_prompts(
    model: "LanguageModel", template: Template, questions: Sequence[str]
) -> list[Ids]:
    """The tokens after which the model is to answer, without the BOS that its texts start with."""
    prompts = [prompt for prompt, _, _ in _texts(model, template, [(q, "") for q in questions])]
    heads = _encode(model, template, prompts)
    return [[*template.before, *_without_bos(model, ids)] for ids in heads]


def _encode(model: "LanguageModel", template: Template, texts: Sequence[str]) -> list[Ids]:
    """The tokens of prompts: in a chat its marks are special tokens, elsewhere there are none."""
    is_chat = template.resolved(model) == "chat"
    return (encode_marked if is_chat else encode_starts)(model.tokenizer, texts)


def asked_question(model: "LanguageModel", prompt: str) -> str | None:
    """The question of a prompt as it is decoded, plain or in the model's chat; None if it is none.

    Found for templates that show nothing else: no examples, no system message of one's own.
    """
    mark, plain = "question-to-be-found", Template("plain")
    forms = [_plain(plain, mark)]
    if Template().resolved(model) == "chat":
        forms.append(_chat(model, Template("chat"), mark))
    bos = getattr(model.tokenizer, "bos_token", None) or ""
    for form in forms:
        before, _, after = form.removeprefix(bos).partition(mark)
        text = prompt.removeprefix(bos)
        is_form = bool(before or after)  # else every text would be a question
        is_one = is_form and text.startswith(before) and text.endswith(after)
        if is_one and len(text) > len(before) + len(after):
            return text[len(before) : len(text) - len(after)].strip()
    return None


def end_tokens(model: "LanguageModel", template: Template) -> frozenset[int]:
    """The tokens at which an answer ends: end of sequence, and the chat template's end of turn."""
    eos = model.eos_token_id
    ends = set() if eos is None else {eos}
    if template.resolved(model) == "chat":
        ends |= set(_end_of_turn(model, template))
    return frozenset(ends)


def _bodies(model: "LanguageModel", parts: Sequence[tuple[str, Ids, str]]) -> list[Ids]:
    """The answers' tokens, each tokenised by itself."""
    answers = dict.fromkeys((bool(prompt), answer) for prompt, _, answer in parts)
    behind = [answer for has_prompt, answer in answers if has_prompt]
    alone = [answer for has_prompt, answer in answers if not has_prompt]
    encoded = {
        **_by_text(True, behind, encode_continuations(model.tokenizer, behind)),
        # Nothing stands before a text of its own.
        **_by_text(False, alone, encode_starts(model.tokenizer, alone)),
    }
    return [encoded[bool(prompt), answer] for prompt, _, answer in parts]


def _by_text(
    has_prompt: bool, texts: Sequence[str], encoded: Sequence[Ids]
) -> dict[tuple[bool, str], Ids]:
    return {(has_prompt, text): ids for text, ids in zip(texts, encoded, strict=True)}


def _bodies_of_joint_texts(
    model: "LanguageModel", template: Template, parts: Sequence[tuple[str, Ids, str]]
) -> list[Ids]:
    """What stands behind as many tokens as the prompt alone has: the two may share a token."""
    joint = _encode(model, template, [prompt + answer for prompt, _, answer in parts])
    return [ids[len(head) :] for ids, (_, head, _) in zip(joint, parts, strict=True)]


def _texts(
    model: "LanguageModel", template: Template, pairs: Sequence[tuple[str, str]]
) -> list[tuple[str, str, Ids]]:
    """Prompt, answer and the tokens that end the answer, of each pair."""
    is_chat = template.resolved(model) == "chat"
    make = partial(_chat, model) if is_chat else _plain
    prompts = {q: make(template, q) for q in dict.fromkeys(q for q, _ in pairs) if q}
    prefix, separator = template.answer_prefix, "" if is_chat else template.separator
    if prefix:  # what follows it is separated from it in a chat, too
        prompts = {q: prompt + separator + prefix for q, prompt in prompts.items()}
        separator = template.separator
    eos = [] if model.eos_token_id is None else [model.eos_token_id]
    turn = (_end_of_turn(model, template) or eos) if is_chat and prompts else eos
    if not template.ends:
        eos = turn = []
    return [(prompts[q], separator + a, turn) if q else ("", a, eos) for q, a in pairs]


def _plain(template: Template, question: str) -> str:
    # Not `format`: a prompt may hold braces of its own.
    shown = "".join(
        template.prompt.replace("{question}", q) + template.separator + a + template.example_end
        for q, a in template.examples
    )
    return shown + template.prompt.replace("{question}", question)


def _chat(
    model: "LanguageModel", template: Template, question: str, answer: str | None = None
) -> str:
    messages = [{"role": "system", "content": template.system}] if template.system else []
    for shown, reply in template.examples:
        said = template.user.replace("{question}", shown)
        messages += [{"role": "user", "content": said}, {"role": "assistant", "content": reply}]
    messages.append({"role": "user", "content": template.user.replace("{question}", question)})
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
    """The special token that the chat template puts after an answer, if it puts one there.

    What it writes behind that token (Qwen's line break) is no part of the answer.
    """
    mark = "answer-to-be-found"
    _, _, after = _chat(model, template, "question", mark).rpartition(mark)
    ids = encode_marked(model.tokenizer, [after])[0] if after else []
    special = set(model.tokenizer.all_special_ids)
    # Those that the tokenizer gives no role of their own.
    added = getattr(model.tokenizer, "added_tokens_decoder", {})
    special |= {i for i, token in added.items() if token.special}
    return [i for i in ids if i in special][:1]


def _without_bos(model: "LanguageModel", ids: Ids) -> Ids:
    bos = model.bos_token_id_to_prepend
    return ids[1:] if bos is not None and ids[:1] == [bos] else ids
