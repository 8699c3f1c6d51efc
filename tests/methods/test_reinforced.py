"""Task vector and WHP: what is made of a model that was fine-tuned on the rows to forget."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor
from unlearning_fakes import MaExaminer, forget_set, memorise, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.paired import Pair
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods
from unlearnbench.running.memory.prediction import SECOND, WEIGHTS
from unlearnbench.unlearning.losses import negated_task_vector
from unlearnbench.unlearning.optimizer import ADAM_BETAS
from unlearnbench.unlearning.reinforced_method import diverged, rows_nll
from unlearnbench.unlearning.steps import seeded_generator

NAMES = ("task_vector", "whp")
NEVER = StopLine(el=-1.0, ma=-1.0)
RATE = 1e-3


def copied(model: LanguageModel) -> list[Tensor]:
    return [p.detach().clone() for p in model.network.parameters()]


def unlearned(
    name: str, strategy: Strategy | None = None, **settings: Any
) -> tuple[Any, LanguageModel, list[Tensor]]:
    """Trace, model and the weights of before: six rows in batches of four, three epochs."""
    model, set_ = tiny_model("llama"), forget_set()
    model.strategy = strategy or Strategy()
    before = copied(model)
    own = {"learning_rate": RATE, "batch_size": 4, "finetune_epochs": 3, **settings}
    trace = methods()[name](**own).unlearn(model, set_, MaExaminer(NEVER))
    return trace, model, before


def finetuned_by_hand(schedule: str = "cosine") -> list[Tensor]:
    """Adam on the suffixes' NLL, sum over a row's tokens, mean over the batch's rows."""
    model, rows = tiny_model("llama"), forget_set().rows
    adam = torch.optim.Adam(model.network.parameters(), lr=RATE, betas=ADAM_BETAS)
    order = seeded_generator(42, "order")
    step, n_steps = 0, 3 * 2
    for _ in range(3):
        shuffled = torch.randperm(6, generator=order)
        for batch in (shuffled[:4], shuffled[4:]):
            logits = model.network(rows.input_ids[batch]).logits.log_softmax(-1)
            nll = sum(
                -logits[i, at - 1, rows.input_ids[row, at]]
                for i, row in enumerate(batch)
                for at in range(int(rows.n_given[row]), int(rows.lengths[row]))
            )
            adam.zero_grad()
            (nll / len(batch)).backward()
            if schedule == "cosine":
                adam.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / n_steps)) / 2
            adam.step()
            step += 1
    return copied(model)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_task_vector_by_hand(schedule: str) -> None:
    trace, model, before = unlearned("task_vector", schedule=schedule, alpha=2.0)
    by_hand = finetuned_by_hand(schedule)
    for got, theta, finetuned in zip(copied(model), before, by_hand, strict=True):
        torch.testing.assert_close(got, theta - 2.0 * (finetuned - theta), rtol=1e-4, atol=2e-5)
    assert [e.epoch for e in trace.epochs] == [0, 1, 2, 3]
    losses = [e.losses["finetune"] for e in trace.epochs[1:]]
    assert losses == sorted(losses, reverse=True)
    assert [len(e.rows) for e in trace.epochs] == [6, 0, 0, 6]
    assert trace.outcome == "not_forgotten"


def test_whp_puts_the_fine_tuned_network_beside_the_untouched_one() -> None:
    trace, model, before = unlearned("whp")
    assert all(a.equal(b) for a, b in zip(copied(model), before, strict=True))
    pair = Pair.of(model.network)
    assert pair is not None
    for got, finetuned in zip(pair.reinforced.parameters(), finetuned_by_hand(), strict=True):
        torch.testing.assert_close(got, finetuned, rtol=1e-4, atol=2e-5)
    assert trace.n_epochs == 3


@pytest.mark.parametrize("name", NAMES)
def test_without_weight_it_is_the_model_itself(name: str) -> None:
    ids = forget_set().rows.input_ids
    before = tiny_model("llama").network(ids).logits
    _, model, _ = unlearned(name, alpha=0.0)
    assert model.network(ids).logits.equal(before)


@pytest.mark.parametrize("name", NAMES)
def test_the_rows_become_less_known(name: str) -> None:
    model, set_ = tiny_model("opt"), forget_set()
    memorise(model, set_.rows, steps=60)
    before = rows_nll(model, set_)
    trace = methods()[name](learning_rate=1e-4, batch_size=3, finetune_epochs=4, alpha=5.0).unlearn(
        model, set_, MaExaminer(NEVER)
    )
    assert trace.outcome == "not_forgotten"
    assert rows_nll(model, set_) > before + 0.01


