"""Token sequences of one model's vocabulary, padded on the right."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sequences:
    """N sequences of at most L tokens: what a forget set, its pairs and its pool consist of.

    A beginning-of-sequence token, where the model has one, is column 0 and is
    counted by `n_bos`; it is context, never something predicted or scored.  So is
    what an attack puts behind it, in front of every row.
    """

    input_ids: Tensor  # [N, L] int64, right-padded with the model's pad id
    lengths: Tensor  # [N] int64, tokens of each row that count, BOS included
    n_given: Tensor  # [N] int64, leading tokens given before the suffix: BOS + t0
    doc_ids: tuple[str, ...]  # the row's name in its source; what every join uses
    n_bos: int = 0  # first columns that are context: BOS, and what an attack puts behind it

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    @property
    def attention_mask(self) -> Tensor:
        """[N, L] int64, 1 where a token counts."""
        at = torch.arange(self.input_ids.shape[1])[None, :]
        return (at < self.lengths[:, None]).long()

    def select(self, rows: Sequence[int] | Tensor) -> "Sequences":
        """The named rows, in that order."""
        index = torch.as_tensor(rows, dtype=torch.long)
        return replace(
            self,
            input_ids=self.input_ids[index],
            lengths=self.lengths[index],
            n_given=self.n_given[index],
            doc_ids=tuple(self.doc_ids[i] for i in index.tolist()),
        )

    def tokens(self, row: int) -> list[int]:
        """The row's own tokens as a list, without BOS and padding."""
        return self.input_ids[row, self.n_bos : int(self.lengths[row])].tolist()

    def prefix(self, row: int) -> list[int]:
        """The given tokens a continuation starts from, without BOS."""
        return self.input_ids[row, self.n_bos : int(self.n_given[row])].tolist()

    def suffix(self, row: int) -> list[int]:
        """The tokens that must be forgotten."""
        return self.input_ids[row, int(self.n_given[row]) : int(self.lengths[row])].tolist()


def joined(first: Sequences, second: Sequences) -> Sequences:
    """The rows of both, which are padded to the same width, one after the other."""
    return replace(
        first,
        input_ids=torch.cat([first.input_ids, second.input_ids]),
        lengths=torch.cat([first.lengths, second.lengths]),
        n_given=torch.cat([first.n_given, second.n_given]),
        doc_ids=first.doc_ids + second.doc_ids,
    )


def sequences_sha256(*parts: "Sequences") -> str:
    """Hex digest of token ids, lengths and given lengths: what a model is shown.

    Padding is left out: it depends on the pad token, not on the data.
    """
    digest = hashlib.sha256()
    for part in parts:
        ids = part.input_ids.masked_fill(part.attention_mask == 0, -1)
        for tensor in (ids, part.lengths, part.n_given):
            digest.update(repr((tuple(tensor.shape), part.n_bos)).encode())
            digest.update(tensor.long().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
