"""A world small enough to run whole experiments on in a test: models, texts and a plugin."""

import contextlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from unlearnbench import registry
from unlearnbench.cli import status_of

WORDS = [a + b for a in ("ka", "lo", "mi", "ru", "se", "to", "vu", "ne") for b in "bdfgklmnprst"]

PLUGIN = '''
"""A method from a file."""

from dataclasses import dataclass

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod


@register
@dataclass(kw_only=True)
class Push(GradientMethod):
    """Gradient ascent, weighted."""

    name = "push"
    label = "Push"
    learning_rate: float = setting(1e-3, "Adam's step size")
    max_epochs: int = setting(3, "epoch limit")
    weight: float = setting(1.0, "of the loss")

    def loss(self, batch):
        if self.weight < 0:
            raise RuntimeError("weight is negative")
        return {"forget": -self.weight * batch.target_nll}
'''
TIMES = {"started_at", "seconds", "peak_memory_bytes", "header_sha256"}


@dataclass(frozen=True)
class TinyWorld:
    """Paths of everything a run needs."""

    folder: Path

    def options(self, out: Path, *more: str, methods: str = "kumpr,push") -> list[str]:
        """The command line of a small comparison of two methods."""
        f = self.folder
        return [
            "run",
            *("--model", str(f / "model"), "--forget-set", str(f / "forget.jsonl")),
            *(
                "--pool",
                str(f / "pool.jsonl"),
                "--encoder",
                str(f / "bert"),
                "--bert",
                str(f / "bert"),
            ),
            *("--text", f"pile={f / 'text.txt'}", "--text", f"wikitext={f / 'text.txt'}"),
            *(
                "--plugin",
                str(f / "push.py"),
                "--methods",
                methods,
                "--tasks",
                "forgetting,perplexity",
            ),
            *("--set", "kumpr.learning_rate=1e-3", "--max-epochs", "2", "--threads", "1"),
            *("--device", "cpu", "--jobs", "0", "--out", str(out)),
            *more,
        ]

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command line as its own process."""
        return subprocess.Popen(
            [sys.executable, "-m", "unlearnbench", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "UNLEARNBENCH_CACHE": str(self.folder / "cache")},
        )

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the command line to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@contextlib.contextmanager
def at_home(world: TinyWorld) -> Iterator[TinyWorld]:
    """A cache and a registry for runs in this process, both as before when it ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNBENCH_CACHE", str(world.folder / "cache"))
        patch.setattr(registry, "_plugins", {k: dict(v) for k, v in registry._plugins.items()})
        yield world


def cli(*arguments: object) -> tuple[int, str, str]:
    """Run a command line in this process: exit status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = status_of([str(a) for a in arguments])
    return status, out.getvalue(), err.getvalue()


def numbers(value: Any) -> Any:
    """A result without what depends on the clock."""
    if isinstance(value, dict):
        return {k: numbers(v) for k, v in value.items() if k not in TIMES}
    return [numbers(v) for v in value] if isinstance(value, list) else value


def all_numbers(out: Path) -> dict[str, Any]:
    """Every result of a folder by file name, without what depends on the clock."""
    return {p.name: numbers(json.loads(p.read_text())) for p in (out / "cells").glob("*.json")}


def sentence(dice: random.Random, n_words: int) -> str:
    """Words in random order: nothing to understand, everything to memorise."""
    return " ".join(dice.choice(WORDS) for _ in range(n_words))


def build(folder: Path) -> TinyWorld:
    """Write the whole world into a folder."""
    shutil.copytree(_built().name, folder, dirs_exist_ok=True)
    return TinyWorld(folder)


@cache
def _built() -> "tempfile.TemporaryDirectory[str]":
    """The whole world from a seed, made once in a process; every test module has a copy."""
    made = tempfile.TemporaryDirectory()
    folder, dice = Path(made.name), random.Random(7)
    for name, n_rows in (("forget", 8), ("pool", 12), ("unseen", 8)):
        rows = [{"doc_id": f"{name}{i}", "text": sentence(dice, 60)} for i in range(n_rows)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (folder / "text.txt").write_text(sentence(dice, 400))
    (folder / "push.py").write_text(PLUGIN)
    known = [json.loads(line)["text"] for line in (folder / "forget.jsonl").open()]
    save_model(folder / "model", known)
    save_bert(folder / "bert")
    return made


def save_model(folder: Path, known: list[str]) -> None:
    """A GPT-Neo of two layers with a word tokenizer, which knows some texts by heart."""
    import torch
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    special = ["<|endoftext|>"]
    _save_tokenizer(folder, special, {"eos_token": special[0], "pad_token": special[0]}, "")
    torch.manual_seed(1)
    config = GPTNeoConfig(
        vocab_size=len(WORDS) + len(special),
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        attention_types=[[["global", "local"], 1]],
        window_size=32,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
    )
    network = GPTNeoForCausalLM(config)
    ids = torch.tensor([[1 + WORDS.index(word) for word in text.split()] for text in known])
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        network(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    network.save_pretrained(folder)


def save_bert(folder: Path) -> None:
    """A BERT of two layers over the same words."""
    import torch
    from transformers import BertConfig, BertModel

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    named = {f"{s.strip('[]').lower()}_token": s for s in special}
    _save_tokenizer(folder, special, named, "[CLS] $A [SEP]")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(WORDS) + len(special),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    BertModel(config).save_pretrained(folder)


def _save_tokenizer(folder: Path, special: list[str], named: dict[str, str], frame: str) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate([*special, *WORDS])}
    unknown = named.get("unk_token", special[0])
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if frame:
        ends = [(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=frame, pair="[CLS] $A [SEP] $B [SEP]", special_tokens=ends
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=256, **named
    ).save_pretrained(folder)
