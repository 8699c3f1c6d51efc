"""Direction ablation: the direction against plain linear algebra, the hooks in every reader."""

import copy
from functools import partial
from types import SimpleNamespace

import numpy as np
import plain_loop
import pytest
import torch
from architectures import build
from classification_cases import byte_model
from continuations import continue_rows
from extraction_cases import EOS, PAD, SOURCE, fit, tiny_network, tiny_rows
from scipy.stats import zscore
from unlearning_fakes import random_sequences, tiny_model
from weight_attacks import pair_of, shifted, target_of

from unlearnbench.attacking.directions import (
    ablated,
    direction_between,
    mean_l1_distances,
    outliers,
    prefix_tokens,
    residual_states,
    without,
)
from unlearnbench.attacks.direction import Direction
from unlearnbench.errors import UserError
from unlearnbench.metrics.extraction import extraction_scores
from unlearnbench.metrics.perplexity import window_nll
from unlearnbench.models.generation.replies import write_replies
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.likelihoods import likelihoods
from unlearnbench.models.network_state import acts_by_weights_alone
from unlearnbench.models.scoring import decoder_layers, layers_of, score_tokens, span_mask
from unlearnbench.protocol import Protocol


def logits_of(model, ids=None):
    ids = torch.arange(3, 15)[None] if ids is None else ids
    with torch.no_grad():
        return model.network(input_ids=ids, use_cache=False).logits


# Which tokens.


def test_first_tokens_are_skipped_and_half_of_a_short_prefix():
    rows = random_sequences(3, (16,), 8, seed=1, n_bos=1)
    rows.n_given[:] = torch.tensor([9, 4, 1])  # prefixes of 8, 3 and no tokens, behind a BOS
    chosen = prefix_tokens(rows, skipped=2, most=99)
    assert [row.nonzero()[:, 0].tolist() for row in chosen] == [[3, 4, 5, 6, 7, 8], [2, 3], []]
    chosen = prefix_tokens(rows, skipped=40, most=99)
    assert [row.nonzero()[:, 0].tolist() for row in chosen] == [[5, 6, 7, 8], [2, 3], []]
    assert [row.sum().item() for row in prefix_tokens(rows, skipped=40, most=3)] == [2, 1, 0]


def test_outliers_are_far_from_all_others():
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(50, 6, generator=generator)
    states[7] += 9
    states[8] = states[9]  # equal ones
    distances = torch.cdist(states.double(), states.double(), p=1).mean(0)
    torch.testing.assert_close(mean_l1_distances(states), distances)
    assert outliers(states, 3).tolist() == (zscore(distances.numpy(), ddof=1) > 3).tolist()
    assert outliers(states, 3).nonzero().tolist() == [[7]]
    assert outliers(states[:1], 3).tolist() == [False]
    assert not outliers(torch.ones(5, 3), 3).any()


# The direction.


def test_the_direction_of_the_means_and_the_principal_axis():
    generator = torch.Generator().manual_seed(2)
    original = torch.randn(60, 5, generator=generator)
    unlearned = original + torch.randn(60, 5, generator=generator) * torch.arange(1, 6) + 0.5
    original[3] = unlearned[3] = 99.0  # an outlier
    kept = [i for i in range(60) if i != 3]
    differences = (unlearned - original).double().numpy()[kept]
    mean = differences.mean(0) / np.linalg.norm(differences.mean(0))
    found = direction_between(unlearned, original, "mean", 3)
    np.testing.assert_allclose(found, mean, atol=1e-6)
    axis = np.linalg.svd(differences)[2][0]
    found = direction_between(unlearned, original, "pca", 3)
    assert abs(np.dot(found, axis)) == pytest.approx(1, abs=1e-6)
    assert float(found.norm()) == pytest.approx(1)


@pytest.mark.parametrize("how", ["mean", "pca"])
def test_equal_models_have_no_direction(how):
    states = torch.randn(9, 4)
    assert direction_between(states, states, how, 3) is None
    assert direction_between(states * (1 + 1e-8), states, how, 3) is None


