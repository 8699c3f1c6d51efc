"""What a source of forget sets is: known before any model, read once, tokenised once per model."""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Container, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from typing import Protocol as Interface

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.tables import text_of_file

if TYPE_CHECKING:
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol


@dataclass(frozen=True)
class ForgetRequest:
    """What a user says about the forget sets: the command line's options as they are written."""

    forget_set: (
        str  # a world's name, a folder, a file, or hf:owner/name[:config][:split][@revision]
    )
    runs: tuple[str, ...] = ()  # names or doc-id CSV files; empty: all but 'tuning'
    rows: str | None = None  # folder of the extraction benchmark's .npy files
    pool: str | None = None  # text file or .npy folder to draw analogues from
    unseen: str | None = None  # text file or .npy folder the model never saw
    refusals: str | None = None  # one "don't know" answer per line
    pairing: str = "nearest"  # or random, or same:FIELD
    benchmark: str | None = None  # a name or a .toml file; the forget sets are then its splits
    data: str | None = None  # where a benchmark's tables are, if not where it says
    template: Literal["auto", "chat", "plain"] = "auto"  # of questions


class Rows(Interface):
    """What every source gives: rows that can be counted, chosen and tokenised."""

    has_fixed_length: ClassVar[bool]  # the benchmark's spans of 100 or 200 tokens, not free text

    def __len__(self) -> int: ...

    @property
    def doc_ids(self) -> tuple[str, ...]:
        """The rows' names, in order."""

    def select(self, rows: Sequence[int]) -> "Rows":
        """The rows at those places, in that order."""

    def contents(self, protocol: "Protocol") -> list[Any]:
        """What tells each row from others, whatever its name; known without a model."""

    def values_of(self, name: str) -> dict[str, str]:
        """The rows' values of a field, by doc_id; raises `UserError` where they have none."""

    def sha256(self, protocol: "Protocol") -> str:
        """Digest of what the rows are to any model under that protocol; their names aside."""

    def encode(
        self, model: "LanguageModel", protocol: "Protocol", only_fitting: bool = False
    ) -> "Sequences":
        """[N, L] the rows as this model reads them, BOS first where it has one.

        Rows longer than the model's context are left out with `only_fitting`, else an error.
        """


class ForgetSource(ABC):
    """A place with one or more forget sets.  Making one loads no model and no torch.

    Each of its files is parsed when it is first asked for, and once: ids, lengths and digests
    come from what was parsed.
    """

    name: str  # folder, file or data set: 'pile_extraction'
    runs: tuple[str, ...]  # those asked for, or all but 'tuning'
    refusals: tuple[str, ...] = ()
    pairing: str = "nearest"  # which pool row stands beside a row: nearest, random, same:FIELD
    stock_refusals: tuple[str, ...] = ()  # its own, for methods that cannot do without any
    is_synthetic: bool = False  # of a world that comes with the package

    @abstractmethod
    def sha256(self, run: str) -> str:
        """Digest of every file that takes part in a run: doc ids, rows, pool, refusals, unseen."""

    @abstractmethod
    def title(self, run: str) -> str:
        """Source and file of a run: 'pile_extraction/lm_extraction_128_0'."""

    @abstractmethod
    def targets(self, run: str, limit: int | None = None) -> Rows:
        """The rows to forget, in the source's order: the first `limit` of the run.

        Of joined forget sets ('0+1') the first `limit` of each, and each row once.
        """

    @abstractmethod
    def pool(self, run: str, limit: int | None = None) -> Rows | None:
        """What the targets' neighbours are drawn from; None if there is nothing."""

    @property
    @abstractmethod
    def unseen(self) -> Rows | None:
        """Rows that the model never saw, to calibrate the stop line on; None if there are none."""

    def asks_questions(self, run: str) -> bool:  # noqa: ARG002
        """Whether a run's own rows are questions, outside of a benchmark."""
        return False

    def splits(self, run: str, limit: int | None = None) -> "tuple[Split, ...]":  # noqa: ARG002
        """What tasks measure beside a run, where the source is a benchmark."""
        return ()

    def left_out(self, run: str) -> list[str]:  # noqa: ARG002
        """What is not measured beside a forget set for want of data, in words."""
        return []

    def check_roles(self, run: str) -> None:  # noqa: B027 - most sources have one role alone
        """Raise `UserError` for rows that two roles have in common."""


