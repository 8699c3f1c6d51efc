"""Pruning: scores against plain loops, choices against sets, and what is left of a network."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from unlearning_fakes import random_sequences
from weight_attacks import (
    linear_names,
    model_of,
    pair_of,
    same_bits,
    shifted,
    target_of,
    weights_at,
)

from unlearnbench.attacking.pruning import (
    gradient_scores,
    input_norms,
    lowest,
    lowest_by_output,
    set_difference,
    top,
    wanda,
)
from unlearnbench.attacking.weights import LinearWeights, as_matrix
from unlearnbench.attacks.prune import Prune
from unlearnbench.errors import UserError

SCORES = torch.tensor([[4.0, 1.0, 3.0, 2.0], [8.0, 5.0, 7.0, 6.0]])


def places(mask):
    return {tuple(place) for place in mask.nonzero().tolist()}


def test_top_and_lowest_shares_of_a_matrix_and_of_its_rows():
    assert places(top(SCORES, 0.25)) == {(1, 0), (1, 2)}
    assert places(lowest(SCORES, 0.25)) == {(0, 1), (0, 3)}
    assert places(lowest_by_output(SCORES, 0.25)) == {(0, 1), (1, 1)}
    assert int(top(torch.rand(10, 10), 0.29).sum()) == 29
    assert places(top(torch.ones(2, 3), 0.5)) == {(0, 0), (0, 1), (0, 2)}  # ties: the first
    for choose in (top, lowest, lowest_by_output):
        assert not choose(SCORES, 0).any()
        assert choose(SCORES, 1).all()


@pytest.mark.parametrize(("p", "q"), [(0.1, 0.3), (0.25, 0.25), (0.5, 0.5), (0.3, 0), (0, 0.3)])
def test_a_set_difference_is_one_of_sets(p, q):
    generator = torch.Generator().manual_seed(3)
    forget, retain = (torch.rand(9, 7, generator=generator) for _ in range(2))

    def best(scores, share):
        order = sorted(np.ndindex(9, 7), key=lambda place: -scores[place].item())
        return set(order[: math.floor(share * 63)])

    assert places(set_difference(forget, retain, p, q)) == best(forget, p) - best(retain, q)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_wanda_is_the_weight_times_the_norm_of_its_input(architecture):
    """Of each layer, row by row without padding, its input taken from a pass of its own."""
    model = model_of(architecture)
    rows = random_sequences(5, (7, 12, 9), 3, seed=8, n_bos=1)
    layers = LinearWeights.of(model).layers
    norms = input_norms(model, layers, rows, batch_size=2)
    assert norms.keys() == layers.keys()
    for name in list(layers)[::3]:
        squares = torch.zeros(as_matrix(layers[name]).shape[1], dtype=torch.double)
        seen = []
        hook = layers[name].register_forward_hook(
            lambda _, args, __, seen=seen: seen.append(args[0])
        )
        for i in range(len(rows)):
            seen.clear()
            with torch.no_grad():
                model.network(input_ids=rows.input_ids[i : i + 1, : int(rows.lengths[i])])
            for token in seen[0][0].double():
                squares += token**2
        hook.remove()
        scores = wanda(as_matrix(layers[name]), norms[name])
        for i, j in ((0, 0), (3, 5), (1, 30)):
            weight = as_matrix(layers[name])[i, j].item()
            expected = abs(weight) * math.sqrt(squares[j].item())
            assert scores[i, j].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_snip_is_the_weight_times_the_slope_of_the_loss(architecture):
    model = model_of(architecture)
    model.network.double()
    rows = random_sequences(3, (7, 10), 3, seed=8, n_bos=1)
    weights = LinearWeights.of(model)
    needed = {n: p.requires_grad for n, p in model.network.named_parameters()}
    scores = gradient_scores(model, weights, rows)
    assert {n: p.requires_grad for n, p in model.network.named_parameters()} == needed
    assert all(p.grad is None for p in model.network.parameters())

    @torch.no_grad()
    def losses():
        for i in range(len(rows)):
            ids = rows.input_ids[i : i + 1, : int(rows.lengths[i])]
            nll = -model.network(input_ids=ids).logits[0, :-1].log_softmax(-1)
            labels = ids[0, 1:, None]
            yield nll.gather(1, labels)[int(rows.n_given[i]) - 1 :].mean().item()

    name = list(weights.layers)[3]
    matrix = as_matrix(weights.layers[name])
    for i, j in ((0, 0), (2, 11)):
        middle, step = matrix[i, j].item(), 1e-3  # Llama's norm is taken in float32
        matrix[i, j] = middle + step
        above = list(losses())
        matrix[i, j] = middle - step
        below = list(losses())
        matrix[i, j] = middle
        slopes = [abs(middle * (a - b) / (2 * step)) for a, b in zip(above, below, strict=True)]
        assert scores[name][i, j].item() == pytest.approx(sum(slopes) / 3, rel=1e-3, abs=1e-9)


def test_rows_are_drawn_by_the_seed_and_keep_their_order():
    rows = random_sequences(20, (8,), 3, seed=1)
    one, again, other = (Prune(rows=5, seed=s).drawn(rows, "forget").doc_ids for s in (1, 1, 2))
    assert one == again != other
    assert len(one) == 5
    assert list(one) == sorted(one, key=rows.doc_ids.index)
    assert Prune(rows=21).drawn(rows, "forget").doc_ids == rows.doc_ids


@pytest.mark.parametrize(
    "attack",
    [
        Prune(forget_top=(0.0,), retain_top=(0.1,)),
        Prune(how="wanda", shares=(0.0,)),
        Prune(how="magnitude", shares=(0.0,)),
    ],
)
def test_a_share_of_0_changes_nothing(attack):
    original = model_of("gpt2")
    before = {name: value.clone() for name, value in original.network.state_dict().items()}
    ((point, state),) = weights_at(attack, original, target_of(original, (10, 16))).values()
    assert same_bits(state, before)
    assert point.facts == {"removed_share": 0}


@pytest.mark.parametrize("architecture", ["gpt2", "gpt-neo", "llama"])
def test_each_point_removes_from_the_unlearned_weights(architecture):
    original = model_of(architecture)
    unlearned = shifted(original)
    before = {name: value.clone() for name, value in unlearned.network.state_dict().items()}
    target = target_of(original)
    attack = Prune(how="magnitude", shares=(0.5, 0.1))
    states = weights_at(attack, unlearned, target)
    assert list(states) == ["share=0.5", "share=0.1"]
    for point, state in states.values():
        assert point.facts["removed_share"] == pytest.approx(point.position, abs=2e-3)
        for name, value in state.items():
            removed = (value != before[name]).float().mean().item()
            assert value[value == before[name]].equal(before[name][value == before[name]])
            if name not in linear_names(unlearned):
                assert removed == 0
                continue
            assert removed == pytest.approx(point.position, abs=2e-3)
            kept, gone = before[name][value != 0].abs().min(), before[name][value == 0].abs().max()
            assert gone <= kept


def test_wanda_removes_the_same_share_of_each_output():
    original = model_of("gpt2")
    states = weights_at(
        Prune(how="wanda", shares=(0.25,)), original.copied(), target_of(original, (9, 16))
    )
    ((point, state),) = states.values()
    for name in linear_names(original):
        by_output = (state[name] == 0).sum(0)  # transposed: a column is an output
        assert by_output.unique().tolist() == [state[name].shape[0] // 4]
    assert point.position == 0.25


@pytest.mark.parametrize("score", ["wanda", "snip"])
def test_a_set_difference_spares_what_retain_rows_need(score):
    original = model_of("llama")
    target = target_of(original)
    attack = Prune(forget_top=(0.1, 0.3), retain_top=(0.1, 0.3), score=score, rows=4)
    states = weights_at(attack, original.copied(), target)
    assert list(states) == ["p=0.1,q=0.1", "p=0.1,q=0.3", "p=0.3,q=0.3"]  # not p=0.3,q=0.1
    assert attack.n_points == 3
    shares = [point.facts["removed_share"] for point, _ in states.values()]
    assert 0 <= shares[1] < shares[0] < 0.1
    assert 0 < shares[2] < 0.3
    assert {point.position for point, _ in states.values()} == {None}
    # Rows that are both forgotten and kept leave nothing in the difference.
    target.forget_set.pool = target.forget_set.rows
    attack.rows = 6
    facts = [point.facts for point, _ in weights_at(attack, original.copied(), target).values()]
    assert facts == [{"removed_share": 0}] * 3


def test_the_second_network_of_a_pair_is_pruned_too():
    original = model_of("llama")
    pair = pair_of(original)
    layers = LinearWeights.of(pair).layers
    point = next(Prune(how="wanda", shares=(0.5,)).apply(pair, target_of(original)))
    assert point.facts["removed_share"] == pytest.approx(0.5, abs=1e-3)
    assert all((layer.weight == 0).float().mean() > 0.49 for layer in layers.values())


def test_mistakes_are_said_before_a_run():
    model = model_of("gpt-neo")
    source = SimpleNamespace(pool=lambda _run: [1], title=lambda _run: "mine")
    empty = SimpleNamespace(pool=lambda _run: None, title=lambda _run: "mine")

    def check(attack, source=source):
        attack.check(model, source, "0", ())

    check(Prune())
    check(Prune(how="magnitude"), empty)
    with pytest.raises(
        UserError, match=r"over those in retain_top; e\.g\. --set prune\.retain_top=0\.3"
    ):
        check(Prune(forget_top=(0.2, 0.3)))
    with pytest.raises(UserError, match="'mine' has none; give some: --pool FILE"):
        check(Prune(), empty)


def test_tokens_are_counted():
    assert Prune(rows=8).forward_tokens(4, 100) == 1200
    assert Prune(rows=8, how="wanda").forward_tokens(4, 100) == 800
    assert Prune(how="magnitude").forward_tokens(4, 100) == 0
