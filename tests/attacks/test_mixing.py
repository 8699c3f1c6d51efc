"""Mixing: its ends bit for bit, what lies between by arithmetic."""

import pytest
import torch
from weight_attacks import model_of, pair_of, same_bits, shifted, target_of, weights_at

from unlearnbench.attacking.weights import mix_weights
from unlearnbench.attacks.mixing import Mixing
from unlearnbench.errors import UserError


@pytest.mark.parametrize("architecture", ["gpt-neo", "llama"])
def test_its_ends_are_the_two_models_bit_for_bit(architecture):
    original = model_of(architecture)
    unlearned = shifted(original)
    with torch.no_grad():  # of a zero's two signs neither may get lost
        next(original.network.parameters())[0, :4] = torch.tensor([0.0, -0.0, -0.0, 1.0])
        next(unlearned.network.parameters())[0, :4] = torch.tensor([-0.0, 0.0, -0.0, -0.0])
    before = {name: value.clone() for name, value in unlearned.network.state_dict().items()}
    attack = Mixing(alphas=(1.0, 0.25, 0.0, 0.25))
    states = weights_at(attack, unlearned, target_of(original))
    assert list(states) == ["alpha=1", "alpha=0.25", "alpha=0"]
    assert attack.n_points == 3
    assert [point.position for point, _ in states.values()] == [1.0, 0.25, 0.0]
    assert same_bits(states["alpha=0"][1], before)
    assert same_bits(states["alpha=1"][1], original.network.state_dict())
    for name, mixed in states["alpha=0.25"][1].items():
        expected = 0.75 * before[name].double() + 0.25 * original.network.state_dict()[name]
        torch.testing.assert_close(mixed.double(), expected, rtol=1e-6, atol=1e-7)


def test_a_pair_goes_back_to_the_original():
    original = model_of("llama")
    pair = pair_of(original)
    tokens = torch.arange(3, 12)[None]
    logits = original.network(input_ids=tokens, use_cache=False).logits
    assert not pair.network(input_ids=tokens, use_cache=False).logits.equal(logits)
    points = Mixing(alphas=(0.0, 1.0)).apply(pair, target_of(original))
    next(points)
    assert not pair.network(input_ids=tokens, use_cache=False).logits.equal(logits)
    next(points)
    assert pair.network(input_ids=tokens, use_cache=False).logits.equal(logits)


def test_networks_of_other_weights_are_refused():
    one, other = model_of("gpt-neo").network, model_of("llama").network
    with pytest.raises(UserError, match=r"no weight transformer\.wte\.weight of that shape"):
        mix_weights(one, dict(one.named_parameters()), other, 0.5)
