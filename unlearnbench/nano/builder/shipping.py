"""Model folders: float16 weights, configuration, recipe, in the Hugging Face layout."""

from __future__ import annotations

import dataclasses
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


def round_to_half(model: PreTrainedModel) -> PreTrainedModel:
    """Round the parameters to what the float16 file will hold; they stay float32 in memory."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    return model


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Write weights as float16; the configuration has them loaded as float32, exact on a CPU."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    weights = {
        name: tensor.half().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in tied
    }
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    # The writer makes the file private; a package's files are for everybody.
    (folder / "model.safetensors").chmod(0o644)
    model.config.architectures = [type(model).__name__]
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    if model.can_generate():
        model.generation_config.save_pretrained(folder)


def save_recipe(recipe: object, figures: dict[str, object], folder: Path) -> None:
    """Write every hyper-parameter, the package versions and what was measured."""
    record = {
        "recipe": dataclasses.asdict(recipe),  # type: ignore[call-overload]
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "figures": figures,
    }
    (folder / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")
