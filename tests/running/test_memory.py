"""Memory told beforehand: against bytes counted by hand, and against a measured process."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from transformers import GPTNeoConfig, LlamaConfig

from unlearnbench.errors import UserError
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.protocol import PAPER, RELEASED
from unlearnbench.registry import find
from unlearnbench.running.memory import MemoryNeed, PhaseNeed, in_words
from unlearnbench.running.memory.advice import is_out_of_memory, out_of_memory_advice
from unlearnbench.running.memory.need import (
    ACTIVATIONS,
    CACHES,
    FILES,
    GRADIENTS,
    LOGITS,
    OPTIMISER,
    REFERENCE,
    WEIGHTS,
)
from unlearnbench.running.memory.passes import count_pass, likelihoods, windows
from unlearnbench.running.memory.prediction import _loading, _sharded
from unlearnbench.running.memory.remedies import ways
from unlearnbench.running.memory.stand_in import network_of
from unlearnbench.running.memory.step import StepCount, StepSize, count_step
from unlearnbench.running.memory.tokens import examination_tokens, training_tokens

NEO = GPTNeoConfig(
    vocab_size=500,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    attention_types=[[["global", "local"], 1]],
    max_position_embeddings=256,
)
DEEP = GPTNeoConfig(
    vocab_size=500,
    hidden_size=64,
    num_layers=8,
    num_heads=4,
    attention_types=[[["global", "local"], 4]],
    max_position_embeddings=256,
)
LLAMA = LlamaConfig(
    vocab_size=500,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    max_position_embeddings=256,
    tie_word_embeddings=False,
)
SIZE = StepSize(n_rows=16, length=100, batch_size=8, vocabulary=500)


def counted(
    method="icu", config=NEO, dtype="float32", protocol=PAPER, size=SIZE, **how
) -> StepCount:
    """One step of a method."""
    network = network_of(config, dtype)
    return count_step(network, find("methods", method)(), protocol, Strategy(**how), size)


def total(count: StepCount) -> int:
    return sum(count.at_peak.values())


def n_parameters(config) -> int:
    return sum(p.numel() for p in network_of(config, "float32").parameters())


def n_buffers(config) -> int:
    return sum(b.nbytes for b in network_of(config, "float32").buffers())


@pytest.mark.parametrize(
    ("config", "dtype", "size"),
    [(NEO, "float32", 4), (LLAMA, "bfloat16", 2)],
    ids=["gpt-neo", "llama in 16 bits"],
)
def test_weights_gradients_and_adam_are_what_one_counts_by_hand(config, dtype, size) -> None:
    held = counted("kumpr", config, dtype).held
    assert held[WEIGHTS] == size * n_parameters(config) + n_buffers(config)
    assert held[GRADIENTS] == size * n_parameters(config)
    assert held[OPTIMISER] == 2 * size * n_parameters(config)
    assert REFERENCE not in held, "gradient ascent needs no frozen model"


def test_the_frozen_reference_is_its_hidden_states_and_a_head() -> None:
    kept, head = SIZE.n_rows * 50 * 64 * 4, 500 * 64 * 4
    assert counted("kl").held[REFERENCE] == kept + head
    everywhere = SIZE.n_rows * 200 * 64 * 4
    long = replace(SIZE, length=200)
    assert counted("kl", protocol=RELEASED, size=long).held[REFERENCE] == everywhere + head


def test_logits_are_those_of_the_counted_positions() -> None:
    one = SIZE.batch_size * 50 * SIZE.vocabulary * 4  # [rows * suffix, V] float32
    at_peak = counted("kumpr").at_peak[LOGITS]
    assert at_peak % one == 0
    assert 2 * one <= at_peak <= 4 * one  # scores and their logarithm, and their gradients


def test_more_rows_take_more_and_parts_less() -> None:
    small, plain = counted(size=replace(SIZE, batch_size=4)), counted()
    assert total(small) < total(plain)
    assert total(counted(gradient_accumulation_steps=4)) < total(plain)
    assert counted(gradient_accumulation_steps=2).at_peak[ACTIVATIONS] == pytest.approx(
        small.at_peak[ACTIVATIONS], rel=0.2
    )


def test_checkpointing_keeps_the_activations_of_one_layer_at_a_time() -> None:
    plain = counted(config=DEEP)
    again = counted(config=DEEP, gradient_checkpointing=True)
    assert again.at_peak[ACTIVATIONS] < 0.4 * plain.at_peak[ACTIVATIONS]
    assert again.held == plain.held


def test_every_method_is_counted_and_terms_add_up() -> None:
    least, kl, icu, llmu = (total(counted(name)) for name in ("kumpr", "kl", "icu", "llmu"))
    assert least < kl <= icu
    assert kl < llmu
    assert total(counted("dpo", protocol=RELEASED)) > least


def test_keys_and_values_per_token_are_two_per_layer() -> None:
    found = count_pass(network_of(NEO, "float32"), 3, 100, 500)
    assert found.cached == 2 * 2 * 64 * 4
    assert sum(found.taken.values()) >= 3 * 100 * (found.cached + 500 * 4)
    assert count_pass(network_of(NEO, "bfloat16"), 3, 100, 500).cached == found.cached // 2


def test_texts_are_scored_in_passes_and_pieces_of_bounded_size() -> None:
    counted_pass = count_pass(network_of(NEO, "float32"), 1, 100, 500)
    one = counted_pass.taken[ACTIVATIONS]
    some = windows(counted_pass, 8, 100, 500, on_gpu=False)
    assert some == {ACTIVATIONS: 8 * one, LOGITS: 2 * 8 * 100 * 500 * 4}
    wide = windows(counted_pass, 10**4, 100, 10**6, on_gpu=False)
    assert 2**24 - one < wide[ACTIVATIONS] <= 2**24
    assert wide[LOGITS] == 2 * 2**26
    assert windows(counted_pass, 10**4, 100, 500, on_gpu=True)[ACTIVATIONS] == 10**4 * one
    few, many = (likelihoods(counted_pass, 8, n, 100, 500) for n in (20, 10**6))
    assert few[CACHES] == 20 * 100 * counted_pass.cached < many[CACHES] == 2**27
    assert few[LOGITS] == many[LOGITS] == 2 * 8 * 50 * 500 * 4


def test_zero_shares_out_gradients_and_states() -> None:
    parts = {WEIGHTS: 800, GRADIENTS: 800, OPTIMISER: 1600, ACTIVATIONS: 50}
    two = _sharded(parts, Strategy(deepspeed="zero2", n_processes=4))
    assert two == {WEIGHTS: 800, GRADIENTS: 200, OPTIMISER: 400 + 200, ACTIVATIONS: 50}
    assert _sharded(parts, Strategy(deepspeed="zero3", n_processes=4))[WEIGHTS] == 200
    assert _sharded(parts, Strategy()) == parts


@pytest.mark.parametrize(("stage", "shared"), [(1, ()), (2, ("g",)), (3, ("g", "w"))])
def test_a_configuration_file_shares_out_what_its_stage_says(tmp_path, stage, shared) -> None:
    path = tmp_path / "ds.json"
    path.write_text(json.dumps({"zero_optimization": {"stage": stage}}))
    parts = {WEIGHTS: 800, GRADIENTS: 800, OPTIMISER: 1600}
    own = _sharded(parts, Strategy(deepspeed=str(path), n_processes=4))
    assert own[OPTIMISER] == 400 + 200
    assert own[GRADIENTS] == (200 if "g" in shared else 800)
    assert own[WEIGHTS] == (200 if "w" in shared else 800)


def choice(folder: Path, allow_pickle: bool = False) -> Any:
    """A model of 250 parameters in a folder, as a run that has not loaded it knows it."""
    (folder / "config.json").write_text("{}")
    source = SimpleNamespace(revision=None)
    return SimpleNamespace(
        asked=str(folder), source=source, allow_pickle=allow_pickle, n_parameters=250
    )


def test_only_the_files_that_weights_come_from_are_mapped(tmp_path) -> None:
    weights = tmp_path / "model.safetensors"
    save_file({"w": np.zeros(250, np.float16)}, weights)
    save_file({"w": np.zeros(9000, np.float32)}, tmp_path / "adapter.safetensors")
    assert _loading(choice(tmp_path), "float16").parts == {WEIGHTS: 500, FILES: 0}
    widened = _loading(choice(tmp_path), "float32").parts
    assert widened == {WEIGHTS: 1000, FILES: weights.stat().st_size}


def test_pickled_weights_are_beside_what_is_made_of_them_where_they_are_allowed(tmp_path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(1234))
    with pytest.raises(UserError, match="--allow-pickle"):
        _loading(choice(tmp_path), "float32")
    found = _loading(choice(tmp_path, allow_pickle=True), "float32").parts
    assert found == {WEIGHTS: 1000, FILES: 1234}


def test_the_peak_is_the_largest_phase_and_the_sum_of_its_parts() -> None:
    need = MemoryNeed(
        (PhaseNeed("load", {WEIGHTS: 5}), PhaseNeed("unlearn", {WEIGHTS: 4, LOGITS: 3}))
    )
    assert (need.peak.phase, need.total, need.of("load"), need.of("measure")) == (
        "unlearn",
        7,
        5,
        0,
    )
    assert in_words(3_200_000_000) == "3.2 GB"


def test_token_bounds_are_those_of_a_count_by_hand() -> None:
    assert training_tokens(128, 100, 5) == sum(3 * 100 for _ in range(5) for _ in range(128))
    starts = sum(range(1, 101))
    assert examination_tokens(128, 100, 5) == 6 * 128 * (100 + 100 + starts)


@pytest.fixture
def told_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell whose need is known: no model has to be there to word the advice."""
    need = MemoryNeed((PhaseNeed("unlearn", {WEIGHTS: 10**9, ACTIVATIONS: 2 * 10**9}),))
    monkeypatch.setattr("unlearnbench.running.memory.prediction.predict", lambda _cell: need)