def check_pairing(source: ForgetSource, limit: int | None) -> None:
    """Raises `UserError` for a pairing that is none, and for a row that it has no item for."""
    kind, _, name = source.pairing.partition(":")
    if source.pairing in ("nearest", "random"):
        return
    if kind != "same" or not name:
        raise UserError(
            f"--pairing '{source.pairing}' is none of nearest, random, same:FIELD (a field of the "
            "data, as in --pairing same:author)"
        )
    for run in source.runs:
        offered = source.pool(run, limit)
        available = set((offered.values_of(name) if offered else {}).values())
        for doc_id, value in source.targets(run, limit).values_of(name).items():
            if value not in available:
                raise no_item(source.title(run), doc_id, name, value)


def no_item(title: str, doc_id: str, name: str, value: str) -> UserError:
    """That no row of the pool shares a row's value of a field."""
    return UserError(
        f"forget set '{title}', row {doc_id}: no row of the pool has {name} {value!r:.60}; give "
        "another pool (--pool FILE), or take --pairing random"
    )


JOIN = "+"  # between the names of forget sets that are taken as one: '0+1'


def parts_of(run: str, there: Container[str]) -> tuple[str, ...]:
    """The forget sets that a run's name joins; itself where there is one of that very name."""
    return (run,) if run in there else tuple(run.split(JOIN))


def choose_runs(asked: tuple[str, ...], there: tuple[str, ...], source: str) -> tuple[str, ...]:
    """The runs asked for, '0+1' for the rows of two, or all but 'tuning'.

    Raises `UserError` for one that is not there, and for one that is joined to itself.
    """
    for run in asked:
        parts = parts_of(run, there)
        for part in parts:
            if part not in there:
                raise unknown("run", part, there, f"--runs {','.join(there)} (those of {source})")
            if parts.count(part) > 1:
                raise UserError(f"run '{run}' names {part} twice; once is enough")
    return asked or tuple(run for run in there if run != "tuning") or there


def read_refusals(given: str | None, beside: Path | None) -> tuple[str, ...]:
    """The "don't know" answers of a file: the one given, else `idontknow.txt` beside the data.

    One per line; blank lines are none.  Raises `UserError` for a file without any: a method
    would otherwise take something else for them.
    """
    path = Path(given).expanduser() if given else beside / "idontknow.txt" if beside else None
    if path is None or (given is None and not path.is_file()):
        return ()
    # Not splitlines(): that also breaks at characters that may stand in a sentence.
    answers = tuple(line.strip() for line in text_of_file(path).split("\n") if line.strip())
    if not answers:
        raise UserError(f"{path} holds no answer; write one per line, or give another: --refusals")
    return answers


Parts = tuple[list[int], list[int]]  # of one row: given tokens, suffix tokens


class TokenMemory:
    """Ids of rows as the model that asked last reads them: none is tokenised twice for it.

    They are kept compactly: a pool may have 15,000 rows of 200 tokens.
    """

    def __init__(self) -> None:
        self._model: Hashable = None
        self._parts: dict[Hashable, tuple[array[int], array[int]]] = {}

    def parts(
        self,
        model: "LanguageModel",
        names: Sequence[Hashable],
        tokenise: Callable[[list[int]], list[Parts]],
    ) -> list[Parts]:
        """[N] the parts of those rows; `tokenise` gives those of the places that are new."""
        key = (model.source, type(model.tokenizer), len(model.tokenizer))
        if key != self._model:
            self._model, self._parts = key, {}
        if new := [at for at, name in enumerate(names) if name not in self._parts]:
            for at, (given, suffix) in zip(new, tokenise(new), strict=True):
                self._parts[names[at]] = (array("i", given), array("i", suffix))
        kept = (self._parts[name] for name in names)
        return [(given.tolist(), suffix.tolist()) for given, suffix in kept]


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
        raise UserError(
            f"{where[longest]}: has {len(made[longest][1])} tokens for {model.source.name}, which "
            f"reads at most {model.max_length}; take a model with a longer context or shorter rows"
        )
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
