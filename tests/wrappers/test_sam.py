"""SAM: against two passes written out by hand, and the method itself where rho is 0."""

import pytest
import torch
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.registry import find
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.wrappers.sam import Sam, ascent

NEVER = StopLine(el=-1.0, ma=-1.0)
USUAL = {"learning_rate": 1e-3, "batch_size": 7}


def trained(name, **settings):
    model = tiny_model()
    method = find("methods", name)(**USUAL, **settings)
    trace = method.unlearn(model, forget_set(n_rows=7), MaExaminer(NEVER))
    return [p.detach().clone() for p in model.network.parameters()], trace


def loss_of(model, set_):
    """ICU's forget side and its other side, alpha and beta as by default, each with its graph."""
    batch = UnlearnBatch.of(model, set_, list(range(7)))
    return -batch.target_nll, 0.5 * batch.pair_nll


def test_it_is_two_passes_written_out_by_hand():
    """Three steps of Adam along g_f(theta + rho g_f / ||g_f||) + g_r(theta)."""
    rho = 0.3
    got, trace = trained("icu+sam", sam_rho=rho, max_epochs=3, beta=0.0)
    model, set_ = tiny_model(), forget_set(n_rows=7)
    parameters = list(model.network.parameters())
    adam = torch.optim.Adam(parameters, lr=1e-3, betas=(0.9, 0.98))
    for epoch in range(1, 4):
        forget, retain = loss_of(model, set_)
        assert trace.epochs[epoch].losses["target"] == pytest.approx(
            float(forget.detach()), rel=1e-4
        )
        kept = torch.autograd.grad(retain, parameters)
        forget, _ = loss_of(model, set_)
        here = torch.autograd.grad(forget, parameters)
        norm = torch.cat([g.flatten() for g in here]).norm()
        before = [p.detach().clone() for p in parameters]
        with torch.no_grad():
            for p, g in zip(parameters, here, strict=True):
                p += rho * g / norm
        forget, _ = loss_of(model, set_)
        there = torch.autograd.grad(forget, parameters)
        with torch.no_grad():
            for p, b in zip(parameters, before, strict=True):
                p.copy_(b)
        for p, f, r in zip(parameters, there, kept, strict=True):
            p.grad = f + r
        adam.step()
    for a, b in zip(got, parameters, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-4, atol=1e-5)
    plain, _ = trained("icu", max_epochs=3, beta=0.0)
    assert max(float((a - b).abs().max()) for a, b in zip(got, plain, strict=True)) > 1e-3


@pytest.mark.parametrize("name", ["icu", "kumpr", "llmu"])
def test_without_a_step_it_is_the_method_itself(name):
    (with_sam, one) = trained(f"{name}+sam", sam_rho=0.0, max_epochs=2)
    (alone, other) = trained(name, max_epochs=2)
    assert all(torch.equal(a, b) for a, b in zip(with_sam, alone, strict=True))
    assert one.epochs[-1].losses == other.epochs[-1].losses


def test_a_tiny_step_is_nearly_the_method_itself():
    """Through the two passes, not past them."""
    with_sam, _ = trained("kumpr+sam", sam_rho=1e-9, max_epochs=2)
    alone, _ = trained("kumpr", max_epochs=2)
    assert max(float((a - b).abs().max()) for a, b in zip(with_sam, alone, strict=True)) < 1e-5


def test_the_step_has_length_rho_over_all_parameters():
    gradient = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]])]
    step = ascent(gradient, 0.1)
    torch.testing.assert_close(step[0], torch.tensor([0.06, 0.0]))
    torch.testing.assert_close(step[1], torch.tensor([[0.08]]))
    zero = ascent([torch.zeros(2)], 0.1)
    assert float(zero[0].abs().sum()) == 0.0


def test_it_costs_a_second_pass():
    def tokens(name):
        model = tiny_model()
        method = find("methods", name)(**USUAL, max_epochs=2)
        method.unlearn(model, forget_set(n_rows=7), MaExaminer(NEVER))
        return model.meter.phases["unlearn"].forward_tokens

    assert tokens("kumpr+sam") == 2 * tokens("kumpr")
    assert Sam(rho=0.0).changes_gradients is False
