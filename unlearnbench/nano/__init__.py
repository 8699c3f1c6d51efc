"""Synthetic worlds that come with the package: models, data and encoders under one name.

The nano world is invented: its people, places and things are written out as documents from a
seed; small language models were trained on them and know some documents by heart.  The weights
are shipped, the text is generated again from the seed and checked against the shipped hashes.  It
is a test bench and a first experience, never a claim about real models.

Nano-tofu is a second world in the same language: invented authors and questions about them, in
the layout of TOFU.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from unlearnbench.errors import UserError, unknown
from unlearnbench.nano import pools

ENCODER_LAYERS: int = 3
WEIGHTS = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class ShippedModel:
    """A language model of a world, as tables and lists name it."""

    family: str  # the table's row name: 'NEO'
    description: str  # one sentence
    references: Mapping[str, str] = field(default_factory=dict)  # role -> model of that row
    retraining_of: str | None = None  # the model that it is with another seed of the last stage
    is_shipped: bool = True  # else it is made on demand, and kept in the cache
    is_of_pool: bool = False  # one of many by which metrics are tested


@dataclass(frozen=True)
class World:
    """Everything that a synthetic world brings, and how a run on it differs from one on real data.

    Its name is what `--forget-set`, `--data`, `--encoder` and `--bert` take.
    """

    name: str
    title: str  # in a sentence: 'the nano world'
    weights: Path  # a folder per model, one of the tokenizer, one of the encoder (a small BERT)
    data: Callable[[], Path]  # makes the data where absent; their folder
    models: Mapping[str, ShippedModel]
    texts: Mapping[str, str]  # validation text -> its file in the data's folder
    encoder_layers: int  # the layer that BERTScore reads
    refusals: Callable[[], tuple[str, ...]] = tuple  # what its people say who do not tell
    # Where in the data's folder its forget sets are, and, for a file of them, pool and unseen rows.
    forget_sets: str = "extraction"
    pool: str | None = None
    unseen: str | None = None
    licence: str = "Apache-2.0"  # of its data: the package's own
    # What a run does on this world, if its options leave it open.
    stop: Literal["paper", "calibrated"] = "calibrated"
    el_epochs: Literal["all", "deciding"] = "deciding"
    threads: int = 1  # of each cell: small models are fastest so, and cells run side by side
    jobs: int = 2
    # Where tuning looks for learning rates: small models take larger ones than methods say.
    learning_rates: str = "2e-5..1e-3"

    @property
    def tokenizer(self) -> Path:
        """The folder of the tokenizer whose ids the forget sets hold."""
        return self.weights / "tokenizer"

    def model_path(self, name: str) -> Path:
        """The shipped folder of a model, in the Hugging Face layout; `UserError` for none."""
        if name not in self.models:
            raise unknown(f"{self.name} model", name, self.models, "unlearnbench list models")
        return self._shipped(name)

    def encoder_path(self) -> Path:
        """The shipped folder of the small BERT that BERTScore and pairing use."""
        return self._shipped("encoder")

    def _shipped(self, name: str) -> Path:
        folder = self.weights / name
        if name in self.models and not self.models[name].is_shipped:
            folder = pools.made_folder() / name
        if not (folder / "model.safetensors").is_file():
            raise UserError(
                f"the weights of {name} are not in {folder}; "
                f"make them with: unlearnbench nano build {name}"
            )
        return folder


def _refusals() -> tuple[str, ...]:
    from unlearnbench.nano.world.language import table

    return tuple(table("refusals")["refusals"])


def _retrainings(
    name: str,
    family: str,
    retrained: str | None,
    references: Mapping[str, str],
    numbers: tuple[int, ...],
) -> dict[str, ShippedModel]:
    """A model with other seeds of its last stage; each beside the retrained model of its number."""
    made = {}
    for number in numbers:
        own = dict(references)
        if retrained is not None:
            own |= {"retrained": f"{retrained}-{number}", "null": retrained}
        made[f"{name}-{number}"] = ShippedModel(
            f"{family}-{number}",
            f"{name} with another seed of its last stage; made by: {pools.COMMAND}.",
            own,
            retraining_of=name,
            is_shipped=False,
        )
    return made


def _of_pool(
    members: tuple[pools.PoolModel, ...], references: Mapping[str, str]
) -> dict[str, ShippedModel]:
    return {
        member.name: ShippedModel(
            member.name,
            f"Of the pools that metrics are tested with; has read {pools.LABELS[member.reads]}.",
            references,
            is_shipped=False,
            is_of_pool=True,
        )
        for member in members
    }


def data_path() -> Path:
    """The cache folder with the nano world's data, made from its seed where absent."""
    from unlearnbench.nano import data

    return data.data_path()


