"""Vocabularies: whose ids a row is written in, whether two are one, and how text becomes ids."""

from codecs import getincrementaldecoder
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.files.cache import checked_once
from unlearnbench.files.hashing import text_sha256
from unlearnbench.models import hub

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

GPT2_SIZE = 50257
# vocabulary_sha256 of OpenAI's vocab.json, whose ids the extraction benchmark is written in.
GPT2_SHA256 = "687218f5c75ebc30ee0f63d39b4b44601ec09cc882766167968935e319d24aa5"
# Architectures whose published models were trained with a BOS in front of every text.
_TRAINED_WITH_BOS = ("llama", "mistral", "gemma", "gemma2", "gemma3_text", "opt")


def vocabulary_sha256(tokenizer: "PreTrainedTokenizerBase", size: int) -> str:
    """Digest of the tokens with ids below `size`, in the order of their ids.

    Ids that a model adds behind the vocabulary (padding, chat marks) do not make it another one.
    """
    tokens = sorted((i, token) for token, i in tokenizer.get_vocab().items() if i < size)
    return text_sha256(*(f"{i} {token}" for i, token in tokens))


def uses_gpt2_vocabulary(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether every GPT-2 token has the same id here (GPT-2, GPT-Neo: yes; OPT: no)."""
    return len(tokenizer) >= GPT2_SIZE and vocabulary_sha256(tokenizer, GPT2_SIZE) == GPT2_SHA256


def bos_token_id_to_prepend(
    tokenizer: "PreTrainedTokenizerBase", config: "PretrainedConfig | None" = None
) -> int | None:
    """The BOS id, if texts for this model start with one; None if not.

    What the tokenizer does by itself decides.  One that does not say (a converted
    Llama tokenizer without its post-processor) is believed to have lost it if the
    architecture's models were trained with a BOS and it is not just the end of text.
    """
    bos = tokenizer.bos_token_id
    if bos is None:
        return None
    if tokenizer("a")["input_ids"][:1] == [bos]:
        return int(bos)
    declared = tokenizer.init_kwargs.get("add_bos_token")
    if declared is not None:
        return int(bos) if declared else None
    trained_with = getattr(config, "model_type", None) in _TRAINED_WITH_BOS
    return int(bos) if trained_with and bos != tokenizer.eos_token_id else None


def encode_starts(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text as the beginning of a sequence, without BOS or other special tokens."""
    if not texts:
        return []
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return [list(ids) for ids in encoded]


def encode_marked(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Ids of each text in which special tokens are themselves, as a chat template writes them."""
    if not texts:
        return []
    encoded = tokenizer(
        list(texts), add_special_tokens=False, verbose=False, split_special_tokens=False
    )["input_ids"]
    return [list(ids) for ids in encoded]


def encode_continuations(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]
) -> list[list[int]]:
    """Ids of each text as something that follows other text directly.

    Tokenizers of SentencePiece's kind put a space in front of whatever they encode.
    That space is no part of the text, so such a text is encoded behind a guard
    character whose tokens are then cut off.
    """
    guard = _guard(tokenizer)
    if not guard:
        return encode_starts(tokenizer, texts)
    head = encode_starts(tokenizer, [guard])[0]
    guarded = encode_starts(tokenizer, [guard + text for text in texts])
    return [
        ids[len(head) :] if ids[: len(head)] == head else encode_starts(tokenizer, [text])[0]
        for ids, text in zip(guarded, texts, strict=True)
    ]


def _guard(tokenizer: "PreTrainedTokenizerBase") -> str:
    """A character that no token shares with what follows it; '' if no guard is needed."""
    first = tokenizer.convert_ids_to_tokens(encode_starts(tokenizer, ["a"])[0][:1])
    if not (first and first[0].startswith(("▁", "Ġ"))):
        return ""
    for guard in ("\n", "|", "."):
        head = encode_starts(tokenizer, [guard])[0]
        if tokenizer.unk_token_id not in head and str(tokenizer.decode(head)).strip(" ") == guard:
            return guard
    return ""


_EVERY_BYTE = {bytes([byte]) for byte in range(256)}


def _not_byte_level() -> UserError:
    return UserError(
        "rows of token ids can be read for a model of another vocabulary only if theirs is a "
        "byte-level BPE (GPT-2's kind); give the rows as text: --forget-set FILE.jsonl"
    )


@dataclass(frozen=True)
class ByteLevelText:
    """Turns ids of a byte-level BPE vocabulary (GPT-2's) back into text."""

    token_bytes: tuple[bytes, ...]

    @classmethod
    def of(cls, tokenizer: "PreTrainedTokenizerBase") -> "ByteLevelText":
        """The table of a tokenizer's tokens; raises `UserError` for another kind of tokenizer."""
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        to_byte = {character: byte for byte, character in bytes_to_unicode().items()}
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        special = set(tokenizer.all_special_tokens)
        try:
            table = tuple(
                token.encode() if token in special else bytes(to_byte[c] for c in token)
                for token in tokens
            )
        except (KeyError, TypeError) as error:  # a character or an id that stands for no byte
            raise _not_byte_level() from error
        # Words of plain letters look like bytes too, but do not hold every byte there is.
        if not set(table) >= _EVERY_BYTE:
            raise _not_byte_level()
        return cls(table)

    def spans(self, spans: Sequence[Sequence[int]]) -> list[str]:
        """Texts of consecutive spans of one sequence; joined, they are the sequence's text.

        A character whose bytes lie in two spans goes to the later one, whole.
        """
        decoder = getincrementaldecoder("utf-8")(errors="replace")
        last = len(spans) - 1
        return [
            decoder.decode(b"".join(self.token_bytes[i] for i in span), final=at == last)
            for at, span in enumerate(spans)
        ]


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
        size: int = checked_once(self.folder, "vocabulary", lambda: len(self.tokenizer))
        return size

    @property
    def title(self) -> str:
        """What an error calls it."""
        return "GPT-2" if self.folder is None else f"the tokenizer in {self.folder}"

    def is_of(self, tokenizer: "PreTrainedTokenizerBase") -> bool:
        """Whether the ids mean the same tokens to a model with this tokenizer."""
        if self.folder is None:
            return uses_gpt2_vocabulary(tokenizer)
        size = len(self.tokenizer)
        if len(tokenizer) < size:
            return False
        return vocabulary_sha256(self.tokenizer, size) == vocabulary_sha256(tokenizer, size)

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
            if (cached := hub.tokenizer_snapshot(hub_id, download=False)) is not None:
                return _read(cached)
        if (fetched := hub.tokenizer_snapshot(_GPT2_ON_HUB[0], download=True)) is not None:
            return _read(fetched)
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
