"""What a row is to be continued with instead: a refusal or another answer, drawn in every epoch."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import pad_sequence

from unlearnbench.errors import UserError
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel


class Alternatives:
    """Rows with other continuations, one of some for each row, drawn anew in every epoch.

    A draw depends on seed, epoch and row alone: the same ones come whatever the batch size, the
    parts of a batch or the number of processes.
    """

    def __init__(
        self,
        model: "LanguageModel",
        forget_set: "ForgetSet",
        options: Sequence[Sequence[list[int]]],  # of each row: token ids of continuations
        seed: int,
        n_epochs: int,
        name: str = "alternatives",
    ) -> None:
        self.name = name
        self._model, self._rows, self._options = model, forget_set.rows, options
        self._seed, self._n_epochs = seed, n_epochs

    @cached_property
    def sequences(self) -> Sequences:
        """[C, L] each row with each continuation that it gets in some epoch."""
        rows = self._rows.select([row for row, _ in self._place_of])
        suffixes = [self._options[row][option] for row, option in self._place_of]
        return completed(rows, suffixes, self._model.pad_token_id, self._model.max_length)

    def places(self, rows: Sequence[int], epoch: int) -> list[int]:
        """Of each row, which of the sequences stands for it in that epoch."""
        return [self._place_of[row, self._drawn(row, epoch)] for row in rows]

    @cached_property
    def _place_of(self) -> dict[tuple[int, int], int]:
        epochs = range(1, self._n_epochs + 1)
        every = {(row, self._drawn(row, e)) for e in epochs for row in range(len(self._rows))}
        return {pair: place for place, pair in enumerate(sorted(every))}

    def _drawn(self, row: int, epoch: int) -> int:
        epoch = (epoch - 1) % self._n_epochs + 1  # later ones have the draws of the first again
        digest = sha256(f"{self._seed}:{self.name}:{epoch}:{row}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % len(self._options[row])


def refusals_of(model: "LanguageModel", forget_set: "ForgetSet") -> list[list[int]]:
    """Token ids of the "don't know" answers: those given with the data, else those of its source.

    Raises `UserError` where there are none.
    """
    texts = forget_set.refusals or forget_set.stock_refusals
    if not texts:
        raise UserError(
            f"forget set '{forget_set.name}' has no refusals; give a file with one in each line: "
            "--refusals FILE"
        )
    return [answer_ids(model.tokenizer, text) for text in texts]


def drawn_refusals(
    model: "LanguageModel", forget_set: "ForgetSet", seed: int, n_epochs: int
) -> Alternatives:
    """Each row continued by a refusal; raises `UserError` where there are none."""
    options = [refusals_of(model, forget_set)] * len(forget_set.rows)
    return Alternatives(model, forget_set, options, seed, n_epochs, "refusals")


def completed(
    rows: Sequences, suffixes: Sequence[list[int]], pad_token_id: int, max_length: int
) -> Sequences:
    """The rows with other suffixes after their given tokens, cut where the model's context ends."""
    given = [rows.input_ids[i, : int(n)].tolist() for i, n in enumerate(rows.n_given)]
    tokens = [
        torch.tensor((g + s)[:max_length], dtype=torch.long)
        for g, s in zip(given, suffixes, strict=True)
    ]
    input_ids = pad_sequence(tokens, batch_first=True, padding_value=pad_token_id)
    lengths = torch.tensor([len(t) for t in tokens])
    return Sequences(input_ids, lengths, rows.n_given, rows.doc_ids, rows.n_bos)


def answer_ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """An answer as it stands after a question: with the space before it, exactly once."""
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    # SentencePiece vocabularies put that space there themselves.
    if tokenizer.convert_ids_to_tokens(ids[:1])[0].startswith("▁"):
        return ids
    spaced: list[int] = tokenizer(" " + text, add_special_tokens=False)["input_ids"]
    return spaced
