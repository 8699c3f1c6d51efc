"""The files that go to a repository of the hub: which they are, and that they are whole."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.models.adapter_folder import ADAPTER_WEIGHTS, base_name, is_adapter
from unlearnbench.models.configuration import ADAPTER_CONFIG, raw_configuration
from unlearnbench.models.weight_files import check_headers, weight_files

CARD = "README.md"
#: What of a model's folder belongs to the model: whatever else lies there stays there.
_OF_MODEL = (
    *("*.safetensors", "*.safetensors.index.json", "config.json", "*_config.json"),
    *("tokenizer.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt"),
    *("merges.txt", "*.model", "*.jinja", "chat_template.json", "*.py"),
)
PAIR = "pair.json"  # as models/paired.py writes it, which loads torch
_TEMPLATES = "additional_chat_templates"
#: By folder of a repository what an earlier push, or another library, may have put there.
_OF_FOLDERS = {
    "": (*_OF_MODEL, "*.bin"),
    "adapter": (*_OF_MODEL, "*.bin"),
    _TEMPLATES: ("*.jinja",),
    "chain": ("request-*.json",),
}
_PAPERS = ("certificate.json", "report.html")  # of a deletion request
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True)
class Upload:
    """What is sent in one commit."""

    files: Mapping[str, Path]  # by place in the repository; the card is not among them
    card: str
    about: str  # in a line: 'npo, seed 42'
    left_out: tuple[str, ...] = ()  # files of the folder that do not belong to the model

    def sizes(self) -> dict[str, int]:
        """Bytes of each file by its place, the card first."""
        of_files = {name: path.stat().st_size for name, path in sorted(self.files.items())}
        return {CARD: len(self.card.encode()), **of_files}


def model_files(folder: Path, place: str = "") -> dict[str, Path]:
    """The files of a saved model or adapter by their place in the repository.

    Raises `UserError` for what another program could not load: weights that are damaged or not all
    there, no configuration, no tokenizer, a pair of networks, an adapter of a folder.
    """
    try:
        _check(folder, needs_tokenizer=not place)
        return {place + name: path for name, path in _named(folder)}
    except OSError as error:
        raise UserError(f"cannot read {error.filename or folder}: {error.strerror}") from error


def left_out(folder: Path) -> tuple[str, ...]:
    """The names in a model's folder that are no part of the model."""
    files = dict(_named(folder))
    own = {name.partition("/")[0] for name in files}
    return tuple(sorted(path.name for path in folder.iterdir() if path.name not in own))


def could_be_sent(name: str) -> bool:
    """Whether a push may have put a file of that name there, so that an old one would mislead."""
    folder, _, own = name.rpartition("/")
    if folder == "" and own in _PAPERS:
        return True
    patterns = _OF_FOLDERS.get(folder, ())
    return any(fnmatchcase(own, pattern) for pattern in patterns)


def _check(folder: Path, needs_tokenizer: bool) -> None:
    if not folder.is_dir():
        raise UserError(f"there is no model at {folder}")
    if (folder / PAIR).is_file():
        raise UserError(
            f"{folder} holds two networks that are decoded as one ({PAIR}), which no library loads "
            "from the hub; push a model of a method that changes weights, or upload the folder "
            f"yourself: hf upload USER/NAME {folder}"
        )
    if is_adapter(folder):
        _check_adapter(folder)
    elif (folder / "config.json").is_file():
        raw_configuration(folder)
        check_headers((*weight_files(folder), *folder.glob("*.safetensors")))
    else:
        raise UserError(f"{folder} is no model folder: it has no config.json")
    has_tokenizer = any((folder / name).is_file() for name in _TOKENIZER)
    if needs_tokenizer and not (has_tokenizer or any(folder.glob("*.model"))):
        raise UserError(
            f"{folder} has no tokenizer, so nobody could use the model; save one beside the "
            f"weights: AutoTokenizer.from_pretrained(BASE).save_pretrained('{folder}')"
        )


def _check_adapter(folder: Path) -> None:
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise UserError(f"{folder} holds no {ADAPTER_WEIGHTS}; copy the adapter again")
    check_headers((folder / ADAPTER_WEIGHTS,))
    base = base_name(folder)
    if base.startswith(("/", ".", "~")) or base.count("/") > 1 or Path(base).is_dir():
        raise UserError(
            f"the adapter in {folder} is of the model in {base}, a folder that nobody else has; "
            f"write its hub id into {folder / ADAPTER_CONFIG} as base_model_name_or_path, or move "
            "an adapter that lies beside a whole model away"
        )


def _named(folder: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and any(fnmatchcase(path.name, pattern) for pattern in _OF_MODEL):
            yield path.name, path
    for path in sorted((folder / _TEMPLATES).glob("*.jinja")):
        yield f"{_TEMPLATES}/{path.name}", path
