"""The membership score of gradients: how far a text pulls at the weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from unlearnbench.models.scoring import score_tokens, suffix_mask
from unlearnbench.models.sequences import Sequences

if TYPE_CHECKING:
    from unlearnbench.metrics.answers import Encoded
    from unlearnbench.models.language_model import LanguageModel


def gradient_norms(model: "LanguageModel", texts: "list[Encoded]") -> list[float]:
    """Of each text: the mean over parameter tensors of the L2 norm of its mean loss's gradient.

    One text at a time.  In eval mode: the released code leaves the model in train mode, where
    dropout makes a score of chance.  A tensor without a gradient does not count, tied ones once.
    """
    values = []
    with _gradients_taken(model.network) as norms:
        for text in texts:
            norms.clear()
            with torch.enable_grad():
                _mean_loss(model, text).backward()
            values.append(float(torch.stack([norm.cpu() for norm in norms]).mean()))
            model.meter.advance(len(values), len(texts))
    return values


def _mean_loss(model: "LanguageModel", text: "Encoded") -> Tensor:
    ids = torch.tensor([[*text.prompt, *text.answer]])
    given = torch.tensor([len(text.prompt)])
    row = Sequences(ids, torch.tensor([ids.shape[1]]), given, ("",))
    return score_tokens(model, row, suffix_mask(row)).token_nll.mean()


@contextmanager
def _gradients_taken(network: nn.Module) -> Iterator[list[Tensor]]:
    """Norms of the gradients of a backward pass; none is kept longer than its norm takes."""
    norms: list[Tensor] = []

    def take(parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        norms.append(parameter.grad.float().norm())
        parameter.grad = None

    parameters = list(network.parameters())
    needed = [parameter.requires_grad for parameter in parameters]
    before = [parameter.grad for parameter in parameters]
    network.requires_grad_(True)
    for parameter in parameters:
        parameter.grad = None
    hooks = [p.register_post_accumulate_grad_hook(take) for p in parameters]
    try:
        yield norms
    finally:
        for hook in hooks:
            hook.remove()
        for parameter, need, gradient in zip(parameters, needed, before, strict=True):
            parameter.requires_grad_(need)
            parameter.grad = gradient
