"""Which software computes: versions, and digests of its source."""

import hashlib
import inspect
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import unlearnbench
from unlearnbench.errors import UserError

# Another version of one of these can change a number.
PACKAGES = (
    "accelerate",
    "bert-score",
    "datasets",
    "faiss-cpu",
    "lm-eval",
    "nltk",
    "numpy",
    "sacrebleu",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
)


@cache
def package_versions() -> dict[str, str]:
    """The installed version of every package that takes part in a measurement."""
    found = {"unlearnbench": unlearnbench.__version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that is not installed takes no part
    return found


@cache
def source_sha256(plugin: type) -> str:
    """sha256 of the file a plugin is written in: an edited method is another method.

    Read once in a process, like the plugin itself: a later edit is nothing that it runs.
    For a built-in one also of what the files of its folder share: `_*.py` and task files.
    Raises `UserError` for one that was not read from a file, whose source nobody can look up.
    """
    try:
        file = Path(inspect.getfile(plugin))
    except (OSError, TypeError) as error:
        name = getattr(plugin, "name", plugin.__name__)
        raise UserError(
            f"'{name}' was defined outside of a file, and a stored result must tell its source; "
            f'put it into one: --plugin {name}.py, in Python plugin=["{name}.py"]'
        ) from error
    parts = [file]
    if plugin.__module__.startswith("unlearnbench."):
        shared = ("_[!_]*.py", "*/*.yaml")
        parts += sorted(path for pattern in shared for path in file.parent.glob(pattern))
    return hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()


@cache
def harness_sha256() -> str:
    """sha256 over the harness's own source that takes part in a measurement.

    A release has one value; in a checkout an edited loss or metric is never
    mistaken for the old one.  What only shows or stores results is left out.
    """
    here = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    measuring = (*(here / package for package in _MEASURING), here / "protocol.py")
    for path in measuring:
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            name = file.relative_to(here).as_posix()
            digest.update(name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


# What these compute decides a number; the other packages plan, run, store and show.
_MEASURING = ("data", "metrics", "models", "unlearning")
