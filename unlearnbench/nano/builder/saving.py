"""How a trained model is rounded and written: weights, configuration, log and recipe."""

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


def round_to_half(model: "PreTrainedModel") -> "PreTrainedModel":
    """Round the parameters to what the float16 file will hold; they stay float32 in memory."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())
    return model


def save_model(model: "PreTrainedModel", folder: Path, log: str) -> None:
    """Write weights as float16; the configuration has them loaded as float32, exact on a CPU."""
    model.half().save_pretrained(folder)
    # The writer makes the file private; a package's files are for everybody.
    (folder / "model.safetensors").chmod(0o644)
    model.config.dtype = "float32"
    model.config.save_pretrained(folder)
    (folder / "training_log.jsonl").write_text(log)


def save_recipe(recipe: object, figures: dict[str, object], folder: Path) -> None:
    """Write every hyper-parameter, the package versions and what was measured."""
    record = {
        "recipe": dataclasses.asdict(recipe),  # type: ignore[call-overload]
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in PACKAGES},
        "figures": figures,
    }
    (folder / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")
