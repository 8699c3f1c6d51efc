"""How weights are stepped and when a run ends, each against another way to compute it."""

import math
from dataclasses import dataclass, field, replace
from math import cos, pi
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from transformers.trainer_pt_utils import get_parameter_names
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.metrics.perplexity import window_nll
from unlearnbench.models.devices.schedule import RunLength, Schedule
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import methods
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.epochs import UnlearnProgress, listening
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.reference import References
from unlearnbench.unlearning.steps import Steps

RATE = 1e-3
NEVER, ALWAYS = StopLine(el=-1.0, ma=-1.0), StopLine(el=2.0, ma=2.0)
TEXT = (" ".join(f"t{3 + 7 * i % 90}" for i in range(150)),)


@dataclass
class TextExaminer(MaExaminer):
    """With a text whose loss a budget looks at."""

    budget_text: tuple[str, ...] = field(default=TEXT)


def model_with(n_parts: int = 1, **schedule: Any) -> LanguageModel:
    model = tiny_model()
    own = Schedule(**schedule)
    model.strategy = Strategy(gradient_accumulation_steps=n_parts, schedule=own)
    return model


def kumpr(**settings: Any) -> GradientMethod:
    made: GradientMethod = methods()["kumpr"](
        **{"batch_size": 3, "max_epochs": 4, "learning_rate": RATE, **settings}
    )
    return made


def unlearned(
    method: GradientMethod | None = None, line: StopLine = NEVER, n_parts: int = 1, **schedule: Any
) -> tuple[Any, LanguageModel]:
    """Seven rows in batches of three: three steps in an epoch."""
    model = model_with(n_parts, **schedule)
    set_ = forget_set(n_rows=7, lengths=(16, 11, 13))
    trace = (method or kumpr()).unlearn(model, set_, TextExaminer(line))
    return trace, model


def weights(model: LanguageModel) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


# ---- rates, decay and clipping


def linear(t: int, warmup: int, total: int) -> float:
    return t / warmup if t < warmup else (total - t) / (total - warmup)


def cosine(t: int, warmup: int, total: int) -> float:
    return t / warmup if t < warmup else (1 + cos(pi * (t - warmup) / (total - warmup))) / 2


def constant(t: int, warmup: int, total: int) -> float:
    return min(t / warmup, 1.0) if warmup else 1.0


@pytest.mark.parametrize(
    ("name", "formula", "warmup"),
    [
        ("linear", linear, 3),
        ("linear", linear, 0),
        ("cosine", cosine, 4),
        ("constant", constant, 5),
        ("constant", constant, 0),
    ],
)
def test_rates_are_those_of_the_formula_in_every_step(name: Any, formula: Any, warmup: int) -> None:
    model, set_ = model_with(lr_schedule=name, warmup_steps=warmup), forget_set()
    length = model.strategy.schedule.length(len(set_.rows), batch_size=2, max_epochs=4)
    assert length == RunLength(n_steps=12, n_warmup=warmup)
    with model.training():
        steps = Steps(model, RATE, length)
        (group,) = steps._optimizer.param_groups
        for t in range(12):
            assert group["lr"] == pytest.approx(RATE * formula(t, warmup, 12), rel=1e-12)
            step(steps, set_, [0, 1])
        at_end = RATE if name == "constant" else 0.0
        assert group["lr"] == pytest.approx(at_end, abs=1e-18)


def step(steps: Steps, set_: Any, index: list[int]) -> None:
    references, random = References(steps.model, set_), torch.Generator()
    steps.losses(lambda b: {"target": -b.target_nll}, set_, index, random, references)
    steps.take()


def test_a_warm_up_in_epochs_is_in_epochs_over_all_rows() -> None:
    assert Schedule(warmup_epochs=1.5).length(7, 3, 4) == RunLength(12, 5)
    assert Schedule(until="steps", max_steps=8, warmup_epochs=1).length(7, 3, 4) == RunLength(8, 3)
    assert Schedule(until="steps", max_steps=8).n_epochs(7, 3, max_epochs=1) == 3


