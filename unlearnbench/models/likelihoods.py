"""Log-likelihoods of continuations: a beginning that several of them share is read once."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import Cache, DynamicCache

from unlearnbench.models.cached_scoring import cached_pass
from unlearnbench.models.generation.behaviour import behaviour_of
from unlearnbench.models.generation.branches import ColumnLayer
from unlearnbench.models.generation.room import Room

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel

# What one more pass costs beside its tokens, in tokens.
PASS_TOKENS = 48
_LEAST_SAVED = 8  # tokens; a beginning is not shared for less

T = TypeVar("T")
Ids = tuple[int, ...]
Request = tuple[Sequence[int], Sequence[int]]  # ids of a context and of what is to follow it


class Likelihood(NamedTuple):
    """Of a continuation after its context, as lm-eval's models give it."""

    log_probability: float  # nats, the sum over its tokens
    is_greedy: bool  # whether each of its tokens is the likeliest one


@dataclass(frozen=True)
class Text:
    """What the network reads for one or more requests, and the tokens that follow its end."""

    ids: Ids
    targets: dict[int, Ids]  # by request: the tokens predicted at the last columns

    @property
    def n_predicting(self) -> int:
        """How many of the last columns predict something."""
        return max(map(len, self.targets.values()))


def likelihoods(
    model: "LanguageModel", requests: Sequence[Request], max_length: int, batch_size: int = 8
) -> list[Likelihood]:
    """Of every request, no part of which is empty; same tokens are read once.

    What is longer than `max_length` and one token loses its beginning.  At least `batch_size`
    texts go through the network together, and as many as its memory is enough for.
    """
    return _LikelihoodReader(model, Room.of(model, batch_size)).read(requests, max_length)


def _texts(requests: Sequence[Request], max_length: int) -> list[Text]:
    """Every text once: the one-token choices of a question read the same."""
    texts: dict[Ids, Text] = {}
    for i, (context, continuation) in enumerate(requests):
        ids = (*context, *continuation)[-(max_length + 1) : -1]
        texts.setdefault(ids, Text(ids, {})).targets[i] = tuple(continuation)
    return list(texts.values())


class TextReader(ABC, Generic[T]):
    """Sends every text through the network once and looks up what is wanted of each request."""

    def __init__(self, model: "LanguageModel", room: Room) -> None:
        self.model, self.room = model, room

    @abstractmethod
    def look_up(
        self, input_ids: Tensor, positions: Tensor, cache: Cache | None, texts: list[Text]
    ) -> list[tuple[int, T]]:
        """What is wanted of the requests of these texts, after a pass over `input_ids` [B, L].

        `positions` [B, L] are true where the texts' targets are predicted.
        """

    def read(self, requests: Sequence[Request], max_length: int) -> list[T]:
        """What is wanted of each request, in their order; no part of one is empty.

        What is longer than `max_length` and one token loses its beginning.
        """
        by_request = {}
        for request, wanted in self._read_all(_texts(requests, max_length)):
            by_request[request] = wanted
            self.model.meter.advance(len(by_request), len(requests))
        return [by_request[i] for i in range(len(requests))]

    def _read_all(self, texts: list[Text]) -> Iterator[tuple[int, T]]:
        """What is wanted of each request by its number, in any order."""
        at_most = [len(text.ids) - text.n_predicting for text in texts]
        if not behaviour_of(self.model).keeps_columns:
            at_most = [0] * len(texts)
        every = families([text.ids for text in texts], at_most)
        yield from self._read([texts[f.members[0]] for f in every if len(f.members) == 1])
        several = [family for family in every if len(family.members) > 1]
        for cut, bundle in bundles(several, self.room.keeps):
            members = [texts[i] for family in bundle for i in family.members]
            rows = [row for row, family in enumerate(bundle) for _ in family.members]
            layers = self._beginnings([texts[family.members[0]].ids[:cut] for family in bundle])
            yield from self._read(members, _Beginnings(layers, rows, cut))

    @torch.inference_mode()
    def _beginnings(self, ids: list[Ids]) -> list[Any]:
        """Layers with the keys and values of every column; all beginnings have one length."""
        # Built without the configuration, so that sliding layers keep every column as well.
        cache = DynamicCache()
        nothing = torch.zeros(len(ids), len(ids[0]), dtype=torch.bool)
        cached_pass(self.model, torch.tensor(ids), nothing, cache)
        return list(cache.layers)

    def _read(
        self, texts: list[Text], beginnings: "_Beginnings | None" = None
    ) -> Iterator[tuple[int, T]]:
        n_cached = beginnings.n_tokens if beginnings else 0
        lengths = [len(text.ids) - n_cached for text in texts]
        predicting = [text.n_predicting for text in texts]

        def fits(pack: list[int]) -> bool:
            n_predicting = sum(predicting[i] for i in pack)
            return self.room.holds(len(pack), lengths[pack[0]], n_cached, n_predicting)

        for pack in packs(lengths, fits):
            cache = beginnings.cache_of(pack) if beginnings else None
            yield from self._read_pack([texts[i] for i in pack], n_cached, cache)

    @torch.inference_mode()
    def _read_pack(
        self, texts: list[Text], n_cached: int, cache: Cache | None
    ) -> list[tuple[int, T]]:
        rows = [torch.tensor(text.ids[n_cached:]) for text in texts]
        input_ids = pad_sequence(rows, batch_first=True, padding_value=self.model.pad_token_id)
        lengths = torch.tensor([len(row) for row in rows])[:, None]
        predicting = torch.tensor([text.n_predicting for text in texts])[:, None]
        columns = torch.arange(input_ids.shape[1])
        positions = (columns < lengths) & (columns >= lengths - predicting)
        return self.look_up(input_ids, positions, cache, texts)


