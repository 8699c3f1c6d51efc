"""The memory of what runs without gradients: examination after an epoch, and the tasks."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from unlearnbench.models.generation.branches import _MEMORY_BYTES
from unlearnbench.models.generation.room import _CPU_BYTES, _KEPT_BYTES
from unlearnbench.models.scoring import _BYTES_AT_ONCE
from unlearnbench.running.memory.counting import counting
from unlearnbench.running.memory.need import ACTIVATIONS, CACHES, LOGITS, WEIGHTS

if TYPE_CHECKING:
    from unlearnbench.protocol import Protocol

_ROWS = 64  # the examiner's batch
_N_GRAM = 10  # of EL; no continuation starts later
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class CachedPass:
    """One teacher-forced pass of so many rows that keeps its keys and values."""

    taken: dict[str, int]  # bytes at the peak by what they are for, weights left out
    cached: int  # bytes of keys and values per token


def count_pass(network: Any, n_rows: int, length: int, vocabulary: int) -> CachedPass:
    """What a pass takes; `network` is on the meta device and is used up."""
    from transformers.cache_utils import DynamicCache

    ids = torch.ones(n_rows, length, dtype=torch.int64)
    with warnings.catch_warnings(), counting(network.eval(), vocabulary) as tally, torch.no_grad():
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
        cache = DynamicCache()
        network(input_ids=ids, past_key_values=cache, use_cache=True)
        layers: list[Any] = cache.layers
        cached: int = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
        taken = {name: n for name, n in tally.at_peak.items() if n and name != WEIGHTS}
    return CachedPass(taken, cached // (n_rows * length))


def prefill_rows(length: int, vocabulary: int) -> int:
    """Rows of one teacher-forced pass of an examination, as `branches` chooses them."""
    return max(1, min(_ROWS, _MEMORY_BYTES // (4 * length * vocabulary)))


def examination(
    counted: CachedPass, length: int, vocabulary: int, protocol: "Protocol"
) -> dict[str, int]:
    """Bytes of an examination by what they are for: its pass, or what is decoded after it."""
    own = prefill_rows(length, vocabulary)
    per_branch = counted.cached * length + 4 * vocabulary
    most = max(_ROWS, _MEMORY_BYTES // per_branch)
    branches = min(most, own * max(length - _N_GRAM, 1))
    decoding = _decoding(counted, own, branches, length, vocabulary)
    beams = _decoding(counted, own, 2 * own, length, vocabulary)
    beams[LOGITS] *= 4  # scores, their logarithm, and both sorted
    steps = [counted.taken, decoding, *([beams] if protocol.continuation == "beam" else [])]
    return max(steps, key=lambda parts: sum(parts.values()))


def replies(counted: CachedPass, n_rows: int, length: int, vocabulary: int) -> dict[str, int]:
    """Bytes while `n_rows` prompts of `length` tokens are answered."""
    return _decoding(counted, n_rows, n_rows, length, vocabulary)


def windows(
    counted: CachedPass, at_most: int, length: int, vocabulary: int, on_gpu: bool
) -> dict[str, int]:
    """Bytes while windows of a text are scored; on a CPU no more together than its cache likes."""
    one = max(1, counted.taken.get(ACTIVATIONS, 1))
    n_rows = at_most if on_gpu else max(1, min(at_most, _CPU_BYTES // one))
    logits = min(4 * n_rows * length * vocabulary, _BYTES_AT_ONCE)
    return {ACTIVATIONS: n_rows * one, LOGITS: 2 * logits}  # and their logarithm


def likelihoods(
    counted: CachedPass, n_rows: int, n_questions: int, length: int, vocabulary: int
) -> dict[str, int]:
    """Bytes while answers of `n_rows` texts are scored, each at most half of its text.

    What answers have in common is kept of as many questions as there is room for.
    """
    return {
        ACTIVATIONS: n_rows * counted.taken.get(ACTIVATIONS, 0),
        CACHES: min(n_questions * length * counted.cached, _KEPT_BYTES),
        LOGITS: 2 * 4 * n_rows * -(-length // 2) * vocabulary,  # and their logarithm
    }


def _decoding(
    counted: CachedPass, prefilled: int, branches: int, length: int, vocabulary: int
) -> dict[str, int]:
    return {
        CACHES: (prefilled + branches) * length * counted.cached,
        LOGITS: 4 * branches * vocabulary,
    }


def longest_text(sets: Any) -> int:
    """Tokens of the longest row of some evaluation sets, at four characters a token."""
    rows = (row for found in sets for row in found.rows)
    return max((_characters(row) for row in rows), default=0) // _CHARACTERS_PER_TOKEN


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0
