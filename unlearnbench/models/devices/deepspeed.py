"""Which DeepSpeed configuration a cell is trained with; read and checked without DeepSpeed."""

import hashlib
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError

# The paper's set-up is ZeRO-2.  CPU processes have no streams to overlap anything on.
_PRESETS: dict[str, dict[str, Any]] = {
    "zero2": {"zero_optimization": {"stage": 2, "overlap_comm": False}},
    "zero3": {"zero_optimization": {"stage": 3, "overlap_comm": False}},
}

_BATCH_SIZES = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
# What a method or an option of ours settles, with what to say instead.
_NOT_DEEPSPEEDS = {
    "optimizer": "every method is trained with the same Adam, or with --optimizer adamw",
    "scheduler": "the learning rate is constant, or take --lr-schedule",
    "fp16": "weights stay float32; compute in bfloat16 with --mixed-precision bf16",
    "bf16": "weights stay float32; compute in bfloat16 with --mixed-precision bf16",
    "torch_autocast": "compute in bfloat16 with --mixed-precision bf16",
    "amp": "compute in bfloat16 with --mixed-precision bf16",
    "gradient_clipping": "nothing is clipped, or take --max-grad-norm",
}


def choose_deepspeed(requested: str | None) -> str:
    """The sha256 of the configuration file, or nothing for a preset or no DeepSpeed.

    Raises `UserError` if DeepSpeed is not installed or the configuration cannot be used.
    """
    if requested is None:
        return ""
    if find_spec("deepspeed") is None:
        raise UserError("--deepspeed needs DeepSpeed: pip install 'unlearnbench[deepspeed]'")
    configuration(requested)
    if requested in _PRESETS:
        return ""
    return hashlib.sha256(Path(requested).read_bytes()).hexdigest()


def launchers_deepspeed(environment: Mapping[str, str]) -> str | None:
    """The configuration that `accelerate launch` was started with; None if it was without."""
    if environment.get("ACCELERATE_USE_DEEPSPEED", "").lower() not in ("1", "true"):
        return None
    file = environment.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file.lower() not in ("", "none"):
        return file
    stage = environment.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
    offload = [
        name
        for name in ("OPTIMIZER", "PARAM")
        if environment.get(f"ACCELERATE_DEEPSPEED_OFFLOAD_{name}_DEVICE", "none") != "none"
    ]
    if stage not in ("2", "3") or offload:
        raise UserError(
            f"accelerate is configured for DeepSpeed stage {stage}"
            f"{' with offloading' if offload else ''}; take 2 or 3 without offloading, or write a "
            "DeepSpeed configuration and give it with --deepspeed FILE"
        )
    return f"zero{stage}"


def configuration(requested: str) -> dict[str, Any]:
    """The DeepSpeed configuration of a preset or a file, without batch sizes.

    Those are the method's: whatever a file says of them is left out, and so is what it
    leaves to be filled in ('auto').  Raises `UserError`.
    """
    if requested in _PRESETS:
        return json.loads(json.dumps(_PRESETS[requested]))
    content = _without_auto(_read(requested))
    for name, instead in _NOT_DEEPSPEEDS.items():
        if _asks_for(content.get(name)):
            raise UserError(f"'{name}' in {requested} is not DeepSpeed's to decide: {instead}")
        content.pop(name, None)
    zero = content.get("zero_optimization")
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if stage not in (1, 2, 3):
        raise UserError(
            f"zero_optimization.stage in {requested} is {stage!r}, not 1, 2 or 3; "
            "or take --deepspeed zero2"
        )
    return {name: value for name, value in content.items() if name not in _BATCH_SIZES}


def check_wrappers(requested: str | None) -> None:
    """Raise `UserError` where wrappers of gradients would meet weights that are shared out."""
    if requested is not None and configuration(requested)["zero_optimization"]["stage"] == 3:
        raise UserError(
            "wrappers that change gradients need whole weights in every process, which ZeRO 3 has "
            "not; take: --deepspeed zero2"
        )


def _read(path: str) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"--deepspeed '{path}' is neither zero2 nor zero3, nor a file that can be read "
            f"({error.strerror}); e.g. --deepspeed zero2"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not JSON ({str(error)[:80]}); a DeepSpeed configuration is"
        ) from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is no DeepSpeed configuration, which is a JSON object")
    return content


def _without_auto(content: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_auto(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if value != "auto"
    }


def _asks_for(value: Any) -> bool:
    """Whether a section or number of a configuration changes anything."""
    if isinstance(value, dict):
        return bool(value.get("enabled", True)) and bool(value)
    return bool(value)
