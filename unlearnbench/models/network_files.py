"""A network and the files that its weights are read from: all of them, and nothing else."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.models.configuration import in_one_line
from unlearnbench.models.weight_files import is_pickled

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# What older versions of the library saved and a network makes by itself: causal masks, their fill
# values, position numbers, rotary tables.
_BUFFERS = re.compile(
    r"(attn|attention)\.(masked_)?bias$|position_ids$|rotary_emb\.|\.(inv_freq|embed_positions)$"
)


def read_network(
    folder: Path,
    config: "PretrainedConfig",
    files: tuple[Path, ...],
    dtype: str,
    trust_remote_code: bool,
    **place: Any,
) -> "PreTrainedModel":
    """The network that those weight files hold, in eval mode; `place` is for the library's loader.

    Raises `UserError` where they cannot be read, or do not belong to the configuration.
    """
    import torch
    from transformers import AutoModelForCausalLM

    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            str(folder),
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=not is_pickled(files),
            weights_only=True,  # of a pickle: tensors, and nothing that acts
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by name
            **place,
        )
    except Exception as error:  # safetensors, torch and transformers each have their own kinds
        raise UserError(
            f"cannot load the weights in {folder}: {in_one_line(error)}; "
            "download or copy them again"
        ) from error
    network, report = loaded
    _check_complete(network, folder, report)
    return network


def _check_complete(network: "PreTrainedModel", folder: Path, report: dict[str, Any]) -> None:
    """Raises `UserError` where file and network differ: another model would be measured."""
    for name, in_file, in_config in sorted(report["mismatched_keys"]):
        raise UserError(
            f"the weights in {folder} do not fit its config.json: {name} is "
            f"{list(in_file)} in the file and {list(in_config)} by config.json; "
            "download or copy both again"
        )
    if missing := sorted(report["missing_keys"]):
        raise UserError(
            f"the weights in {folder} lack {len(missing)} parameters of its config.json "
            f"({_first(missing)}); download or copy them again"
        )
    if unused := sorted(key for key in report["unexpected_keys"] if not _BUFFERS.search(key)):
        raise UserError(
            f"{type(network).__name__} as config.json has it takes all tensors in {folder} but "
            f"{len(unused)} ({_first(unused)}); copy the config.json they were saved with, or "
            "merge the adapter: merge_and_unload().save_pretrained(folder)"
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
