"""The epoch loop: what it visits, when it stops, what it records, and that it repeats."""

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy
import pytest
import torch
from torch import Tensor
from unlearning_fakes import MaExaminer, forget_set, memorise, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.models.devices.device import make_current
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.epochs import UnlearnProgress, listening
from unlearnbench.unlearning.gradient_method import GradientMethod

NEVER = StopLine(el=-1.0, ma=-1.0)


@dataclass(kw_only=True)
class Ascent(GradientMethod):
    """Gradient ascent that notes the rows it sees."""

    name: ClassVar[str] = "ascent"
    label: ClassVar[str] = "Ascent"
    authors_stop_rule: ClassVar[Literal["and", "or"]] = "or"
    authors_ma_threshold: ClassVar[float] = 0.3
    break_at: int | None = None

    def __post_init__(self) -> None:
        self.batches: list[list[int]] = []

    def loss(self, batch: UnlearnBatch) -> dict[str, Tensor]:
        self.batches.append(batch.index)
        weight = float("nan") if len(self.batches) == self.break_at else 1.0
        return {"target": -weight * batch.target_nll}


def weights(model: Any) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def run(
    method: GradientMethod, examiner: Any, protocol: Protocol | None = None, n_rows: int = 7
) -> Any:
    model = tiny_model()
    return method.unlearn(model, forget_set(protocol, n_rows=n_rows), examiner), model


def test_every_epoch_visits_every_row_once_in_a_new_order() -> None:
    method = Ascent(batch_size=3, max_epochs=3)
    trace, _ = run(method, MaExaminer(NEVER))
    epochs = [method.batches[i : i + 3] for i in (0, 3, 6)]
    for batches in epochs:
        assert [len(b) for b in batches] == [3, 3, 1]
        assert sorted(row for batch in batches for row in batch) == list(range(7))
    assert epochs[0] != epochs[1]
    assert [e.n_active for e in trace.epochs] == [0, 7, 7, 7]


def test_epoch_limit_is_not_forgotten() -> None:
    trace, _ = run(Ascent(max_epochs=2), MaExaminer(NEVER))
    assert (trace.outcome, trace.n_epochs, len(trace.epochs)) == ("not_forgotten", 2, 3)
    assert "epoch limit" in trace.reason
    assert trace.epochs[0].losses == {}
    assert trace.epochs[2].losses["target"] < trace.epochs[1].losses["target"] < 0


@pytest.mark.parametrize("name", ["kumpr", "kl", "dpo", "llmu", "icu"])
@pytest.mark.parametrize("dpo_loss", ["preference", "cross_entropy"])
def test_no_epochs_at_all_leave_the_model_as_it_was(name: str, dpo_loss: Any) -> None:
    model, set_ = tiny_model(), forget_set(Protocol(dpo_loss=dpo_loss))
    trace = methods()[name](max_epochs=0).unlearn(model, set_, MaExaminer(NEVER))
    assert (trace.outcome, trace.n_epochs, len(trace.epochs)) == ("not_forgotten", 0, 1)
    assert torch.equal(weights(model), weights(tiny_model()))


def test_the_accelerator_takes_the_models_gpu_for_the_default_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    current: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    make_current(torch.device("cpu"))
    make_current(torch.device("cuda:1"))
    monkeypatch.setenv("LOCAL_RANK", "0")  # the launcher has given this process its GPU
    make_current(torch.device("cuda:1"))
    assert current == [torch.device("cuda:1")]


def scripted(el: list[float], ma: list[float], **line: Any) -> MaExaminer:
    epochs = enumerate(zip(el, ma, strict=True))
    values = {i: {"el": [e] * 7, "ma": [m] * 7} for i, (e, m) in epochs}
    return MaExaminer(StopLine(**{"el": 0.0625, "ma": 0.6} | line), script=values)


