"""A model folder's tokenizer, and whether its ids are the model's."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.models.configuration import in_one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def read_tokenizer(
    folder: Path, vocabulary_size: int, trust_remote_code: bool = False
) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model that knows the ids under `vocabulary_size`.

    Raises `UserError` if there is none, it is damaged, or it has ids that the model has not.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
        ids = tokenizer.get_vocab()
        problem = "" if ids else "it is empty"
    except Exception as error:  # a missing file surfaces as any of half a dozen types
        problem = _told(folder, error)
    if problem:
        raise UserError(
            f"no tokenizer can be read from {folder}: {problem}; "
            "copy tokenizer.json and tokenizer_config.json beside the weights"
        )
    # No text has these, unless a model that knows them wrote it: often one added for padding.
    special = set(tokenizer.all_special_tokens)
    _check_ids(folder, {t: i for t, i in ids.items() if t not in special}, vocabulary_size)
    return tokenizer


def _check_ids(folder: Path, ids: dict[str, int], vocabulary_size: int) -> None:
    highest = max(ids, key=lambda token: ids[token], default="")
    if ids.get(highest, 0) >= vocabulary_size:
        raise UserError(
            f"the tokenizer in {folder} is not this model's: its token {highest[:40]!r} has id "
            f"{ids[highest]} and the model knows ids 0 to {vocabulary_size - 1}; copy the model's "
            "own tokenizer.json and tokenizer_config.json"
        )


def _told(folder: Path, error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return "it comes with Python code of its own; read it, then allow it: --trust-remote-code"
    # The tokenizers library raises a bare Exception for a file that is cut short.
    name = "" if (folder / "tokenizer.json").is_file() else "no tokenizer.json, "
    return name + in_one_line(error)
