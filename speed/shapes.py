"""Models of known shapes with random weights, and the arrays of a forget set, for benchmarks."""

from pathlib import Path
from typing import Any

GPT_NEO = {
    "model_type": "gpt_neo",
    "vocab_size": 50257,
    "max_position_embeddings": 2048,
    "window_size": 256,
}


def _gpt_neo(width: int, n_layers: int, n_heads: int) -> dict[str, Any]:
    alternating = [[["global", "local"], n_layers // 2]]
    return {
        **GPT_NEO,
        "hidden_size": width,
        "num_layers": n_layers,
        "num_heads": n_heads,
        "attention_types": alternating,
    }


SHAPES: dict[str, dict[str, Any] | None] = {
    "nano-neo": None,  # comes with unlearnbench
    "nano-llama": None,
    "gpt-neo-46m": _gpt_neo(512, 6, 8),
    "gpt-neo-125m": _gpt_neo(768, 12, 12),
    "gpt-neo-1.3b": _gpt_neo(2048, 24, 16),
}
N_POOL = 256


def write_model(folder: Path, shape: str) -> Path:
    """A model of that shape with random weights, and a tokenizer of as many words."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    place = folder / shape
    if place.is_dir():
        return place
    options = {**(SHAPES[shape] or {}), "bos_token_id": 50256, "eos_token_id": 50256}
    config = AutoConfig.for_model(options.pop("model_type"), **options)
    large = shape == "gpt-neo-1.3b"  # its file in float32 is 5 GB
    torch.manual_seed(0)
    dtype = torch.bfloat16 if large else torch.float32
    AutoModelForCausalLM.from_config(config, dtype=dtype).save_pretrained(place)
    _write_tokenizer(place)
    return place


def write_arrays(folder: Path, data: Path | None, rows: int) -> Path:
    """The extraction benchmark's arrays, cut to what is needed; random ids where there are none.

    `data` is the folder of the real ones; the forget set is their first rows.
    """
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(0)
    n = max(rows, 128) + N_POOL
    for name, width in (("preprefix", 100), ("prefix", 50), ("suffix", 50)):
        if data is not None:
            part = np.load(data / f"train_{name}.npy")[:n]
        else:
            part = dice.integers(50000, size=(n, width)).astype(np.uint16)
        np.save(folder / f"train_{name}.npy", part)
    _word_level().save(str(folder / "tokenizer.json"))  # the models' own ids: none is made anew
    (folder / "exp").mkdir(exist_ok=True)
    ids = "".join(f"{i}\n" for i in range(max(rows, 128)))
    (folder / "exp" / "rows_0.csv").write_text("doc_id\n" + ids)
    return folder


def _write_tokenizer(place: Path) -> None:
    from tokenizers import pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = _word_level()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")
    made.save_pretrained(place)


def _word_level() -> Any:
    from tokenizers import Tokenizer, models

    words = {f"t{i}": i for i in range(50256)} | {"<|endoftext|>": 50256}
    return Tokenizer(models.WordLevel(words, unk_token="t0"))
