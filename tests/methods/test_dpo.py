"""DPO through trl: its loss against the formula, and that nothing is left behind."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from unlearning_fakes import (
    ARCHITECTURES,
    MaExaminer,
    forget_set,
    memorise,
    prefix_of,
    suffix_mask,
    tiny_model,
)

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.stop_line import StopLine
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.completions import preferences_of
from unlearnbench.unlearning.dpo_training import _arguments, _keep_to_one_device
from unlearnbench.unlearning.losses import dpo_loss
from unlearnbench.unlearning.steps import seeded_generator, shuffled_batches

NEVER = StopLine(el=-1.0, ma=-1.0)
Dpo = methods()["dpo"]


def log_p(network: Any, prompt: list[int], completion: list[int]) -> Tensor:
    ids = torch.tensor([prompt + completion])
    scores = network(ids).logits[0].log_softmax(-1)
    return sum(scores[len(prompt) + i - 1, t] for i, t in enumerate(completion))


def by_hand(network: Any, second: Any, rows: list[dict[str, list[int]]]) -> Tensor:
    """The formula on plain forward passes, against a real second model."""

    def logps(model: Any, which: str) -> Tensor:
        return torch.stack([log_p(model, r["prompt_ids"], r[which]) for r in rows])

    with torch.no_grad():
        chosen, rejected = logps(second, "chosen_ids"), logps(second, "rejected_ids")
    return dpo_loss(
        logps(network, "chosen_ids"), logps(network, "rejected_ids"), chosen, rejected, 0.1
    )


def hand_trained(
    model: LanguageModel, set_: ForgetSet, epochs: int, batch_size: int
) -> list[float]:
    """The same training without trl; the epochs' mean losses."""
    second, order = copy.deepcopy(model.network), seeded_generator(42, "order")
    rows = preferences_of(model, set_, 42)
    adam = torch.optim.Adam(model.network.parameters(), lr=1e-3, betas=(0.9, 0.98))
    means = []
    for _ in range(epochs):
        losses = []
        for index in shuffled_batches(range(len(rows)), batch_size, order):
            loss = by_hand(model.network, second, [rows[i] for i in index])
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(float(loss.detach()))
        means.append(sum(losses) / len(losses))
    return means


