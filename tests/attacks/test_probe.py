"""Probes: one step of Adam by hand, the lens without training, and who learns from what."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from unlearning_fakes import forget_set, memorise, tiny_model

from unlearnbench.attacking.attack import Target
from unlearnbench.attacking.probing import examples, head_like, train
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import find

ROWS = forget_set(n_rows=5, lengths=(14, 12))


@pytest.fixture(scope="module", params=["gpt-neo", "opt", "llama"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    made = tiny_model(request.param)
    memorise(made, ROWS.rows, steps=8)
    return made


def target(rows: Any = ROWS) -> Target:
    return Target(rows, TaskContext(rows, {}))


def points(model: LanguageModel, attack: str = "probe", **settings: Any) -> list[Any]:
    return list(find("attacks", attack)(**settings).apply(model, target()))


def test_without_training_it_is_the_logit_lens(model: LanguageModel) -> None:
    for probe, lens in zip(points(model, epochs=0), points(model, "logit-lens"), strict=True):
        assert probe.name == lens.name
        for name, score in lens.measured.scores.items():
            assert probe.measured.scores[name].documents == pytest.approx(score.documents, rel=1e-4)
        assert probe.facts == {}


def test_examples_are_the_networks_own_head_inputs(model: LanguageModel) -> None:
    rows = ROWS.rows
    inputs, tokens = examples(model, rows, layer=1, batch_size=2)
    expected, labels = [], []
    with torch.no_grad():
        for row in range(len(rows)):
            ids = rows.input_ids[row, : int(rows.lengths[row])]
            expected.append(model.network(input_ids=ids[None]).logits[0, :-1])
            labels += ids[1:].tolist()
    assert tokens.tolist() == labels
    made = head_like(model)(inputs)
    assert torch.allclose(made, torch.cat(expected), atol=1e-4)


def test_a_step_is_adams_on_the_mean_cross_entropy() -> None:
    rng = np.random.default_rng(3)
    weight, inputs = rng.normal(size=(7, 4)), rng.normal(size=(20, 4))
    labels = rng.integers(7, size=20)
    head = torch.nn.Linear(4, 7, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
    found = train(
        head, torch.from_numpy(inputs).float(), torch.from_numpy(labels), 2, 0.1,
        torch.Generator().manual_seed(1),
    )  # fmt: skip
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    for step in (1, 2):
        logits = inputs @ weight.T
        p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        loss = -np.log(p[np.arange(20), labels]).mean()
        gradient = (p - np.eye(7)[labels]).T @ inputs / 20
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        mean, spread = first / (1 - 0.9**step), second / (1 - 0.999**step)
        weight = weight - 0.1 * mean / (np.sqrt(spread) + 1e-8)
    assert found == pytest.approx(loss, rel=1e-5)
    assert np.allclose(head.weight.detach().numpy(), weight, atol=1e-4)


def test_a_head_learns_and_leaves_the_model_alone(model: LanguageModel) -> None:
    before = [p.clone() for p in model.network.parameters()]
    short, long = (points(model, epochs=n, learning_rate=0.01) for n in (1, 12))
    for few, many in zip(short, long, strict=True):
        assert many.facts["training_nll"] < few.facts["training_nll"]
    assert all(map(torch.equal, before, model.network.parameters()))
    again = points(model, epochs=1, learning_rate=0.01)
    assert [p.measured.scores for p in again] == [p.measured.scores for p in short]
    other = points(model, epochs=1, learning_rate=0.01, n_rows=2, seed=1)
    assert other[0].facts != short[0].facts


def test_half_of_the_rows_are_learnt_from_and_the_others_scored(model: LanguageModel) -> None:
    made = points(model, train_on="half", epochs=1)
    scored = list(made[0].measured.scores["accuracy"].documents)
    assert scored == sorted(scored)
    assert len(scored) == 3
    attack = find("attacks", "probe")(train_on="half", epochs=1)
    known, others = attack._rows(tiny_model(), target())
    assert others.doc_ids == tuple(scored)
    assert set(known.doc_ids) | set(others.doc_ids) == set(ROWS.rows.doc_ids)
    assert len(known) == 2


def test_nothing_to_learn_from_is_refused() -> None:
    one, bare = forget_set(n_rows=1), forget_set(n_rows=2)
    bare.pool = bare.pool.select([])
    for rows, settings in ((one, {"train_on": "half"}), (bare, {})):
        attack = find("attacks", "probe")(**settings)
        with pytest.raises(UserError, match=r"--limit 2|--pool FILE"):
            list(attack.apply(tiny_model(), target(rows)))
    source = SimpleNamespace(pool=lambda _run: None, targets=lambda _run: [1, 2])
    with pytest.raises(UserError, match="--pool FILE"):
        find("attacks", "probe")().check(tiny_model(), source, "0", ())
    half = find("attacks", "probe")(train_on="half")
    half.check(tiny_model(), source, "0", ())
    source.targets = lambda _run: [1]
    with pytest.raises(UserError, match="half of one row"):
        half.check(tiny_model(), source, "0", ())