def cell(**strategy) -> SimpleNamespace:
    model = SimpleNamespace(
        strategy=Strategy(**strategy), dtype="float32", device="cpu", asked="nowhere-to-be-found"
    )
    return SimpleNamespace(model=model, settings={"batch_size": 8}, role="method", method="icu")


def test_changes_go_from_the_smallest_to_the_largest_and_are_none_that_is_made() -> None:
    flags = [flags for flags, _, _ in ways(cell())]
    assert flags[0] == "--gradient-accumulation-steps 2"
    precision = [at for at, flag in enumerate(flags) if "bf" in flag]
    assert min(precision) > flags.index("--gradient-checkpointing")
    assert max(precision) < min(at for at, flag in enumerate(flags) if "zero" in flag)
    assert flags[-1].endswith("--deepspeed zero3 on 8 devices")
    made = [how for _, how, _ in ways(cell(gradient_checkpointing=True))]
    assert all(how.gradient_checkpointing for how in made)


def test_only_allocations_that_fail_are_advised_on() -> None:
    assert out_of_memory_advice(ValueError("shapes differ"), cell()) is None
    assert out_of_memory_advice(UserError("no such file"), cell()) is None
    assert is_out_of_memory(MemoryError())
    wrapped = UserError("cannot load the weights")
    wrapped.__cause__ = MemoryError()
    assert is_out_of_memory(wrapped)


