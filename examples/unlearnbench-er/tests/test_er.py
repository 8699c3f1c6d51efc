"""ER keeps the contract of a method, and its loss is made of the terms that its paper names."""

import math

import torch
from unlearnbench_er import EntropyRegularised, entropy

from unlearnbench.testing import check_method, tiny_batch


def test_it_keeps_the_contract_of_a_method() -> None:
    check_method(EntropyRegularised)


def test_at_the_original_model_npo_is_two_log_two_over_beta() -> None:
    method = EntropyRegularised(beta=0.5, forget_entropy=0.0)
    loss = float(method.forget_loss(tiny_batch()).detach())
    assert math.isclose(loss, 2 * math.log(2) / 0.5, rel_tol=1e-5)


def test_entropy_is_torchs_own() -> None:
    logits = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    want = torch.distributions.Categorical(logits=logits).entropy()
    torch.testing.assert_close(entropy(logits), want)
