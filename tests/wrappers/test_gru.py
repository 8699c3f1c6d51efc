"""GRU: the projection against numpy's, over steps; what it refuses."""

import contextlib

import numpy
import pytest
import torch
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.registry import find
from unlearnbench.unlearning.wrapper import Gradients
from unlearnbench.wrappers.gru import Gru, rectified


def gradients_of(forget, retain):
    """Known gradients [5] of two parameters, [2] and [3]."""

    def parts(flat):
        return [p.clone() for p in torch.tensor(flat, dtype=torch.float64).split([2, 3])]

    return Gradients([], lambda: parts(forget), lambda: parts(retain), True, contextlib.nullcontext)


def flat(gradient):
    return torch.cat(gradient).numpy()


@pytest.mark.parametrize("gamma", [0.8, 1.0, 0.3])
def test_three_steps_equal_the_formula_in_numpy(gamma):
    dice = numpy.random.default_rng(4)
    forget, retain = dice.normal(size=(2, 3, 5))
    forget[1] = -retain[1] * 1.5 + 0.1 * forget[1]  # one that points against it for certain
    gru, mean, n_cut = Gru(gamma=gamma), numpy.zeros(5), 0
    for f, r in zip(forget, retain, strict=True):
        changed = gru.wrap(gradients_of(f, r))
        mean = gamma * r + (1 - gamma) * mean
        want = f
        if f @ mean < 0:
            want, n_cut = f - (f @ mean) / (mean @ mean) * mean, n_cut + 1
            assert abs(want @ mean) < 1e-12
        numpy.testing.assert_allclose(flat(changed.forget()), want, rtol=0, atol=1e-12)
        numpy.testing.assert_allclose(flat(changed.total()), want + r, rtol=0, atol=1e-12)
    assert n_cut > 0


def test_what_points_along_it_or_has_nothing_to_point_along_is_left_alone():
    one, other = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, -1.0])]
    assert rectified(one, other) is one
    assert rectified(one, [torch.zeros(2)]) is one


def test_the_released_code_follows_the_rectified_forget_gradient_alone():
    changed = Gru(follow_retain=False).wrap(gradients_of([1.0] * 5, [-1.0, 0, 0, 0, 0]))
    numpy.testing.assert_allclose(flat(changed.total()), [0, 1, 1, 1, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "settings"), [("kumpr", {}), ("icu", {"alpha": 0.0, "beta": 0.0})]
)
def test_a_loss_without_retain_terms_is_refused_before_the_first_step(name, settings):
    model, untouched = tiny_model(), tiny_model()
    method = find("methods", f"{name}+gru")(**settings)
    with pytest.raises(UserError, match=r"has none; take a method that has: --methods icu\+gru"):
        method.unlearn(model, forget_set(), MaExaminer(StopLine(el=-1.0, ma=-1.0)))
    pairs = zip(model.network.parameters(), untouched.network.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(("name", "has"), [("ceu", False), ("npo", True), ("pdu", True)])
def test_a_retain_term_of_weight_zero_is_told_at_planning(name, has):
    """PDU's moves away from 0."""
    method = find("methods", f"{name}+gru")(**({"alpha": 0.0} if name == "pdu" else {}))
    refused = contextlib.nullcontext()
    if not has:
        refused = pytest.raises(UserError, match="and ceu with these settings has none")
    with refused:
        Gru().check(method, lambda: None)
