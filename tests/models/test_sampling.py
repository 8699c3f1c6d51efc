"""Samples against a plain loop that reads every prompt anew for every token."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from architectures import language_model
from extraction_cases import EOS, tiny_model
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from unlearnbench.models.generation import room
from unlearnbench.models.generation.behaviour import behaviour_of
from unlearnbench.models.generation.branches import continue_rows
from unlearnbench.models.generation.replies import prefill_prompts
from unlearnbench.models.generation.sampling import (
    Sampling,
    draw_samples,
    drawn_tokens,
    token_weights,
)

HOW = Sampling(n=5, new_tokens=9, temperature=0.9)


def uniforms(place: int, how: Sampling = HOW) -> torch.Tensor:
    """[n, T] of a prompt's own."""
    own = torch.Generator().manual_seed(100 + place)
    return torch.rand((how.n, how.new_tokens), generator=own, dtype=torch.float64)


def prompts_of(rows, n: int = 4) -> list[list[int]]:
    """The beginnings of rows, of unequal lengths."""
    return [rows.input_ids[i, : rows.n_bos + 6 + 2 * i].tolist() for i in range(n)]


@torch.no_grad()
def plain_samples(model, prompt, numbers, how, ends=()) -> list[list[int]]:
    """All of a prompt's samples, from the start for each token, by the library's distribution in
    float64."""
    ids = torch.tensor([prompt] * len(numbers))
    for step in numbers.T.numpy():
        scores = model.network(ids).logits[:, -1].double()
        scores = TemperatureLogitsWarper(how.temperature)(None, scores)
        if how.top_p < 1:
            scores = TopPLogitsWarper(how.top_p)(None, scores)
        summed = scores.softmax(-1).numpy().cumsum(-1)
        tokens = [
            np.searchsorted(own, u, side="right") for own, u in zip(summed, step, strict=True)
        ]
        ids = torch.cat([ids, torch.tensor(np.array(tokens))[:, None]], dim=1)
    over = (model.eos_token_id, *ends)
    written = ids[:, len(prompt) :].tolist()
    return [list(itertools.takewhile(lambda token: token not in over, own)) for own in written]


@pytest.mark.parametrize(
    ("architecture", "top_p"),
    [("gpt-neo", 1.0), ("fused gpt-neo", 0.8), ("opt", 1.0), ("llama", 0.8)],
)
def test_samples_are_those_of_a_plain_loop(architecture, top_p) -> None:
    model, rows = tiny_model(architecture, n_rows=4, steps=4)
    prompts, how = prompts_of(rows), replace(HOW, top_p=top_p)
    found = dict(draw_samples(model, prompts, how, uniforms))
    for place, prompt in enumerate(prompts):
        assert found[place] == plain_samples(model, prompt, uniforms(place), how)
    lengths = {len(ids) for samples in found.values() for ids in samples}
    assert how.new_tokens in lengths
    assert min(lengths) < how.new_tokens  # some end early


def test_a_network_without_columns_draws_the_same_way() -> None:
    model = language_model("mamba")
    assert not behaviour_of(model).keeps_columns
    prompts = [[5, 9, 30], [7, 8, 9, 10, 11]]
    found = dict(draw_samples(model, prompts, HOW, uniforms))
    for place, prompt in enumerate(prompts):
        assert found[place] == plain_samples(model, prompt, uniforms(place), HOW)
    ends = (found[0][0][3], found[1][2][1])  # of a turn, in the middle of what is written
    found = dict(draw_samples(model, prompts, HOW, uniforms, ends))
    for place, prompt in enumerate(prompts):
        assert found[place] == plain_samples(model, prompt, uniforms(place), HOW, ends)


@pytest.fixture(scope="module")
def fused():
    return tiny_model("fused gpt-neo", n_rows=4, steps=4)


def test_other_tokens_may_end_a_sample(fused) -> None:
    model, rows = fused
    prompts, ends = prompts_of(rows), tuple(range(20, 40))
    found = dict(draw_samples(model, prompts, HOW, uniforms, ends))
    for place, prompt in enumerate(prompts):
        assert found[place] == plain_samples(model, prompt, uniforms(place), HOW, ends)


