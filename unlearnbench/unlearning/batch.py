"""One batch of targets and what a loss may ask about it; what nobody asks for is never computed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.errors import UserError
from unlearnbench.models.scoring import (
    HeadOutputs,
    TokenScores,
    head_outputs,
    labels_of,
    predictors_of,
    reduce_tokens,
    score_tokens,
    span_mask,
    suffix_mask,
    token_nll,
)
from unlearnbench.models.sequences import joined
from unlearnbench.unlearning.alternatives import Alternatives
from unlearnbench.unlearning.items import Items
from unlearnbench.unlearning.losses import kl_divergence, kl_positions, reference_cross_entropy
from unlearnbench.unlearning.parts import Part
from unlearnbench.unlearning.reference import References, Which

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol


@dataclass(frozen=True)
class UnlearnBatch:
    """Some rows of a forget set in one optimisation step; `losses.py` says what the terms mean.

    Scores carry gradients and are computed once, at first use.  NLLs are reduced
    by the protocol; `..._per_row` are [B] sums over a row's counted tokens.
    """

    model: "LanguageModel"
    forget_set: "ForgetSet"
    index: list[int]  # which rows of the forget set
    random: torch.Generator  # for whatever a method draws; seeded by its seed
    references: References
    network: Callable[..., Any] | None = field(default=None, repr=False)
    part: Part | None = None  # of a larger batch; None: these rows are all of it
    epoch: int = 1
    step: int = 0  # optimisation steps taken before this one
    # What the loss asked for in earlier batches: what it will ask for again is computed together.
    foreseen: frozenset[str] = frozenset()
    requested: set[str] = field(default_factory=set, repr=False)
    noted: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, model: "LanguageModel", forget_set: "ForgetSet", index: Sequence[int], seed: int = 0
    ) -> "UnlearnBatch":
        """A batch on its own, outside a training loop: to try a loss."""
        random = torch.Generator().manual_seed(seed)
        return cls(model, forget_set, list(index), random, References(model, forget_set))

    @property
    def protocol(self) -> "Protocol":
        """How losses are summed, and over what."""
        return self.references.protocol

    @property
    def whole(self) -> "UnlearnBatch":
        """The batch that this is a part of, or itself: draw for its rows, score one's own."""
        # Kept apart: a batch that holds itself outlives its step, and its scores with it.
        return self if self.part is None or self.part.is_whole else self._larger

    @property
    def own_places(self) -> list[int]:
        """[B] where these rows stand among those of the whole batch."""
        first = self.part.first if self.part else 0
        return list(range(first, first + len(self.index)))

    @cached_property
    def _larger(self) -> "UnlearnBatch":
        return replace(self, index=self.part.batch if self.part else self.index, part=None)

    @cached_property
    def rows(self) -> "Sequences":
        """[B, L] the targets."""
        return self._trimmed(self.forget_set.rows.select(self.index))

    @cached_property
    def pairs(self) -> "Sequences":
        """[B, L'] the retain item beside each target: its neighbour, or one that is drawn."""
        return self._trimmed(self.references.every("pairs").select(self.pair_places))

    @cached_property
    def pair_places(self) -> list[int]:
        """[B] which of the retain items these are."""
        return self.references.retain_items.places(self.index, self.epoch)

    # Items hold their batch, for its scores: one that held them as well would outlive its step.
    @property
    def forget(self) -> Items:
        """The targets, token by token."""
        return self._items("rows", self.index, self.rows, self.whole.rows, lambda: self._target)

    @property
    def retain(self) -> Items:
        """The retain items, token by token."""
        return self._items(
            "pairs", self.pair_places, self.pairs, self.whole.pairs, lambda: self._pair
        )

    def instead(self, alternatives: Alternatives) -> Items:
        """What each target is to be continued with instead, in this epoch, token by token."""
        name, sequences = alternatives.name, alternatives.sequences
        self.references.add(name, sequences, list(range(len(sequences))))
        places, whole = (alternatives.places(b.index, self.epoch) for b in (self, self.whole))
        own = self._trimmed(sequences.select(places))

        @cache
        def scores() -> TokenScores:
            return score_tokens(self.model, own, span_mask(own, self.protocol), self.network)

        return self._items(name, places, own, self._trimmed(sequences.select(whole)), scores)

    def note(self, name: str, value: Tensor) -> None:
        """Hand a number to `step_done` that is no term: a mean over this part's rows."""
        self.noted[name] = value.detach()

    def of_mean(
        self, function: Callable[[Tensor], Tensor], mean: "Callable[[UnlearnBatch], Tensor]"
    ) -> Tensor:
        """`function` of a mean over the whole batch's items, as this part's term.

        `mean(batch)` is a mean over the rows it is given.  In parts, the function is taken at the
        batch's mean, for which the whole batch goes through the network once without gradients;
        the parts' terms then add up to its value and to its gradient.
        """
        own = mean(self)
        if self.whole is self:
            return function(own)
        with torch.no_grad():
            at = mean(replace(self._larger, requested=set(), noted={}))
        at = at.detach().requires_grad_(True)
        with torch.enable_grad():
            value = function(at)
        (slope,) = torch.autograd.grad(value, at)
        return value.detach() + slope * (own - at.detach())

    @property
    def target_logits(self) -> Tensor:
        """[N, V] at the targets' counted tokens, row after row."""
        return self._target.logits

    @property
    def target_nll(self) -> Tensor:
        """NLL(x_tgt), nats."""
        return self._nll(self._target, lambda whole: whole._target_mask)

    @property
    def target_nll_per_row(self) -> Tensor:
        """[B] nats."""
        return self._target.nll_per_row

    @property
    def reference_target_nll_per_row(self) -> Tensor:
        """[B] nats under the model before unlearning."""
        return self.references.nll_per_row("rows", self.index)

    @property
    def pair_logits(self) -> Tensor:
        """[N', V] at the neighbours' counted tokens, row after row."""
        return self._pair.logits

    @property
    def pair_nll(self) -> Tensor:
        """NLL(x_lrn), nats."""
        self.requested.add("pair_nll")
        return self._nll(self._pair, lambda whole: whole._pair_mask)

    @property
    def pair_nll_per_row(self) -> Tensor:
        """[B] nats."""
        return self._pair.nll_per_row

    @property
    def reference_pair_nll_per_row(self) -> Tensor:
        """[B] nats under the model before unlearning."""
        return self.references.nll_per_row("pairs", self.pair_places)

    @cached_property
    def pair_kl(self) -> Tensor:
        """`KL[P_0 || P](x_lrn)`, nats (eq. 4), or the released cross-entropy (`kl_term`)."""
        n_tokens = self._n_tokens(lambda whole: whole._kl_positions)
        self.requested.add("pair_kl")
        values = self._pair.divergence
        return reduce_tokens(values, len(self.index), self.protocol.loss_reduction, n_tokens)

    @cached_property
    def neighbour_label_nll(self) -> Tensor:
        """NLL of the neighbour's tokens given the target's inputs, nats: the released code's terms.

        Counts the positions that both sequences have.
        """
        width = self.rows.input_ids.shape[1]
        labels = F.pad(self.pairs.input_ids, (0, width - self.pairs.input_ids.shape[1]))
        both = self._both_masks
        seen = both[self._target_mask].to(self.model.device)
        wanted = labels[both].to(self.model.device)
        values = self._target.outputs.select(seen).values(token_nll, wanted)
        n_tokens = self._n_tokens(lambda whole: whole._both_masks)
        return reduce_tokens(values, len(self.index), self.protocol.loss_reduction, n_tokens)

    def nll_of(self, sequences: "Sequences") -> Tensor:
        """NLL of other sequences' suffixes, nats: what stands before a suffix is only context.

        One sequence per row of `whole`, in its order; raises `UserError` for another number.
        """
        return self._nll(self._suffixes(sequences), lambda _: suffix_mask(sequences))

    def nll_of_per_row(self, sequences: "Sequences") -> Tensor:
        """[B] nats of the suffixes, of those of the `whole`'s sequences that are this part's."""
        return self._suffixes(sequences).nll_per_row

    def _items(
        self,
        which: Which,
        places: list[int],
        sequences: "Sequences",
        whole: "Sequences",
        scores: "Callable[[], TokenScores]",
    ) -> Items:
        return Items(
            self.model,
            self.protocol,
            self.references,
            which,
            places,
            sequences,
            whole,
            scores,
            self.network,
        )

    def _suffixes(self, sequences: "Sequences") -> TokenScores:
        if len(sequences) != len(self.whole.index):
            raise UserError(
                f"a loss scored {len(sequences)} sequences in a batch of {len(self.whole.index)} "
                "rows; make one for each of batch.whole.rows (docs/methods.md)"
            )
        if self.whole is not self:
            sequences = self._trimmed(sequences.select(self.own_places))
        return score_tokens(self.model, sequences, suffix_mask(sequences), self.network)

    def _nll(self, scores: TokenScores, mask_of: "Callable[[UnlearnBatch], Tensor]") -> Tensor:
        return scores.nll(self.protocol.loss_reduction, self._n_tokens(mask_of))

    def _n_tokens(self, mask_of: "Callable[[UnlearnBatch], Tensor]") -> float | None:
        """The tokens by which a part's sum is divided so that, weighed, it adds up to the mean over
        the batch's tokens; None where nothing is to be put right."""
        part = self.part
        if self.whole is self or part is None or self.protocol.loss_reduction == "sum":
            return None
        return max(int(mask_of(self.whole).sum()), 1) * len(part.rows) / len(part.batch)

    @cached_property
    def _target_mask(self) -> Tensor:
        return span_mask(self.rows, self.protocol)

    @cached_property
    def _pair_mask(self) -> Tensor:
        return span_mask(self.pairs, self.protocol)

    @cached_property
    def _both_masks(self) -> Tensor:
        """[B, L] where both a target and its neighbour have a token that counts."""
        width = self.rows.input_ids.shape[1]
        return self._target_mask & F.pad(self._pair_mask, (0, width - self._pair_mask.shape[1]))

    @cached_property
    def _target(self) -> TokenScores:
        return TokenScores(
            self._outputs("rows"), *labels_of(self.rows, self._target_mask, self.model.device)
        )

    @cached_property
    def _kl_positions(self) -> Tensor:
        return kl_positions(self.pairs, self.protocol)

    @cached_property
    def _pair(self) -> "PairScores":
        """[U] positions: those that predict the counted tokens, or all where the KL term looks."""
        released = self.protocol.kl_term == "cross_entropy"
        positions, device = self._kl_positions, self.model.device
        ids = self.pairs.input_ids
        labels, counts = labels_of(self.pairs, self._pair_mask, device)
        references, places = self.references, self.pair_places
        return PairScores(
            self._outputs("pairs"),
            labels,
            counts,
            following=ids.roll(-1, dims=1)[positions].to(device),
            counted=predictors_of(self._pair_mask)[positions].to(device),
            frozen=lambda: references.pair_outputs(places),
            divergence_of=reference_cross_entropy if released else kl_divergence,
            both={"pair_nll", "pair_kl"} <= self.foreseen,
        )

    def _outputs(self, which: Literal["rows", "pairs"]) -> HeadOutputs:
        """Of the targets where they are scored, or of the neighbours where the KL term looks."""
        self.requested.add(which)
        if self._takes_both:
            return self._of_both[which]
        one = self.rows if which == "rows" else self.pairs
        return head_outputs(self.model, one, self._positions(which), self.network)

    @property
    def _takes_both(self) -> bool:
        # A wrapper's passes are counted by all processes, whose parts may differ in length; what is
        # looked at without gradients must not be what another term is trained through.
        if self.network is not None or not torch.is_grad_enabled():
            return False
        # Unequal lengths would need padding: tokens that no loss looks at.
        return {"rows", "pairs"} <= self.foreseen and (
            self.rows.input_ids.shape == self.pairs.input_ids.shape
        )

    def _positions(self, which: Literal["rows", "pairs"]) -> Tensor:
        return predictors_of(self._target_mask) if which == "rows" else self._kl_positions

    @cached_property
    def _of_both(self) -> dict[str, HeadOutputs]:
        """One pass over targets and neighbours of one length: no token more than in two."""
        both = joined(self.rows, self.pairs)
        positions = [self._positions(which) for which in ("rows", "pairs")]
        outputs = head_outputs(self.model, both, torch.cat(positions), self.network)
        parts = outputs.split([int(at.sum()) for at in positions])
        return dict(zip(("rows", "pairs"), parts, strict=True))

    def _trimmed(self, sequences: "Sequences") -> "Sequences":
        """Without columns that are padding in every row, unless some loss counts padding."""
        if self.protocol.pad_tokens == "count" or self.protocol.kl_term == "cross_entropy":
            return sequences
        return replace(sequences, input_ids=sequences.input_ids[:, : int(sequences.lengths.max())])


