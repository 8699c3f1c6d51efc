"""NLL of a text in windows, whose mean's exponential is perplexity."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from unlearnbench.errors import UserError
from unlearnbench.models.generation.room import Room
from unlearnbench.models.scoring import score_tokens
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


def window_nll(
    model: "LanguageModel",
    documents: Sequence[str],
    window: int = 512,
    batch_size: int = 8,
    limit: int | None = None,
) -> list[float]:
    """Mean NLL in nats of each window of the documents, joined by a blank line, tokenised once.

    Windows do not overlap and are `window` tokens long, or the model's context if
    that is shorter; the last one may be shorter and weighs the same.  Of a single document, which
    may be a whole book, `limit` counts windows, else documents.  A model
    whose sequences start with BOS gets it in front of each window, as one of its
    tokens; it is never predicted.  Nothing else is added to the text.
    Raises `UserError` for a text without two tokens.
    """
    windows = windows_of(model, documents[:limit], window)
    if len(documents) == 1:
        windows = windows[:limit]
    return nll_of_windows(model, windows, batch_size)


def windows_of(
    model: "LanguageModel", documents: Sequence[str], window: int = 512
) -> list[list[int]]:
    """The token ids of each window; raises `UserError` for a text without two tokens."""
    text = "\n\n".join(documents)
    ids = model.tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    windows = cut_windows(ids, min(window, model.max_length), model.bos_token_id_to_prepend)
    if not windows:
        raise UserError("perplexity needs a text of at least two tokens; give another: --text")
    return windows


def nll_of_windows(
    model: "LanguageModel", windows: Sequence[Sequence[int]], batch_size: int = 8
) -> list[float]:
    """Mean NLL in nats of each window's tokens after its first; none is longer than the first."""
    room, width = Room.of(model, n_rows=1), len(windows[0])
    step = max(n for n in range(1, batch_size + 1) if room.holds(n, width))
    nll: list[float] = []
    for first in range(0, len(windows), step):
        nll += _mean_nll(model, windows[first : first + step])
        model.meter.advance(len(nll), len(windows))
    return nll


def cut_windows(ids: Sequence[int], length: int, bos: int | None) -> list[list[int]]:
    """Non-overlapping windows of `length` tokens, BOS included; none that predicts nothing."""
    start = [] if bos is None else [bos]
    step = length - len(start)
    windows = [[*start, *ids[i : i + step]] for i in range(0, len(ids), step)]
    return [w for w in windows if len(w) > 1]


@torch.no_grad()
def _mean_nll(model: "LanguageModel", windows: Sequence[Sequence[int]]) -> list[float]:
    """Mean NLL in nats of each window's tokens after its first."""
    input_ids = pad_sequence(
        [torch.tensor(ids) for ids in windows], batch_first=True, padding_value=model.pad_token_id
    )
    lengths = torch.tensor([len(ids) for ids in windows])
    rows = Sequences(input_ids, lengths, lengths, ("",) * len(windows))
    # The logits are made in pieces: at GPT-2's vocabulary those of a window take 103 MB.
    scores = score_tokens(model, rows, rows.attention_mask.bool())
    return [float(nll.mean()) for nll in scores.token_nll.split(scores.counts)]
