"""The memory of an optimisation step: the real one, run on a network without weights."""

import gc
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from unlearnbench.models.sequences import Sequences
from unlearnbench.running.memory.counting import Tally, counting
from unlearnbench.running.memory.need import GRADIENTS, OPTIMISER
from unlearnbench.running.memory.stand_in import StandInReferences, forget_set_of, model_of, rows_of

if TYPE_CHECKING:
    from unlearnbench.models.devices.strategy import Strategy
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.unlearning.method import Method


@dataclass(frozen=True)
class StepSize:
    """What of a cell decides how much a step takes, weights apart."""

    n_rows: int  # M, sequences to forget
    length: int  # T, tokens of each
    batch_size: int  # rows per step, over all processes
    vocabulary: int

    def share(self, strategy: "Strategy") -> int:
        """Rows of a step that one process takes."""
        return -(-min(self.batch_size, self.n_rows) // strategy.n_processes)


@dataclass(frozen=True)
class StepCount:
    """Bytes by what they are for: the most during a step, and what stays from step to step."""

    at_peak: dict[str, int]
    held: dict[str, int]


def count_step(
    network: Any, method: "Method", protocol: "Protocol", strategy: "Strategy", size: StepSize
) -> StepCount:
    """What a step takes once Adam's states are there, before anything is shared by ZeRO.

    `network` is on the meta device and is used up.  Attention is counted as the CPU
    computes it: a GPU's kernels may take less.
    """
    from unlearnbench.models.devices import ranks

    share, n_parts = _counted_parts(size.share(strategy), strategy.gradient_accumulation_steps)
    alone = replace(strategy, deepspeed=None, n_processes=1, gradient_accumulation_steps=n_parts)
    with warnings.catch_warnings(), ranks.alone(), counting(network, size.vocabulary) as tally:
        warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
        model = model_of(network, alone)
        rows = rows_of(max(size.n_rows, share), size.length)
        for parameter in network.parameters():
            parameter.register_post_accumulate_grad_hook(lambda p: tally.call_it(p.grad, GRADIENTS))
        index = list(range(share))
        if _trains_through_trl(method, protocol):
            return _preference_step(model, rows.select([*index, *index]), tally)
        return _step(model, method, rows, protocol, index, tally)


def _counted_parts(share: int, n_parts: int) -> tuple[int, int]:
    """Rows and parts to count: the second part meets the first one's gradients, as all do."""
    return (share, n_parts) if n_parts <= 2 else (2 * -(-share // n_parts), 2)


def _trains_through_trl(method: "Method", protocol: "Protocol") -> bool:
    """Whether a method has a way of its own to train: with pairs of completions, as trl does."""
    from unlearnbench.unlearning.gradient_method import GradientMethod

    if not isinstance(method, GradientMethod):
        return True
    return type(method).unlearn is not GradientMethod.unlearn and protocol.dpo_loss == "preference"


def _step(
    model: "LanguageModel",
    method: Any,
    rows: Sequences,
    protocol: "Protocol",
    index: list[int],
    tally: Tally,
) -> StepCount:
    from unlearnbench.unlearning.gradient_method import steps_for

    references: Any = StandInReferences(model, rows, protocol, tally)
    forget_set = forget_set_of(rows, protocol)
    with steps_for(model, 1e-5) as steps:
        _make_states(model, tally, steps.take)
        for _ in range(2):  # what the first batch was asked for, the second computes together
            steps.losses(method.loss, forget_set, index, torch.Generator(), references)
            with tally.labelled(OPTIMISER):
                steps.take()
        return _count(tally)


def _preference_step(model: "LanguageModel", both: Sequences, tally: Tally) -> StepCount:
    """trl's step over chosen and rejected completions in one pass, logits in tiles."""
    from trl.trainer.utils import add_fused_lm_head

    from unlearnbench.unlearning.steps import adam

    network: Any = model.network
    add_fused_lm_head(network)
    labels = both.input_ids.clone()
    labels[:, : int(both.n_given[0])] = -100
    optimiser = adam(model, 1e-5)
    _make_states(model, tally, optimiser.step)
    inputs = {"input_ids": both.input_ids, "attention_mask": both.attention_mask}
    output = network(**inputs, labels=labels, use_cache=False, fused_lm_head=True)
    optimiser.zero_grad(set_to_none=True)
    output.log_probs.sum().backward()
    del output
    with tally.labelled(OPTIMISER):
        optimiser.step()
    return _count(tally)


def _make_states(model: "LanguageModel", tally: Tally, take: Callable[[], Any]) -> None:
    """Adam's states as the first step leaves them, with that step's gradients still there."""
    with tally.labelled(GRADIENTS):
        for parameter in model.network.parameters():
            parameter.grad = torch.zeros_like(parameter)
    with tally.labelled(OPTIMISER):
        take()


def _count(tally: Tally) -> StepCount:
    gc.collect()  # what only holds itself does not stay
    return StepCount(_told(tally.at_peak), _told(tally.alive))


def _told(tally: Counter[str]) -> dict[str, int]:
    return {name: n_bytes for name, n_bytes in tally.items() if n_bytes}
