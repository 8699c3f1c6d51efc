"""The extraction benchmark: three .npy arrays of token ids, and CSVs that name rows by doc_id."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.data.forget_source import (
    JOIN,
    ForgetRequest,
    ForgetSource,
    Parts,
    TokenMemory,
    assemble,
    choose_runs,
    parts_of,
    read_refusals,
)
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import files_sha256, text_sha256
from unlearnbench.files.tables import csv_header, csv_rows
from unlearnbench.models.hub import first_line
from unlearnbench.models.vocabulary import (
    RowVocabulary,
    encode_continuations,
    encode_starts,
    vocabulary_sha256,
)
from unlearnbench.nano import world_at

if TYPE_CHECKING:
    import numpy as np

    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

# Tokens of each span, in the order of a row: one file copied over another is noticed by them.
SPANS = {"preprefix": 100, "prefix": 50, "suffix": 50}
_ROW_NUMBER = re.compile("[0-9]{1,18}")


@dataclass(frozen=True)
class TokenRows:
    """Rows of the extraction benchmark: ids of a given vocabulary in three spans."""

    preprefix: "np.ndarray"  # [N, 100]
    prefix: "np.ndarray"  # [N, 50]
    suffix: "np.ndarray"  # [N, 50]
    doc_ids: tuple[str, ...]
    vocabulary: RowVocabulary
    memory: TokenMemory = field(default_factory=TokenMemory, repr=False, compare=False)

    has_fixed_length: ClassVar[bool] = True

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

        where = [f"row {doc_id} of the extraction set" for doc_id in self.doc_ids]
        if self.vocabulary.is_of(model.tokenizer):
            given = np.concatenate(self._given(protocol), axis=1).tolist()
            parts = list(zip(given, self.suffix.tolist(), strict=True))
            return assemble(model, parts, self.doc_ids, where, only_fitting)

        def tokenise(new: list[int]) -> list[Parts]:
            rows = self.select(new)
            spans = [span.tolist() for span in (*rows._given(protocol), rows.suffix)]
            return _encode_spans(model, self.vocabulary.texts(list(zip(*spans, strict=True))))

        names = [(doc_id, protocol.sequence) for doc_id in self.doc_ids]
        parts = self.memory.parts(model, names, tokenise)
        return assemble(model, parts, self.doc_ids, where, only_fitting)

    def contents(self, protocol: "Protocol") -> list[bytes]:
        """What tells each row from others: the ids that this protocol shows a model."""
        import numpy as np

        shown = np.concatenate([*self._given(protocol), self.suffix], axis=1)
        return [row.tobytes() for row in shown]

    def values_of(self, name: str) -> dict[str, str]:
        """Raises `UserError`: rows of token ids have no fields."""
        raise UserError(
            f"--pairing same:{name}: the rows of the extraction benchmark have no fields; take "
            "--pairing nearest or random"
        )

    def sha256(self, protocol: "Protocol") -> str:
        """Digest of the ids, where they are cut, and what they mean."""
        spans = [self.prefix.shape, self.suffix.shape, str(self.suffix.dtype)]
        own = self.vocabulary
        meaning = "" if own.folder is None else vocabulary_sha256(own.tokenizer, own.size)
        return text_sha256(repr([self.contents(protocol), spans, meaning]))

    def _given(self, protocol: "Protocol") -> list["np.ndarray"]:
        return [self.preprefix, self.prefix] if protocol.sequence == "all" else [self.prefix]


def _encode_spans(model: "LanguageModel", texts: list[list[str]]) -> list[Parts]:
    first, *rest = [list(column) for column in zip(*texts, strict=True)] or [[], []]
    given = encode_starts(model.tokenizer, first)
    *middle, suffixes = [encode_continuations(model.tokenizer, column) for column in rest]
    for more in middle:
        given = [a + b for a, b in zip(given, more, strict=True)]
    return list(zip(given, suffixes, strict=True))


@dataclass(frozen=True)
class ExtractionSource(ForgetSource):
    """Forget sets as lists of row numbers into one extraction set."""

    name: str
    folder: Path  # of the .npy files
    files: dict[str, Path]  # run -> CSV
    runs: tuple[str, ...]
    unseen_folder: Path | None = None
    refusals: tuple[str, ...] = ()
    stock_refusals: tuple[str, ...] = ()
    is_synthetic: bool = False
    pairing: str = "nearest"
    _numbers: dict[str, list[int]] = field(default_factory=dict, repr=False, compare=False)

    def sha256(self, run: str) -> str:
        """Digest of the run's doc ids, of the row files, unseen ones included, and of refusals."""
        numbers = self._row_numbers(run)  # first: it says what is wrong with a file that is none
        return text_sha256(",".join(map(str, numbers)), *self._arrays_sha256, *self.refusals)

    def title(self, run: str) -> str:
        """Source and file of a run."""
        stems = (self.files[part].stem for part in parts_of(run, self.files))
        return f"{self.name}/{JOIN.join(stems)}"

    def targets(self, run: str, limit: int | None = None) -> TokenRows:
        """The run's rows in the CSV's order."""
        return self.rows.select(self._row_numbers(run, limit))

    def pool(self, run: str, limit: int | None = None) -> TokenRows:  # noqa: ARG002
        """Every row that is not of this run, whatever the limit."""
        taken = set(self._row_numbers(run))
        return self.rows.select([i for i in range(len(self.rows)) if i not in taken])

    @cached_property
    def unseen(self) -> TokenRows | None:
        """The rows of the unseen folder, if there is one."""
        return read_rows(self.unseen_folder) if self.unseen_folder else None

    @cached_property
    def rows(self) -> TokenRows:
        """[N] every row of the extraction set."""
        return read_rows(self.folder)

    @cached_property
    def _arrays_sha256(self) -> list[str]:
        folders = [self.folder, *([self.unseen_folder] if self.unseen_folder else [])]
        return [files_sha256(array_files(folder).values()) for folder in folders]

    def _row_numbers(self, run: str, limit: int | None = None) -> list[int]:
        numbers: dict[int, None] = {}
        for part in parts_of(run, self.files):
            if part not in self._numbers:
                self._numbers[part] = read_doc_ids(self.files[part], len(self.rows), self.folder)
            numbers |= dict.fromkeys(self._numbers[part][:limit])
        return list(numbers)


