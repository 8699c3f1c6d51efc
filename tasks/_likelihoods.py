"""Log-likelihoods of continuations: a beginning that several of them share is read once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from unlearnbench.errors import UserError
from unlearnbench.models.generation.branches import check_cache
from unlearnbench.models.generation.kept_pass import kept_pass
from unlearnbench.models.generation.room import Room

from ._packing import Ids, bundles, families, packs

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

Request = tuple[Sequence[int], Sequence[int]]  # ids of a context and of what is to follow it
_Found = tuple[int, "Likelihood"]  # by request


@dataclass(frozen=True)
class Likelihood:
    """Of a continuation after its context."""

    log_probability: float  # nats, the sum over its tokens
    is_greedy: bool  # whether each of its tokens is the likeliest one


@dataclass(frozen=True)
class _Text:
    """What the network reads for one or more requests, and what is asked about its end."""

    ids: Ids
    asked: dict[int, Ids]  # by request: the tokens predicted at the last columns

    @property
    def n_predicting(self) -> int:
        """How many of the last columns predict something."""
        return max(map(len, self.asked.values()))


def likelihoods(
    model: "LanguageModel", requests: Sequence[Request], max_length: int, batch_size: int = 8
) -> list[Likelihood]:
    """Of every request, no part of which is empty; same tokens are read once.

    What is longer than `max_length` and one token loses its beginning.  At least `batch_size`
    texts go through the network together, and as many as its memory is enough for.
    """
    reader = _Reader(model, Room.of(model, batch_size))
    found = dict(reader.read_all(_texts(requests, max_length)))
    return [found[at] for at in range(len(requests))]


def _texts(requests: Sequence[Request], max_length: int) -> list[_Text]:
    """Every text once: the one-token choices of a question read the same."""
    texts: dict[Ids, _Text] = {}
    for at, (context, continuation) in enumerate(requests):
        ids = (*context, *continuation)[-(max_length + 1) : -1]
        texts.setdefault(ids, _Text(ids, {})).asked[at] = tuple(continuation)
    return list(texts.values())


class _Reader:
    """Sends texts through the network and looks up what is asked about them."""

    def __init__(self, model: "LanguageModel", room: Room) -> None:
        self.model, self.room = model, room

    def read_all(self, texts: list[_Text]) -> Iterator[_Found]:
        """Every request's likelihood, in any order."""
        at_most = [len(text.ids) - text.n_predicting for text in texts]
        if not self._can_share():
            at_most = [0] * len(texts)
        found = families([text.ids for text in texts], at_most)
        yield from self._read([texts[f.members[0]] for f in found if len(f.members) == 1])
        several = [family for family in found if len(family.members) > 1]
        for cut, bundle in bundles(several, self.room.keeps):
            members = [texts[i] for family in bundle for i in family.members]
            rows = [row for row, family in enumerate(bundle) for _ in family.members]
            layers = self._beginnings([texts[family.members[0]].ids[:cut] for family in bundle])
            yield from self._read(members, _Beginnings(layers, rows, cut))

    def _can_share(self) -> bool:
        try:
            check_cache(self.model)
        except UserError:  # the network's memory is not keys and values per token
            return False
        return True

    @torch.inference_mode()
    def _beginnings(self, ids: list[Ids]) -> list[Any]:
        """Layers with the keys and values of every column; all beginnings have one length."""
        # Built without the configuration, so that sliding layers keep every column as well.
        cache = DynamicCache()
        nothing = torch.zeros(len(ids), len(ids[0]), dtype=torch.bool)
        kept_pass(self.model, torch.tensor(ids), nothing, cache)
        return list(cache.layers)

    def _read(
        self, texts: list[_Text], beginnings: "_Beginnings | None" = None
    ) -> Iterator[_Found]:
        known = beginnings.n_tokens if beginnings else 0
        lengths = [len(text.ids) - known for text in texts]
        predicting = [text.n_predicting for text in texts]

        def fits(pack: list[int]) -> bool:
            asked = sum(predicting[i] for i in pack)
            return self.room.holds(len(pack), lengths[pack[0]], known, asked)

        for pack in packs(lengths, fits):
            cache = beginnings.cache_of(pack) if beginnings else None
            yield from self._read_pack([texts[i] for i in pack], known, cache)

    @torch.inference_mode()
    def _read_pack(self, texts: list[_Text], known: int, cache: Cache | None) -> Iterator[_Found]:
        rows = [torch.tensor(text.ids[known:]) for text in texts]
        input_ids = pad_sequence(rows, batch_first=True, padding_value=self.model.pad_token_id)
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        predicting = torch.tensor([text.n_predicting for text in texts])[:, None]
        columns = torch.arange(input_ids.shape[1])
        positions = (columns < lengths) & (columns >= lengths - predicting)
        logits = kept_pass(self.model, input_ids, positions, cache)
        ends = accumulate(predicting[:, 0].tolist())
        return _looked_up(logits, zip(ends, texts, strict=True))


