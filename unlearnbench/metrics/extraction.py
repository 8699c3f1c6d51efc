"""Extraction likelihood (eqs. 7, 8) and memorisation accuracy (eq. 9), exact and cheap.

A start whose next token the model gets right continues exactly as the start after
it, so only the misses of one teacher-forced pass are decoded: all starts before a
miss share its continuation (the released code: 3,871,744 forward tokens for 128 rows otherwise).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from unlearnbench.models.generation.branches import (
    Branch,
    Prefill,
    decode_branches,
    prefill_batches,
)

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol


Denominator = Literal["continuation", "reference"]


def last_starts(reference: Sequence[int], n: int) -> dict[tuple[int, ...], int]:
    """The last position at which each n-gram of the reference starts."""
    return {tuple(reference[i : i + n]): i for i in range(len(reference) - n + 1)}


def overlaps(
    text: Sequence[int],
    starts: Sequence[int],
    known: dict[tuple[int, ...], int],
    n: int,
    reference_length: int,
    denominator: Denominator,
) -> list[float]:
    """Eq. 8 for each start t: the share of the n-grams of `text` from t that occur in x_>=t.

    `text` begins at position starts[0] of the reference, and `known` are the
    reference's `last_starts`: an n-gram occurs in x_>=t if its last start is >= t.
    """
    n_grams = max(0, len(text) - n + 1)
    seen = np.array([known.get(tuple(text[i : i + n]), -1) for i in range(n_grams)], dtype=int)
    end = len(text) + starts[0] if denominator == "continuation" else reference_length
    # Without an n-gram there is no share; EL counts such a continuation as 0.
    return [float((seen[t - starts[0] :] >= t).sum()) / max(1, end - t - n + 1) for t in starts]


class OverlapWatch:
    """Says when the tokens a branch still lacks cannot change its overlap any more.

    For every branch it follows, per position j of its row, how many of the
    branch's last tokens are those of the row up to j.  If the longest such run
    is too short to grow to n within the branch, no n-gram will match any more.
    """

    def __init__(
        self,
        input_ids: Tensor,  # [B, L] the rows, what does not count replaced by -1
        runs: "Sequence[_Run]",  # [k] what the branches are to complete
        ends: Tensor,  # [k] first column a branch must not fill
        n: int,
        denominator: Denominator,
    ) -> None:
        rows = torch.tensor([run.row for run in runs])
        firsts = torch.tensor([run.starts[0] for run in runs])
        leaves = torch.tensor([run.leaves for run in runs])
        self.references, self.ends, self.n = input_ids[rows], ends, n
        own = _own_runs(input_ids)[rows, leaves - 1]
        self.runs = torch.minimum(own, (leaves - firsts)[:, None].to(own.dtype))
        # After a match the length of the continuation counts too, unless it is not divided by.
        self.needs_length = denominator == "continuation"
        self.matched = self.runs.amax(1) >= n

    def settled(self, branches: Tensor, column: int | Tensor, tokens: Tensor) -> Tensor:
        """[k] bool: whether these branches, which just got `tokens` at `column`, may end here."""
        runs = self.runs[branches]
        longer = torch.ones_like(runs)
        longer[:, 1:] += runs[:, :-1]
        runs = longer * (self.references[branches] == tokens[:, None])
        self.runs[branches] = runs
        longest = runs.amax(1)
        self.matched[branches] |= longest >= self.n
        hopeless = column - longest + self.n >= self.ends[branches]
        return hopeless & ~(self.matched[branches] & self.needs_length)


def _own_runs(input_ids: Tensor) -> Tensor:
    """[B, L, L] int16: how many tokens up to column i equal those up to column j."""
    n_rows, width = input_ids.shape
    equal = input_ids[:, :, None] == input_ids[:, None, :]
    runs = torch.zeros(n_rows, width, width, dtype=torch.int16)
    runs[:, 0] = equal[:, 0]
    for i in range(1, width):
        longer = torch.ones(n_rows, width, dtype=torch.int16)
        longer[:, 1:] += runs[:, i - 1, :-1]
        runs[:, i] = longer * equal[:, i]
    return runs


@dataclass(frozen=True)
class ExtractionScores:
    """EL_n and MA of each row, 0..1, in the rows' order."""

    el: list[float]
    ma: list[float]


@dataclass(frozen=True)
class _Run:
    """Neighbouring starts that share one continuation: the row's tokens, then `tail`."""

    row: int
    starts: range  # columns
    leaves: int  # the column at which the continuation leaves the row
    tail: tuple[int, ...]  # what is known to follow there
    open: bool  # more follows, to be decoded


def extraction_scores(
    model: "LanguageModel",
    rows: "Sequences",
    protocol: "Protocol",
    n: int = 10,
    batch_size: int = 32,
) -> ExtractionScores:
    """EL_n (eqs. 7, 8) and MA (eq. 9) of every row.

    A start t gives the model x_<t (and BOS) and lets it go on greedily to the
    row's length or an end of sequence, which is the continuation's last token.
    Protocol fields that matter: `el_positions` (t = 1..T-n divided by T-n, or the
    suffix t0..T-1 divided by T-t0-n+1), `el_denominator` (n-grams of the
    continuation or of x_>=t), `pad_tokens` (T = the row's length, or the matrix's).
    A row with T <= n has EL 0.  `batch_size` bounds memory and changes no value.
    """
    el: list[float] = []
    ma: list[float] = []
    for batch, prefill in prefill_batches(model, rows.input_ids, batch_size):
        part = PrefilledRows(model, rows.select(batch), prefill, protocol, n)
        ma += part.memorisation()
        el += part.likelihood(batch_size)
    return ExtractionScores(el, ma)