def open_extraction(request: ForgetRequest) -> ExtractionSource | None:
    """The extraction source a request means; None if it names none.

    Raises `UserError` where CSV files name rows and the .npy files are nowhere near.
    """
    place = Path(request.forget_set).expanduser()
    named = [Path(run).expanduser() for run in request.runs if run.endswith(".csv")]
    csv_files = named or _doc_id_files(place)
    if not csv_files and not _is_extraction(place):
        return None
    folder = _find_rows(request, place, csv_files)
    if folder is None and not named and place.is_file() and not _names_corpus(place):
        return None  # a table of texts that happens to have a doc_id column
    if folder is None:
        raise UserError(
            f"{csv_files[0] if csv_files else place} names rows of the extraction benchmark, but "
            "train_prefix.npy and its companions are not near it; say where: --rows DIR"
        )
    if not csv_files:
        raise UserError(
            f"{folder} holds rows but no CSV with doc_ids of a forget set; "
            "give one: --forget-set PATH/lm_extraction_128_0.csv --rows " + str(folder)
        )
    _check_options(request, folder)
    files = name_runs(csv_files)
    requested = tuple(files) if named else request.runs
    runs = choose_runs(requested, tuple(files), folder.name)
    unseen = Path(request.unseen).expanduser() if request.unseen else folder.parent / "unseen"
    if request.unseen and not _is_extraction(unseen):
        raise UserError(f"{unseen} has no train_suffix.npy; --unseen takes a folder like {folder}")
    world = world_at(folder)
    return ExtractionSource(
        name=world.name if world else folder.resolve().name,
        folder=folder,
        files=files,
        runs=runs,
        unseen_folder=unseen if _is_extraction(unseen) else None,
        refusals=read_refusals(request.refusals, None),
        stock_refusals=world.refusals() if world else (),
        is_synthetic=world is not None,
        pairing=request.pairing,
    )


