"""What a piece of work costs: tokens of both networks, seconds, and what is kept in memory."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torch.utils._python_dispatch import TorchDispatchMode

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.models.devices.meter import peak_memory_bytes
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.scoring import output_head


@dataclass
class Cost:
    """Of some work, or up to some moment; tokens and bytes do not depend on the machine."""

    forward_tokens: int = 0
    backward_tokens: int = 0
    generated_tokens: int = 0
    bert_tokens: int = 0
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    def __sub__(self, earlier: "Cost") -> "Cost":
        values = [getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)]
        return Cost(*values)


class Costs:
    """Counts from its making on; `now` is what has been spent so far."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.backward_tokens = self.bert_tokens = 0
        self._decoder = model.network.get_decoder()
        # Of all modules: a network with a hook of its own is trained through whole logits.
        register_module_forward_hook(self._watch_backward)
        _count_bert_into(self)

    def now(self) -> Cost:
        """Everything up to this moment."""
        if self.model.device.type == "cuda":
            torch.cuda.synchronize()
        phases = self.model.meter.phases.values()
        return Cost(
            sum(phase.forward_tokens for phase in phases),
            self.backward_tokens,
            sum(phase.generated_tokens for phase in phases),
            self.bert_tokens,
            time.process_time(),
            time.perf_counter(),
        )

    def _watch_backward(self, module: Any, _args: Any, output: Any) -> None:
        if module is self._decoder and output[0].requires_grad:
            output[0].register_hook(self._count_backward)

    def _count_backward(self, gradient: Tensor) -> None:
        self.backward_tokens += gradient.shape[0] * gradient.shape[1]


def _count_bert_into(costs: Costs) -> None:
    """Every token that any BERT reads from now on, padding included."""
    from transformers import BertModel

    forward = BertModel.forward

    def counted(self: Any, input_ids: Tensor, *args: Any, **more: Any) -> Any:
        costs.bert_tokens += input_ids.numel()
        return forward(self, input_ids, *args, **more)

    BertModel.forward = counted  # type: ignore[method-assign]


def peak_bytes(model: LanguageModel) -> int:
    """The most memory that was taken since the process began: of its GPUs, or of itself.

    The meter sets the kernel's mark back with every phase, and keeps what it had come to.
    """
    noted = [phase.peak_memory_bytes for phase in model.meter.phases.values()]
    return max(peak_memory_bytes(), *noted, 0)


class WidestScores(TorchDispatchMode):
    """Notes the largest tensor over the vocabulary that is made within, in bytes."""

    def __init__(self, head: Tensor) -> None:  # [V, d]
        super().__init__()
        self.vocabulary, self.n_bytes = head.shape[0], 0
        self._head_turned = tuple(reversed(head.shape))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor) and self._are_scores(tuple(tensor.shape)):
                self.n_bytes = max(self.n_bytes, tensor.numel() * tensor.element_size())
        return made

    def _are_scores(self, shape: tuple[int, ...]) -> bool:
        return shape[-1:] == (self.vocabulary,) and shape != self._head_turned


@contextmanager
def widest_scores(model: LanguageModel) -> Iterator[WidestScores]:
    """Within, what is computed is looked at; it takes its time, so nothing else is measured."""
    with WidestScores(output_head(model).weight) as seen:  # type: ignore[arg-type]
        yield seen


@dataclass(frozen=True)
class Kept:
    """Bytes of what is kept: weights, once, and the rest, which grows with the rows."""

    weights: int
    rest: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.rest


def kept_by(kind: type, model: LanguageModel) -> Kept:
    """What living objects of a class hold in tensors, without the model's own."""
    own = {p.untyped_storage().data_ptr() for p in model.network.parameters()}
    found: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for thing in gc.get_objects():
        if isinstance(thing, kind):
            for tensor, is_weight in _tensors(vars(thing), {id(model)}):
                storage = tensor.untyped_storage()
                found[is_weight][storage.data_ptr()] = storage.nbytes()
    weights, rest = (
        sum(n for place, n in found[is_weight].items() if place not in own)
        for is_weight in (True, False)
    )
    return Kept(weights, rest)


def _tensors(thing: Any, seen: set[int]) -> Iterator[tuple[Tensor, bool]]:
    """The tensors that a thing holds, and whether each is a layer's weight."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, Tensor):
        yield thing, False
    elif isinstance(thing, nn.Module):
        yield from ((weight, True) for weight in thing.state_dict(keep_vars=True).values())
    elif isinstance(thing, dict | list | tuple):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from _tensors(part, seen)
    elif is_dataclass(thing) and not isinstance(thing, ForgetSet):
        yield from _tensors(vars(thing), seen)