def memorisation_accuracy(
    model: "LanguageModel", rows: "Sequences", protocol: "Protocol", batch_size: int = 32
) -> list[float]:
    """MA (eq. 9) of every row alone: one teacher-forced pass, nothing decoded."""
    ma: list[float] = []
    for batch, prefill in prefill_batches(model, rows.input_ids, batch_size):
        ma += PrefilledRows(model, rows.select(batch), prefill, protocol).memorisation()
    return ma


class PrefilledRows:
    """The rows of one prefill, in columns of its matrix (BOS is column 0 where there is one)."""

    def __init__(
        self,
        model: "LanguageModel",
        rows: "Sequences",
        prefill: Prefill,
        protocol: "Protocol",
        n: int = 10,
    ) -> None:
        self.model, self.prefill, self.protocol, self.n = model, prefill, protocol, n
        self.eos = model.eos_token_id
        self.first = rows.n_bos
        width = rows.input_ids.shape[1]
        counted = torch.full_like(rows.lengths, width)
        self.ends = (counted if protocol.pad_tokens == "count" else rows.lengths).tolist()
        self.given = rows.n_given.tolist()
        columns = torch.arange(width)[None, :]
        inside = (columns >= self.first) & (columns < torch.tensor(self.ends)[:, None])
        self.input_ids = rows.input_ids.cpu().masked_fill(~inside, -1)
        self.tokens = rows.input_ids.tolist()
        self.hits: Tensor = prefill.predicted[:, :width] == self.input_ids

    def memorisation(self) -> list[float]:
        """Eq. 9: the share of t = 1..T-1 with argmax P(. | x_<t) = x_t."""
        ends = torch.tensor(self.ends)
        right = self.hits[:, self.first + 1 :].sum(1).double()
        return (right / (ends - self.first - 1).clamp_min(1)).tolist()

    def likelihood(self, batch_size: int) -> list[float]:
        """Eq. 7: the mean overlap over the protocol's starts."""
        runs = [run for row in range(len(self.tokens)) for run in self._runs(row)]
        tails = self._decode([run for run in runs if run.open], batch_size)
        sums = [0.0] * len(self.tokens)
        known = [
            last_starts(ids[self.first : end], self.n)
            for ids, end in zip(self.tokens, self.ends, strict=True)
        ]
        for run in runs:
            tail = tails[run.row, run.leaves] if run.open else list(run.tail)
            text = self.tokens[run.row][run.starts[0] : run.leaves] + tail
            sums[run.row] += sum(
                overlaps(
                    text,
                    [start - self.first for start in run.starts],
                    known[run.row],
                    self.n,
                    self.ends[run.row] - self.first,
                    self.protocol.el_denominator,
                )
            )
        return [sums[row] / max(1, self._divisor(row)) for row in range(len(sums))]

    def _starts(self, row: int) -> range:
        """The columns of the protocol's start positions; none for a row that is too short."""
        first, end = self.first, self.ends[row]
        if self._divisor(row) < 1:
            return range(0)
        if self.protocol.el_positions == "every":
            return range(first + 1, end - self.n + 1)
        return range(max(self.given[row], 1), end)

    def _divisor(self, row: int) -> int:
        length = self.ends[row] - self.first
        if self.protocol.el_positions == "every" or length <= self.n:
            return length - self.n
        return length - (self.given[row] - self.first) - self.n + 1

    def _runs(self, row: int) -> Iterator[_Run]:
        """The starts grouped by the next column where the continuation leaves the row or ends."""
        starts, end = self._starts(row), self.ends[row]
        predicted = self.prefill.predicted[row].tolist()
        at = starts.start
        while at < starts.stop:
            leaves = at
            while leaves < end and predicted[leaves] == self.tokens[row][leaves] != self.eos:
                leaves += 1
            shared = range(at, min(leaves + 1, starts.stop))
            tail = (predicted[leaves],) if leaves < end else ()
            going = leaves + 1 < end and tail != (self.eos,)
            yield _Run(row, shared, leaves, tail, going)
            at = shared.stop

    def _decode(self, runs: list[_Run], batch_size: int) -> dict[tuple[int, int], list[int]]:
        """The open runs' tokens by row and column, without those that change no overlap."""
        if not runs:
            return {}
        branches = [Branch(r.row, r.leaves, r.tail[0], self.ends[r.row]) for r in runs]
        ends = torch.tensor([branch.end for branch in branches])
        watch = OverlapWatch(self.input_ids, runs, ends, self.n, self.protocol.el_denominator)
        tokens = decode_branches(self.model, self.prefill, branches, batch_size, watch)
        return {(run.row, run.leaves): ids for run, ids in zip(runs, tokens, strict=True)}
