"""NPO keeps the contract of a method, and its loss is the paper's formula."""

import math

import torch
from unlearnbench_npo import Npo, npo_loss

from unlearnbench.testing import check_method, tiny_batch


def test_npo_keeps_the_contract_of_a_method() -> None:
    check_method(Npo)


def test_the_loss_is_two_log_two_over_beta_at_the_original_model() -> None:
    loss = Npo(beta=0.5).loss(tiny_batch())["npo"].item()
    assert math.isclose(loss, 2 * math.log(2) / 0.5, rel_tol=1e-5)


def test_the_loss_is_its_formula_row_by_row() -> None:
    nll, reference, beta = [3.0, 10.0, 0.5], [2.0, 12.0, 0.5], 0.3
    ratios = [math.exp(r - n) for n, r in zip(nll, reference, strict=True)]
    by_hand = 2 / beta * sum(math.log(1 + ratio**beta) for ratio in ratios) / len(ratios)
    loss = npo_loss(torch.tensor(nll), torch.tensor(reference), beta).item()
    assert math.isclose(loss, by_hand, rel_tol=1e-6)
