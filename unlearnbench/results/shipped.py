"""Results that come with the package: measured once for everybody, and read as one's own are.

python -m unlearnbench.results.shipped FOLDER NAME    # packs a folder of results, for a release
"""

import hashlib
import shutil
import sys
import tempfile
import zipfile
from contextlib import suppress
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.files.cache import cache_root
from unlearnbench.results.numbers import without_texts
from unlearnbench.results.store import Store

FOLDER = Path(__file__).parent / "shipped_results"
_PARTS = ("cells", "experiments", "runs", "tuning")  # of a results folder; not models, logs, claims
_BEGINNING = (1980, 1, 1, 0, 0, 0)  # of a zip's time: equal content is an equal file


def shipped() -> dict[str, Path]:
    """The archives that come with the package, by the name of their experiment."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.zip"))}


def results_folder(folder: Path) -> tuple[Path, str | None]:
    """A folder of results by its path; else shipped ones by their name, unpacked in the cache.

    The second value is the experiment that shipped results are of.  Raises `UserError` where they
    cannot be unpacked.
    """
    archive = shipped().get(str(folder))
    if archive is None or folder.exists():
        return folder, None
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:16]
    place = cache_root() / "shipped-results" / digest / archive.stem
    if not place.is_dir():
        _unpack(archive, place)
    return place, archive.stem


def _unpack(archive: Path, place: Path) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as made:
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(Path(made) / archive.stem)
            with suppress(FileExistsError):  # another process was as quick
                (Path(made) / archive.stem).replace(place)
    except OSError as error:
        raise UserError(
            f"cannot unpack {archive.name} to {place}: {error.strerror}; free it, or set "
            "UNLEARNBENCH_CACHE to another folder"
        ) from error


def pack(folder: Path, archive: Path) -> None:
    """Write what a report reads of a results folder into one file; equal content, equal bytes.

    What rows say and models wrote is left out, and rows by epoch: most of the size, and no number
    of a table.
    """
    with tempfile.TemporaryDirectory() as made, zipfile.ZipFile(archive, "w") as packed:
        numbers = Path(made)
        for part in _PARTS:
            if (folder / part).is_dir():
                shutil.copytree(folder / part, numbers / part)
        for result in Store(folder).load_all()[0]:
            for old in (numbers / "cells").glob(f"{result.key}*"):
                old.unlink()
            Store(numbers).save(without_texts(result))
        for file in sorted(f for f in numbers.rglob("*") if f.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(numbers)), _BEGINNING)
            kind = zipfile.ZIP_STORED if file.suffix == ".gz" else zipfile.ZIP_LZMA
            packed.writestr(entry, file.read_bytes(), kind)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), FOLDER / f"{sys.argv[2]}.zip")
