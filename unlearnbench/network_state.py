"""Whether a network is still the one that was measured: its weights, and what acts beside them."""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

    from unlearnbench.sequences import Sequences


def state_sha256(network: "nn.Module", rows: "Sequences") -> str:
    """A hash over weights, modules, hooks and rows: equal states know the rows equally well."""
    import torch

    digest = hashlib.sha256(repr((rows.doc_ids, *_modules(network))).encode())
    tensors = [rows.input_ids, rows.lengths, rows.n_given, *network.parameters()]
    for tensor in tensors:
        flat = tensor.detach().contiguous().cpu().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _modules(network: "nn.Module") -> Iterator[tuple[object, ...]]:
    """What computes: a method may leave the weights as they are and hook something in."""
    for name, module in network.named_modules():
        hooks = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        own = [_name(hook) for hook in hooks]
        replaced = _name(vars(module)["forward"]) if "forward" in vars(module) else ""
        yield name, _name(type(module)), replaced, *own


def _name(called: Any) -> str:
    return f"{getattr(called, '__module__', '')}.{getattr(called, '__qualname__', type(called))}"