def by_hand(optimizer_of: Any, n_steps: int, max_norm: float = math.inf) -> tuple[Tensor, float]:
    """Whole batches over all rows in one loop of its own; the last gradient's norm, unclipped."""
    model, set_ = tiny_model(), forget_set(n_rows=6)
    model.network.requires_grad_(True)
    optimizer, norm = optimizer_of(model.network), 0.0
    for _ in range(n_steps):
        optimizer.zero_grad()
        (-UnlearnBatch.of(model, set_, range(6)).target_nll).backward()
        gradients = [p.grad for p in model.network.parameters() if p.grad is not None]
        norm = math.sqrt(sum(float(g.double().pow(2).sum()) for g in gradients))
        for gradient in gradients:
            gradient.mul_(min(max_norm / norm, 1.0))
        optimizer.step()
    return weights(model), norm


def in_our_loop(n_steps: int, n_parts: int = 1, **schedule: Any) -> Tensor:
    model, set_ = model_with(n_parts, **schedule), forget_set(n_rows=6)
    with model.training():
        steps = Steps(model, RATE, model.strategy.schedule.length(6, 6, n_steps))
        for _ in range(n_steps):
            step(steps, set_, list(range(6)))
    return weights(model)


def test_adamw_decays_what_transformers_trainer_decays_in_torchs_own_loop() -> None:
    def adamw(network: Any) -> torch.optim.AdamW:
        decayed = get_parameter_names(
            network, [torch.nn.LayerNorm], [r"bias", r"layernorm", r"(?:^|\.)norm(?:$|\.)"]
        )
        named = dict(network.named_parameters())
        rest = [p for name, p in named.items() if name not in decayed]
        groups = [
            {"params": [named[name] for name in decayed if name in named]},
            {"params": rest, "weight_decay": 0.0},
        ]
        assert all(group["params"] for group in groups)
        return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.999), weight_decay=0.5)

    want, _ = by_hand(adamw, n_steps=3)
    got = in_our_loop(3, optimizer="adamw", weight_decay=0.5)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-6)
    assert not torch.allclose(in_our_loop(3, optimizer="adamw"), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("n_parts", [1, 3])
def test_clipping_is_by_the_norm_of_the_whole_batch(n_parts: int) -> None:
    def sgd_like(network: Any) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=RATE, betas=(0.9, 0.98))

    _, norm = by_hand(sgd_like, n_steps=1)
    # Adam forgets a gradient's size; the next step's differs by what each was scaled with.
    want, later = by_hand(sgd_like, n_steps=3, max_norm=norm / 2)
    assert later > norm / 2
    got = in_our_loop(3, n_parts, max_grad_norm=norm / 2)
    # Where a gradient is tiny, Adam divides rounding by it; all other weights agree.
    assert ((got - want).abs() < 1e-6).float().mean() > 0.999


def test_a_clipped_gradient_has_the_norm_asked_for_in_any_number_of_parts() -> None:
    norms = []
    for n_parts in (1, 3):
        model, set_ = model_with(n_parts, max_grad_norm=0.25), forget_set(n_rows=6)
        with model.training():
            step(Steps(model, RATE), set_, list(range(6)))
            gradients = [p.grad for p in model.network.parameters() if p.grad is not None]
            norms.append(math.sqrt(sum(float(g.pow(2).sum()) for g in gradients)))
    assert norms == pytest.approx([0.25, 0.25], rel=1e-5)


