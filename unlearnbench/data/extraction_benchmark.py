"""The extraction benchmark: three .npy arrays of token ids, and CSVs that name rows by doc_id."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from unlearnbench.data.extraction_arrays import array_files, read_doc_ids, read_rows
from unlearnbench.data.forget_source import (
    ForgetRequest,
    ForgetSource,
    RowsOfRun,
    choose_runs,
    run_order,
)
from unlearnbench.data.rows import TokenRows
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import files_sha256, text_sha256
from unlearnbench.files.tables import csv_header
from unlearnbench.nano import world_at


@dataclass(frozen=True)
class ExtractionSource(ForgetSource):
    """Forget sets as lists of row numbers into one extraction set."""

    name: str
    folder: Path  # of the .npy files
    files: dict[str, Path]  # run -> CSV
    runs: tuple[str, ...]
    unseen_folder: Path | None = None
    is_synthetic: bool = False

    def sha256(self, run: str) -> str:
        """Digest of the run's doc ids and of the row files, unseen ones included."""
        numbers = self.doc_ids(run)  # first: it says what is wrong with a file that is none
        folders = [self.folder, *([self.unseen_folder] if self.unseen_folder else [])]
        arrays = [files_sha256(array_files(folder).values()) for folder in folders]
        return text_sha256(",".join(map(str, numbers)), *arrays)

    def title(self, run: str) -> str:
        """Source and file of a run."""
        return f"{self.name}/{self.files[run].stem}"

    def read(self, run: str, limit: int | None = None) -> RowsOfRun:
        """The run's rows in the CSV's order; the pool is every row that is not of this run."""
        numbers = self.doc_ids(run)
        taken = set(numbers)
        rest = [i for i in range(len(self.rows)) if i not in taken]
        return RowsOfRun(self.rows.select(numbers[:limit]), self.rows.select(rest))

    def unseen(self) -> TokenRows | None:
        """The rows of the unseen folder, if there is one."""
        return read_rows(self.unseen_folder) if self.unseen_folder else None

    def doc_ids(self, run: str) -> list[int]:
        """Row numbers of a run, in the CSV's order."""
        return read_doc_ids(self.files[run], len(self.rows), self.folder)

    @cached_property
    def rows(self) -> TokenRows:
        """[N] every row of the extraction set."""
        return read_rows(self.folder)


def open_extraction(request: ForgetRequest) -> ExtractionSource | None:
    """The extraction source a request means; None if it names none.

    Raises `UserError` where CSV files name rows and the .npy files are nowhere near.
    """
    place = Path(request.forget_set).expanduser()
    given = [Path(run).expanduser() for run in request.runs if run.endswith(".csv")]
    found = given or _doc_id_files(place)
    if not found and not _is_extraction(place):
        return None
    folder = _find_rows(request, place, found)
    if folder is None and not given and place.is_file() and not _names_corpus(place):
        return None  # a table of texts that happens to have a doc_id column
    if folder is None:
        raise UserError(
            f"{found[0] if found else place} names rows of the extraction benchmark, but "
            "train_prefix.npy and its companions are not near it; say where: --rows DIR"
        )
    if not found:
        raise UserError(
            f"{folder} holds rows but no CSV with doc_ids of a forget set; "
            "give one: --forget-set PATH/lm_extraction_128_0.csv --rows " + str(folder)
        )
    _check_options(request, folder)
    files = name_runs(found)
    asked = tuple(files) if given else request.runs
    runs = choose_runs(asked, tuple(files), folder.name)
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
        is_synthetic=world is not None,
    )


def _check_options(request: ForgetRequest, folder: Path) -> None:
    """Options for forget sets of text would otherwise be taken and never looked at."""
    if request.pool is not None:
        raise UserError(
            f"--pool {request.pool} is for forget sets of text; the pool of {folder.name} is the "
            "rest of its rows: drop it"
        )
    if request.refusals is not None:
        raise UserError(
            f"--refusals {request.refusals} are for questions and answers, and {folder.name} "
            "holds running text: drop it"
        )


def name_runs(files: list[Path]) -> dict[str, Path]:
    """Run -> file; a run is the last part of the file's name: lm_extraction_128_0.csv is '0'."""
    short = [path.stem.rsplit("_", 1)[-1] for path in files]
    names = short if len(set(short)) == len(short) else [path.stem for path in files]
    pairs = zip(names, files, strict=True)
    return dict(sorted(pairs, key=lambda pair: run_order(pair[0])))


def _is_extraction(folder: Path) -> bool:
    return (folder / "train_suffix.npy").is_file()


def _doc_id_files(place: Path) -> list[Path]:
    """The doc-id CSVs a path means: itself, or those in its folder, exp/, ../exp, ../icu/exp."""
    if place.is_file():
        return [place] if _has_doc_ids(place) else []
    for folder in (place, place / "exp", place.parent / "exp", place.parent / "icu" / "exp"):
        if found := [path for path in sorted(folder.glob("*.csv")) if _has_doc_ids(path)]:
            beside = folder not in (place, place / "exp")
            # Files elsewhere belong to the rows of this folder only if it has rows.
            return found if not beside or _is_extraction(place) else []
    return []


def _has_doc_ids(path: Path) -> bool:
    # A row of texts may have a doc_id too; the published CSVs hold one column of text at most.
    header = csv_header(path) if path.suffix == ".csv" and path.is_file() else []
    return "doc_id" in header and not {"prefix", "question"} & set(header)


def _names_corpus(path: Path) -> bool:
    header = csv_header(path)
    return "corpus" in header or "text" not in header


def _find_rows(request: ForgetRequest, place: Path, found: list[Path]) -> Path | None:
    if request.rows:
        folder = Path(request.rows).expanduser()
        if not _is_extraction(folder):
            raise UserError(
                f"--rows {folder} has no train_prefix.npy, train_suffix.npy; give their folder"
            )
        return folder
    near = found[0].parent if found else place
    nearby = [place, near]
    for above in (near.parent, near.parent.parent):
        nearby += [above, above / "extraction", above / "pile_extraction"]
    return next((folder for folder in nearby if _is_extraction(folder)), None)