def test_a_state_loses_its_part_along_the_direction():
    axis = torch.tensor([0.6, 0.8, 0])
    states = torch.tensor([[5.0, 0, 7], [0.6, 0.8, 0], [0.8, -0.6, 1]])
    expected = torch.tensor([[5 - 1.8, -2.4, 7], [0, 0, 0], [0.8, -0.6, 1]])
    torch.testing.assert_close(without(states, axis, 1), expected)
    torch.testing.assert_close(without(states, axis, 0.5), (states + expected) / 2)
    assert without(states.bfloat16(), axis, 1).dtype == torch.bfloat16


def test_states_are_those_of_the_tokens_asked_for():
    model = tiny_model("llama")
    rows = random_sequences(5, (16, 12), 6, seed=3, n_bos=1)
    tokens = prefix_tokens(rows, skipped=1, most=99)
    (states,) = residual_states(model, rows, tokens, [0, 1], batch_size=2)
    assert acts_by_weights_alone(model.network)  # the hooks are gone
    with torch.no_grad():
        whole = model.network(
            input_ids=rows.input_ids, attention_mask=rows.attention_mask, output_hidden_states=True
        ).hidden_states
    torch.testing.assert_close(states[0], whole[1][tokens])
    assert states[1].shape == states[0].shape


# The attack.


def steered(original, direction, layer=0):
    """What RMU does in the simplest way: an OPT layer adds a direction to every state."""
    model = original.copied()
    with torch.no_grad():
        decoder_layers(model)[layer].fc2.bias += 5 * direction
    return model


def test_a_direction_that_was_added_is_found_and_taken_out():
    original = tiny_model("opt")
    added = torch.nn.functional.normalize(torch.randn(32), dim=0)
    unlearned = steered(original, added)
    attack = Direction(layers=(0,), skip=2)
    target = target_of(original)
    (found,) = attack._directions(unlearned, target)
    torch.testing.assert_close(found[0], added, atol=1e-5, rtol=0)
    seen = []
    points = attack.apply(unlearned, target)
    point = next(points)
    assert point.facts == {"ablated_layers": 1}
    hook = decoder_layers(unlearned)[1].register_forward_pre_hook(lambda _, args: seen.append(args))
    logits_of(unlearned)
    hook.remove()
    assert (seen[0][0] @ added).abs().max() < 1e-4
    assert next(points, None) is None
    assert acts_by_weights_alone(unlearned.network)  # the hooks are gone


@pytest.mark.parametrize("how", ["mean", "pca"])
def test_the_model_before_unlearning_is_left_as_it_is(how):
    original = tiny_model("gpt-neo")
    same = original.copied()
    (point,) = Direction(how=how).apply(same, target_of(original))
    assert point.facts == {"ablated_layers": 0}
    assert acts_by_weights_alone(same.network)
    assert logits_of(same).equal(logits_of(original))


def test_a_strength_of_0_is_the_identity():
    original = tiny_model("llama")
    unlearned = shifted(original)
    before = logits_of(unlearned)
    attack = Direction(strengths=(0.0, 1.0, 0.0))
    assert attack.n_points == 2
    points = attack.apply(unlearned, target_of(original))
    assert next(points).name == "strength=0"
    assert acts_by_weights_alone(unlearned.network)
    assert logits_of(unlearned).equal(before)
    assert next(points).facts == {"ablated_layers": 2}
    assert not logits_of(unlearned).equal(before)


def test_both_networks_of_a_pair_are_looked_at():
    original = tiny_model("llama")
    pair = pair_of(original)
    base, reinforced = Direction()._directions(pair, target_of(original))
    assert base == {}  # it is the original
    assert list(reinforced) == [0, 1]
    before = logits_of(pair)
    with ablated(pair, [base, reinforced], 1):
        assert not logits_of(pair).equal(before)
    assert logits_of(pair).equal(before)


# Everything that measures sees the network without the directions.


AXES = torch.nn.functional.normalize(
    torch.randn(2, 32, generator=torch.Generator().manual_seed(9)), dim=1
)


def plain_network(network):
    """A copy whose layers' own forwards project: no hook, and none of the attack's code."""
    copied = copy.deepcopy(network)
    for layer, axis in zip(layers_of(copied), AXES, strict=True):
        layer.forward = partial(projected, layer.forward, torch.eye(32) - torch.outer(axis, axis))
    return copied