def test_what_is_drawn_hangs_on_neither_batch_nor_number(fused, monkeypatch) -> None:
    model, rows = fused
    prompts = prompts_of(rows)
    together = dict(draw_samples(model, prompts, HOW, uniforms))
    for place, prompt in enumerate(prompts):
        alone = list(draw_samples(model, [prompt], HOW, lambda _, own=place: uniforms(own)))
        assert alone == [(0, together[place])]
    more = replace(HOW, n=8)
    found = dict(draw_samples(model, prompts, more, lambda place: uniforms(place, more)))
    assert all(found[place][: HOW.n] == together[place] for place in found)
    monkeypatch.setattr(room, "_KEPT_BYTES", 1)
    assert dict(draw_samples(model, prompts, HOW, uniforms)) == together


def test_a_prompt_goes_through_the_network_once(fused) -> None:
    model, rows = fused
    model.meter.phases.clear()
    tokenizer, model.tokenizer = (
        model.tokenizer,
        type(model.tokenizer)(eos_token_id=None, pad_token_id=EOS),
    )
    prompts = [prompt[:5] for prompt in prompts_of(rows, 3)]
    prompts = [[*prompt, 3, 4][:5] for prompt in prompts]
    found = dict(draw_samples(model, prompts, HOW, uniforms))
    model.tokenizer = tokenizer
    spent = model.meter.phases["other"]
    assert {len(ids) for samples in found.values() for ids in samples} == {HOW.new_tokens}
    # The last token of a sample is read by nobody.
    assert spent.forward_tokens == 3 * 5 + 3 * HOW.n * (HOW.new_tokens - 1)
    assert spent.generated_tokens == 3 * HOW.n * HOW.new_tokens


def test_cold_samples_are_the_greedy_continuation(fused) -> None:
    model, rows = fused
    prompts, cold = prompts_of(rows), replace(HOW, temperature=1e-30)
    prefill, _ = prefill_prompts(model, prompts)
    best = continue_rows(model, prefill, list(map(len, prompts)), HOW.new_tokens)
    for place, samples in draw_samples(model, prompts, cold, uniforms):
        assert all(ids == [t for t in best[place] if t != EOS] for ids in samples)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_the_nucleus_is_the_librarys(top_p, dtype) -> None:
    """But for tokens as probable as the last one in it, which stay as well."""
    logits = (3 * torch.randn(40, 300, generator=torch.Generator().manual_seed(1))).to(dtype)
    scores = TemperatureLogitsWarper(0.7)(None, logits.float())
    theirs = TopPLogitsWarper(top_p)(None, scores).softmax(-1)
    weights = token_weights(logits, 0.7, top_p)
    last = scores.masked_fill(theirs == 0, torch.inf).amin(-1, keepdim=True)
    tied = (theirs == 0) & (scores == last)
    assert torch.equal(weights > 0, (theirs > 0) | tied)
    if dtype == torch.float32:
        assert not tied.any()
        assert torch.allclose(weights / weights.sum(-1, keepdim=True), theirs, rtol=1e-5)


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    weights = torch.tensor([[0.0, 3.0, 0.0, 1.0, 1e-9, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    numbers = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    tokens = drawn_tokens(weights, numbers.expand(2, -1))
    assert torch.bincount(tokens[0], minlength=6).tolist() == [0, 3000, 0, 1000, 0, 0]
    assert torch.bincount(tokens[1], minlength=6).tolist() == [2000, 0, 0, 0, 0, 2000]


def test_the_outermost_numbers_draw_tokens_that_have_a_weight() -> None:
    weights = torch.tensor([[0.0, 0.3, 0.1, 0.0]])
    edge = torch.tensor([[0.0, 1 - 2**-53]], dtype=torch.float64)
    assert drawn_tokens(weights, edge).tolist() == [[1, 2]]
    broken = torch.full((1, 4), torch.nan)
    assert int(drawn_tokens(broken, edge).max()) < 4  # a destroyed model's scores are no numbers
