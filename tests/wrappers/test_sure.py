"""SURE: what is masked stays bit for bit, whatever the optimizer; what is chosen, against numpy."""

import numpy
import pytest
import torch
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.registry import find
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.reference import References
from unlearnbench.unlearning.steps import seeded_generator
from unlearnbench.unlearning.wrapped_steps import WrappedSteps, Wrapping
from unlearnbench.wrappers.sure import Sure, salient

NEVER = StopLine(el=-1.0, ma=-1.0)


def whole_set_gradient(model, set_):
    loss = -UnlearnBatch.of(model, set_, list(range(len(set_.rows)))).target_nll
    return torch.autograd.grad(loss, list(model.network.parameters()))


@pytest.mark.parametrize("unit", ["module", "neuron"])
@pytest.mark.parametrize("percentile", [90.0, 50.0])
def test_masked_weights_are_bit_identical_after_steps(unit, percentile):
    model, set_, before = tiny_model(), forget_set(n_rows=7), tiny_model()
    chosen = salient(list(whole_set_gradient(model, set_)), percentile, unit)
    method = find("methods", "icu+sure")(
        learning_rate=1e-3, max_epochs=3, batch_size=3, sure_unit=unit, sure_percentile=percentile
    )
    method.unlearn(model, set_, MaExaminer(NEVER))
    pairs = zip(model.network.parameters(), before.network.parameters(), chosen, strict=True)
    n_moved = 0
    for after, was, mask in pairs:
        moved = after.detach() != was
        assert not bool((moved & ~mask).any())
        n_moved += int(moved.sum())
    assert n_moved > 0
    n_chosen = sum(
        float((mask.expand(p.shape)).sum())
        for mask, p in zip(chosen, before.network.parameters(), strict=True)
    )
    assert n_moved <= n_chosen < before.n_parameters


@pytest.mark.parametrize("unit", ["module", "neuron"])
def test_weight_decay_does_not_move_what_is_masked(unit):
    model, set_, before = tiny_model(), forget_set(n_rows=4), tiny_model()
    model.network.requires_grad_(True)
    sure = Sure(unit=unit)
    steps = WrappedSteps(model, 1e-3)
    steps.wrapping = Wrapping([sure], frozenset())
    steps._optimizer = torch.optim.AdamW(model.network.parameters(), lr=1e-2, weight_decay=0.5)
    random, references = seeded_generator(0, "draws"), References(model, set_)

    def loss(batch):
        return {"target": -batch.target_nll}

    steps.begin(loss, set_, 2, random, references)
    for rows in ([0, 1], [2, 3], [1, 2]):
        steps.losses(loss, set_, rows, random, references)
        steps.take()
        references.model_has_changed()
    pairs = list(
        zip(model.network.parameters(), before.network.parameters(), sure._mask, strict=True)
    )
    assert all(not bool(((a.detach() != b) & ~m).any()) for a, b, m in pairs)
    assert any(bool(((a.detach() != b) & m).any()) for a, b, m in pairs)


@pytest.mark.parametrize("percentile", [0.0, 37.5, 90.0, 100.0])
def test_what_is_chosen_equals_numpys_percentile(percentile):
    dice = torch.Generator().manual_seed(3)
    gradient = [torch.randn(shape, generator=dice) for shape in ((4, 3), (5,), (2, 3, 2))]
    modules = numpy.array([numpy.linalg.norm(g.numpy().ravel()) for g in gradient])
    got = [bool(m) for m in salient(gradient, percentile, "module")]
    assert got == (modules >= numpy.percentile(modules, percentile) - 1e-6).tolist()
    rows = [numpy.linalg.norm(row.ravel()) for g in gradient for row in g.numpy()]
    masks = salient(gradient, percentile, "neuron")
    assert [m.shape for m in masks] == [(4, 1), (5,), (2, 1, 1)]
    want = (numpy.array(rows) >= numpy.percentile(rows, percentile) - 1e-6).tolist()
    assert torch.cat([m.flatten() for m in masks]).tolist() == want


def test_nothing_masked_is_the_method_itself():
    def weights(name, **settings):
        model = tiny_model()
        method = find("methods", name)(learning_rate=1e-3, max_epochs=2, batch_size=3, **settings)
        method.unlearn(model, forget_set(n_rows=7), MaExaminer(NEVER))
        return torch.cat([p.detach().flatten() for p in model.network.parameters()])

    torch.testing.assert_close(
        weights("llmu+sure", sure_percentile=0.0), weights("llmu"), rtol=0, atol=1e-6
    )