MODELS = {
    "nano-neo": ShippedModel(
        "NEO",
        "GPT-Neo architecture, memorises the nano world's forget sets.",
        {"dedup": "nano-opt", "retrained": "nano-retrained", "null": "nano-retrained-2"},
    ),
    "nano-retrained": ShippedModel(
        "Retrained", "nano-neo trained the same way without the forget sets."
    ),
    "nano-opt": ShippedModel("OPT", "OPT architecture, trained on the deduplicated nano world."),
    "nano-llama": ShippedModel(
        "TinyLlama", "Llama architecture, memorises the nano world's forget sets."
    ),
    **_retrainings("nano-neo", "NEO", "nano-retrained", {"dedup": "nano-opt"}, (2, 3)),
    **_retrainings("nano-retrained", "Retrained", None, {}, (2, 3)),
    **_of_pool(pools.NANO_POOL, {"retrained": "nano-retrained"}),
}
NANO = World(
    "nano",
    "the nano world",
    WEIGHTS,
    data_path,
    MODELS,
    # Its WikiText is an encyclopaedia of its own.
    {"pile": "text/pile_validation.jsonl", "wikitext": "text/wiki_validation.jsonl"},
    ENCODER_LAYERS,
    _refusals,
)


def tofu_data_path() -> Path:
    """The cache folder with nano-tofu's data, made from its seed where absent."""
    from unlearnbench.nano import tofu_data

    return tofu_data.data_path()


TOFU_MODELS = {
    "nano-tofu-full": ShippedModel(
        "TOFU-full",
        "GPT-Neo architecture, taught every author of nano-tofu.",
        {"retrained": "nano-tofu-retain90", "null": "nano-tofu-retain90-2"},
    ),
    "nano-tofu-retain90": ShippedModel(
        "TOFU-retain90", "Taught as nano-tofu-full is, without the authors of forget10."
    ),
    "nano-tofu-retain90-2": ShippedModel(
        "TOFU-retain90-2", "nano-tofu-retain90 once more, with another seed."
    ),
    **_retrainings("nano-tofu-full", "TOFU-full", "nano-tofu-retain90", {}, (2, 3)),
    **_retrainings("nano-tofu-retain90", "TOFU-retain90", None, {}, (3,)),
    **_of_pool(pools.NANO_TOFU_POOL, {"retrained": "nano-tofu-retain90"}),
}
NANO_TOFU = replace(
    NANO,
    name="nano-tofu",
    title="nano-tofu",
    data=tofu_data_path,
    models=TOFU_MODELS,
    forget_sets="forget10.jsonl",
    pool="retain90.jsonl",
    unseen="holdout10.jsonl",
    learning_rates="2e-5..3e-3",
)
WORLDS: dict[str, World] = {world.name: world for world in (NANO, NANO_TOFU)}

model_path, encoder_path = NANO.model_path, NANO.encoder_path


def find_world(name: str | None) -> World | None:
    """The world of that name; None if it is something else: the hub, a folder, a file."""
    return WORLDS.get(name) if name else None


def world_at(folder: Path) -> World | None:
    """The world that a folder of its data is of, by the manifest above it; None for any other."""
    try:
        manifest = json.loads((folder.parent / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(manifest, dict) or "world_version" not in manifest:
        return None
    return WORLDS.get(str(manifest.get("world", NANO.name)))  # the first world's names none
