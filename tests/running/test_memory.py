"""Memory predicted by formula: against what real networks keep, and against a measured process."""

import copy
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fault_cases import forked
from torch.autograd.graph import saved_tensors_hooks
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    OPTConfig,
)
from unlearning_fakes import forget_set, tiny_model

from unlearnbench.errors import UserError
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.models.gpt_neo import fuse_operations
from unlearnbench.protocol import PAPER
from unlearnbench.registry import methods
from unlearnbench.running.memory.advice import changes, is_out_of_memory, out_of_memory_advice
from unlearnbench.running.memory.prediction import (
    ACTIVATIONS,
    CACHES,
    GRADIENTS,
    LOGITS,
    OPTIMISER,
    REFERENCE,
    WEIGHTS,
    MemoryNeed,
    Shape,
    Step,
    examination,
    held,
    in_words,
    shared_by_zero,
    texts,
    training,
)
from unlearnbench.running.token_bounds import examination_tokens, training_tokens
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.gradient_method import GradientMethod

NEO = {
    "vocab_size": 500,
    "hidden_size": 64,
    "num_layers": 8,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 4]],
    "max_position_embeddings": 256,
}
LLAMA = {
    "vocab_size": 500,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
CONFIGS = {
    "gpt-neo": GPTNeoConfig(**NEO),
    "llama": LlamaConfig(**LLAMA),
    "gpt-2": GPT2Config(vocab_size=500, n_embd=64, n_layer=4, n_head=4, n_positions=128),
    "mixtral": MixtralConfig(**LLAMA, num_local_experts=4, num_experts_per_tok=2),
    "pythia": GPTNeoXConfig(
        vocab_size=500,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
    ),
    "opt": OPTConfig(
        vocab_size=500,
        hidden_size=64,
        word_embed_proj_dim=64,
        ffn_dim=256,
        max_position_embeddings=128,
        num_hidden_layers=4,
        num_attention_heads=4,
    ),
}
STEP = Step(n_rows=16, length=100, n_scored=50, n_compared=50, batch_size=8, n_sequences=2)
ASCENT = replace(STEP, n_compared=0, n_sequences=1)


def network_of(config: Any) -> Any:
    """A real network with random weights."""
    # Fusing marks the configuration, from which other networks are made as well.
    network = AutoModelForCausalLM.from_config(copy.deepcopy(config)).eval()
    fuse_operations(network)
    return network


def shape_of(config: Any) -> Shape:
    return Shape.of(config, sum(p.numel() for p in network_of(config).parameters()))


NEO_SHAPE = shape_of(CONFIGS["gpt-neo"])


def step_of(step: Step = STEP, dtype: str = "float32", **how: Any) -> dict[str, int]:
    return training(NEO_SHAPE, step, Strategy(**how), dtype, on_gpu=False)


def total(parts: dict[str, int]) -> int:
    return sum(parts.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_what_layers_keep_is_what_autograd_saves(name: str) -> None:
    network, n_rows, length = network_of(CONFIGS[name]), 4, 100
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    saved: dict[int, int] = {}

    def see(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(see, lambda tensor: tensor):
        network.base_model(input_ids=torch.ones(n_rows, length, dtype=torch.int64))
    shape = shape_of(CONFIGS[name])
    predicted = 4 * n_rows * length * shape.n_layers * shape.kept
    assert predicted == pytest.approx(sum(saved.values()), rel=0.3)


@pytest.mark.parametrize("name", CONFIGS)
def test_keys_and_values_are_those_of_a_real_cache(name: str) -> None:
    with torch.no_grad():
        output = network_of(CONFIGS[name])(torch.ones(3, 20, dtype=torch.int64), use_cache=True)
    layers = output.past_key_values.layers
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in layers)
    assert 3 * 20 * shape_of(CONFIGS[name]).cached("float32") == real
    assert 3 * 20 * shape_of(CONFIGS[name]).cached("bfloat16") == real // 2


def test_gradients_and_adam_are_those_of_a_real_step() -> None:
    network = network_of(CONFIGS["llama"])
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.ones(2, 10, dtype=torch.int64)).logits.sum().backward()
    optimiser.step()
    parts = held(shape_of(CONFIGS["llama"]), ASCENT, "float32")
    states = [t for s in optimiser.state.values() for t in (s["exp_avg"], s["exp_avg_sq"])]
    assert parts[GRADIENTS] == sum(p.grad.nbytes for p in network.parameters())
    assert parts[OPTIMISER] == sum(t.nbytes for t in states)
    assert REFERENCE not in parts, "gradient ascent needs no frozen model"


def test_the_frozen_reference_is_its_hidden_states_and_a_head() -> None:
    kept, head = 16 * 50 * 64 * 4, 500 * 64 * 4
    assert held(NEO_SHAPE, STEP, "float32")[REFERENCE] == kept + head
    everywhere = replace(STEP, length=200, n_compared=200)
    assert held(NEO_SHAPE, everywhere, "bfloat16")[REFERENCE] == (16 * 200 + 500) * 64 * 2


def test_more_rows_take_more_and_parts_less() -> None:
    small, plain = step_of(replace(STEP, batch_size=4)), step_of()
    assert total(small) < total(plain)
    assert step_of(n_processes=2) == small
    parts = step_of(gradient_accumulation_steps=4)
    assert parts[ACTIVATIONS] < small[ACTIVATIONS]
    assert parts[GRADIENTS] == parts[WEIGHTS], "those of the parts before"
    assert GRADIENTS not in plain, "which has none while its activations are there"
    again = step_of(gradient_checkpointing=True)
    assert again[ACTIVATIONS] < 0.4 * plain[ACTIVATIONS]
    assert total(step_of(dtype="bfloat16")) < total(step_of(mixed_precision="bf16")) < total(plain)


def test_terms_of_a_loss_add_up() -> None:
    pair = replace(ASCENT, n_sequences=2)
    assert total(step_of(ASCENT)) < total(step_of(pair)) < total(step_of(STEP))
    assert total(step_of(STEP)) < total(step_of(replace(STEP, n_sequences=3)))


@pytest.mark.parametrize(
    "name", [name for name, kind in methods().items() if issubclass(kind, GradientMethod)]
)
def test_methods_declare_what_their_losses_score(name: str) -> None:
    """Rows that a loss sends through a network with gradients, and whether it asks for theta_0."""
    model = tiny_model()
    protocol = replace(PAPER, dpo_loss="cross_entropy")
    rows = forget_set(protocol, 4, refusals=("t3 t4",))
    method = methods()[name](**({"n_alternates": 1} if name == "altpo" else {}))
    method.prepare(model, rows)
    batch = UnlearnBatch.of(model, rows, range(4))
    scored = 0

    def count(_embeddings: Any, arguments: tuple[torch.Tensor]) -> None:
        nonlocal scored
        scored += len(arguments[0]) * torch.is_grad_enabled()

    model.network.get_input_embeddings().register_forward_pre_hook(count)
    method.loss(batch)
    assert scored == 4 * method.sequences_per_row
    kept = batch.references._inputs or batch.references._hidden
    assert method.keeps_reference == bool(kept)


def test_an_examination_and_texts_take_bounded_room() -> None:
    cached, room = NEO_SHAPE.cached("float32"), 256 * 2**20
    parts = examination(NEO_SHAPE, 100, "float32")
    assert room <= total(parts) <= 2 * room
    assert parts[CACHES] % (100 * cached) == 0
    few, many = (texts(NEO_SHAPE, 8, n, 100, 50, "float32") for n in (20, 10**6))
    assert few[CACHES] == (8 + 20) * 100 * cached
    assert many[CACHES] == 8 * 100 * cached + 2**27
    assert few[LOGITS] == many[LOGITS] == 2 * 8 * 50 * 500 * 4


@pytest.mark.parametrize(("stage", "shared"), [(1, ()), (2, ("g",)), (3, ("g", "w"))])
def test_zero_shares_out_what_its_stage_says(stage: int, shared: tuple[str, ...]) -> None:
    parts = {WEIGHTS: 800, GRADIENTS: 800, OPTIMISER: 1600, ACTIVATIONS: 50}
    own = shared_by_zero(parts, stage, 4)
    assert own[OPTIMISER] == 400 + 200
    assert own[GRADIENTS] == (200 if "g" in shared else 800)
    assert own[WEIGHTS] == (200 if "w" in shared else 800)
    assert own[ACTIVATIONS] == 50


def test_the_peak_is_the_largest_phase_and_the_sum_of_its_parts() -> None:
    need = MemoryNeed({"load": {WEIGHTS: 5}, "unlearn": {WEIGHTS: 4, LOGITS: 3}})
    assert (need.peak, need.total, need.of("load"), need.of("measure")) == ("unlearn", 7, 5, 0)
    assert in_words(3_200_000_000) == "3.2 GB"


def test_token_bounds_are_those_of_a_count_by_hand() -> None:
    assert training_tokens(128, 100, 5) == sum(3 * 100 for _ in range(5) for _ in range(128))
    starts = sum(range(1, 101))
    assert examination_tokens(128, 100, 5) == 6 * 128 * (100 + 100 + starts)


@pytest.fixture
def fixed_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell whose need is known: no model has to be there to word the advice."""
    need = MemoryNeed({"unlearn": {WEIGHTS: 10**9, ACTIVATIONS: 2 * 10**9}})
    monkeypatch.setattr("unlearnbench.running.memory.advice.predict", lambda _cell: need)


def cell(**strategy) -> SimpleNamespace:
    model = SimpleNamespace(
        strategy=Strategy(**strategy),
        dtype="float32",
        device="cpu",
        requested="nowhere-to-be-found",
    )
    return SimpleNamespace(model=model, settings={"batch_size": 8}, is_trained=True, method="icu")


def test_changes_go_from_the_smallest_to_the_largest_and_are_none_that_is_made() -> None:
    flags = [flags for flags, _, _ in changes(cell())]
    assert flags[0] == "--gradient-accumulation-steps 2"
    precision = [at for at, flag in enumerate(flags) if "bf" in flag]
    assert min(precision) > flags.index("--gradient-checkpointing")
    assert max(precision) < min(at for at, flag in enumerate(flags) if "zero" in flag)
    assert flags[-1].endswith("--deepspeed zero3 on 8 devices")
    made = list(changes(cell(gradient_checkpointing=True)))
    assert all(how.gradient_checkpointing for _, how, _ in made)
    assert not any("--gradient-checkpointing" in flags for flags, _, _ in made)


def test_only_allocations_that_fail_are_advised_on() -> None:
    assert out_of_memory_advice(ValueError("shapes differ"), cell()) is None
    assert out_of_memory_advice(UserError("no such file"), cell()) is None
    assert is_out_of_memory(MemoryError())
    wrapped = UserError("cannot load the weights")
    wrapped.__cause__ = MemoryError()
    assert is_out_of_memory(wrapped)


@pytest.mark.usefixtures("fixed_need")
def test_advice_names_what_was_asked_for_and_what_is_not_tried_yet() -> None:
    problem = RuntimeError(
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096000000 bytes"
    )
    advice = out_of_memory_advice(problem, cell(gradient_accumulation_steps=4))
    assert "asking for 4.1 GB" in advice
    assert "about 3 GB (unlearn; most of it activations, 2 GB)" in advice
    assert "--gradient-accumulation-steps 8, --gradient-checkpointing" in advice
    assert "\n" not in advice
    assert out_of_memory_advice(None, cell()).startswith("killed by signal 9")


def _fail_to_allocate() -> int:
    import resource

    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2**28, now + 2**28))
    for take in (lambda: torch.empty(2**31), lambda: bytearray(2**31)):
        try:
            take()
        except (RuntimeError, MemoryError) as error:
            print(is_out_of_memory(error), type(error).__name__)
    return 0


def test_a_real_failed_allocation_is_recognised(tmp_path: Path) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("RLIMIT_AS and /proc are Linux's")
    ended = forked(tmp_path / "told", _fail_to_allocate).wait()
    assert ended.out.split() == ["True", "RuntimeError", "True", "MemoryError"], ended.err


MEASURED = """
import json, sys, torch
from types import SimpleNamespace
from transformers import GPTNeoConfig, GPTNeoForCausalLM
from unlearnbench.models.devices.meter import (
    _reset_peak_memory, can_reset_peak_memory, peak_memory_bytes
)
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.models.gpt_neo import fuse_operations
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import PAPER
from unlearnbench.registry import find
from unlearnbench.running.memory.process import keep_small
from unlearnbench.unlearning.gradient_method import steps_for
from unlearnbench.unlearning.reference import References
torch.set_num_threads(1)
keep_small(SimpleNamespace(model=SimpleNamespace(n_parameters=10**8)))
how, shape = json.loads(sys.argv[1])
can_reset = can_reset_peak_memory()
size = torch.full((16,), 100)
rows = Sequences(torch.ones(16, 100, dtype=torch.int64), size, size - 50, tuple("abcdefghijklmnop"))
forget_set = SimpleNamespace(
    rows=rows, pool=rows, protocol=PAPER, pairing="nearest", pairs=lambda: rows
)
def libraries():
    network = GPTNeoForCausalLM(GPTNeoConfig(**{**shape, "hidden_size": 32, "vocab_size": 50}))
    step(network, 1)
def step(network, n):
    fuse_operations(network)
    tokenizer = SimpleNamespace(pad_token_id=0, eos_token_id=0, bos_token_id=None)
    source = ModelSource("", "", None, "")
    model = LanguageModel(network, tokenizer, source, strategy=Strategy(**how))
    references, method = References(model, forget_set), find("methods", "icu")()
    with model.training(), steps_for(model, 1e-6) as steps:
        for _ in range(n):
            steps.losses(method.loss, forget_set, list(range(8)), torch.Generator(), references)
            steps.take()
libraries()
_reset_peak_memory()
before = peak_memory_bytes()
step(GPTNeoForCausalLM(GPTNeoConfig(**shape)), 2)  # the second has the optimiser's state
print(json.dumps([can_reset, peak_memory_bytes() - before]))
"""
LARGE = {
    "vocab_size": 20000,
    "hidden_size": 512,
    "num_layers": 4,
    "num_heads": 8,
    "attention_types": [[["global", "local"], 2]],
    "max_position_embeddings": 512,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"gradient_checkpointing": True, "gradient_accumulation_steps": 2},
    ],
    ids=["plain", "checkpointing and accumulation"],
)
def test_prediction_is_within_30_percent_of_what_a_process_takes(how: dict[str, Any]) -> None:
    if sys.platform != "linux":
        pytest.skip("the resident peak of a phase can be told apart on Linux only")
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, json.dumps([how, LARGE])],
        capture_output=True,
        text=True,
        check=True,
    )
    can_reset, measured = json.loads(done.stdout.splitlines()[-1])
    if not can_reset:
        pytest.skip("the resident peak cannot be reset here: /proc/self/clear_refs")
    shape = shape_of(GPTNeoConfig(**LARGE))
    predicted = total(training(shape, STEP, Strategy(**how), "float32", on_gpu=False))
    assert predicted == pytest.approx(measured, rel=0.3)