@pytest.mark.parametrize(("rule", "n_epochs"), [("and", 3), ("or", 1), ("authors", 1)])
def test_stop_rule(rule: Any, n_epochs: int) -> None:
    examiner = scripted(el=[0.9, 0.04, 0.0625, 0.04], ma=[0.9, 0.7, 0.5, 0.59])
    trace, _ = run(Ascent(), examiner, Protocol(stop_rule=rule))
    assert (trace.outcome, trace.n_epochs) == ("forgotten", n_epochs)


@pytest.mark.parametrize(
    ("choice", "source", "n_epochs"),
    [("paper", "paper", 1), ("authors", "paper", 2), ("authors", "calibrated", 1)],
)
def test_the_authors_ma_threshold_holds_only_for_the_papers_models(
    choice: Any, source: str, n_epochs: int
) -> None:
    examiner = scripted(el=[0.9, 0.0, 0.0], ma=[0.9, 0.5, 0.2], source=source)
    trace, _ = run(Ascent(), examiner, Protocol(ma_threshold=choice))
    assert trace.n_epochs == n_epochs


def test_a_set_that_is_not_known_needs_no_epoch() -> None:
    trace, model = run(Ascent(), MaExaminer(StopLine(el=2.0, ma=2.0)))
    assert (trace.outcome, trace.n_epochs) == ("forgotten", 0)
    assert "before any unlearning" in trace.reason
    assert torch.equal(weights(model), weights(tiny_model()))


@pytest.mark.parametrize("limit", [1, 5])
def test_a_set_under_the_line_is_trained_on_while_a_row_is_known(limit: int) -> None:
    class OneRowKnown(MaExaminer):
        def known_rows(self, *_: object) -> tuple[str, ...]:
            return ("0",) * (len(self.seen) < 3)  # before any training and after one epoch

    trace, _ = run(Ascent(max_epochs=limit), OneRowKnown(StopLine(el=2.0, ma=2.0)))
    expected = ("not_forgotten", 1) if limit == 1 else ("forgotten", 2)
    assert (trace.outcome, trace.n_epochs) == expected
    assert (", 1 of " in trace.reason) == (limit == 1)


def test_nan_loss_ends_the_run_and_keeps_the_trace_and_the_last_good_weights() -> None:
    method = Ascent(batch_size=3, break_at=5)
    trace, model = run(method, MaExaminer(NEVER))
    assert (trace.outcome, trace.n_epochs) == ("collapsed", 2)
    assert trace.reason == "loss 'target' is nan in batch 2 of epoch 2"
    assert len(method.batches) == 5
    assert trace.epochs[1].metrics["ma"] >= 0
    assert trace.epochs[2].metrics == {}
    assert trace.epochs[2].losses["target"] < 0
    assert weights(model).isfinite().all()


def test_a_learning_rate_that_destroys_the_weights_collapses_without_an_exception() -> None:
    trace, _ = run(Ascent(learning_rate=1e30, max_epochs=3), MaExaminer(NEVER))
    assert trace.outcome == "collapsed"
    assert "infinite" in trace.reason or "nan" in trace.reason


def test_same_seed_gives_the_same_weights_whatever_ran_before() -> None:
    settings = {"batch_size": 3, "max_epochs": 2, "learning_rate": 1e-3}
    _, first = run(Ascent(**settings), MaExaminer(NEVER))
    torch.manual_seed(99)
    torch.rand(10)
    _, second = run(Ascent(**settings), MaExaminer(NEVER))
    _, third = run(Ascent(**settings, seed=1), MaExaminer(NEVER))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(third))


@pytest.mark.parametrize("name", ["icu", "llmu", "dpo"])
def test_global_generators_are_left_alone_and_the_model_as_it_was(name: str) -> None:
    model, set_ = tiny_model(), forget_set()
    numpy.random.seed(5)
    random.seed(5)
    torch.manual_seed(5)
    before = (torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].copy())
    methods()[name](max_epochs=1).unlearn(model, set_, MaExaminer(NEVER))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert (before[2] == numpy.random.get_state()[1]).all()
    assert not model.network.training
    assert all(p.grad is None for p in model.network.parameters())
    assert "forward" not in vars(model.network)


