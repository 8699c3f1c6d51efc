"""Short names of the papers' models and of those that come with the package."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from unlearnbench.nano import WORLDS, World


@dataclass(frozen=True)
class ModelAlias:
    """A model by its short name: where it is, and how a table names it."""

    name: str
    hub_id: str | None  # None for a model of a world
    family: str  # the table's row name: 'NEO'
    description: str  # one sentence
    licence: str
    citation: str = ""
    references: Mapping[str, str] = field(default_factory=dict)  # role -> alias of that row
    world: World | None = None  # the synthetic world that the model comes with
    retraining_of: str | None = None  # alias of the model that it is, trained with another seed

    def __str__(self) -> str:
        """The sentence `unlearnbench list models` prints."""
        return self.description

    @property
    def folder(self) -> Path | None:
        """Where the files of a world's model are; None for a hub model."""
        return self.world.model_path(self.name) if self.world else None


_GPT_NEO = (
    "Black, S., Gao, L., Wang, P., Leahy, C., & Biderman, S. (2021). GPT-Neo: Large scale "
    "autoregressive language modeling with Mesh-Tensorflow. doi:10.5281/zenodo.5297715"
)
_OPT = (
    "Zhang, S., et al. (2022). OPT: Open pre-trained transformer language models. arXiv:2205.01068"
)
_TINYLLAMA = (
    "Zhang, P., Zeng, G., Wang, T., & Lu, W. (2024). TinyLlama: An open-source small language "
    "model. arXiv:2401.02385"
)


def aliases() -> dict[str, ModelAlias]:
    """Every alias by name, the published models first."""
    every = [*_gpt_neo(), *_opt(), _tinyllama(), *_of_worlds()]
    return {alias.name: alias for alias in every}


def _gpt_neo() -> list[ModelAlias]:
    return [
        ModelAlias(
            f"neo-{size.lower()}",
            f"EleutherAI/gpt-neo-{hub_size}",
            "NEO",
            f"GPT-Neo {size}, trained on the Pile: the paper's model to unlearn.",
            "MIT",
            _GPT_NEO,
            {"dedup": f"opt-{size.lower()}"},
        )
        for size, hub_size in (("125M", "125m"), ("1.3B", "1.3B"), ("2.7B", "2.7B"))
    ]


def _opt() -> list[ModelAlias]:
    return [
        ModelAlias(
            f"opt-{size.lower()}",
            f"facebook/opt-{size.lower()}",
            "OPT",
            f"OPT {size}, trained on deduplicated text: the paper's reference row.",
            "OPT-175B licence (research use)",
            _OPT,
        )
        for size in ("125M", "1.3B", "2.7B")
    ]


def _tinyllama() -> ModelAlias:
    return ModelAlias(
        "tinyllama",
        "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T",
        "TinyLlama",
        "TinyLlama 1.1B, the base model after three trillion tokens.",
        "Apache-2.0",
        _TINYLLAMA,
    )


def _of_worlds() -> Iterator[ModelAlias]:
    for world in WORLDS.values():
        for name, model in world.models.items():
            yield ModelAlias(
                name,
                None,
                model.family,
                model.description,
                "Apache-2.0",
                references=model.references,
                world=world,
                retraining_of=model.retraining_of,
            )
