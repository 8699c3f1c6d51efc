"""Noise in place of an update: its norm matrix by matrix, what it leaves, pairs and adapters."""

from types import SimpleNamespace

import pytest
import torch
from unlearning_fakes import MaExaminer, forget_set, tiny_model
from weight_attacks import pair_of, same_bits, shifted

from unlearnbench.data.stop_line import StopLine
from unlearnbench.models.paired import networks_of
from unlearnbench.registry import find
from unlearnbench.running import noise as noise_of_rows
from unlearnbench.unlearning.noise import Noise, noise_of_norm

NEVER = StopLine(el=-1.0, ma=-1.0)


def weights(network):
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def norms(network, original):
    return {
        n: float((p.double() - original[n].double()).norm()) for n, p in weights(network).items()
    }


def test_the_noise_of_each_matrix_is_as_large_as_its_update():
    model = tiny_model()
    original, unlearned = weights(model.network), shifted(model).network
    before = norms(unlearned, original)
    was = weights(unlearned)
    Noise(scale=1.0).replace_updates((unlearned,), original, 42)
    for name, norm in norms(unlearned, original).items():
        assert norm == pytest.approx(before[name], rel=1e-4)
        update, noise = (of[name] - original[name] for of in (was, weights(unlearned)))
        if update.numel() > 500:  # it points elsewhere
            cosine = torch.nn.functional.cosine_similarity(update.flatten(), noise.flatten(), dim=0)
            assert abs(float(cosine)) < 0.2


def test_scale_and_seed():
    model = tiny_model()
    original = weights(model.network)
    made = []
    for scale, seed in ((1.0, 42), (1.0, 42), (1.0, 43), (3.0, 42), (0.0, 42)):
        network = shifted(model).network
        Noise(scale=scale).replace_updates((network,), original, seed)
        made.append(network)
    same, again, other, larger, none = (m.state_dict() for m in made)
    assert same_bits(same, again)
    assert not same_bits(same, other)
    assert same_bits(none, model.network.state_dict())
    name = "transformer.wte.weight"
    ratio = (larger[name] - original[name]).norm() / (same[name] - original[name]).norm()
    assert float(ratio) == pytest.approx(3.0, rel=1e-4)


def test_draws_are_gaussian_and_as_long_as_asked():
    random = torch.Generator().manual_seed(1)
    noise = noise_of_norm(20.0, (200, 200), random)
    assert float(noise.norm()) == pytest.approx(20.0)
    scaled = noise.flatten() / noise.std()
    assert float((scaled.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.01)
    assert float((scaled**4).mean()) == pytest.approx(3.0, abs=0.15)
    assert not noise_of_norm(0.0, (3,), random).any()


def test_what_was_not_trained_stays_bit_for_bit():
    """RMU trains a few matrices; adapters, once merged, change those that have one."""
    for name, settings in (
        ("rmu", {"layer": 1}),
        ("npo+lora", {"lora_target_modules": ("q_proj",)}),
    ):
        model = tiny_model("llama")
        original = weights(model.network)
        method = find("methods", name)(learning_rate=1e-2, batch_size=3, max_epochs=1, **settings)
        method.unlearn(model, forget_set(), MaExaminer(NEVER))
        changed = {n for n, norm in norms(model.network, original).items() if norm}
        assert 0 < len(changed) < len(original)
        Noise().replace_updates((model.network,), original, 42)
        assert {n for n, norm in norms(model.network, original).items() if norm} == changed
        if name == "npo+lora":  # the update has rank 8 at most, its noise all of it
            noise = weights(model.network)["model.layers.0.self_attn.q_proj.weight"]
            noise = noise - original["model.layers.0.self_attn.q_proj.weight"]
            assert int(torch.linalg.matrix_rank(noise)) > 8


def test_a_pair_stays_a_pair_whose_second_network_is_random():
    model = tiny_model("llama")
    original, pair = weights(model.network), pair_of(model)
    base, reinforced = networks_of(pair)
    before = norms(reinforced, original)
    Noise().replace_updates(networks_of(pair), original, 42)
    assert same_bits(weights(base), original)
    assert norms(reinforced, original) == pytest.approx(before, rel=1e-4)
    assert networks_of(pair) == (base, reinforced)


def test_of_a_kept_model_the_start_is_held_once_and_not_on_the_device(monkeypatch):
    start = tiny_model()
    unlearned, seen = shifted(start), []
    before = {n: p.data_ptr() for n, p in start.network.named_parameters()}
    original = weights(start.network)
    own = weights(unlearned.network)
    monkeypatch.setattr(noise_of_rows, "kept_model", lambda _: "folder")
    monkeypatch.setattr(noise_of_rows, "load_kept", lambda *_: unlearned)

    def replaced(self, networks, start_weights, seed):
        seen.append({n: (t.data_ptr(), t.device.type) for n, t in start_weights.items()})
        return replace_updates(self, networks, start_weights, seed)

    replace_updates = Noise.replace_updates
    monkeypatch.setattr(Noise, "replace_updates", replaced)
    cell = SimpleNamespace(noise=SimpleNamespace(settings={}), seed=42, models=None)
    made = noise_of_rows.put_noise(cell, start, forget_set(), SimpleNamespace(forget=lambda: None))
    assert seen == [{name: (place, "cpu") for name, place in before.items()}]  # no copy of it
    for name, norm in norms(made.network, original).items():
        assert norm == pytest.approx(float((own[name] - original[name]).norm()), rel=1e-4)
