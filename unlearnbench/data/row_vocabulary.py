"""The vocabulary that a source's token ids belong to: GPT-2's, or that of a tokenizer folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.files.checked import found_in
from unlearnbench.models import hub
from unlearnbench.models.vocabulary import GPT2_SIZE, ByteLevelText, vocabulary_sha256

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnbench.models.language_model import LanguageModel

# Any of these has GPT-2's tokenizer; the first that is in the hub's cache serves.
_GPT2_ON_HUB = (
    "openai-community/gpt2",
    "gpt2",
    "EleutherAI/gpt-neo-125m",
    "EleutherAI/gpt-neo-1.3B",
    "EleutherAI/gpt-neo-2.7B",
)


@dataclass(frozen=True)
class RowVocabulary:
    """Whose token ids rows are written in; `folder` None means GPT-2, as in the benchmark."""

    folder: Path | None = None
    beside: tuple[Path, ...] = ()  # where a GPT-2 tokenizer may lie: data folders

    @property
    def size(self) -> int:
        """Number of tokens; GPT-2's is known without its tokenizer."""
        if self.folder is None:
            return GPT2_SIZE
        size: int = found_in(self.folder, "vocabulary", lambda: len(self.tokenizer))
        return size

    @property
    def title(self) -> str:
        """What an error calls it."""
        return "GPT-2" if self.folder is None else f"the tokenizer in {self.folder}"

    def is_of(self, model: "LanguageModel") -> bool:
        """Whether the ids mean the same tokens to this model."""
        if self.folder is None:
            return model.uses_gpt2_vocabulary
        own = self.tokenizer
        size = len(own)
        if len(model.tokenizer) < size:
            return False
        return vocabulary_sha256(own, size) == vocabulary_sha256(model.tokenizer, size)

    def texts(self, rows: Sequence[Sequence[Sequence[int]]]) -> list[list[str]]:
        """Each row's spans as text; joined, they are the row's text."""
        table = ByteLevelText.of(self.tokenizer)
        return [table.spans(spans) for spans in rows]

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The tokenizer; raises `UserError` saying where one can be had if there is none."""
        if self.folder is not None:
            return _read(self.folder)
        for folder in self.beside:
            if _has_tokenizer(folder):
                return _read(folder)
        for hub_id in _GPT2_ON_HUB:
            if (found := hub.tokenizer_snapshot(hub_id, download=False)) is not None:
                return _read(found)
        if (found := hub.tokenizer_snapshot(_GPT2_ON_HUB[0], download=True)) is not None:
            return _read(found)
        raise UserError(
            "the rows are GPT-2 token ids and this model has another vocabulary, so GPT-2's "
            "tokenizer is needed to read them: put vocab.json and merges.txt into a folder "
            "'gpt2_tokenizer' beside the rows, or: hf download openai-community/gpt2"
        )


def _has_tokenizer(folder: Path) -> bool:
    return (folder / "tokenizer.json").is_file() or (
        (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file()
    )


def _read(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer, GPT2Tokenizer, PreTrainedTokenizerFast

    try:
        if (folder / "tokenizer.json").is_file() and (folder / "tokenizer_config.json").is_file():
            return AutoTokenizer.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        if (folder / "tokenizer.json").is_file():
            return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        return GPT2Tokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    except Exception as error:  # a damaged file surfaces as any of half a dozen types
        raise UserError(
            f"cannot read the tokenizer in {folder}: {type(error).__name__}: "
            f"{hub.first_line(error)[:200]}; copy it again"
        ) from error
