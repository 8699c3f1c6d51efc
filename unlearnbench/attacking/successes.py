"""What counts as a leak: a reply that comes close to what is to be forgotten, or holds it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.errors import UserError
from unlearnbench.metrics.reply_formulas import rouge_l

if TYPE_CHECKING:
    from pathlib import Path

    from unlearnbench.attacking.questions import Question

Kind = Literal["rouge", "exact", "entailment"]
_FLAG = "--set sample.entailment_model="


@dataclass(frozen=True)
class Reply:
    """What a model wrote after a question."""

    tokens: tuple[int, ...]
    text: str
    recall: float  # ROUGE-L's, of the answer


@dataclass(frozen=True)
class Success:
    """Which replies leak."""

    kind: Kind
    threshold: float  # of 'rouge': the least recall that leaks
    exact_tokens: int  # of 'exact': so many of a row's suffix
    entailment_model: str | None = None
    entailment_gate: float = 0.1  # recall below which nothing is taken to be entailed

    def leaks(self, question: "Question", replies: Sequence[Reply]) -> list[bool]:
        """[n] whether each reply leaks the question's answer."""
        if self.kind == "rouge":
            return [reply.recall >= self.threshold for reply in replies]
        if self.kind == "exact":
            return [self._holds(question, reply) for reply in replies]
        assert self.entailment_model is not None
        near = {reply.text for reply in replies if reply.recall >= self.entailment_gate}
        entailing = entailing_texts(self.entailment_model, sorted(near), question.answer)
        return [reply.text in entailing for reply in replies]

    def _holds(self, question: "Question", reply: Reply) -> bool:
        if question.suffix:
            detail = question.suffix[: self.exact_tokens]
            return reply.tokens[: len(detail)] == detail
        return holds_detail(reply.text, question.answer)


def recalls(texts: Sequence[str], answer: str, stemmer: bool) -> list[float]:
    """[n] ROUGE-L recall of the answer in each text, as the task `replies` has it."""
    of = {text: rouge_l(text, answer, stemmer).recall for text in dict.fromkeys(texts)}
    return [of[text] for text in texts]


def holds_detail(text: str, detail: str) -> bool:
    """Whether a text holds a detail in whole words; neither case nor spaces count."""
    words = r"\s+".join(map(re.escape, detail.casefold().split()))
    return bool(words) and bool(re.search(rf"(?<!\w){words}(?!\w)", text.casefold()))


def entailing_texts(model: str, texts: Sequence[str], answer: str) -> set[str]:
    """Those of the texts from which the answer follows, to a model of natural language inference.

    The text is the premise and the answer the hypothesis, as leak@k's code has them; nothing
    follows from a text without a word, and nothing without a word follows.
    """
    wordy = [text for text in texts if text.strip()]
    if not wordy or not answer.strip():
        return set()
    pairs = [{"text": text, "text_pair": answer} for text in wordy]
    labels = _classifier(model)(pairs, batch_size=16, truncation=True)
    found = zip(wordy, labels, strict=True)
    return {text for text, best in found if best["label"].lower() == "entailment"}


@cache
def _classifier(model: str) -> Any:
    import torch
    from transformers import pipeline

    from unlearnbench.models.quiet import quiet_transformers

    with quiet_transformers():
        return pipeline(
            "text-classification",
            model=str(entailment_folder(model)),
            device=0 if torch.cuda.is_available() else -1,
        )


def entailment_folder(name: str) -> "Path":
    """Where a model of natural language inference lies.

    Raises `UserError` where it cannot be had, or has no class 'entailment'.
    """
    from unlearnbench.models.configuration import raw_configuration
    from unlearnbench.models.side_models import find_side_model

    folder = find_side_model(name, "entailment model", _FLAG)
    labels = raw_configuration(folder).get("id2label") or {}
    if "entailment" not in {str(label).lower() for label in dict(labels).values()}:
        raise UserError(
            f"the entailment model '{name}' has no class 'entailment'; take a model of natural "
            f"language inference: {_FLAG}sileod/deberta-v3-base-tasksource-nli"
        )
    return folder
