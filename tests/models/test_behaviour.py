"""What is refused of a network when it is loaded, and what only costs the short cuts."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from unlearning_fakes import tiny_model

from unlearnbench.errors import UserError
from unlearnbench.models.generation.behaviour import Behaviour, behaviour_of
from unlearnbench.models.language_model import LanguageModel


def changed(change: Callable[[Tensor], Tensor]) -> LanguageModel:
    """A model whose network's logits are changed."""
    model = tiny_model("llama")
    forward = model.network.forward

    def other(*args: Any, **named: Any) -> Any:
        output = forward(*args, **named)
        output.logits = change(output.logits)
        return output

    model.network.forward = other  # type: ignore[method-assign]
    return model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda logits: logits[:, 1:], r"gives 11 positions for 12 tokens"),
        (lambda logits: logits + torch.randn_like(logits), "other values for the same tokens"),
        (lambda logits: logits + logits.mean(1, keepdim=True), "no causal language model"),
        (lambda logits: logits * len(logits), "other values beside other texts"),
    ],
    ids=["shorter", "random", "looks ahead", "looks at its neighbours"],
)
def test_what_cannot_be_measured_is_refused(change: Callable[[Tensor], Tensor], said: str) -> None:
    model = changed(change)
    with pytest.raises(UserError, match=said) as refused:
        behaviour_of(model)
    assert "\n" not in str(refused.value)
    assert model.meter.phases == {}  # looking is no cost of a cell


def test_attention_keeps_columns_and_a_cache_that_is_ignored_is_none() -> None:
    assert behaviour_of(tiny_model("llama")) == Behaviour(True, True)
    model = tiny_model("llama")
    forward = model.network.forward

    def forgetful(*args: Any, past_key_values: Any = None, **named: Any) -> Any:
        return forward(*args, **named)

    model.network.forward = forgetful  # type: ignore[method-assign]
    assert not behaviour_of(model).keeps_columns