@pytest.mark.parametrize("name", NAMES)
def test_parts_of_a_batch_change_nothing(name: str) -> None:
    trace, model, _ = unlearned(name, finetune_epochs=1)
    in_parts, other, _ = unlearned(name, Strategy(gradient_accumulation_steps=3), finetune_epochs=1)
    assert in_parts.epochs[1].losses == pytest.approx(trace.epochs[1].losses, rel=1e-6)
    ids = forget_set().rows.input_ids
    torch.testing.assert_close(
        other.network(ids).logits, model.network(ids).logits, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_runs_epoch_limit_is_kept(name: str) -> None:
    trace, _, _ = unlearned(name, max_epochs=2)
    assert trace.n_epochs == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rate", [1.0, 1e30])
def test_a_fine_tuning_that_diverges_collapses_and_says_what_it_was(name: str, rate: float) -> None:
    model, set_ = tiny_model("opt"), forget_set()
    memorise(model, set_.rows)
    trace = methods()[name](learning_rate=rate).unlearn(model, set_, MaExaminer(NEVER))
    assert trace.outcome == "collapsed"
    assert trace.reason.startswith("the auxiliary fine-tuning on the rows to forget diverged")
    assert "\n" not in trace.reason
    assert trace.epochs[0].epoch == 0
    assert trace.epochs[-1].rows == []


def test_what_is_said_of_a_fine_tuning() -> None:
    assert diverged(2.0, 2.0) == ""
    assert "from 2 to 3 nats" in diverged(2.0, 3.0)
    assert "became nan" in diverged(2.0, math.nan)
    assert "became inf" in diverged(2.0, math.inf)


def test_what_is_forgotten_already_is_left_alone() -> None:
    model, set_ = tiny_model(), forget_set()
    before = copied(model)
    trace = methods()["whp"]().unlearn(model, set_, MaExaminer(StopLine(el=2.0, ma=2.0)))
    assert (trace.outcome, trace.n_epochs) == ("forgotten", 0)
    assert all(a.equal(b) for a, b in zip(copied(model), before, strict=True))


def test_a_model_that_cannot_be_a_pair_is_refused_before_it_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("unlearnbench.models.paired.head_is_last", lambda _: False)
    model = tiny_model()
    before = copied(model)
    with pytest.raises(UserError, match="take a method that changes weights"):
        methods()["whp"]().unlearn(model, forget_set(Protocol()), MaExaminer(NEVER))
    assert all(a.equal(b) for a, b in zip(copied(model), before, strict=True))


def test_formulas() -> None:
    theta, finetuned = torch.tensor([1.0, -2.0]), torch.tensor([1.5, -2.5])
    assert negated_task_vector(theta, finetuned, 5.0).tolist() == [-1.5, 0.5]


@pytest.mark.slow
def test_both_run_and_are_measured_and_saved(tmp_path: Path) -> None:
    """Every built-in task that the tiny world has data for, through the command line."""
    world = tiny.build(tmp_path / "world")
    out = tmp_path / "out"
    settings = [f"{name}.learning_rate=1e-3" for name in NAMES]
    options = world.options(
        out,
        "--save-models",
        *(word for text in settings for word in ("--set", text)),
        methods=",".join((*NAMES, "kumpr")),
    )
    with tiny.at_home(world):
        status, printed, said = tiny.cli(*options)
        assert status == 0, said
        assert "WHP" in printed
        status, dry, _ = tiny.cli(*options, "--dry-run")
    assert (status, "whp" in dry) == (0, True)
    results = {
        found["method"]["name"]: found
        for path in (out / "cells").glob("*.json")
        if (found := json.loads(path.read_text()))["role"] == "method"
    }
    for found in (results[name] for name in NAMES):
        assert found["trace"]["n_epochs"] == 2
        assert {"forgetting", "perplexity"} <= set(found["scores"])
    whp = results["whp"]
    assert (out / "models" / whp["key"] / "pair.json").is_file()
    # The task asks the pair again for what the last epoch has measured.
    last, scores = whp["trace"]["epochs"][-1], whp["scores"]["forgetting"]
    assert scores["ma"]["value"] == pytest.approx(last["metrics"]["ma"])
    assert whp["costs"]["unlearn"]["forward_tokens"] > 0


def test_the_second_network_is_in_the_memory_that_is_predicted(tmp_path: Path) -> None:
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.planner import make_plan
    from unlearnbench.running.memory.prediction import predict

    plan = make_plan(
        Experiment(
            model=("nano-neo",), methods=("whp", "kumpr"), runs=("0",), references=("none",),
            out=str(tmp_path),
        )
    )  # fmt: skip
    whp, kumpr = (predict(cell) for cell in plan.cells)
    weights = whp.phases["load"][WEIGHTS]
    assert {phase: parts.get(SECOND) for phase, parts in whp.phases.items()} == {
        # Measuring, the retrained model is there beside both.
        "load": None, "unlearn": weights, "examine": weights, "measure": 2 * weights,
    }  # fmt: skip
    second = {phase for phase, parts in kumpr.phases.items() if SECOND in parts}
    assert second == {"measure"}
