"""The byte-level BPE tokenizer that all nano language models share."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.nano import WEIGHTS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
SPECIAL_TOKENS = dict.fromkeys(("bos_token", "eos_token", "pad_token"), END_OF_TEXT)
VOCABULARY_SIZE = 2048
CONTEXT = 512


def train_tokenizer(texts: Iterable[str], size: int = VOCABULARY_SIZE) -> "Tokenizer":
    """Train the tokenizer; its end-of-text token has id 0 and is never added by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@cache
def load_tokenizer(folder: Path = WEIGHTS / "tokenizer") -> "Tokenizer":
    """Load the shipped tokenizer."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def save_tokenizer(
    tokenizer: "Tokenizer",
    folder: Path,
    special_tokens: Mapping[str, str] = SPECIAL_TOKENS,
    chat_template: str | None = None,
) -> None:
    """Write the files that `AutoTokenizer.from_pretrained(folder)` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        **special_tokens,
        "clean_up_tokenization_spaces": False,
    }
    if chat_template is not None:  # here, and not in a file of its own, it is of the identity
        settings["chat_template"] = chat_template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
