"""What stands in for a model and its data where only their shapes matter."""

import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unlearnbench.models.sequences import Sequences
from unlearnbench.running.memory.counting import Tally
from unlearnbench.running.memory.need import REFERENCE

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from unlearnbench.models.devices.strategy import Strategy
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.scoring import HeadOutputs
    from unlearnbench.protocol import Protocol


def network_of(
    config: "PretrainedConfig", dtype: str, trust_remote_code: bool = False
) -> "PreTrainedModel":
    """The network of a configuration on the meta device: shapes without memory."""
    from transformers import AutoModelForCausalLM

    from unlearnbench.models.gpt_neo import fuse_operations

    with torch.device("meta"):
        network: PreTrainedModel = AutoModelForCausalLM.from_config(
            # Fusing marks the configuration, from which other networks are made as well.
            copy.deepcopy(config),
            dtype=getattr(torch, dtype),
            trust_remote_code=trust_remote_code,
        )
    network.tie_weights()
    fuse_operations(network)
    return network.requires_grad_(True)


def model_of(network: "PreTrainedModel", strategy: "Strategy") -> "LanguageModel":
    """A language model around it; no text is read or written with it."""
    from unlearnbench.models.language_model import LanguageModel, ModelSource

    tokenizer: Any = SimpleNamespace(pad_token_id=0, eos_token_id=0, bos_token_id=None)
    return LanguageModel(network, tokenizer, ModelSource("", "", None, ""), strategy=strategy)


def rows_of(n_rows: int, length: int) -> Sequences:
    """[M, T] rows of the benchmark's shape: the last 50 tokens, or half a row, are the suffix."""
    size = torch.full((n_rows,), length)
    given = size - min(50, length // 2)
    names = tuple(map(str, range(n_rows)))
    return Sequences(torch.ones(n_rows, length, dtype=torch.int64), size, given, names)


def forget_set_of(rows: Sequences, protocol: "Protocol") -> Any:
    """The rows as targets, their pairs and the pool."""
    return SimpleNamespace(rows=rows, pool=rows, protocol=protocol, pairs=lambda: rows)


class StandInReferences:
    """What `reference.References` keeps of the model before unlearning, counted."""

    def __init__(
        self, model: "LanguageModel", rows: Sequences, protocol: "Protocol", tally: Tally
    ) -> None:
        self._model, self._rows, self._protocol, self._tally = model, rows, protocol, tally
        self._kept: Any = None

    def pair_outputs(self, rows: list[int]) -> "HeadOutputs":
        """[N, V]."""
        if self._kept is None:
            with self._tally.labelled(REFERENCE):
                self._kept = self._freeze()
        outputs: HeadOutputs = self._kept.outputs(rows)
        return outputs

    def nll_per_row(self, _which: str) -> Tensor:
        """[M]; too small to count."""
        return torch.zeros(len(self._rows))

    def _freeze(self) -> Any:
        from unlearnbench.models.scoring import output_head
        from unlearnbench.unlearning.losses import kl_positions
        from unlearnbench.unlearning.reference import FrozenReference

        head: Any = output_head(self._model)
        kept = kl_positions(self._rows, self._protocol).sum(1).tolist()
        hidden = tuple(head.weight.new_empty(n, head.weight.shape[1]) for n in kept)
        return FrozenReference(hidden, copy.deepcopy(head).requires_grad_(False))