@dataclass(frozen=True)
class Targets:
    """The tokens that requests are about, and which of a pass's positions predict each."""

    requests: list[int]
    counts: list[int]  # tokens of each request; they sum to N
    rows: Tensor  # [N] among the positions, which come text after text
    tokens: Tensor  # [N]

    @classmethod
    def of(cls, texts: list[Text]) -> "Targets":
        """Of all requests of the texts."""
        ends = itertools.accumulate(text.n_predicting for text in texts)
        pairs = zip(ends, texts, strict=True)
        parts = [(i, end, ids) for end, text in pairs for i, ids in text.targets.items()]
        return cls(
            [request for request, _, _ in parts],
            [len(ids) for _, _, ids in parts],
            torch.tensor([row for _, end, ids in parts for row in range(end - len(ids), end)]),
            torch.tensor([token for _, _, ids in parts for token in ids]),
        )


class _LikelihoodReader(TextReader[Likelihood]):
    def look_up(
        self, input_ids: Tensor, positions: Tensor, cache: Cache | None, texts: list[Text]
    ) -> list[tuple[int, Likelihood]]:
        logits = cached_pass(self.model, input_ids, positions, cache)
        scores = F.log_softmax(logits, dim=-1)  # in the network's precision, as lm-eval has it
        of = Targets.of(texts)
        chosen = scores[of.rows.to(scores.device), of.tokens.to(scores.device)].cpu()
        greedy = _best(scores)[of.rows] == of.tokens
        split = zip(chosen.split(of.counts), greedy.split(of.counts), strict=True)
        found = [Likelihood(float(each.sum()), bool(hits.all())) for each, hits in split]
        return list(zip(of.requests, found, strict=True))


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


class _Continued(ColumnLayer):
    """Keys and values of a beginning in front of those of one pass, which are not kept."""

    def __init__(self, beginning: Any, rows: Tensor, n_tokens: int) -> None:
        super().__init__(column=n_tokens)
        self.beginning, self.rows = beginning, rows

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


# Which token sequences share a beginning, and which are worth one pass: plans, no tensors.


@dataclass(frozen=True)
class Family:
    """Sequences of which the first `shared` tokens are the same; of one alone, none are."""

    members: tuple[int, ...]
    shared: int

    @property
    def saved(self) -> int:
        """Tokens that need not be read again where the shared ones are read once."""
        return self.shared * (len(self.members) - 1)


def families(sequences: Sequence[Ids], at_most: Sequence[int]) -> list[Family]:
    """All sequences, those with a long common beginning together.

    `at_most` says how much of each may be shared: the rest is needed for itself.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    common = [_common(sequences[a], sequences[b]) for a, b in itertools.pairwise(order)]
    # By place in the order: a family is known by its first and by its last one.
    starting = {place: Family((i,), at_most[i]) for place, i in enumerate(order)}
    first_of = {place: place for place in starting}
    # The longest common beginnings first, so that no stranger comes between a question's choices.
    for place in sorted(range(len(common)), key=lambda place: -common[place]):
        left, right = starting[first_of[place]], starting[place + 1]
        shared = min(left.shared, right.shared, common[place])
        joined = Family((*left.members, *right.members), shared)
        if joined.saved >= left.saved + right.saved + _LEAST_SAVED:
            del starting[place + 1]
            starting[first_of[place]] = joined
            first_of[place + len(right.members)] = first_of[place]
    return [f if len(f.members) > 1 else Family(f.members, 0) for f in starting.values()]


def _common(one: Ids, other: Ids) -> int:
    """Length of the common beginning."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def bundles(
    several: Sequence[Family], fits: Callable[[int, int], bool]
) -> Iterator[tuple[int, list[Family]]]:
    """Families whose beginnings are read in one pass, and how many tokens of each that are.

    The beginnings of a bundle are cut to one length, so that they need no padding; what is cut
    off is read with each member.  `fits(n_families, n_tokens)` says what may go together.
    """
    bundle: list[Family] = []
    cut = n_members = 0
    for family in sorted(several, key=lambda family: -family.shared):
        lost = n_members * (cut - family.shared)
        if bundle and (lost > PASS_TOKENS or not fits(len(bundle) + 1, cut)):
            yield cut, bundle
            bundle, n_members = [], 0
        bundle.append(family)
        cut, n_members = family.shared, n_members + len(family.members)
    if bundle:
        yield cut, bundle


def packs(lengths: Sequence[int], fits: Callable[[list[int]], bool]) -> Iterator[list[int]]:
    """Batches of rows with little padding: no more of it than another pass would cost.

    The longest rows come first.  `fits(rows)` says what may go together; one always may.
    """
    pack: list[int] = []
    padding = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        added = lengths[pack[0]] - lengths[i] if pack else 0
        if pack and (padding + added > PASS_TOKENS or not fits([*pack, i])):
            yield pack
            pack, padding, added = [], 0, 0
        pack.append(i)
        padding += added
    if pack:
        yield pack