@pytest.mark.usefixtures("told_need")
def test_advice_names_what_was_asked_for_and_what_is_not_tried_yet() -> None:
    problem = RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096000000 bytes"
    )
    told = out_of_memory_advice(problem, cell(gradient_accumulation_steps=4))
    assert "asking for 4.1 GB" in told
    assert "about 3 GB (unlearn; most of it activations, 2 GB)" in told
    assert "--gradient-accumulation-steps 8, --gradient-checkpointing" in told
    assert "\n" not in told
    assert out_of_memory_advice(None, cell()).startswith("killed by signal 9")


def test_a_real_failed_allocation_is_recognised() -> None:
    code = """
import resource, torch
from unlearnbench.running.memory.advice import is_out_of_memory
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, now + 2**28))
for take in (lambda: torch.empty(2**31), lambda: bytearray(2**31)):
    try:
        take()
    except (RuntimeError, MemoryError) as error:
        print(is_out_of_memory(error), type(error).__name__)
"""
    if not sys.platform.startswith("linux"):
        pytest.skip("RLIMIT_AS and /proc are Linux's")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "RuntimeError", "True", "MemoryError"]


MEASURED = """
import json, sys, torch
from transformers import GPTNeoConfig, GPTNeoForCausalLM
from unlearnbench.models.gpt_neo import fuse_operations
from unlearnbench.running.memory.process import return_large_blocks
from unlearnbench.running.memory.stand_in import forget_set_of, model_of, rows_of
from unlearnbench.models.devices.meter import (
    _reset_peak_memory, can_reset_peak_memory, peak_memory_bytes
)
from unlearnbench.protocol import PAPER
from unlearnbench.unlearning.reference import References
from unlearnbench.registry import find
from unlearnbench.unlearning.gradient_method import steps_for
from unlearnbench.models.devices.strategy import Strategy
torch.set_num_threads(1)
return_large_blocks()
how, shape, dtype = json.loads(sys.argv[1])
can_reset = can_reset_peak_memory()
def libraries():
    network = GPTNeoForCausalLM(GPTNeoConfig(**{**shape, "hidden_size": 32, "vocab_size": 50}))
    step(network, 1)
def step(network, n):
    fuse_operations(network)
    model = model_of(network.to(getattr(torch, dtype)), Strategy(**how))
    rows = rows_of(16, 100)
    forget_set = forget_set_of(rows, PAPER)
    references, method = References(model, forget_set), find("methods", "icu")()
    with model.training(), steps_for(model, 1e-6) as steps:
        for _ in range(n):
            steps.losses(method.loss, forget_set, list(range(8)), torch.Generator(), references)
            steps.take()
libraries()
_reset_peak_memory()
before = peak_memory_bytes()
step(GPTNeoForCausalLM(GPTNeoConfig(**shape)), 3)
print(json.dumps([can_reset, peak_memory_bytes() - before]))
"""
SHAPE = {
    "vocab_size": 20000,
    "hidden_size": 512,
    "num_layers": 4,
    "num_heads": 8,
    "attention_types": [[["global", "local"], 2]],
    "max_position_embeddings": 512,
}


@pytest.mark.parametrize(
    ("how", "dtype"),
    [
        ({}, "float32"),
        pytest.param(
            {"gradient_checkpointing": True, "gradient_accumulation_steps": 2},
            "float32",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["plain", "checkpointing and accumulation"],
)
def test_prediction_is_within_a_fifth_of_what_a_process_takes(how, dtype) -> None:
    if sys.platform != "linux":
        pytest.skip("the resident peak of a phase can be told apart on Linux only")
    arguments = json.dumps([how, SHAPE, dtype])
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, arguments], capture_output=True, text=True, check=True
    )
    can_reset, measured = json.loads(done.stdout.splitlines()[-1])
    if not can_reset:
        pytest.skip("the resident peak cannot be reset here: /proc/self/clear_refs")
    size = StepSize(n_rows=16, length=100, batch_size=8, vocabulary=SHAPE["vocab_size"])
    predicted = total(counted("icu", GPTNeoConfig(**SHAPE), dtype, size=size, **how))
    assert predicted == pytest.approx(measured, rel=0.2)
