"""Data sets of the Hugging Face hub, by name: hf:owner/name[:config][:split][@revision]."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.models.hub import first_line, reachable

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class DatasetName:
    """hf:owner/name[:config][:split][@revision]"""

    hub_id: str
    config: str | None
    split: str
    revision: str | None


def parse_dataset(location: str) -> DatasetName:
    """The parts of hf:owner/name[:config][:split][@revision]; the split defaults to 'train'.

    With one part after the name, it is the configuration, as in load_dataset(name, config).
    """
    name, _, revision = location.removeprefix("hf:").partition("@")
    hub_id, *rest = name.split(":")
    if hub_id.count("/") > 1 or not hub_id or len(rest) > 2:
        raise UserError(
            f"'{location}' is not of the form hf:owner/name[:config][:split][@revision]"
        )
    config = rest[0] if rest and rest[0] else None
    return DatasetName(hub_id, config, rest[1] if len(rest) == 2 else "train", revision or None)


def dataset_rows(location: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The first rows of a hub data set, from cache or hub; raises `UserError` for neither."""
    wanted = parse_dataset(location)
    try:
        dataset = load_split(wanted.hub_id, wanted.config, wanted.split, wanted.revision)
        chosen = dataset if limit is None else dataset.select(range(min(limit, len(dataset))))
        # Here too: a damaged file in the library's cache shows when its rows are read.
        return [dict(row) for row in chosen]
    except Exception as error:  # datasets raises a different kind for each way to fail
        raise UserError(_no_dataset(location, wanted, error)) from error


def _no_dataset(location: str, wanted: DatasetName, error: Exception) -> str:
    if reachable():
        return f"cannot load '{location}': {first_line(error)}"
    named = ", ".join(repr(part) for part in (wanted.hub_id, wanted.config) if part)
    return (
        f"data set '{wanted.hub_id}' is not on this machine and the hub cannot be reached; where "
        f'it can: python -c "import datasets; datasets.load_dataset({named})", '
        "or give a local .jsonl file instead"
    )


def load_split(hub_id: str, config: str | None, split: str, revision: str | None) -> "Dataset":
    """`datasets.load_dataset` without its bars; raises a different error for each way to fail."""
    import datasets
    from huggingface_hub import constants

    if not reachable():  # its clients would retry for minutes
        constants.HF_HUB_OFFLINE = True
        datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(hub_id, config, split=split, revision=revision)
    finally:
        datasets.enable_progress_bars()
