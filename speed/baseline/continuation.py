"""BERTScore, BLEU and entropy as the released code gets them: one row at a time, nothing kept."""

import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import Any

from speed.baseline.counts import n_beams
from speed.baseline.generation import batches, write
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol


@dataclass(frozen=True)
class Continued:
    """How one row's continuation compares with its suffix."""

    bertscore_f1: float
    bleu: float
    entropy: float


def continuation_scores(
    model: LanguageModel,
    rows: Sequences,
    protocol: Protocol,
    scorer: Any,
    new_tokens: int = 50,
    batch_size: int = 8,
) -> list[Continued]:
    """Each row's scores; `scorer` is bert-score's own."""
    scores: list[Continued] = []
    for batch in batches(rows, batch_size):
        prompts = batch.input_ids[:, : int(batch.n_given[0])]
        written = write(model, prompts, new_tokens, n_beams(protocol), model.eos_token_id).tolist()
        scores += [
            _compared(model, _before_end(ids, model.eos_token_id), batch.suffix(row), scorer)
            for row, ids in enumerate(written)
        ]
    return scores


def bert_scorer(bert: str | None) -> Any:
    """bert-score's scorer for the BERT that a run would take."""
    from bert_score import BERTScorer

    from unlearnbench.metrics.bertscore_model import bert_folder, bert_layers

    folder = bert_folder(bert)
    scorer = BERTScorer(model_type=str(folder), num_layers=bert_layers(bert, folder))
    # A tokenizer that knows no limit says 10^30, which overflows.
    scorer._tokenizer.model_max_length = min(scorer._tokenizer.model_max_length, 512)
    return scorer


def _compared(model: LanguageModel, ids: list[int], suffix: list[int], scorer: Any) -> Continued:
    text, reference = model.decode(ids), model.decode(suffix)
    f1 = 0.0
    if text.strip() and reference.strip():
        f1 = float(scorer.score([text], [reference])[2][0])
    return Continued(f1, bleu4(text, reference), entropy(ids))


def bleu4(text: str, reference: str) -> float:
    """nltk's sentence BLEU-4, unsmoothed, over lower-cased word tokens."""
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.translate.bleu_score import sentence_bleu

    words = NLTKWordTokenizer().tokenize
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for every row without a common four-gram
        return float(sentence_bleu([words(reference.lower())], words(text.lower())))


def entropy(ids: list[int]) -> float:
    """Eq. 10, bits."""
    shares = [count / len(ids) for count in Counter(ids).values()]
    return -sum(share * math.log2(share) for share in shares)


def _before_end(ids: list[int], eos: int | None) -> list[int]:
    return ids if eos not in ids else ids[: ids.index(eos)]