def projected(forward, projection, *args, **kwargs):
    made = forward(*args, **kwargs)
    return (made[0] @ projection, *made[1:]) if isinstance(made, tuple) else made @ projection


def readers(architecture):
    """A model and rows that it half knows."""
    network = build("gpt2") if architecture == "gpt2" else tiny_network(architecture)
    tokenizer = SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD)
    model = LanguageModel(network, tokenizer, SOURCE)
    rows = tiny_rows(2, n_bos=int(architecture == "llama"), width=11)
    fit(model, rows, 8, 1e-2)
    model.network.requires_grad_(False)
    return model, rows


@pytest.mark.parametrize("architecture", ["gpt-neo", "fused gpt-neo", "llama", "opt", "gpt2"])
def test_every_reader_meets_the_network_without_the_directions(architecture):
    model, rows = readers(architecture)
    plain, protocol = plain_network(model.network), Protocol()
    untouched = score_tokens(model, rows, span_mask(rows, protocol)).nll("mean")
    with ablated(model, [dict(enumerate(AXES))], 1):
        nll = score_tokens(model, rows, span_mask(rows, protocol)).nll(protocol.loss_reduction)
        written = continue_rows(model, rows, protocol, 5, batch_size=2)
        (likely,) = likelihoods(model, [([5, 6, 7, 8], [9, 4])], 32, 2)
    expected = plain_loop.nll(plain, rows, rows, protocol)
    assert float(nll) == pytest.approx(float(expected), rel=1e-5)
    assert abs(float(expected) - float(untouched)) > 0.01
    for row, own in enumerate(written):
        prompt = rows.input_ids[row, : int(rows.n_given[row])].tolist()
        ids = plain_loop.greedy(plain, prompt, 5, EOS)
        assert own == (ids[:-1] if ids[-1] == EOS else ids)
    with torch.no_grad():
        scores = plain_loop.row_logits(plain, [5, 6, 7, 8, 9, 4]).log_softmax(-1)
    ending = scores[3, 9] + scores[4, 4]
    assert likely.log_probability == pytest.approx(float(ending), abs=2e-5)


@pytest.mark.parametrize("architecture", ["fused gpt-neo", "llama"])
def test_so_does_extraction(architecture):
    model, rows = readers(architecture)
    plain, protocol = plain_network(model.network), Protocol()
    with ablated(model, [dict(enumerate(AXES))], 1):
        extracted = extraction_scores(model, rows, protocol, n=3, batch_size=2)
    starts = {
        (row, start - rows.n_bos): plain_loop.greedy(
            plain, rows.input_ids[row, :start].tolist(), int(rows.lengths[row]) - start, EOS
        )
        for row in range(len(rows))
        for start in range(rows.n_bos + 1, int(rows.lengths[row]))
    }
    by_start = plain_loop.scores(rows, starts, protocol, 3)
    assert extracted.ma == pytest.approx(by_start.ma, abs=1e-9)
    assert extracted.el == pytest.approx(by_start.el, abs=1e-9)


def test_replies_and_perplexity():
    model = byte_model()
    plain = plain_network(model.network)
    prompt = "How do you do?"
    ids = model.tokenizer(prompt).input_ids
    with ablated(model, [dict(enumerate(AXES))], 1):
        replies = write_replies(model, [prompt], "\n", new_tokens=6)
        nll = window_nll(model, [prompt], 64)
    text = model.tokenizer.decode(plain_loop.greedy(plain, ids, 6, 0), skip_special_tokens=True)
    assert replies == [text.partition("\n")[0]]
    with torch.no_grad():
        scores = plain_loop.row_logits(plain, ids).log_softmax(-1)[:-1]
    expected = -float(scores.gather(1, torch.tensor(ids[1:])[:, None]).mean())
    assert nll == pytest.approx([expected], rel=1e-5)


# Mistakes.


def test_mistakes():
    model = tiny_model("gpt-neo")
    Direction(layers=(1,)).check(model, None, "0", ())
    with pytest.raises(UserError, match=r"tiny has 2 layers, 0 to 1; e\.g\. --set direction"):
        Direction(layers=(0, 2)).check(model, None, "0", ())
    target = target_of(model)
    target.forget_set.rows.n_given[:] = 0
    with pytest.raises(UserError, match="gives the model no prefix in any row"):
        next(Direction().apply(model, target))
