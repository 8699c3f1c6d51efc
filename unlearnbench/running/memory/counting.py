"""Counts the bytes that tensors take while code runs, without taking them: fake tensors."""

import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from unlearnbench.running.memory.need import ACTIVATIONS, LOGITS, WEIGHTS


@dataclass
class Tally:
    """Bytes alive now, by what they are for, and what they were when most were alive."""

    vocabulary: int  # a tensor this wide holds logits or something made of them
    label: str = ACTIVATIONS  # of what is allocated from now on
    alive: Counter[str] = field(default_factory=Counter)
    at_peak: Counter[str] = field(default_factory=Counter)
    _known: dict[int, tuple[str, int]] = field(default_factory=dict)

    @contextmanager
    def labelled(self, label: str) -> Iterator[None]:
        """Within, what is allocated is for this."""
        before, self.label = self.label, label
        try:
            yield
        finally:
            self.label = before

    def see(self, tensor: Tensor) -> None:
        """Count a tensor's storage, if it is a new one, for as long as it is alive."""
        storage = tensor.untyped_storage()
        place = storage._cdata
        if place in self._known:
            return
        self._known[place] = (self._label_of(tensor), storage.nbytes())
        self.alive[self._label_of(tensor)] += storage.nbytes()
        weakref.finalize(storage, self._forget, place)
        if self.alive.total() > self.at_peak.total():
            self.at_peak = Counter(self.alive)

    def call_it(self, tensor: Tensor, label: str) -> None:
        """Give a tensor that is counted already another name: a gradient that is kept."""
        place = tensor.untyped_storage()._cdata
        old, size = self._known[place]
        self._known[place] = (label, size)
        self.alive[old] -= size
        self.alive[label] += size

    def peak_of_what_follows(self) -> None:
        """Forget the peak so far."""
        self.at_peak = Counter(self.alive)

    def _label_of(self, tensor: Tensor) -> str:
        wide = tensor.dim() > 1 and tensor.shape[-1] == self.vocabulary
        return LOGITS if wide and self.label == ACTIVATIONS else self.label

    def _forget(self, place: int) -> None:
        label, size = self._known.pop(place)
        self.alive[label] -= size


@contextmanager
def counting(network: nn.Module, vocabulary: int) -> Iterator[Tally]:
    """Within, a network from the meta device seems to hold weights, and what it makes is counted.

    What is counted is storages, each once, from the operation that makes it until nobody
    holds it; what kernels take inside an operation is not seen.
    """
    tally = Tally(vocabulary)
    with FakeTensorMode(allow_non_fake_inputs=True):
        network._apply(lambda t: torch.empty(t.shape, dtype=t.dtype))
        network.tie_weights()  # type: ignore[operator]  # of every transformers network
        with _Counting(tally):
            with tally.labelled(WEIGHTS):
                for tensor in (*network.parameters(), *network.buffers()):
                    tally.see(tensor)
            yield tally


class _Counting(TorchDispatchMode):
    """Tallies what operations on fake tensors make; operations on real tensors alone stay real.

    So token ids, masks and positions have their true values, and code that looks at
    them runs as it always does; whatever meets a weight is only counted.
    """

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self.tally = tally

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = kwargs or {}
        given = (leaf for leaf in tree_leaves((args, named)) if isinstance(leaf, Tensor))
        if not any(isinstance(tensor, FakeTensor) for tensor in given):
            with unset_fake_temporarily():
                return func(*args, **named)
        if func is torch.ops.aten._local_scalar_dense.default:
            return 1.0  # a loss's value, asked for to be written down
        if func is torch.ops.aten.allclose.default:
            return True  # whether two ways agree, asked for to choose one
        if len(args) > 1 and isinstance(args[1], list | tuple):
            args = (args[0], _as_positions(args[1]), *args[2:])
        made = func(*args, **named)
        for tensor in tree_leaves(made):
            if isinstance(tensor, FakeTensor):
                self.tally.see(tensor)
        return made


def _as_positions(indices: Any) -> Any:
    """Real masks among indices as the positions where they are true: their number is then known."""
    found: list[Any] = []
    for index in indices:
        real = isinstance(index, Tensor) and not isinstance(index, FakeTensor)
        if not real or index.dtype is not torch.bool:
            found.append(index)
            continue
        with unset_fake_temporarily():
            found += index.nonzero(as_tuple=True)
    return found
