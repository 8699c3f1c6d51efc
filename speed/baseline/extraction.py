"""EL and MA as the released code gets them: one `generate` per position, nothing shared."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from speed.baseline.counts import start_positions
from speed.baseline.generation import batches, write
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol


@dataclass(frozen=True)
class Known:
    """EL_n and MA of each row, 0..1."""

    el: list[float]
    ma: list[float]


def extraction(
    model: LanguageModel, rows: Sequences, protocol: Protocol, n: int = 10, batch_size: int = 8
) -> Known:
    """Eqs. 7-9 of rows of one length, batch after batch, position after position."""
    el: list[float] = []
    ma: list[float] = []
    for batch in batches(rows, batch_size):
        ma += memorisation(model, batch)
        el += likelihood(model, batch, protocol, n)
    return Known(el, ma)


def memorisation(model: LanguageModel, batch: Sequences) -> list[float]:
    """Eq. 9: one token is generated at every position, and compared."""
    own, bos = _own(batch), batch.n_bos
    right = torch.zeros(len(batch), dtype=torch.float64)
    for t in range(1, own.shape[1]):
        right += write(model, batch.input_ids[:, : bos + t], 1)[:, 0] == own[:, t]
    return (right / (own.shape[1] - 1)).tolist()


def likelihood(model: LanguageModel, batch: Sequences, protocol: Protocol, n: int) -> list[float]:
    """Eq. 7: from every start the rest of the row is generated, and its n-grams are compared."""
    own, bos = _own(batch), batch.n_bos
    length, n_given = own.shape[1], int(batch.n_given[0]) - bos
    every = protocol.el_positions == "every"
    sums = [0.0] * len(batch)
    for t in start_positions(protocol, length, n_given, n):
        written = write(model, batch.input_ids[:, : bos + t], length - t).tolist()
        for row, ids in enumerate(written):
            reference = own[row, t:].tolist()
            sums[row] += overlap(_until(ids, model.eos_token_id), reference, n, protocol)
    divisor = length - n if every else length - n_given - n + 1
    return [total / divisor for total in sums]


def overlap(written: Sequence[int], reference: Sequence[int], n: int, protocol: Protocol) -> float:
    """Eq. 8: the share of n-grams of what was written that occur in what was to be written."""
    found, known = n_grams(written, n), set(n_grams(reference, n))
    counted = found if protocol.el_denominator == "continuation" else n_grams(reference, n)
    return sum(gram in known for gram in found) / max(1, len(counted))


def n_grams(ids: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """All of them, in order; none where there are fewer tokens than n."""
    return [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]


def _own(batch: Sequences) -> Tensor:
    return batch.input_ids[:, batch.n_bos : int(batch.lengths[0])]


def _until(ids: list[int], eos: int | None) -> list[int]:
    """Up to the first end of sequence, included: what comes after it is not the text's."""
    return ids if eos not in ids else ids[: ids.index(eos) + 1]
