"""`generate` as the library has it: a prompt in, all new tokens out, nothing kept between calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, inference_mode, ones_like
from transformers import GenerationConfig

from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences


@inference_mode()
def write(
    model: LanguageModel, prompts: Tensor, new_tokens: int, beams: int = 1, eos: int | None = None
) -> Tensor:
    """[B, new] tokens on the CPU after prompts [B, t] of one length; without `eos` to the last."""
    network: Any = model.network
    asked = GenerationConfig(
        do_sample=False,
        num_beams=beams,
        max_new_tokens=new_tokens,
        eos_token_id=eos,
        pad_token_id=model.pad_token_id,
    )
    on_device = prompts.to(model.device)
    with _no_defaults(network):
        written = network.generate(
            input_ids=on_device, attention_mask=ones_like(on_device), generation_config=asked
        )
    new: Tensor = written[:, prompts.shape[1] :].cpu()
    model.meter.count_generated(new.numel())
    return new


def batches(rows: Sequences, batch_size: int) -> Iterator[Sequences]:
    """The rows, some at a time; raises ValueError for rows of several lengths."""
    if len(rows.lengths.unique()) != 1 or len(rows.n_given.unique()) != 1:
        raise ValueError("the released algorithm takes rows of one length, with prompts of one")
    for first in range(0, len(rows), batch_size):
        yield rows.select(range(first, min(first + batch_size, len(rows))))


@contextmanager
def _no_defaults(network: Any) -> Iterator[None]:
    # `generate` fills what is left open from the model's own defaults.
    own, network.generation_config = network.generation_config, GenerationConfig()
    try:
        yield
    finally:
        network.generation_config = own
