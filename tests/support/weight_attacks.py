"""Tiny models before and after unlearning, and what an attack on their weights is given."""

import copy
from typing import Any

import torch
from architectures import language_model
from unlearning_fakes import forget_set, tiny_model

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.attacking.weights import LinearWeights
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.paired import decode_as_pair


def model_of(architecture: str) -> LanguageModel:
    """Of the fakes' architectures, or 'gpt2', whose linear layers are transposed."""
    return language_model("gpt2") if architecture == "gpt2" else tiny_model(architecture)


def shifted(model: LanguageModel, size: float = 0.01, seed: int = 5) -> LanguageModel:
    """A copy with every weight moved: what some unlearning made of it."""
    after = model.copied()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in after.network.parameters():
            weight += size * torch.randn(weight.shape, generator=generator).to(weight.dtype)
    return after


def pair_of(model: LanguageModel) -> LanguageModel:
    """The model decoded with one that was trained on: what WHP leaves."""
    base = model.copied()
    decode_as_pair(base, shifted(model), 1.0)
    return base


def target_of(original: LanguageModel, lengths: tuple[int, ...] = (16,)) -> Target:
    """Six rows to forget and nine to keep; the model before unlearning is a fresh copy."""
    n_bos = int(original.source.name == "llama")
    rows = forget_set(lengths=lengths, n_bos=n_bos)
    return Target(rows, TaskContext(rows, {}, batch_size=4), load_original=original.copied)


def weights_at(
    attack: Attack, model: LanguageModel, target: Target
) -> dict[str, tuple[Point, dict[str, torch.Tensor]]]:
    """Each point by name, with a copy of what the model's network held at it."""
    return {
        point.name: (point, copy.deepcopy(dict(point.model.network.state_dict())))
        for point in attack.apply(model, target)
    }


def linear_names(model: LanguageModel) -> set[str]:
    """Of the state dict's entries, those that are a linear layer's weight."""
    return {f"{name.partition('.')[2]}.weight" for name in LinearWeights.of(model).layers}


def same_bits(one: Any, other: Any) -> bool:
    """Whether two state dicts are equal, zeros' signs included."""
    return one.keys() == other.keys() and all(
        torch.equal(_bits(one[name]), _bits(other[name])) for name in one
    )


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().flatten().view(torch.uint8)
