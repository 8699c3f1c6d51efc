"""A model over bytes, and its scores."""

import pytest
import torch
from evaluation_set_cases import read, write
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast

from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find

BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())


def byte_model(seed=0, context=256):
    """A GPT-Neo of random weights that reads bytes; its tokenizer has no padding token."""
    end = "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate([end, *BYTES])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    torch.manual_seed(seed)
    config = GPTNeoConfig(
        vocab_size=len(BYTES) + 1,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        attention_types=[[["global", "local"], 1]],
        window_size=32,
        max_position_embeddings=context,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    return LanguageModel(
        GPTNeoForCausalLM(config),
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end),
        ModelSource("bytes", "bytes", None, ""),
    )


def measure(model, sets, style="lm_eval", limit=None, **settings):
    context = TaskContext(None, {}, sets=sets, protocol=Protocol(task_prompts=style), limit=limit)
    return find("tasks", "classification")(**settings).measure(model, context)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    return read(write(tmp_path_factory.mktemp("sets")))


@pytest.fixture(scope="module")
def model():
    return byte_model()
