"""Evaluation sets from the Hugging Face hub, at a pinned commit or the newest."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.data.evaluation_sets import EvaluationSet, wanted_split
from unlearnbench.data.evaluation_sets.schemas import check_rows
from unlearnbench.data.hub_datasets import load_split
from unlearnbench.errors import UserError
from unlearnbench.models.hub import first_line, reachable

if TYPE_CHECKING:
    from datasets import Dataset

# Data set and configuration; those that lm-eval reads too, as they load without remote code.
ON_HUB: dict[str, tuple[str, str | None]] = {
    "hellaswag": ("Rowan/hellaswag", None),
    "lambada": ("EleutherAI/lambada_openai", "default"),
    "winogrande": ("allenai/winogrande", "winogrande_xl"),
    "copa": ("aps/super_glue", "copa"),
    "arc_easy": ("allenai/ai2_arc", "ARC-Easy"),
    "arc_challenge": ("allenai/ai2_arc", "ARC-Challenge"),
    "piqa": ("baber/piqa", None),
    "mathqa": ("regisss/math_qa", None),
    "pubmedqa": ("bigbio/pubmed_qa", "pubmed_qa_labeled_fold0_source"),
}
_NOT_ON_HUB = "not on the hub in a form that loads"
_OFFLINE = "not on this machine, and the hub cannot be reached"


def read_hub(
    names: Sequence[str], revisions: Mapping[str, str], warnings: list[str]
) -> dict[str, EvaluationSet]:
    """The named sets that can be had; one warning for all that cannot for one reason."""
    sets, left_out = {}, dict[str, list[str]]()
    for name in names:
        try:
            sets[name] = _read(name, revisions.get(name))
        except UserError as error:  # nobody can put a file of the hub right, so the others go on
            left_out.setdefault(str(error), []).append(name)
    warnings += [
        f"left out: {', '.join(absent)}: {reason}; give a folder with their files: --data DIR"
        for reason, absent in left_out.items()
    ]
    return sets


@lru_cache(maxsize=32)
def _read(name: str, revision: str | None) -> EvaluationSet:
    """One set, read once per process; raises `UserError` if it cannot be had."""
    if name not in ON_HUB:
        raise UserError(_NOT_ON_HUB)
    hub_id, config = ON_HUB[name]
    try:
        dataset = load_split(hub_id, config, wanted_split(name), revision)
    except Exception as error:
        raise UserError(f"{hub_id}: {first_line(error)}" if reachable() else _OFFLINE) from error
    commit = _commit_of(dataset)
    if revision and not _is_of(revision, commit):
        raise UserError(f"{hub_id} is on this machine at {commit}, not at {revision}")
    source = ":".join(part for part in ("hf", hub_id, config) if part)
    try:
        rows = [dict(row) for row in dataset]
    except Exception as error:  # of a damaged file in the library's cache: a dozen kinds
        raise UserError(
            f"{source} cannot be read from the cache ({first_line(error)}); delete its folder there"
        ) from error
    checked = check_rows(name, rows, f"{source} at {commit}")
    return EvaluationSet(name, tuple(checked), wanted_split(name), source, commit)


def _is_of(revision: str, commit: str | None) -> bool:
    # Where the hub does not answer, datasets takes any copy that is here, whatever it is asked for.
    if re.fullmatch("[0-9a-f]{7,40}", revision):
        return commit is not None and commit.startswith(revision)
    return reachable()


def _commit_of(rows: "Dataset") -> str | None:
    """The commit a data set was made from: its cache folder is called by it."""
    for file in rows.cache_files:
        name = Path(file["filename"]).parent.name
        if re.fullmatch("[0-9a-f]{40}", name):
            return name
    return None