def _looked_up(logits: Tensor, ends: Iterator[tuple[int, _Text]]) -> Iterator[_Found]:
    """The likelihoods that are asked about texts whose logits end at these rows of [N, V]."""
    scores = F.log_softmax(logits, dim=-1)  # in the network's precision, as lm-eval has it
    asked = [(at, end, ids) for end, text in ends for at, ids in text.asked.items()]
    rows = torch.tensor([row for _, end, ids in asked for row in range(end - len(ids), end)])
    tokens = torch.tensor([token for _, _, ids in asked for token in ids])
    chosen = scores[rows.to(scores.device), tokens.to(scores.device)].cpu()
    greedy = _best(scores)[rows] == tokens
    n_tokens = [len(ids) for _, _, ids in asked]
    parts = zip(asked, chosen.split(n_tokens), greedy.split(n_tokens), strict=True)
    for (at, _, _), log_probabilities, hits in parts:
        yield at, Likelihood(float(log_probabilities.sum()), bool(hits.all()))


def _best(scores: Tensor) -> Tensor:
    """[N] the likeliest token, on the CPU; the first of equal ones."""
    if scores.device.type == "cpu" and scores.dtype == torch.float32:
        # numpy's is vectorised, torch's is not.
        return torch.from_numpy(scores.numpy().argmax(-1))
    return scores.argmax(-1).cpu()


@dataclass(frozen=True)
class _Beginnings:
    """Keys and values of beginnings of one length, and which of them each text goes on from."""

    layers: list[Any]
    row_of: list[int]
    n_tokens: int

    def cache_of(self, pack: list[int]) -> Cache:
        """What the network is to remember at the start of these texts' own tokens."""
        rows = torch.tensor([self.row_of[i] for i in pack], device=self.layers[0].keys.device)
        return Cache(layers=[_Continued(layer, rows, self.n_tokens) for layer in self.layers])


class _Continued(CacheLayerMixin):
    """Keys and values of a beginning in front of those of one pass, which are not kept.

    As all rows stand at the same column, the library's positions, causal mask and sliding
    windows are right without a mask of ours.
    """

    is_sliding = False

    def __init__(self, beginning: Any, rows: Tensor, n_tokens: int) -> None:
        super().__init__()
        self.beginning, self.rows, self.n_tokens = beginning, rows, n_tokens
        self.is_initialized = True

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002 - the library's signature
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        # Spread over the rows only now: one layer's at a time are in memory.
        keys, values = self.beginning.keys[self.rows], self.beginning.values[self.rows]
        return torch.cat([keys, key_states], dim=2), torch.cat([values, value_states], dim=2)

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: the beginning is there."""

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.n_tokens + query_length, 0

    def get_seq_length(self) -> int:
        return self.n_tokens

    def get_max_length(self) -> int:
        return -1