def _check_options(request: ForgetRequest, folder: Path) -> None:
    """An option for forget sets of text would otherwise be taken and never looked at."""
    if request.pool is not None:
        raise UserError(
            f"--pool {request.pool} is for forget sets of text; the pool of {folder.name} is the "
            "rest of its rows: drop it"
        )


def name_runs(files: list[Path]) -> dict[str, Path]:
    """Run -> file; a run is the last part of the file's name: lm_extraction_128_0.csv is '0'."""
    short = [path.stem.rsplit("_", 1)[-1] for path in files]
    names = short if len(set(short)) == len(short) else [path.stem for path in files]
    pairs = zip(names, files, strict=True)
    return dict(sorted(pairs, key=lambda pair: _run_order(pair[0])))


def _run_order(run: str) -> tuple[int, int, str]:
    """Sort key: numbers by value, then names."""
    return (0, int(run), run) if run.isdecimal() else (1, 0, run)


def _is_extraction(folder: Path) -> bool:
    return (folder / "train_suffix.npy").is_file()


def _doc_id_files(place: Path) -> list[Path]:
    """The doc-id CSVs a path means: itself, or those in its folder, exp/, ../exp, ../icu/exp."""
    if place.is_file():
        return [place] if _has_doc_ids(place) else []
    for folder in (place, place / "exp", place.parent / "exp", place.parent / "icu" / "exp"):
        if csv_files := [path for path in sorted(folder.glob("*.csv")) if _has_doc_ids(path)]:
            beside = folder not in (place, place / "exp")
            # Files elsewhere belong to the rows of this folder only if it has rows.
            return csv_files if not beside or _is_extraction(place) else []
    return []


def _has_doc_ids(path: Path) -> bool:
    # A row of texts may have a doc_id too; the published CSVs hold one column of text at most.
    header = csv_header(path) if path.suffix == ".csv" and path.is_file() else []
    return "doc_id" in header and not {"prefix", "question"} & set(header)


def _names_corpus(path: Path) -> bool:
    header = csv_header(path)
    return "corpus" in header or "text" not in header


def _find_rows(request: ForgetRequest, place: Path, csv_files: list[Path]) -> Path | None:
    if request.rows:
        folder = Path(request.rows).expanduser()
        if not _is_extraction(folder):
            raise UserError(
                f"--rows {folder} has no train_prefix.npy, train_suffix.npy; give their folder"
            )
        return folder
    near = csv_files[0].parent if csv_files else place
    nearby = [place, near]
    for above in (near.parent, near.parent.parent):
        nearby += [above, above / "extraction", above / "pile_extraction"]
    return next((folder for folder in nearby if _is_extraction(folder)), None)


def read_doc_ids(path: Path, n_rows: int, folder: Path) -> list[int]:
    """Row numbers in the column doc_id, in the file's order; raises `UserError` for a bad one.

    The CSV's text is not used: it is the released decoding, which does not give the ids back.
    """
    numbers: dict[int, int] = {}
    for at, row in enumerate(csv_rows(path)):
        number = _row_number(row, n_rows, folder, f"{path}, row {at}")
        if (before := numbers.setdefault(number, at)) != at:
            raise UserError(
                f"{path}, row {at}: doc_id {number} is there twice (also in row {before}); "
                "each row can be forgotten once"
            )
    if not numbers:
        raise UserError(f"{path} has no rows; a forget set needs at least one doc_id")
    return list(numbers)


