"""Whether a network is still the one that was measured: its weights, and what acts beside them."""

import hashlib
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from unlearnbench.models.sequences import Sequences

_COUNTING = "LanguageModel._count"  # the one hook of our own
# Its engine's hooks time a pass and prepare the backward one.
_DEEPSPEED = "deepspeed."


def state_sha256(network: "nn.Module", rows: "Sequences | None" = None) -> str:
    """A hash over weights, buffers, kinds of modules and rows: what is equal knows them equally."""
    import torch

    doc_ids: tuple[str, ...] = ()
    tensors = [*network.parameters(), *network.buffers()]
    if rows is not None:
        doc_ids, own = rows.doc_ids, [rows.input_ids, rows.lengths, rows.n_given]
        tensors = [*own, *tensors]
    n_context = 0 if rows is None else rows.n_bos
    digest = hashlib.sha256(repr((doc_ids, n_context, *_kinds(network))).encode())
    for tensor in tensors:
        flat = tensor.detach().contiguous().cpu().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def acts_by_weights_alone(network: "nn.Module") -> bool:
    """Whether nothing is hooked in or put in a method's place: that could not be told by a hash."""
    return not any(_is_patched(module) for module in network.modules())


def _kinds(network: "nn.Module") -> Iterator[tuple[str, str]]:
    """Name and class of every module."""
    for name, module in network.named_modules():
        yield name, f"{type(module).__module__}.{type(module).__qualname__}"
        if hasattr(module, "merged_adapters"):  # peft's layers: which adapters act is no weight
            acting = (module.active_adapters, module.disable_adapters, module.merged_adapters)
            yield name, repr((*acting, getattr(module, "scaling", None)))


def _is_patched(module: "nn.Module") -> bool:
    hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    if not all(_changes_nothing(hook) for hook in hooks):
        return True
    return "forward" in vars(module) and not _is_recomputing(vars(module)["forward"])


def _changes_nothing(hook: Any) -> bool:
    name = getattr(hook, "__qualname__", "")
    return name == _COUNTING or (getattr(hook, "__module__", None) or "").startswith(_DEEPSPEED)


def _is_recomputing(forward: Any) -> bool:
    """Gradient checkpointing runs the layer's own method (unlearning/steps.py)."""
    from torch.utils.checkpoint import checkpoint

    return isinstance(forward, partial) and forward.func is checkpoint