@pytest.mark.parametrize("lengths", [(16,), (16, 11, 13)], ids=["full", "padded"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_trl_and_a_hand_written_loop_train_the_same(
    architecture: str, lengths: tuple[int, ...]
) -> None:
    """Three epochs' losses and the weights: order, Adam, loss, no dropout, clipping or EOS."""
    set_ = forget_set(lengths=lengths, n_bos=int(architecture == "llama"))
    model, hand = tiny_model(architecture), tiny_model(architecture)
    trace = Dpo(learning_rate=1e-3, batch_size=4, max_epochs=3).unlearn(
        model, set_, MaExaminer(NEVER)
    )
    want = hand_trained(hand, set_, 3, 4)
    got = [e.losses["preference"] for e in trace.epochs[1:]]
    assert got == pytest.approx(want, abs=1e-5)
    for p, q in zip(model.network.parameters(), hand.network.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


def test_our_formula_and_gradient_equal_trls() -> None:
    """One batch: trl's own loss and gradient against `dpo_loss` on our batch's likelihoods."""
    from unlearnbench.unlearning.dpo_training import ExactTokensTrainer

    caught: list[Tensor] = []
    gradients: list[list[Tensor]] = []
    compute = ExactTokensTrainer.compute_loss

    def keep(self: Any, *args: Any, **options: Any) -> Tensor:
        with torch.no_grad():
            for p in self.model.parameters():
                p.add_(0.01)  # away from the reference, where the loss is log 2 whatever the data
        loss = compute(self, *args, **options)
        caught.append(loss.detach().clone())
        parameters = list(self.model.parameters())
        gradients.append(list(torch.autograd.grad(loss, parameters, retain_graph=True)))
        return loss

    set_, model, ours = forget_set(n_rows=4, lengths=(16, 12)), tiny_model(), tiny_model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ExactTokensTrainer, "compute_loss", keep)
        Dpo(batch_size=4, max_epochs=1).unlearn(model, set_, MaExaminer(NEVER))

    batch = UnlearnBatch.of(ours, set_, range(4))
    references = (-batch.reference_pair_nll_per_row, -batch.reference_target_nll_per_row)
    with torch.no_grad():
        for p in ours.network.parameters():
            p.add_(0.01)
    # the neighbour's suffix stands after the target's prefix, so it is scored as a mixed sequence
    from unlearnbench.models.scoring import score_tokens
    from unlearnbench.unlearning.completions import completed

    pairs = set_.pairs()
    mixed = completed(set_.rows, [pairs.suffix(i) for i in range(4)], 0, 64)
    reference = score_tokens(tiny_model(), mixed, suffix_mask(mixed)).nll_per_row.detach()
    chosen = score_tokens(ours, mixed, suffix_mask(mixed)).nll_per_row
    loss = dpo_loss(-chosen, -batch.target_nll_per_row, -reference, references[1], 0.1)
    torch.testing.assert_close(caught[0], loss, rtol=1e-5, atol=1e-5)
    mine = torch.autograd.grad(loss, list(ours.network.parameters()))
    for got, want in zip(mine, gradients[0], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_alternative_is_the_neighbours_suffix_or_a_refusal() -> None:
    model, set_ = tiny_model(), forget_set(lengths=(16, 12))
    rows = preferences_of(model, set_, 42)
    assert [r["chosen_ids"] for r in rows] == [set_.pairs().suffix(i) for i in range(6)]
    assert [r["rejected_ids"] for r in rows] == [set_.rows.suffix(i) for i in range(6)]
    assert [r["prompt_ids"] for r in rows] == [prefix_of(set_.rows, i) for i in range(6)]

    answers = ("t3 t4 t5", "t9", "t11 t12")
    refused = preferences_of(model, replace(set_, refusals=answers), 42)
    known = ([3, 4, 5], [9], [11, 12])
    assert all(r["chosen_ids"] in known for r in refused)
    assert refused == preferences_of(model, replace(set_, refusals=answers), 42)
    assert refused != preferences_of(model, replace(set_, refusals=answers), 43)


def test_prompt_starts_with_bos_where_the_model_has_one() -> None:
    rows = preferences_of(tiny_model("llama"), forget_set(n_bos=1), 42)
    assert all(r["prompt_ids"][0] == 1 and len(r["prompt_ids"]) == 9 for r in rows)


def test_run_is_repeatable_silent_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    models = [tiny_model(), tiny_model()]
    before = copy.deepcopy(models[0].network.config.to_dict())
    for seed, model in enumerate(models):
        torch.manual_seed(seed)
        Dpo(max_epochs=2, learning_rate=1e-3).unlearn(model, forget_set(), MaExaminer(NEVER))
    assert capfd.readouterr().out == ""
    assert list(tmp_path.iterdir()) == []
    for p, q in zip(*(m.network.parameters() for m in models), strict=True):
        assert torch.equal(p, q)
    assert models[0].network.config.to_dict() == before
    assert models[0].tokenizer.pad_token_id == tiny_model().tokenizer.pad_token_id


def test_model_can_be_used_and_trained_on_afterwards() -> None:
    model, set_ = tiny_model("opt"), forget_set()
    Dpo(max_epochs=1).unlearn(model, set_, MaExaminer(NEVER))
    assert not model.network.training
    assert "forward" not in vars(model.network)
    assert model.network.generate(set_.rows.input_ids[:1, :8], max_new_tokens=3).shape[1] <= 11
    trace = methods()["kl"](max_epochs=1).unlearn(model, set_, MaExaminer(NEVER))
    assert trace.n_epochs == 1


def test_forward_tokens_are_counted() -> None:
    model, set_ = tiny_model(), forget_set()
    Dpo(max_epochs=2, batch_size=3).unlearn(model, set_, MaExaminer(NEVER))
    # the reference pass and two epochs, each over chosen and rejected
    assert model.meter.phases["unlearn"].forward_tokens == 3 * 2 * 6 * 16


def test_non_finite_loss_collapses_with_its_trace() -> None:
    model, set_ = tiny_model(), forget_set()
    trace = Dpo(learning_rate=1e30, max_epochs=4, batch_size=3).unlearn(
        model, set_, MaExaminer(NEVER)
    )
    assert trace.outcome == "collapsed"
    assert trace.n_epochs == 1
    assert trace.epochs[1].losses["preference"] == pytest.approx(0.6931, abs=1e-3)
    assert not model.network.training


def test_training_stays_on_the_models_gpu_with_several_visible(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    arguments = _arguments(Dpo(), tiny_model(), str(tmp_path), 0.1)
    assert (arguments.n_gpu, arguments.device.type, current) == (0, "cpu", [])
    arguments._n_gpu = 3
    second = torch.device("cuda:1")
    _keep_to_one_device(arguments, second)
    assert (arguments.n_gpu, arguments.device, current) == (1, second, [second])
    assert arguments.train_batch_size == Dpo().batch_size


def test_authors_stop_rule_is_or() -> None:
    values = {i: {"el": [0.0] * 6, "ma": [0.9] * 6} for i in (1, 2)}
    for rule, n_epochs in (("and", 2), ("authors", 1)):
        examiner = MaExaminer(StopLine(), script={0: {"el": [0.9] * 6, "ma": [0.9] * 6}} | values)
        set_ = forget_set(Protocol(stop_rule=rule))
        assert Dpo(max_epochs=2).unlearn(tiny_model(), set_, examiner).n_epochs == n_epochs


def test_preference_training_makes_a_known_set_forgotten() -> None:
    model, set_ = tiny_model("opt"), forget_set()
    memorise(model, set_.rows)
    trace = Dpo(learning_rate=1e-3, batch_size=4, max_epochs=10).unlearn(model, set_, MaExaminer())
    assert trace.epochs[0].metrics["ma"] == 1.0
    assert trace.outcome == "forgotten"