def _row_number(row: dict[str, str], n_rows: int, folder: Path, where: str) -> int:
    if "doc_id" not in row:
        raise UserError(
            f"{where}: no column 'doc_id' (it has {', '.join(map(repr, row)):.100}); "
            f"it names the rows of {folder}"
        )
    cell = row["doc_id"].strip()
    if not _ROW_NUMBER.fullmatch(cell):
        raise UserError(f"{where}: doc_id {cell!r:.40} is not a row number of {folder}")
    if int(cell) >= n_rows:
        raise UserError(f"{where}: doc_id {cell} is beyond the {n_rows} rows of {folder}")
    return int(cell)


def read_rows(folder: Path) -> TokenRows:
    """[N] every row of an extraction folder; raises `UserError` naming the file that is wrong."""
    files = array_files(folder)
    arrays = {span: _read_array(path) for span, path in files.items()}
    counts = {span: len(array) for span, array in arrays.items()}
    if len(set(counts.values())) > 1:
        raise UserError(
            f"the .npy files of {folder} have different numbers of rows: {counts}; "
            "copy all three from one place"
        )
    vocabulary = vocabulary_of(folder)
    for span, array in arrays.items():
        _check_array(array, span, files[span], vocabulary)
    doc_ids = tuple(map(str, range(counts["suffix"])))
    preprefix, prefix, suffix = (arrays[span] for span in SPANS)
    return TokenRows(preprefix, prefix, suffix, doc_ids, vocabulary)


def array_files(folder: Path) -> dict[str, Path]:
    """Span -> file of an extraction folder."""
    return {span: folder / f"train_{span}.npy" for span in SPANS}


def _read_array(path: Path) -> "np.ndarray":
    """A file's array of whole numbers [rows, tokens]; nothing in the file is ever unpickled."""
    import numpy as np

    try:
        mapped = np.lib.format.open_memmap(path, mode="r")
        n_more = path.stat().st_size - mapped.offset - mapped.nbytes
        array = np.array(mapped)  # a file that shrinks while it is mapped kills the process
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing; copy all of train_{{preprefix,prefix,suffix}}.npy"
        ) from error
    except Exception as error:  # a header is parsed as Python, which fails in any way it likes
        raise UserError(
            f"{path} is not a readable .npy file ({first_line(error):.200}); download it again"
        ) from error
    if n_more > 0:
        raise UserError(f"{path} goes on after its array; it is damaged, download it again")
    if array.ndim != 2 or array.dtype.kind not in "ui" or 0 in array.shape:
        raise UserError(
            f"{path} holds {array.dtype} of shape {list(array.shape)}; "
            "expected whole numbers [rows, tokens]"
        )
    return array


def _check_array(array: "np.ndarray", span: str, path: Path, vocabulary: RowVocabulary) -> None:
    if array.shape[1] != SPANS[span]:
        raise UserError(
            f"{path} has {array.shape[1]} tokens per row where the benchmark's has {SPANS[span]}; "
            "is it another file of the three?"
        )
    wrong = (array < 0) | (array >= vocabulary.size)
    if wrong.any():
        row = int(wrong.any(axis=1).argmax())
        token = int(array[row][wrong[row]][0])
        raise UserError(
            f"{path}, row {row}: token id {token} is not one of the {vocabulary.size} of "
            f"{vocabulary.title}; ids of another vocabulary need its tokenizer.json beside them"
        )


def vocabulary_of(folder: Path) -> RowVocabulary:
    """Whose ids the rows are: a tokenizer.json's beside them, their world's, else GPT-2's."""
    if (folder / "tokenizer.json").is_file():
        return RowVocabulary(folder)
    if world := world_at(folder):
        return RowVocabulary(world.tokenizer)
    return RowVocabulary(None, (folder / "gpt2_tokenizer", folder.parent / "gpt2_tokenizer"))