@dataclass(frozen=True)
class PairScores(TokenScores):
    """NLL and divergence from the same outputs; where both are wanted, in one run over the head.

    The outputs are those of every position where the KL term looks, U of them,
    among which are the N that predict the counted tokens.
    """

    following: Tensor  # [U] int64, the token after each position
    counted: Tensor  # [U] bool, the positions that predict the counted tokens
    frozen: Callable[[], HeadOutputs]  # theta_0's at the same positions
    divergence_of: Callable[[Tensor, Tensor], Tensor]  # [n] from theta_0's and own logits
    both: bool  # whether both will be asked for

    @property
    def logits(self) -> Tensor:
        """[N, V], whole in memory."""
        return self.outputs.logits[self.counted]

    @cached_property
    def labelled(self) -> HeadOutputs:
        """[N, V] of the counted tokens alone."""
        return self.outputs.select(self.counted)

    @cached_property
    def token_nll(self) -> Tensor:
        """[N] nats."""
        values = self._both[0] if self.both else self.outputs.values(token_nll, self.following)
        return values[self.counted]

    @cached_property
    def divergence(self) -> Tensor:
        """[U] nats."""
        if self.both:
            return self._both[1]
        return self.outputs.values(
            lambda own, theta_0: self.divergence_of(theta_0, own), self.frozen()
        )

    @cached_property
    def _both(self) -> Tensor:
        """[2, U]."""

        def both(own: Tensor, following: Tensor, theta_0: Tensor) -> Tensor:
            return torch.stack([token_nll(own, following), self.divergence_of(theta_0, own)])

        return self.outputs.values(both, self.following, self.frozen())