def test_a_schedule_in_parts_gives_the_numbers_of_one_go() -> None:
    schedule = {
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "lr_schedule": "cosine",
        "warmup_epochs": 1.0,
        "max_grad_norm": 1.0,
        "until": "epochs",
    }
    trace, model = unlearned(**schedule)
    in_parts, other = unlearned(n_parts=2, **schedule)
    for got, want in zip(in_parts.epochs[1:], trace.epochs[1:], strict=True):
        assert got.losses == pytest.approx(want.losses, rel=1e-5)
    torch.testing.assert_close(weights(other), weights(model), rtol=1e-4, atol=3e-5)
    plain, _ = unlearned()
    assert plain.epochs[-1].losses != trace.epochs[-1].losses


@pytest.mark.parametrize("name", ["dpo", "icu", "llmu", "kl"])
def test_every_method_heeds_its_schedule(name: str) -> None:
    """DPO too, which trl trains otherwise."""
    method = methods()[name](batch_size=3, max_epochs=4, learning_rate=RATE)
    trace, _ = unlearned(method, until="steps", max_steps=4)
    assert trace.reason.startswith("ended after 4 steps as asked (--until steps), in epoch 2: el ")


# ---- the end of a run


def test_the_plain_schedule_has_no_identity_and_another_says_only_what_differs() -> None:
    assert Strategy(schedule=Schedule()).identity == {}
    other = Strategy(schedule=Schedule(optimizer="adamw", until="steps", max_steps=3))
    assert other.identity == {"schedule": {"optimizer": "adamw", "until": "steps", "max_steps": 3}}


@dataclass
class AskedExaminer(MaExaminer):
    """Keeps by which MA line it was asked to leave EL out: None, always measure it."""

    asked: list[float | None] = field(default_factory=list)

    def examine(self, model: LanguageModel, rows: Any, ma_line: float | None = None) -> Any:
        self.asked.append(ma_line)
        return super().examine(model, rows, ma_line)


@pytest.mark.parametrize(
    ("schedule", "asked"),
    [
        ({"until": "epochs"}, [None, -math.inf, -math.inf, -math.inf, None]),
        ({"until": "steps", "max_steps": 5}, [None, -math.inf, None]),
        ({}, [None, NEVER.ma, NEVER.ma, NEVER.ma, NEVER.ma]),
    ],
)
def test_el_is_asked_for_where_it_can_say_something_of_the_end(schedule: Any, asked: Any) -> None:
    examiner = AskedExaminer(NEVER)
    kumpr().unlearn(model_with(**schedule), forget_set(n_rows=7, lengths=(16, 11, 13)), examiner)
    assert examiner.asked == asked


def test_until_epochs_is_exactly_so_many_whatever_the_line_says() -> None:
    trace, model = unlearned(until="epochs", line=ALWAYS)
    assert (trace.outcome, trace.n_epochs) == ("forgotten", 4)
    assert trace.reason == (
        "ended after 4 epochs as asked (--until epochs): the set is under the stop line"
    )
    missed, other = unlearned(until="epochs", line=NEVER)
    assert (missed.outcome, missed.n_epochs) == ("not_forgotten", 4)
    assert missed.reason.startswith("ended after 4 epochs as asked (--until epochs): el ")
    assert torch.equal(weights(model), weights(other))
    by_line, _ = unlearned(line=ALWAYS)
    assert (by_line.outcome, by_line.n_epochs) == ("forgotten", 0)


def test_until_steps_may_end_within_an_epoch_which_is_examined() -> None:
    seen: list[UnlearnProgress] = []
    with listening(seen.append):
        trace, _ = unlearned(until="steps", max_steps=5)  # three in each epoch of seven rows
    assert (trace.outcome, trace.n_epochs) == ("not_forgotten", 2)
    whole, part = trace.epochs[1:]
    assert (whole.n_active, part.n_active) == (7, 6)
    assert sum(row.active for row in part.rows) == 6
    assert part.metrics["ma"] == pytest.approx(float(trace.reason.rpartition(" ")[2]), abs=1e-4)
    assert {one.max_epochs for one in seen} == {2}
    longer, _ = unlearned(kumpr(max_epochs=1), until="steps", max_steps=7)
    assert longer.n_epochs == 3  # the limit of epochs does not count


