"""Validation texts for perplexity: documents of the Pile, of WikiText, or of one's own files."""

import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unlearnbench.data.hub_datasets import dataset_rows
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import text_sha256
from unlearnbench.files.tables import count_repeats, read_table, table_suffix, text_of_file
from unlearnbench.nano import find_world
from unlearnbench.settings import name_and_value

MAX_DOCUMENTS = 500  # as in the released validation files
_ON_HUB = {
    # The Pile's own validation split; the original host is gone, this is its backup.
    "pile": "hf:mit-han-lab/pile-val-backup::validation",
    "wikitext": "hf:Salesforce/wikitext:wikitext-103-raw-v1:validation",
}
_HEADING = re.compile(r"^ = [^=].* = \n?$")


def default_texts(place: str, data: str | None = None) -> dict[str, str]:
    """The two texts that nobody named, as `read_texts` takes them.

    `place` is 'hub', or the world that the forget sets are of.  `data` is what --data says:
    'hub', a world's name or a folder, anywhere under which a text may be as
    NAME_validation.jsonl, .csv, .parquet or .txt; one that is not there is that of `place`.
    Raises `UserError` for a folder that is not there or has a text twice.
    """
    if data is None or data == "hub" or find_world(data):
        return dict.fromkeys(_ON_HUB, data or place)
    return {name: _in_folder(name, data) or place for name in _ON_HUB}


def read_texts(wanted: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Documents by text name; `wanted` says for each name where it is.

    'hub' or 'hub@COMMIT': its validation split on the Hugging Face hub ('pile' and
    'wikitext'); a world's name: that world's; else a file: a table with a field
    `text` per document, .txt as one document.  A hub text that cannot be had is left out
    with one warning, never counted as empty; a bad file raises `UserError`.
    """
    texts: dict[str, tuple[str, ...]] = {}
    for name, place in wanted.items():
        hub, _, commit = place.partition("@")
        documents = _from_hub(name, commit) if hub == "hub" else _from_disk(name, place)
        if documents is not None:
            texts[name] = documents
    return texts


def texts_sha256(texts: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Digest of each text's documents: part of a cell's identity."""
    return {name: text_sha256(*documents) for name, documents in texts.items()}


def parse_text_option(option: str) -> tuple[str, str]:
    """NAME=FILE as name and file; raises `UserError` for anything else."""
    return name_and_value(option, "--text", "NAME=FILE", "wikitext=validation.jsonl")


def _in_folder(name: str, data: str) -> str | None:
    folder = Path(data).expanduser()
    if not folder.is_dir():
        raise UserError(f"no folder at {data}; --data takes a folder with the sets' files")
    files = sorted(folder.rglob(f"{name}_validation.*"))
    there = [f for f in files if f.is_file() and (table_suffix(f) or f.suffix == ".txt")]
    if len(there) > 1:
        raise UserError(
            f"two files for the text {name}: {there[0]} and {there[1]}; keep one of them, or name "
            f"it: --text {name}=FILE"
        )
    return str(there[0]) if there else None


def _from_hub(name: str, commit: str) -> tuple[str, ...] | None:
    if name not in _ON_HUB:
        raise UserError(f"no text '{name}' on the hub; give a file: --text {name}=FILE")
    location = f"{_ON_HUB[name]}@{commit}" if commit else _ON_HUB[name]
    try:
        rows = dataset_rows(location, limit=None if name == "wikitext" else MAX_DOCUMENTS)
        texts = _texts(rows, location)
    except UserError as error:
        warnings.warn(
            f"perplexity on {name} is left out: {error}; or give a file: --text {name}=FILE",
            stacklevel=3,
        )
        return None
    documents = join_articles(texts) if name == "wikitext" else texts
    return tuple(documents[:MAX_DOCUMENTS])


def join_articles(lines: Iterable[str]) -> list[str]:
    """WikiText's lines as articles: each begins with a heading of level one."""
    articles: list[list[str]] = []
    for line in lines:
        if not articles or _HEADING.match(line):
            articles.append([])
        articles[-1].append(line)
    joined = ("".join(article) for article in articles)
    return [text for text in joined if text.strip()]


def _from_disk(name: str, place: str) -> tuple[str, ...]:
    path = Path(place).expanduser()
    if world := find_world(place):
        if name not in world.texts:
            raise UserError(
                f"{world.title} has no text '{name}'; it has {' and '.join(world.texts)}"
            )
        path = world.data() / world.texts[name]
    if path.suffix != ".txt":
        return _documents(read_table(path), path)
    if not (text := text_of_file(path)).strip():
        raise UserError(f"{path} is empty; perplexity needs text")
    return (text,)


def _documents(rows: list[dict[str, Any]], path: Path) -> tuple[str, ...]:
    texts = _texts(rows, path.name)
    documents = tuple(text for text in texts if text.strip())
    if not documents:
        raise UserError(f"{path} holds no text: every row's 'text' is empty")
    if n_blank := len(texts) - len(documents):
        warnings.warn(
            f"{path.name}: {n_blank} of its {len(texts)} documents are blank and left out",
            stacklevel=4,
        )
    if repeats := count_repeats(documents, [f"document {at}" for at in range(len(documents))]):
        warnings.warn(f"{path.name}: {repeats}", stacklevel=4)
    return documents


def _texts(rows: list[dict[str, Any]], name: str) -> list[str]:
    for at, row in enumerate(rows):
        if not isinstance(row.get("text"), str):
            raise UserError(f"{name}, row {at}: needs a field 'text' with a document's text")
    return [row["text"] for row in rows]
