"""A base in 8 or 4 bits by bitsandbytes: it stays as it is, and adapters train beside it."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Bits = Literal["no", "8bit", "4bit"]
# Bytes of a weight of a linear layer, with its share of the blocks' scales.
_BYTES_OF_WEIGHT = {"8bit": 1.01, "4bit": 0.53}


def check_quantisation(bits: Bits, device: str) -> None:
    """Raise `UserError` where a base cannot be read in that many bits: no GPU, no bitsandbytes."""
    if bits == "no":
        return
    if not device.startswith("cuda"):
        raise UserError(
            f"--quantise-base {bits} needs a CUDA GPU, and the device is {device}; leave it out, "
            "or take --device cuda where there is one"
        )
    if find_spec("bitsandbytes") is None or find_spec("peft") is None:
        raise UserError(
            f"--quantise-base {bits} needs bitsandbytes and peft: "
            "pip install 'unlearnbench[quantised]'"
        )


def loading_options(bits: Bits, dtype: str, device: str) -> dict[str, Any]:
    """What transformers' loader is given: NormalFloat4 with scales quantised too, or LLM.int8().

    4-bit weights are computed with in `dtype`.  The output head and embeddings are not quantised.
    Source: Dettmers et al. 2023, sec. 3; Dettmers et al. 2022.
    """
    import torch
    from transformers import BitsAndBytesConfig

    if bits == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    return {"quantization_config": config, "device_map": {"": device}}


def is_quantised(network: Any) -> bool:
    """Whether a network's weights are packed, so that only adapters beside them can be trained."""
    return bool(getattr(network, "is_quantized", False))


def prepare(network: "PreTrainedModel") -> None:
    """Freeze a quantised network and widen what of it is not quantised, by peft's own rule."""
    from peft import prepare_model_for_kbit_training

    # Recomputing is the run's own (--gradient-checkpointing), and works without hooks.
    prepare_model_for_kbit_training(network, use_gradient_checkpointing=False)


def check_trained_by(method: Any, bits: Bits) -> None:
    """Raise `UserError` for a method that would train the base itself."""
    if bits == "no" or "lora" in {kind.name for kind in getattr(method, "wrapper_kinds", ())}:
        return
    raise UserError(
        f"--quantise-base {bits} leaves the base as it is, and {method.name} trains all of it; "
        "train adapters: --adapter lora"
    )


def check_attacked(bits: Bits) -> None:
    """Raise `UserError` where attacks are asked for, which change or copy whole weights."""
    if bits != "no":
        raise UserError(
            f"--attacks work on whole weights, and --quantise-base {bits} has none; leave one of "
            "them out"
        )


def spared_bytes(bits: Bits, n_weights: int, bytes_each: int) -> int:
    """What linear layers of so many weights take less than they would, of `bytes_each` a weight."""
    if bits == "no":
        return 0
    return int((bytes_each - _BYTES_OF_WEIGHT[bits]) * max(0, n_weights))
