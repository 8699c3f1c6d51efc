"""Batched replies against the library's `generate`, prompt by prompt without padding."""

from copy import deepcopy
from functools import cache

import pytest
import torch
from extraction_cases import EOS, PAD, SOURCE, VOCAB, fit, tiny_network, tiny_rows
from transformers import GenerationConfig

from unlearnbench.errors import UserError
from unlearnbench.models.generation.replies import write_replies
from unlearnbench.models.language_model import LanguageModel

LETTERS = "".join(chr(65 + i) for i in range(VOCAB))
N_PROMPTS = 8


class Letters:
    """A tokenizer of one letter per id; special tokens have no text when they are skipped."""

    eos_token_id, pad_token_id = EOS, PAD

    def __call__(self, texts, **_):
        return {"input_ids": [[LETTERS.index(c) for c in text] for text in texts]}

    def decode(self, ids, *, skip_special_tokens, clean_up_tokenization_spaces):
        assert skip_special_tokens
        assert not clean_up_tokenization_spaces
        return "".join(LETTERS[i] for i in ids if i > 2)


class Endless(Letters):
    """One without an end of sequence."""

    eos_token_id = None


@cache
def trained(architecture):
    network = tiny_network(architecture)
    fit(LanguageModel(network, Letters(), SOURCE), tiny_rows(N_PROMPTS, n_bos=0), 14, 1e-2)
    return network


def letters_model(architecture, bos):
    """A network that has begun to learn some rows by heart, and their beginnings as prompts."""
    model = LanguageModel(deepcopy(trained(architecture)), Letters(), SOURCE)
    model.__dict__["bos_token_id_to_prepend"] = bos
    rows = tiny_rows(N_PROMPTS, n_bos=0)
    return model, [model_text(ids[: 3 + 2 * i]) for i, ids in enumerate(rows.input_ids)]


def model_text(ids):
    return "".join(LETTERS[i] for i in ids.tolist())


def generated(model, prompt, new_tokens):
    """The tokens that the library's own greedy search writes after one prompt."""
    bos = model.bos_token_id_to_prepend
    ids = ([] if bos is None else [bos]) + [LETTERS.index(c) for c in prompt]
    ids = torch.tensor([ids])
    options = GenerationConfig(
        do_sample=False, max_new_tokens=new_tokens, eos_token_id=EOS, pad_token_id=PAD
    )
    written = model.network.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=options
    )[0, ids.shape[1] :].tolist()
    return written[: written.index(EOS)] if EOS in written else written


@pytest.mark.parametrize(("architecture", "bos"), [("gpt-neo", None), ("opt", 1), ("llama", 1)])
def test_equals_generate_whatever_the_batch(architecture, bos):
    model, prompts = letters_model(architecture, bos)
    tokens = [generated(model, prompt, 20) for prompt in prompts]
    expected = [Letters().decode(t, skip_special_tokens=True, clean_up_tokenization_spaces=False)
                for t in tokens]  # fmt: skip
    assert {len(t) < 20 for t in tokens} == {True, False}  # some end early, some do not
    assert len(set(expected)) > 5
    for batch_size in (1, 3, 16):
        assert write_replies(model, prompts, "no such text", 20, batch_size) == expected


def test_ends_where_the_stop_text_begins_and_writes_no_more():
    model, prompts = letters_model("gpt-neo", None)
    whole = write_replies(model, prompts, "no such text", 20)
    full_cost = model.meter.phases["other"].generated_tokens
    stop = max(whole, key=len)[4:6]
    model.meter.phases.clear()
    cut = write_replies(model, prompts, stop, 20)
    assert cut == [text.partition(stop)[0] for text in whole]
    assert cut != whole
    assert model.meter.phases["other"].generated_tokens < full_cost


def test_a_long_prompt_loses_its_beginning():
    model, _ = letters_model("llama", 1)  # 64 positions
    prompt = "".join(LETTERS[3 + i % 50] for i in range(150))
    expected = write_replies(model, [prompt[-(64 - 20 - 1) :]], "no such text", 20)
    assert write_replies(model, [prompt], "no such text", 20) == expected
    with pytest.raises(UserError, match="64 new tokens leave no room"):
        write_replies(model, [prompt], "x", 64)


def test_a_network_that_always_scores_every_column():
    model, prompts = letters_model("llama", 1)
    expected = write_replies(model, prompts, "no such text", 12)
    network = model.network
    forward = network.forward

    def plain(input_ids, past_key_values=None, use_cache=False):
        return forward(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache)

    network.forward = plain
    assert write_replies(model, prompts, "no such text", 12) == expected


def test_without_end_of_sequence_every_token_is_written():
    model, prompts = letters_model("gpt-neo", None)
    model.tokenizer = Endless()
    write_replies(model, prompts, "no such text", 9)
    assert model.meter.phases["other"].generated_tokens == 9 * len(prompts)
