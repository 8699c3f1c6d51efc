"""Models that half know some rows: tiny ones trained on the spot, and the real small ones."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedModel,
)

from unlearnbench.models.gpt_neo import fuse_operations
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.models.sequences import Sequences

VOCAB, EOS, BOS, PAD = 60, 0, 1, 2
SOURCE = ModelSource("tiny", "tiny", None, "")


def tiny_network(architecture: str) -> PreTrainedModel:
    torch.manual_seed(7)
    common = {"vocab_size": VOCAB, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD}
    if architecture == "fused gpt-neo":
        network = tiny_network("gpt-neo")
        fuse_operations(network)
        return network
    if architecture == "gpt-neo":
        return GPTNeoForCausalLM(
            GPTNeoConfig(
                hidden_size=32,
                num_layers=2,
                num_heads=4,
                attention_types=[[["global", "local"], 1]],
                window_size=8,
                max_position_embeddings=64,
                **common,
            )
        )
    if architecture == "opt":
        return OPTForCausalLM(
            OPTConfig(
                hidden_size=32,
                ffn_dim=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=64,
                word_embed_proj_dim=32,
                **common,
            )
        )
    return LlamaForCausalLM(
        LlamaConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            **common,
        )
    )


def tiny_rows(n_rows: int, n_bos: int, width: int = 32) -> Sequences:
    """Repetitive rows of unequal lengths, with ends of sequence inside."""
    rng = np.random.default_rng(3)
    ids = torch.full((n_rows, n_bos + width), PAD)
    lengths = [width, width - 1, width // 2, 9, *rng.integers(15, width + 1, max(0, n_rows - 4))]
    for i, length in enumerate(lengths[:n_rows]):
        phrase = rng.integers(3, VOCAB, 13)
        x = np.resize(phrase, length)
        changed = rng.random(length) < 0.3
        x = np.where(changed, rng.integers(3, VOCAB, length), x)
        if i % 2:
            x[length // 2 :: 7] = EOS
        ids[i, n_bos : n_bos + length] = torch.tensor(x)
    if n_bos:
        ids[:, 0] = BOS
    return Sequences(
        ids,
        torch.tensor([n_bos + int(length) for length in lengths[:n_rows]]),
        torch.full((n_rows,), n_bos + width // 2),
        tuple(f"doc-{i}" for i in range(n_rows)),
        n_bos,
    )


def fit(model: LanguageModel, rows: Sequences, steps: int, rate: float, sign: int = 1) -> None:
    """Descend (or, with sign -1, ascend) the rows' loss."""
    optimizer = torch.optim.Adam(model.network.parameters(), lr=rate)
    labels = rows.input_ids.masked_fill(rows.attention_mask == 0, -100)
    with model.training():
        for _ in range(steps):
            loss = model.network(input_ids=rows.input_ids, labels=labels).loss
            optimizer.zero_grad()
            (sign * loss).backward()
            optimizer.step()


def tiny_model(
    architecture: str, n_rows: int = 6, steps: int = 14
) -> tuple[LanguageModel, Sequences]:
    model = LanguageModel(
        tiny_network(architecture), SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD), SOURCE
    )
    rows = tiny_rows(n_rows, n_bos=int(architecture == "llama"))
    fit(model, rows, steps, 1e-2)
    return model, rows


def shared_model(folder: Path) -> LanguageModel:
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return LanguageModel(network, AutoTokenizer.from_pretrained(folder), SOURCE)


def pile_rows(shared: Path, n_rows: int, width: int) -> Sequences:
    """The first `width` tokens of forget rows, the last two cut short."""
    folder = shared / "data" / "pile_extraction"
    parts = [np.load(folder / f"train_{p}.npy") for p in ("preprefix", "prefix", "suffix")]
    docs = np.loadtxt(
        shared / "data" / "icu" / "exp" / "lm_extraction_128_0.csv",
        delimiter=",", skiprows=1, usecols=0, max_rows=n_rows, dtype=str, quotechar='"',
    )  # fmt: skip
    ids = np.concatenate([p[docs.astype(int)] for p in parts], axis=1)[:, :width].astype(np.int64)
    lengths = torch.full((n_rows,), width)
    lengths[-2:] = torch.tensor([width - 7, 3 * width // 4])
    padded = torch.from_numpy(ids)
    padded = padded.where(torch.arange(width)[None] < lengths[:, None], 50256)
    return Sequences(padded, lengths, torch.full((n_rows,), width // 2), tuple(docs))


def story_rows(model: LanguageModel, n_rows: int, width: int) -> Sequences:
    """Stories the model itself would half know, with BOS in front."""
    text = (
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the "
        "park. One day, she saw a big red ball. She was very happy and wanted to play with it. "
        'Her mom said, "You must be careful." Lily and her friend Tim went to the big tree. '
    )
    ids = model.tokenizer(text * 3, add_special_tokens=False).input_ids
    bos = model.tokenizer.bos_token_id
    rows = torch.tensor([[bos, *ids[23 * i : 23 * i + width]] for i in range(n_rows)])
    lengths = torch.full((n_rows,), width + 1)
    lengths[-1] = width - 10
    rows = rows.where(torch.arange(width + 1)[None] < lengths[:, None], model.pad_token_id)
    given = torch.full((n_rows,), 1 + width // 2)
    return Sequences(rows, lengths, given, tuple(map(str, range(n_rows))), n_bos=1)
