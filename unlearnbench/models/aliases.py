"""Short names of the models of the papers and of the nano world."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ModelAlias:
    """A model by its short name: where it is, and how a table names it."""

    name: str
    hub_id: str | None  # None for a model that comes with unlearnbench
    family: str  # the table's row name: 'NEO'
    description: str  # one sentence
    licence: str
    citation: str = ""
    references: dict[str, str] = field(default_factory=dict)  # role -> alias of a reference row

    def __str__(self) -> str:
        """The sentence `unlearnbench list models` prints."""
        return self.description

    @property
    def folder(self) -> Path | None:
        """Where a nano model's files are; None for a hub model."""
        if self.hub_id is not None:
            return None
        from unlearnbench.nano import model_path

        return Path(model_path(self.name))


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
    known = [*_gpt_neo(), *_opt(), _tinyllama(), *_nano()]
    return {alias.name: alias for alias in known}


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


_NANO = {  # name -> family, description
    "nano-neo": ("NEO", "GPT-Neo architecture, memorises the nano world's forget sets."),
    "nano-opt": ("OPT", "OPT architecture, trained on the deduplicated nano world."),
    "nano-llama": ("TinyLlama", "Llama architecture, memorises the nano world's forget sets."),
    "nano-retrained": ("Retrained", "nano-neo trained the same way without the forget sets."),
}


def _nano() -> list[ModelAlias]:
    return [
        ModelAlias(name, None, *_NANO[name], "Apache-2.0", "", _nano_references(name))
        for name in _nano_names()
    ]


def _nano_references(name: str) -> dict[str, str]:
    return {"dedup": "nano-opt", "retrained": "nano-retrained"} if name == "nano-neo" else {}


def _nano_names() -> list[str]:
    try:
        from unlearnbench.nano import MODELS
    except ImportError:  # a build without the nano world
        return []
    return [name for name in MODELS if name in _NANO]
