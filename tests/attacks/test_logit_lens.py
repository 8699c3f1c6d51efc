"""The lens against the network's own norm and head applied by hand, and what adds up to what."""

from typing import Any

import pytest
import torch
from unlearning_fakes import forget_set, memorise, tiny_model

from unlearnbench.attacking.attack import Target
from unlearnbench.attacking.hidden_states import check_readable, layer_states, unembedded
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.scoring import predictors_of, suffix_mask
from unlearnbench.registry import find


@pytest.fixture(scope="module", params=["gpt-neo", "opt", "llama"])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    made = tiny_model(request.param)
    memorise(made, ROWS.rows, steps=8)
    return made


ROWS = forget_set(n_rows=3, lengths=(14, 12, 10))


def lens(model: LanguageModel, **settings: Any) -> list[Any]:
    target = Target(ROWS, TaskContext(ROWS, {}))
    return list(find("attacks", "logit-lens")(**settings).apply(model, target))


def test_each_layer_is_unembedded_by_the_networks_own_end(model: LanguageModel) -> None:
    points, rows = lens(model), ROWS.rows
    assert [(p.name, p.label, p.position) for p in points] == [
        ("layer=0", "layer 0", 0), ("layer=1", "layer 1", 1)
    ]  # fmt: skip
    for row, doc_id in enumerate(rows.doc_ids):
        ids = rows.input_ids[row, : int(rows.lengths[row])]
        logits = by_hand(model.network, ids)
        for point, of_layer in zip(points, logits, strict=True):
            log_p, hits = [], []
            for token in range(int(rows.n_given[row]), len(ids)):
                scores = of_layer[token - 1].double()
                log_p.append(scores[ids[token]] - torch.logsumexp(scores, 0))
                hits.append(float(scores.argmax() == ids[token]))
            scores = point.measured.scores
            expected = float(torch.stack(log_p).mean().exp())
            assert scores["probability"].documents[doc_id] == pytest.approx(expected, rel=1e-4)
            assert scores["accuracy"].documents[doc_id] == pytest.approx(sum(hits) / len(hits))
    assert all(not metric.higher_is_better for metric in points[0].measured.metrics)


@torch.no_grad()
def by_hand(network: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    """[V] logits per position, of the first layer and of the network."""
    made = network(input_ids=ids[None], output_hidden_states=True)
    first = made.hidden_states[1][0]
    if hasattr(network, "transformer"):
        ended = network.transformer.ln_f(first)
    elif hasattr(network.model, "norm"):
        ended = network.model.norm(first)
    else:
        decoder = network.model.decoder
        normed = decoder.final_layer_norm(first)
        ended = normed if decoder.project_out is None else decoder.project_out(normed)
    return [network.lm_head(ended), made.logits[0]]


@torch.no_grad()
def test_what_a_layer_adds_makes_up_the_stream(model: LanguageModel) -> None:
    positions = predictors_of(suffix_mask(ROWS.rows))
    read = {
        place: layer_states(model, ROWS.rows, positions, place)
        for place in ("residual", "attention", "mlp", "mid")
    }
    for layer in range(2):
        between = read["mid"][layer]
        assert torch.allclose(between + read["mlp"][layer], read["residual"][layer], atol=1e-5)
    before = read["residual"][0] + read["attention"][1]
    assert torch.allclose(before, read["mid"][1], atol=1e-5)
    places = [lens(model, place=place)[0].measured.scores["probability"].value for place in read]
    assert len(set(places)) == 4


@torch.no_grad()
def test_states_are_unembedded_in_pieces(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    positions = predictors_of(suffix_mask(ROWS.rows))
    states = layer_states(model, ROWS.rows, positions)[0]
    whole = torch.cat(list(unembedded(model, states)))
    monkeypatch.setattr("unlearnbench.attacking.hidden_states._BYTES_AT_ONCE", 4 * 97 * 5)
    pieces = list(unembedded(model, states))
    assert max(map(len, pieces)) == 5
    assert torch.allclose(torch.cat(pieces), whole, atol=1e-5)


def test_weights_of_16_bits_are_read() -> None:
    model, half = tiny_model("llama"), tiny_model("llama")
    half.network.bfloat16()
    for full, rough in zip(lens(model), lens(half), strict=True):
        value = full.measured.scores["probability"].value
        assert rough.measured.scores["probability"].value == pytest.approx(value, rel=0.2)


def test_a_network_without_such_a_part_is_refused() -> None:
    model = tiny_model("gpt-neo")
    del model.network.transformer.h[0].mlp
    attack = find("attacks", "logit-lens")(place="mlp")
    with pytest.raises(UserError, match="no part that is called its mlp"):
        attack.check(model, None, "0", ())
    find("attacks", "logit-lens")().check(model, None, "0", ())
    model.network.transformer.h = torch.nn.Sequential(*model.network.transformer.h)
    with pytest.raises(UserError, match="cannot be told apart"):
        attack.check(model, None, "0", ())


def test_a_network_with_a_way_round_its_last_layer_is_refused() -> None:
    model = tiny_model("gpt-neo")
    network, inner = model.network, model.network.transformer.ln_f
    inner.register_forward_pre_hook(lambda _, args: (args[0] + network.transformer.wte.weight[0],))
    check_readable(model)  # whatever the network's end does
    layer, kept = network.transformer.h[0], []
    layer.register_forward_hook(lambda _l, _a, made: kept.append(made))
    inner.register_forward_pre_hook(lambda _, args: (args[0] + 10 * first(kept[-1]),))
    with pytest.raises(UserError, match="not simply made of its last layer"):
        lens(model)


def first(made: Any) -> torch.Tensor:
    return made[0] if isinstance(made, tuple) else made