def test_weights_follow_adam_as_written_out_by_hand() -> None:
    """Ten steps against Adam's update rule: betas .9 and .98, no decay, no schedule, no dropout."""
    method = Ascent(batch_size=7, max_epochs=10, learning_rate=1e-3)
    _, model = run(method, MaExaminer(NEVER))
    hand, set_ = tiny_model(), forget_set(n_rows=7)
    parameters = list(hand.network.parameters())
    m, v = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(1, 11):
        loss = -UnlearnBatch.of(hand, set_, method.batches[step - 1]).target_nll
        for i, g in enumerate(torch.autograd.grad(loss, parameters)):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.98 * v[i] + 0.02 * g * g
            ratio = (m[i] / (1 - 0.9**step)) / ((v[i] / (1 - 0.98**step)).sqrt() + 1e-8)
            parameters[i].data -= 1e-3 * ratio
    torch.testing.assert_close(weights(model), weights(hand), rtol=1e-4, atol=1e-5)


def test_kumpr_never_looks_for_pairs_and_counts_only_its_own_forward_tokens() -> None:
    def no_pairs() -> list[int]:
        raise AssertionError("KUMPR has no use for pairs")

    model, set_ = tiny_model(), forget_set()
    methods()["kumpr"](max_epochs=2).unlearn(
        model, replace(set_, find_pairs=no_pairs), MaExaminer(NEVER)
    )
    assert model.meter.phases["unlearn"].forward_tokens == 2 * 6 * 16
    assert model.meter.phases["examine"].forward_tokens == 3 * 6 * 16


def test_progress_is_told_every_batch_and_epoch() -> None:
    told: list[UnlearnProgress] = []
    heard: list[UnlearnProgress] = []
    with listening(heard.append), listening(told.append):
        run(Ascent(batch_size=3, max_epochs=2), MaExaminer(NEVER))
    assert heard == told  # a listener stands beside those around it
    assert Counter(p.record is None for p in told) == {True: 6, False: 3}
    assert [(p.epoch, p.batch, p.n_batches) for p in told][:5] == [
        (0, 0, 0),  # the model before
        (1, 1, 3),
        (1, 2, 3),
        (1, 3, 3),
        (1, 3, 3),
    ]
    told.clear()
    run(Ascent(max_epochs=1), MaExaminer(NEVER))
    assert told == []


def test_asking_for_the_original_model_too_late_is_an_error() -> None:
    class Late(Ascent):
        def loss(self, batch: UnlearnBatch) -> dict[str, Tensor]:
            self.batches.append(batch.index)
            return {"kl": batch.pair_kl if len(self.batches) > 1 else batch.target_nll}

    with pytest.raises(UserError, match="after the first step"):
        run(Late(batch_size=3), MaExaminer(NEVER))


def test_a_network_whose_forward_was_replaced_is_refused_by_kl() -> None:
    model = tiny_model()
    forward = model.network.forward

    def scaled(*args: Any, **options: Any) -> Any:
        output = forward(*args, **options)
        output.logits = output.logits * 2
        return output

    model.network.forward = scaled
    with pytest.raises(UserError, match="its frozen distribution cannot be kept"):
        methods()["kl"]().unlearn(model, forget_set(), MaExaminer(NEVER))


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        *(("paper", name) for name in ("kumpr", "kl", "dpo", "llmu", "icu")),
        ("released", "dpo"),
        *(
            pytest.param("released", n, marks=pytest.mark.slow)
            for n in ("kumpr", "kl", "llmu", "icu")
        ),
    ],
)
def test_methods_make_a_model_forget_what_it_knew_by_heart(name: str, protocol: Any) -> None:
    model = tiny_model("opt")
    set_ = forget_set(Protocol.named(protocol))
    memorise(model, set_.rows)
    trace = methods()[name](learning_rate=1e-3, batch_size=4, max_epochs=15).unlearn(
        model, set_, MaExaminer()
    )
    ma = [e.metrics["ma"] for e in trace.epochs]
    assert ma[0] == 1.0
    assert ma[-1] < 0.5
    assert trace.outcome == "forgotten"
