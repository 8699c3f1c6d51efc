"""EL and MA against the plain way: one `generate` from every start position."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import plain_loop
import pytest
import torch
from extraction_cases import (
    EOS,
    PAD,
    fit,
    pile_rows,
    shared_model,
    story_rows,
    tiny_model,
)
from transformers import GenerationConfig

from unlearnbench.metrics.extraction import ExtractionScores, extraction_scores
from unlearnbench.models.generation.branches import (
    Branch,
    Lockstep,
    _chunks,
    decode_branches,
    prefill_batches,
)
from unlearnbench.models.gpt_neo import Attended, Places, reads_shared_columns
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol

PROTOCOLS = {
    "paper": Protocol(),
    "released": Protocol.named("released"),
    "paper, padding counted": Protocol(pad_tokens="count"),
    "released, padding ignored": replace(Protocol.named("released"), pad_tokens="ignore"),
    "every start, over the reference": Protocol(el_denominator="reference"),
}


# --- the plain way: no shared continuation, no shared cache, no shared code -----------------


def plain_continuations(model: LanguageModel, rows: Sequences) -> plain_loop.Written:
    """One `generate` for every start, up to the padded length; what follows is cut per protocol."""
    written: plain_loop.Written = {}
    width = rows.input_ids.shape[1]
    for column in range(rows.n_bos + 1, width):
        found = plain_generate(model, rows.input_ids[:, :column].tolist(), width - column)
        written |= {(r, column - rows.n_bos): ids for r, ids in enumerate(found)}
    return written


def plain_generate(
    model: LanguageModel, prompts: list[list[int]], new_tokens: int
) -> list[list[int]]:
    ids = torch.tensor(prompts)
    model.network.generation_config = GenerationConfig()
    eos = model.eos_token_id
    found = model.network.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        generation_config=GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=new_tokens,
            eos_token_id=eos,
            pad_token_id=model.pad_token_id,
        ),
    )[:, len(prompts[0]) :].tolist()
    return [w[: w.index(eos) + 1] if eos in w else w for w in found]


def assert_equal_to_plain(
    model: LanguageModel,
    rows: Sequences,
    protocols: Iterable[Protocol],
    n: int,
    written: plain_loop.Written | None = None,
) -> list[ExtractionScores]:
    written = plain_continuations(model, rows) if written is None else written
    scores = [extraction_scores(model, rows, protocol, n, batch_size=4) for protocol in protocols]
    for protocol, ours in zip(protocols, scores, strict=True):
        plain = plain_loop.scores(rows, written, protocol, n)
        np.testing.assert_allclose(ours.ma, plain.ma, rtol=0, atol=1e-9)
        np.testing.assert_allclose(ours.el, plain.el, rtol=0, atol=1e-9)
    return scores


# --- tests ----------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["gpt-neo", "fused gpt-neo", "opt", "llama"])
def test_equals_plain_generation_before_and_after_unlearning(architecture: str) -> None:
    model, rows = tiny_model(architecture)
    means = []
    for phase in ("before", "after"):
        if phase == "after":
            fit(model, rows, 2, 1e-3, sign=-1)
        scores = assert_equal_to_plain(model, rows, PROTOCOLS.values(), n=4)
        means.append((np.mean(scores[0].el), np.mean(scores[0].ma)))
    (el_before, ma_before), (el_after, ma_after) = means
    # The cases must not be trivial: something known, something missed, something forgotten.
    assert 0.2 < ma_after < ma_before < 0.95
    assert 0.0 < el_after < el_before


def test_other_n_grams_and_the_models_own_end_of_sequence() -> None:
    model, rows = tiny_model("opt")
    written = plain_generate(model, rows.input_ids[:, :9].tolist(), 30)
    assert any(ids[-1] == EOS and len(ids) < 30 for ids in written), "no case ends early"
    every = plain_continuations(model, rows)
    for n in (1, 10):
        assert_equal_to_plain(model, rows, [Protocol(), Protocol.named("released")], n, every)


def test_an_untrained_model_and_a_model_without_end_of_sequence() -> None:
    model, rows = tiny_model("gpt-neo", steps=25)
    model.tokenizer = SimpleNamespace(eos_token_id=None, pad_token_id=PAD)
    assert_equal_to_plain(model, rows, [Protocol(), Protocol.named("released")], n=3)


@pytest.mark.parametrize("architecture", ["fused gpt-neo", "llama"])
def test_batch_size_and_memory_change_nothing(
    architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows = tiny_model(architecture, n_rows=9)
    whole = extraction_scores(model, rows, Protocol(), 4, batch_size=32)
    monkeypatch.setattr("unlearnbench.models.generation.branches._MEMORY_BYTES", 1)
    assert extraction_scores(model, rows, Protocol(), 4, batch_size=2) == whole


def test_columns_before_the_first_branch_stay_with_their_rows() -> None:
    """A network that reads them there is given copies of the later columns alone."""
    copied = {}
    for architecture in ("gpt-neo", "fused gpt-neo"):
        model, rows = tiny_model(architecture)
        ((_, prefill),) = prefill_batches(model, rows.input_ids, 32)
        branches = [
            Branch(row, start, 5, 40) for row in range(len(rows)) for start in (20, 20, 23, 26)
        ]
        ((chunk, n_shared),) = _chunks(
            model, prefill, branches, 32, reads_shared_columns(model.network)
        )
        lockstep = Lockstep(model, prefill, branches, chunk, None, n_shared)
        copied[architecture] = lockstep.layers[0].keys.shape[2]
        plain = Lockstep(model, prefill, branches, chunk, None, 0)
        decoded = decode_branches(model, prefill, branches)
        assert lockstep.run() == plain.run() == [decoded[b] for b in chunk]
        few = [Branch(0, 20, 5, 40)]
        assert [n for _, n in _chunks(model, prefill, few, 32, shares_columns=True)] == [0]
    assert copied == {"gpt-neo": 40, "fused gpt-neo": 20}


def test_branches_of_a_row_stand_side_by_side() -> None:
    rows = torch.tensor([2, 0, 2, 2, 0])
    places = Places.of(rows, n_rows=4)
    assert (places.n_rows, places.most) == (4, 3)
    values = torch.arange(5.0).view(5, 1, 1, 1)
    spread = places.by_row(values)
    assert spread[:, 0, :, 0].tolist() == [[1, 4, 0], [0, 0, 0], [0, 2, 3], [0, 0, 0]]
    assert torch.equal(places.by_branch(spread), values)
    assert torch.equal(places.first(3).by_row(values[:3])[2, 0, :, 0], torch.tensor([0.0, 2, 0]))


@pytest.mark.parametrize("looked_at", ["all", "some", "only the second part"])
def test_attention_to_two_parts_is_one_softmax_over_both(looked_at: str) -> None:
    draw = torch.Generator().manual_seed(0)
    scores = 30 * torch.randn(5, 2, 1, 7, generator=draw)
    values = torch.randn(5, 2, 7, 3, generator=draw)
    mask = None if looked_at == "all" else torch.arange(7) >= (2 if looked_at == "some" else 4)
    seen = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
    first, second = (None, None) if mask is None else mask.split([4, 3])
    before = Attended.of(scores[..., :4], values[..., :4, :], first)
    own = Attended.of(scores[..., 4:], values[..., 4:, :], second)
    expected = seen.double().softmax(-1) @ values.double()
    torch.testing.assert_close(own.with_others(before).double(), expected, rtol=1e-5, atol=1e-6)


def test_rows_too_short_have_no_extraction_likelihood() -> None:
    model, rows = tiny_model("gpt-neo")
    short = rows.select([3])  # nine tokens
    assert extraction_scores(model, short, Protocol(), n=9).el == [0.0]
    assert extraction_scores(model, short, Protocol(), n=8).el != []


def test_misses_are_decoded_once_and_matches_are_free() -> None:
    model, rows = tiny_model("gpt-neo", n_rows=4)
    model.meter.phases.clear()
    with model.meter.phase("ours"):
        extraction_scores(model, rows, Protocol(), n=4)
    with model.meter.phase("plain"):
        plain_continuations(model, rows)
    ours, plain = model.meter.phases["ours"], model.meter.phases["plain"]
    assert rows.input_ids.numel() <= ours.forward_tokens < plain.forward_tokens / 4
    assert ours.generated_tokens > 0


def test_real_rows_on_gpt_neo(shared: Path) -> None:
    model = shared_model(shared / "models" / "pile-neo")
    rows = pile_rows(shared, 3, 26)
    known = assert_equal_to_plain(model, rows, PROTOCOLS.values(), n=5)[0]
    assert np.mean(known.ma) > 0.6
    assert np.mean(known.el) > 0.1
    fit(model, rows, 3, 3e-4, sign=-1)
    after = assert_equal_to_plain(model, rows, PROTOCOLS.values(), n=5)[0]
    assert np.mean(after.ma) < np.mean(known.ma)


@pytest.mark.slow
def test_real_text_on_llama_with_bos(shared: Path) -> None:
    model = shared_model(shared / "models" / "stories260K")
    rows = story_rows(model, 2, 30)
    known = assert_equal_to_plain(model, rows, PROTOCOLS.values(), n=3)[0]
    assert np.mean(known.ma) > 0.3
    fit(model, rows, 2, 1e-4, sign=-1)
    after = assert_equal_to_plain(model, rows, PROTOCOLS.values(), n=3)[0]
    assert np.mean(after.ma) < np.mean(known.ma)


@pytest.mark.slow
@pytest.mark.parametrize("width", [100, 200])
def test_whole_real_rows(shared: Path, width: int) -> None:
    model = shared_model(shared / "models" / "pile-neo")
    rows = pile_rows(shared, 6, width)
    assert_equal_to_plain(model, rows, PROTOCOLS.values(), n=10)
    fit(model, rows, 4, 1e-4, sign=-1)
    assert_equal_to_plain(model, rows, PROTOCOLS.values(), n=10)