@dataclass(kw_only=True)
class Fewer(GradientMethod):
    """Leaves out a row more after each epoch."""

    name: ClassVar[str] = "fewer"
    label: ClassVar[str] = "Fewer"

    def active_rows(self, records: Any, protocol: Any) -> list[int]:
        self.left = getattr(self, "left", len(records)) - 1
        return list(range(self.left))

    def loss(self, batch: UnlearnBatch) -> dict[str, Tensor]:
        return {"target": -batch.target_nll}


def test_a_run_without_rows_ends_before_its_epochs() -> None:
    method = Fewer(batch_size=3, max_epochs=20, learning_rate=RATE)
    trace, _ = unlearned(method, until="epochs")
    assert (trace.outcome, trace.n_epochs) == ("forgotten", 7)
    assert trace.reason == "every row is forgotten by eq. 5 after epoch 7"


def text_loss(model: LanguageModel) -> float:
    """Nats per token of the text's windows, each weighed by its tokens."""
    n_tokens = len(model.tokenizer(TEXT[0]).input_ids)
    counts = [min(64, n_tokens - start) - 1 for start in range(0, n_tokens, 64)]
    nll = window_nll(model, TEXT)
    return sum(n * c for n, c in zip(nll, counts, strict=True)) / sum(counts)


def test_until_budget_ends_at_the_first_step_that_is_over_it() -> None:
    """Each step's model of a run without a budget, measured by another way."""
    method = replace(kumpr(), learning_rate=0.02)
    start, ratios = text_loss(tiny_model()), []
    for n_steps in range(1, 8):
        _, model = unlearned(method, until="steps", max_steps=n_steps)
        ratios.append(text_loss(model) / start)
    assert ratios[0] < ratios[4]
    limit = (max(ratios[:4]) + ratios[4]) / 2
    trace, model = unlearned(
        method, until="budget", utility_budget=limit, budget_every=1, budget_text="wikitext"
    )
    assert (trace.outcome, trace.n_epochs) == ("not_forgotten", 2)
    assert trace.reason.startswith(
        "the utility budget was used up in epoch 2, step 5: loss of wikitext "
        f"{ratios[4]:.3f} times its start: el "
    )
    assert text_loss(model) / start == pytest.approx(ratios[4], rel=1e-6)
    rarely, _ = unlearned(
        method, until="budget", utility_budget=limit, budget_every=100, budget_text="wikitext"
    )
    assert "in epoch 2, step 6" in rarely.reason  # each epoch's end is looked at anyway


def test_a_budget_that_is_not_used_up_ends_at_the_epoch_limit_and_counts_its_tokens() -> None:
    trace, model = unlearned(until="budget", utility_budget=1e6, budget_every=2, line=ALWAYS)
    assert (trace.outcome, trace.n_epochs) == ("forgotten", 4)
    assert trace.reason.startswith(
        "the epoch limit came before the utility budget was used up: loss of the text "
    )
    n_tokens = len(model.tokenizer(TEXT[0]).input_ids)
    looks = 1 + len({2, 3, 4, 6, 8, 9, 10, 12})
    counted = model.meter.phases["budget"].forward_tokens
    assert looks * n_tokens <= counted <= looks * math.ceil(n_tokens / 64) * 64


def test_a_budgets_text_that_cannot_be_scored_any_more_is_a_collapse() -> None:
    """Though the weights are still finite."""
    trace, model = unlearned(
        kumpr(learning_rate=1e10), until="budget", utility_budget=1.5, budget_every=1
    )
    assert (trace.outcome, trace.n_epochs) == ("collapsed", 1)
    assert trace.reason == "loss of the text nan times its start in epoch 1, step 1"
    assert bool(weights(model).isfinite().all())
    assert (trace.epochs[1].rows, trace.epochs[1].n_active) == ([], 3)
