"""Rows as a source holds them, and how they become one model's token sequences."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from typing import Protocol as Interface

from unlearnbench.errors import UserError
from unlearnbench.models.vocabulary import encode_continuations, encode_starts

if TYPE_CHECKING:
    import numpy as np

    from unlearnbench.data.row_vocabulary import RowVocabulary
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

SUFFIX_LENGTH = 50  # of a full row: 50 of 100, or 50 of 200


class Rows(Interface):
    """What every source gives: rows that can be counted, chosen and tokenised."""

    def __len__(self) -> int: ...

    @property
    def doc_ids(self) -> tuple[str, ...]:
        """The rows' names, in order."""

    def select(self, rows: Sequence[int]) -> "Rows":
        """The rows at those places, in that order."""

    def contents(self, protocol: "Protocol") -> list[Any]:
        """What tells each row from others, whatever its name; known without a model."""

    def encode(
        self, model: "LanguageModel", protocol: "Protocol", only_fitting: bool = False
    ) -> "Sequences":
        """[N, L] the rows as this model reads them, BOS first where it has one.

        Rows longer than the model's context are left out with `only_fitting`, else an error.
        """


@dataclass(frozen=True)
class TokenRows:
    """Rows of the extraction benchmark: ids of a given vocabulary in three spans."""

    preprefix: "np.ndarray"  # [N, 100]
    prefix: "np.ndarray"  # [N, 50]
    suffix: "np.ndarray"  # [N, 50]
    doc_ids: tuple[str, ...]
    vocabulary: "RowVocabulary"

    def __len__(self) -> int:
        return len(self.doc_ids)

    def select(self, rows: Sequence[int]) -> "TokenRows":
        """The rows at those places, in that order."""
        at = list(rows)
        return replace(
            self,
            preprefix=self.preprefix[at],
            prefix=self.prefix[at],
            suffix=self.suffix[at],
            doc_ids=tuple(self.doc_ids[i] for i in at),
        )

    def encode(
        self, model: "LanguageModel", protocol: "Protocol", only_fitting: bool = False
    ) -> "Sequences":
        """[N, L] ids as they are if the vocabulary is the model's; decoded and re-tokenised if not.

        Each span is tokenised on its own, so that the suffix starts exactly where it
        starts in the benchmark; lengths then differ from row to row.
        """
        import numpy as np

        given = [self.preprefix, self.prefix] if protocol.sequence == "all" else [self.prefix]
        if self.vocabulary.is_of(model):
            prefixes = np.concatenate(given, axis=1).tolist()
            parts = list(zip(prefixes, self.suffix.tolist(), strict=True))
            return assemble(model, parts, self.doc_ids, self._where(), only_fitting)
        spans = [span.tolist() for span in (*given, self.suffix)]
        texts = self.vocabulary.texts(list(zip(*spans, strict=True)))
        parts = _encode_spans(model, texts)
        return assemble(model, parts, self.doc_ids, self._where(), only_fitting)

    def contents(self, protocol: "Protocol") -> list[bytes]:
        """What tells each row from others: the ids that this protocol shows a model."""
        import numpy as np

        given = [self.preprefix, self.prefix] if protocol.sequence == "all" else [self.prefix]
        return [row.tobytes() for row in np.concatenate([*given, self.suffix], axis=1)]

    def _where(self) -> list[str]:
        return [f"row {doc_id} of the extraction set" for doc_id in self.doc_ids]


Parts = tuple[list[int], list[int]]  # given tokens, suffix tokens


def _encode_spans(model: "LanguageModel", texts: list[list[str]]) -> list[Parts]:
    first, *rest = [list(column) for column in zip(*texts, strict=True)] or [[], []]
    given = encode_starts(model.tokenizer, first)
    *middle, suffixes = [encode_continuations(model.tokenizer, column) for column in rest]
    for more in middle:
        given = [a + b for a, b in zip(given, more, strict=True)]
    return list(zip(given, suffixes, strict=True))


@dataclass(frozen=True)
class TextRow:
    """One row of text: running text to be cut by tokens (no suffix), or two given parts."""

    doc_id: str
    prefix: str
    suffix: str | None
    where: str  # 'forget.jsonl, row 3': what an error names


