"""What every model card of ours has alike: its YAML head, and what it does not claim."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearnbench.models.aliases import aliases

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

TAG = "unlearnbench"  # by which a repository of the hub is known to hold a model of ours
#: What no measurement of forgetting tests.
NOT_CLAIMED = (
    "copies elsewhere: backups, caches, fine-tuned, distilled or quantised copies of the model "
    "before, and the training data themselves",
    "the same facts in other rows, other words or other languages than the rows of the file",
    "what a law, or whoever asked, would call forgotten: this is a measurement, no legal advice",
)
_SYNTHETIC = (
    "> **Trained on a made-up world.** What is measured of this model says nothing about models "
    "of real text.\n\n"
)
#: The hub's names of licences, by our aliases' words; any other is "other".
_LICENCES = {"MIT": "mit", "Apache-2.0": "apache-2.0"}


def card_head(
    name: str,
    base: str,
    results: "Sequence[EvalResult]",
    *,
    datasets: Sequence[str] = (),
    is_adapter: bool = False,
) -> str:
    """The YAML head between its two rules; `base` is an alias, a hub id or the name of a folder."""
    from huggingface_hub import ModelCardData

    hub_id, alias = hub_id_of(base), aliases().get(base)
    licence = _LICENCES.get(alias.licence, "other") if alias is not None else None
    data = ModelCardData(
        model_name=name,
        base_model=hub_id,
        base_model_relation="adapter" if is_adapter and hub_id else None,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["unlearning", TAG],
        datasets=list(datasets) or None,
        eval_results=list(results) or None,
        license=licence,
        license_name=alias.licence if alias is not None and licence == "other" else None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def hub_id_of(base: str) -> str | None:
    """The hub id that a model's name stands for; None for what is not on the hub."""
    alias = aliases().get(base)
    if alias is not None:
        return alias.hub_id
    return base if base.count("/") == 1 and not base.startswith((".", "/", "~")) else None


def synthetic_warning(is_synthetic: bool) -> str:
    """What stands above everything else in the card of a made-up world's model; '' for others."""
    return _SYNTHETIC if is_synthetic else ""


def is_of_world(base: str) -> bool:
    """Whether a name is that of a model of a made-up world."""
    alias = aliases().get(base)
    return alias is not None and alias.world is not None


def bullets(lines: Sequence[str]) -> str:
    """The lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)
