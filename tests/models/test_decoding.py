"""Continuations against the library's `generate`, row by row without padding."""

from types import SimpleNamespace

import pytest
import torch
from continuations import continue_rows
from extraction_cases import EOS, PAD, tiny_model
from transformers import GenerationConfig

from unlearnbench.errors import UserError
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol

GREEDY, BEAM = Protocol(), Protocol(continuation="beam")


def uneven(rows):
    """The same rows with as many given tokens as the row's number says."""
    given = torch.tensor([rows.n_bos + 4 + 2 * i for i in range(len(rows))])
    return Sequences(rows.input_ids, rows.lengths, given, rows.doc_ids, rows.n_bos)


def generated(model, rows, new_tokens, beams):
    """One `generate` per row, end of sequence and what follows cut off."""
    found = []
    own, model.network.generation_config = model.network.generation_config, GenerationConfig()
    for row in range(len(rows)):
        ids = rows.input_ids[row : row + 1, : int(rows.n_given[row])]
        written = model.network.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(
                num_beams=beams,
                do_sample=False,
                max_new_tokens=new_tokens,
                eos_token_id=model.eos_token_id,
                pad_token_id=PAD,
            ),
        )[0, ids.shape[1] :].tolist()
        found.append(written[: written.index(EOS)] if EOS in written else written)
    model.network.generation_config = own
    return found


@pytest.mark.parametrize("architecture", ["gpt-neo", "fused gpt-neo", "opt", "llama"])
@pytest.mark.parametrize(("protocol", "beams"), [(GREEDY, 1), (BEAM, 2)])
def test_equals_generate_for_prompts_of_unequal_lengths(architecture, protocol, beams):
    model, rows = tiny_model(architecture)
    rows = uneven(rows)
    expected = generated(model, rows, 25, beams)
    assert {len(ids) < 25 for ids in expected} == {True, False}  # some end early, some do not
    assert continue_rows(model, rows, protocol, 25, batch_size=4) == expected


@pytest.mark.parametrize("architecture", ["gpt-neo", "fused gpt-neo", "opt", "llama"])
@pytest.mark.parametrize(("protocol", "beams"), [(GREEDY, 1), (BEAM, 2)])
def test_in_bfloat16_only_what_rounding_cannot_tell_apart_differs(architecture, protocol, beams):
    """A cache and a batch round otherwise, and a score has eight bits: some tokens are tied."""
    model, rows = tiny_model(architecture)
    model.network.to(torch.bfloat16)
    rows = uneven(rows)
    plain = generated(model, rows, 25, beams)
    shared = continue_rows(model, rows, protocol, 25, batch_size=4)
    differ = [row for row in range(len(rows)) if shared[row] != plain[row]]
    assert len(differ) <= 2
    for row in differ:
        given = rows.input_ids[row, : int(rows.n_given[row])].tolist()
        worse, better = sorted(step_scores(model, given, ids) for ids in (shared[row], plain[row]))
        assert better - worse < 0.02


@torch.no_grad()
def step_scores(model, given, continuation):
    """Mean log-probability of a continuation's tokens, its end of sequence included."""
    ids = [*continuation, EOS][:25]
    logits = model.network(torch.tensor([[*given, *ids]])).logits[0].double()
    scores = logits[len(given) - 1 : -1].log_softmax(-1)
    return float(scores[range(len(ids)), ids].mean())


def test_the_models_own_generation_defaults_do_not_matter():
    model, rows = tiny_model("gpt-neo")
    for protocol in (GREEDY, BEAM):
        expected = continue_rows(model, rows, protocol, 12)
        model.network.generation_config = GenerationConfig(
            do_sample=True, temperature=5.0, top_k=3, repetition_penalty=9.0, max_length=3
        )
        assert continue_rows(model, rows, protocol, 12) == expected
        assert model.network.generation_config.temperature == 5.0  # and they are left alone


def test_generated_tokens_are_counted_with_their_end():
    model, rows = tiny_model("opt")
    ids = continue_rows(model, rows, GREEDY, 25)
    expected = sum(len(i) + (len(i) < 25) for i in ids)
    assert model.meter.phases["other"].generated_tokens == expected


def test_a_model_without_end_of_sequence_writes_all_tokens():
    model, rows = tiny_model("opt")
    model.tokenizer = SimpleNamespace(eos_token_id=None, pad_token_id=PAD)
    for protocol in (GREEDY, BEAM):
        assert {len(ids) for ids in continue_rows(model, rows, protocol, 20)} == {20}


def test_what_does_not_fit_is_refused():
    model, rows = tiny_model("llama")
    with pytest.raises(UserError, match="do not fit the 64"):
        continue_rows(model, rows, GREEDY, 60)
    nothing = Sequences(
        rows.input_ids, rows.lengths, torch.zeros(len(rows), dtype=torch.long), rows.doc_ids
    )
    with pytest.raises(UserError, match="without given tokens"):
        continue_rows(model, nothing, GREEDY, 5)


def test_nothing_is_said_on_the_way(capfd, caplog):
    model, rows = tiny_model("gpt-neo")
    capfd.readouterr()
    for protocol in (GREEDY, BEAM):
        continue_rows(model, rows, protocol, 5)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records