@dataclass(frozen=True)
class TextRows:
    """Rows of a text file or a hub data set."""

    rows: tuple[TextRow, ...]

    @property
    def doc_ids(self) -> tuple[str, ...]:
        """Each row's name: its doc_id, else its number."""
        return tuple(row.doc_id for row in self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, rows: Sequence[int]) -> "TextRows":
        """The rows at those places, in that order."""
        return TextRows(tuple(self.rows[i] for i in rows))

    def contents(self, protocol: "Protocol") -> list[tuple[str, str | None]]:  # noqa: ARG002
        """What tells each row from others: its text."""
        return [(row.prefix, row.suffix) for row in self.rows]

    def encode(
        self, model: "LanguageModel", protocol: "Protocol", only_fitting: bool = False
    ) -> "Sequences":
        """[N, L] running text cut to T tokens and into given and suffix; two parts as they are.

        Raises `UserError` naming file and row where there is too little to forget.
        """
        length = 200 if protocol.sequence == "all" else 100
        starts = encode_starts(model.tokenizer, [row.prefix for row in self.rows])
        suffixes = encode_continuations(model.tokenizer, [row.suffix or "" for row in self.rows])
        parts = [
            split_running_text(start[:length], length) if row.suffix is None else (start, suffix)
            for row, start, suffix in zip(self.rows, starts, suffixes, strict=True)
        ]
        for row, (given, suffix) in zip(self.rows, parts, strict=True):
            _check_length(row, given, suffix)
        where = [row.where for row in self.rows]
        return assemble(model, parts, self.doc_ids, where, only_fitting)


def split_running_text(ids: list[int], length: int) -> tuple[list[int], list[int]]:
    """Given tokens and suffix of a text of at most `length` tokens.

    t0 = length - 50 (50 of 100, 150 of 200) if at least ten tokens follow, else half.
    """
    t0 = length - SUFFIX_LENGTH
    if len(ids) < t0 + 10:
        t0 = len(ids) // 2
    return ids[:t0], ids[t0:]


def _check_length(row: TextRow, given: list[int], suffix: list[int]) -> None:
    if not given:
        raise UserError(f"{row.where}: nothing is given before the suffix; make the text longer")
    # An answer may be one token (a year); half of a running text should be more than that.
    needed = 2 if row.suffix is None else 1
    if len(suffix) < needed:
        raise UserError(
            f"{row.where}: too short: {len(suffix)} tokens to forget, needs {needed} or more; "
            "lengthen or remove the row"
        )


def assemble(
    model: "LanguageModel",
    parts: Sequence[Parts],
    doc_ids: tuple[str, ...],
    where: Sequence[str],
    only_fitting: bool = False,
) -> "Sequences":
    """[N, L] `BOS? given suffix`, padded on the right; `where` is what errors call each row.

    Raises `UserError` for a row without a token to forget, and, unless `only_fitting`, for one
    longer than the model's context.
    """
    import torch

    from unlearnbench.models.sequences import Sequences

    for (_, suffix), name in zip(parts, where, strict=True):
        if not suffix:
            raise UserError(f"{name}: no token to forget for {model.source.name}; remove the row")
    bos = model.bos_token_id_to_prepend
    head = [] if bos is None else [bos]
    made = [(head + a, head + a + b, doc) for (a, b), doc in zip(parts, doc_ids, strict=True)]
    fitting = [row for row in made if len(row[1]) <= model.max_length]
    if len(fitting) < len(made) and not only_fitting:
        longest = max(range(len(made)), key=lambda at: len(made[at][1]))
        raise _too_long(model, where[longest], len(made[longest][1]))
    width = max((len(row) for _, row, _ in fitting), default=0)
    pad = model.pad_token_id
    padded = [row + [pad] * (width - len(row)) for _, row, _ in fitting]
    return Sequences(
        input_ids=torch.tensor(padded, dtype=torch.long).reshape(len(fitting), width),
        lengths=torch.tensor([len(row) for _, row, _ in fitting], dtype=torch.long),
        n_given=torch.tensor([len(given) for given, _, _ in fitting], dtype=torch.long),
        doc_ids=tuple(doc for _, _, doc in fitting),
        n_bos=len(head),
    )


def _too_long(model: "LanguageModel", where: str, n_tokens: int) -> UserError:
    return UserError(
        f"{where}: has {n_tokens} tokens for {model.source.name}, which reads at most "
        f"{model.max_length}; take a model with a longer context or shorter rows"
    )
