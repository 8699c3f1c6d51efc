"""A batch in parts: shares, accumulation, checkpointing and bfloat16 in one process."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from unlearning_fakes import ARCHITECTURES, MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import strategy_of
from unlearnbench.models.devices.deepspeed import (
    choose_deepspeed,
    configuration,
    launchers_deepspeed,
)
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.saving import save_model
from unlearnbench.models.scoring import head_is_last
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.completions import random_completions
from unlearnbench.unlearning.parts import own_parts
from unlearnbench.unlearning.reference import References
from unlearnbench.unlearning.steps import recomputing

NEVER = StopLine(el=-1.0, ma=-1.0, source="calibrated")
METHODS = ("kumpr", "kl", "dpo", "llmu", "icu")


def weights(model: LanguageModel) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.network.parameters()])


def trained(
    name: str, strategy: Strategy, protocol: str = "paper", architecture: str = "gpt-neo"
) -> tuple[list[dict[str, float]], LanguageModel]:
    """Two epochs over seven rows of three lengths in batches of three: 3, 3 and 1."""
    model = tiny_model(architecture)
    model.strategy = strategy
    set_ = forget_set(Protocol.named(protocol), 7, (16, 11, 13))
    method = methods()[name](batch_size=3, max_epochs=2, learning_rate=1e-3)
    trace = method.unlearn(model, set_, MaExaminer(NEVER))
    return [epoch.losses for epoch in trace.epochs[1:]], model


@given(
    rows=st.lists(st.integers(0, 999), min_size=1, max_size=40, unique=True),
    n_ranks=st.integers(1, 9),
    n_parts=st.integers(1, 9),
)
def test_parts_of_all_processes_are_the_batch_once(
    rows: list[int], n_ranks: int, n_parts: int
) -> None:
    parts = [own_parts(rows, rank, n_ranks, n_parts) for rank in range(n_ranks)]
    counting = [part for own in parts for part in own if part.counts]
    assert [row for part in counting for row in part.rows] == rows
    starts = [part.first + i for part in counting for i in range(len(part.rows))]
    assert starts == list(range(len(rows)))
    assert sum(
        float(part.weighed(torch.tensor(1.0))) for own in parts for part in own
    ) == pytest.approx(1)
    # all processes go forward and back equally often, over nearly equally many rows
    assert len({len(own) for own in parts}) == 1
    assert 1 <= len(parts[0]) <= n_parts
    loads = [sum(len(part.rows) for part in own if part.counts) for own in parts]
    assert max(loads) - min(loads) <= 1
    assert all(part.rows for own in parts for part in own)


def test_a_batch_in_one_go_is_not_weighed() -> None:
    (part,) = own_parts([4, 2, 9], 0, 1, 1)
    assert part.is_whole
    assert part.weighed(0.1) == 0.1


@pytest.mark.parametrize("protocol", ["paper", "released"])
@pytest.mark.parametrize("name", METHODS)
def test_accumulation_changes_nothing(name: str, protocol: str) -> None:
    """Losses of both epochs and the weights.

    DPO in one go is trl's trainer, in parts our loop: two ways to the same numbers.
    """
    losses, model = trained(name, Strategy(), protocol)
    in_parts, other = trained(name, Strategy(gradient_accumulation_steps=2), protocol)
    for got, want in zip(in_parts, losses, strict=True):
        assert got == pytest.approx(want, rel=1e-6, abs=2e-6)
    # Adam divides by a gradient's size, so rounding in tiny gradients shows in the weights
    torch.testing.assert_close(weights(other), weights(model), rtol=1e-4, atol=3e-5)


def gradient(model: LanguageModel, loss: Tensor) -> Tensor:
    found = torch.autograd.grad(loss, list(model.network.parameters()), retain_graph=True)
    return torch.cat([g.flatten() for g in found if g is not None])


def terms_of(batch: UnlearnBatch) -> dict[str, Tensor]:
    return {
        "target": batch.target_nll,
        "pair": batch.pair_nll,
        "kl": batch.pair_kl,
        "label": batch.neighbour_label_nll,
        "other": batch.nll_of(random_completions(batch)),
        "per row": (batch.target_nll_per_row - batch.reference_target_nll_per_row).mean(),
    }


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("kl_term", ["divergence", "cross_entropy"])
def test_terms_and_gradients_of_the_parts_add_up(reduction: Any, kl_term: Any) -> None:
    """Three processes with two parts each of five rows of unequal length, one at a time."""
    protocol = Protocol(loss_reduction=reduction, kl_term=kl_term)
    set_, index = forget_set(protocol, 7, (16, 11, 13)), [6, 1, 2, 0, 5]
    model = tiny_model()
    references = References(model, set_)
    references.pair_outputs([0])
    references.nll_per_row("rows")
    with torch.no_grad():
        for p in model.network.parameters():
            p.add_(0.01)  # away from the reference, where the KL term has a gradient

    def batch(rows: list[int], part: Any = None) -> UnlearnBatch:
        random = torch.Generator().manual_seed(3)
        return UnlearnBatch(model, set_, rows, random, references, None, part)

    whole = terms_of(batch(index))
    parts = [p for rank in range(3) for p in own_parts(index, rank, 3, 2)]
    assert [p.counts for p in parts] == [True] * 5 + [False]
    summed: dict[str, Any] = dict.fromkeys(whole, 0.0)
    for part in parts:
        for name, term in terms_of(batch(part.rows, part)).items():
            summed[name] = summed[name] + part.weighed(term)
    for name, term in whole.items():
        torch.testing.assert_close(summed[name], term, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            gradient(model, summed[name]), gradient(model, term), rtol=1e-4, atol=1e-4
        )


def test_scoring_sequences_of_a_part_only_is_refused() -> None:
    model, set_ = tiny_model(), forget_set()
    (part, _) = own_parts([0, 1, 2, 3], 0, 1, 2)
    random = torch.Generator().manual_seed(0)
    batch = UnlearnBatch(model, set_, part.rows, random, References(model, set_), None, part)
    with pytest.raises(UserError, match=r"2 sequences in a batch of 4 .*batch\.whole\.rows"):
        batch.nll_of(batch.rows)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_checkpointing_runs_layers_again_and_changes_no_number(architecture: str) -> None:
    losses, model = trained("icu", Strategy(), architecture=architecture)
    again, other = trained("icu", Strategy(gradient_checkpointing=True), architecture=architecture)
    assert again == losses
    assert torch.equal(weights(other), weights(model))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_checkpointing_recomputes_every_layer_once(architecture: str) -> None:
    model, set_ = tiny_model(architecture), forget_set()
    model.strategy = Strategy(gradient_checkpointing=True)
    runs = [0]

    def count(*_: Any) -> None:
        runs[0] += 1

    # what is inside a decoder layer runs again, whatever wraps the layer itself
    inside = [m for n, m in model.network.named_modules() if n.endswith(("k_proj",))]
    for module in inside:
        module.register_forward_hook(count)
    assert len(inside) == 2
    with recomputing(model):
        assert head_is_last(model)  # looked at once, in a pass of its own
        runs[0] = 0
        loss = UnlearnBatch.of(model, set_, range(4)).target_nll
        forward_only = runs[0]
        loss.backward()
    assert (forward_only, runs[0]) == (2, 4)
    assert not any("forward" in vars(m) for m in model.network.modules())
    assert not model.network.training


def test_bfloat16_computes_in_it_over_float32_weights() -> None:
    losses, model = trained("icu", Strategy())
    rough, other = trained("icu", Strategy(mixed_precision="bf16"))
    assert {p.dtype for p in other.network.parameters()} == {torch.float32}
    assert rough != losses
    for got, want in zip(rough, losses, strict=True):
        assert got == pytest.approx(want, rel=0.02, abs=0.02)
    change = weights(other) - weights(tiny_model())
    wanted = weights(model) - weights(tiny_model())
    assert torch.cosine_similarity(change, wanted, dim=0) > 0.9


def test_identity_of_the_plain_way_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Strategy().identity == {}
    monkeypatch.setattr("unlearnbench.models.devices.strategy.version", lambda name: f"{name} 1")
    assert Strategy(deepspeed="/x/y.json", deepspeed_sha256="abc").identity == {
        "deepspeed": "file",
        "deepspeed_sha256": "abc",
        "deepspeed_version": "deepspeed 1",
    }


def test_accelerates_own_choices_hold_where_the_experiment_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    found = strategy_of(Experiment())
    assert (found.mixed_precision, found.gradient_accumulation_steps) == ("bf16", 4)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    with pytest.raises(UserError, match="mixed precision fp16"):
        strategy_of(Experiment())
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UserError, match="configured for FSDP"):
        strategy_of(Experiment())


def test_one_gpu_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="--device cuda:1 is one GPU"):
        strategy_of(Experiment(device="cuda:1"))


def test_a_launchers_deepspeed_is_respected() -> None:
    on = {"ACCELERATE_USE_DEEPSPEED": "true"}
    assert launchers_deepspeed({}) is None
    assert launchers_deepspeed(on) == "zero2"
    assert launchers_deepspeed(on | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"}) == "zero3"
    assert launchers_deepspeed(on | {"ACCELERATE_DEEPSPEED_CONFIG_FILE": "a.json"}) == "a.json"
    with pytest.raises(UserError, match="stage 0"):
        launchers_deepspeed(on | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": "0"})


def test_without_deepspeed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unlearnbench.models.devices.deepspeed.find_spec", lambda _: None)
    assert choose_deepspeed(None) == ""
    with pytest.raises(UserError, match=r"pip install 'unlearnbench\[deepspeed\]'"):
        choose_deepspeed("zero2")


def test_a_configuration_file_keeps_what_is_deepspeeds(tmp_path: Path) -> None:
    path = tmp_path / "ds.json"
    zero = {"stage": 2, "reduce_bucket_size": 1000, "allgather_bucket_size": "auto"}
    given = {"train_batch_size": 64, "zero_optimization": zero, "fp16": {"enabled": False}}
    path.write_text(json.dumps(given))
    assert configuration(str(path)) == {
        "zero_optimization": {"stage": 2, "reduce_bucket_size": 1000}
    }


ZERO = {"zero_optimization": {"stage": 2}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "JSON object"),
        ("{}", "stage in .* is None"),
        (json.dumps({"zero_optimization": {"stage": 0}}), "is 0, not 1, 2 or 3"),
        (json.dumps({"zero_optimization": 2}), "stage in .* is None"),
        (json.dumps(ZERO | {"optimizer": {"type": "AdamW"}}), "'optimizer' .* same Adam"),
        (json.dumps(ZERO | {"fp16": {"enabled": True}}), "'fp16' .* --mixed-precision bf16"),
        (
            json.dumps(ZERO | {"gradient_clipping": 1.0}),
            "'gradient_clipping' .* nothing is clipped",
        ),
    ],
)
def test_a_configuration_file_that_cannot_be_used_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "ds.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        configuration(str(path))


def test_a_misspelt_preset_is_refused() -> None:
    with pytest.raises(UserError, match="'zero4' is neither zero2 nor zero3"):
        configuration("zero4")


def test_a_saved_model_is_whole_and_loads(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder, model = tmp_path / "models" / "key", tiny_model()
    save_model(tiny_model(seed=1), folder)
    save_model(model, folder)  # one from before is replaced
    found = AutoModelForCausalLM.from_pretrained(folder)
    for p, q in zip(found.parameters(), model.network.parameters(), strict=True):
        assert torch.equal(p, q)
    assert len(AutoTokenizer.from_pretrained(folder)) == len(model.tokenizer)
    assert [p.name for p in folder.parent.iterdir()] == ["key"]


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_a_model_that_cannot_be_saved_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, model = tmp_path / "models" / "key", tiny_model()
    save_model(model, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(model.network, "save_pretrained", failing(full))
    with pytest.raises(UserError, match=r"No space left on device; .*--save-models"):
        save_model(model, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [p.name for p in folder.parent.iterdir()] == ["key"]


def test_a_copied_model_counts_into_the_first_ones_meter_once() -> None:
    model, set_ = tiny_model(), forget_set()
    copied = model.copied()
    for one in (model, copied):
        one.logits(set_.rows.input_ids, set_.rows.attention_mask)
    assert model.meter is copied.meter
    assert model.meter.phases["other"].forward_tokens == 2 * set_.rows.input_ids.numel()
    assert copied.network is not model.network
    assert replace(copied.source) == model.source
