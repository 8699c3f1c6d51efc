"""The nano world: small models and their synthetic data, shipped with the package.

A seeded world of invented people, places and things is written out as documents; small
language models were trained on them and know some documents by heart. The weights are
shipped, the text is regenerated from its seed and checked against the shipped hashes. It
is a test bench and a first experience, never a claim about real models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

MODELS: dict[str, str] = {
    "nano-neo": "GPT-Neo architecture, 1.1 M parameters, knows the forget sets by heart.",
    "nano-retrained": "nano-neo trained the same way without the forget sets: the gold standard.",
    "nano-opt": "OPT architecture, trained on deduplicated text: each forget row read once.",
    "nano-llama": "Llama architecture, 1.1 M parameters, knows the forget sets by heart.",
}
ENCODER_LAYERS: int = 3
_WEIGHTS = Path(__file__).resolve().parent / "weights"


def model_path(name: str) -> Path:
    """Return the shipped folder of a model, in the Hugging Face layout."""
    if name not in MODELS:
        from unlearnbench.errors import unknown

        raise unknown("nano model", name, MODELS, "unlearnbench list models")
    return _shipped(name)


def encoder_path() -> Path:
    """Return the shipped folder of the small BERT that BERTScore and pairing use."""
    return _shipped("encoder")


def _shipped(name: str) -> Path:
    folder = _WEIGHTS / name
    if not (folder / "model.safetensors").is_file():
        from unlearnbench.errors import UserError

        raise UserError(
            f"the weights of {name} are not in {folder}; "
            f"make them with: unlearnbench nano build {name}"
        )
    return folder


def data_path(refresh: bool = False) -> Path:
    """Return the cache folder with the nano world's data, made from its seed where absent."""
    from unlearnbench.nano import data

    return data.data_path(refresh)


def build(models: Sequence[str] | None = None, out: Path | None = None, scale: float = 1.0) -> None:
    """Train the named models (default: all, and the encoder) and write them to ``out``.

    ``out`` defaults to the package's own weights folder. ``scale`` shortens the training,
    for a trial. Progress goes to stderr.
    """
    from unlearnbench.nano.builder import build as building

    building.build(models, out or _WEIGHTS, scale)
