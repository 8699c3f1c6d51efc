"""A pair of networks, measured by every reader, against both networks' logits put together plainly.

The plain way is an ordinary network of the same kind whose forward asks two others, whole, and
combines what they say: it has no hook, and nothing that is measured shares its code.
"""

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import plain_loop
import pytest
import torch
from classification_cases import byte_model
from continuations import continue_rows
from extraction_cases import EOS, PAD, SOURCE, VOCAB, fit, tiny_network, tiny_rows
from perplexity_cases import DOCUMENTS, Letters
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GenerationConfig,
)
from transformers.cache_utils import DynamicCache

from unlearnbench.errors import UserError
from unlearnbench.metrics.extraction import extraction_scores
from unlearnbench.metrics.perplexity import cut_windows, window_nll
from unlearnbench.models.generation.behaviour import Behaviour, behaviour_of
from unlearnbench.models.generation.replies import write_replies
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.likelihoods import likelihoods
from unlearnbench.models.paired import Pair, check_pairable, decode_as_pair, suppressed_logits
from unlearnbench.models.saving import save_model
from unlearnbench.models.scoring import score_tokens, span_mask
from unlearnbench.models.sequences import Sequences
from unlearnbench.protocol import Protocol
from unlearnbench.running.checks import shapes_of

ALPHA = 1.5


def plain_network(base: Any, reinforced: Any, alpha: float = ALPHA) -> Any:
    """Of the base's class, with a forward that combines two ordinary networks' logits."""
    base, reinforced = copy.deepcopy(base), copy.deepcopy(reinforced)

    def forward(self: Any, input_ids: Tensor | None = None, **inputs: Any) -> Any:
        own, other = base(input_ids, **inputs), reinforced(input_ids, **inputs).logits
        own.logits = torch.where(
            other > own.logits, own.logits - alpha * (other - own.logits), own.logits
        )
        return own

    both = copy.copy(base)
    both.__class__ = type("Both", (type(base),), {"forward": forward})
    return both


def tiny_pair(
    architecture: str, tokenizer: Any = None, width: int = 20, alpha: float = ALPHA
) -> tuple[LanguageModel, Any, Sequences]:
    """A pair, the plain way of it, and rows that its first network knows in part."""
    tokenizer = tokenizer or SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD)
    model = LanguageModel(tiny_network(architecture), tokenizer, SOURCE)
    rows = tiny_rows(4, n_bos=int(architecture == "llama"), width=width)
    fit(model, rows, 10, 1e-2)
    behaviour_of(model)  # as loading looks at it
    reinforced = paired_with(model, rows)
    plain = plain_network(model.network, reinforced.network, alpha)
    decode_as_pair(model, reinforced, alpha)
    return model, plain, rows


def paired_with(model: LanguageModel, rows: Sequences) -> LanguageModel:
    """A copy that knows the rows better."""
    with torch.random.fork_rng():
        reinforced = model.copied()
        fit(reinforced, rows, 3, 1e-2)
    model.network.requires_grad_(False)
    return reinforced


ARCHITECTURES = ("gpt-neo", "fused gpt-neo", "opt", "llama")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_whole_network_gives_the_pairs_logits(architecture: str) -> None:
    model, plain, rows = tiny_pair(architecture)
    logits = model.logits(rows.input_ids, rows.attention_mask)
    expected = plain(rows.input_ids, attention_mask=rows.attention_mask, use_cache=False).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)
    alone = Pair.of(model.network)
    assert alone is not None
    assert not logits.allclose(alone.reinforced(rows.input_ids, use_cache=False).logits, atol=1e-2)


@pytest.mark.parametrize("architecture", ["fused gpt-neo", "llama"])
def test_extraction_is_that_of_every_start_decoded_on_its_own(architecture: str) -> None:
    model, plain, rows = tiny_pair(architecture)
    written = {}
    for row in range(len(rows)):
        end = int(rows.lengths[row])
        for start in range(rows.n_bos + 1, end):
            prompt = rows.input_ids[row, :start].tolist()
            written[row, start - rows.n_bos] = plain_loop.greedy(plain, prompt, end - start, EOS)
    for protocol in (Protocol(), Protocol(el_positions="suffix", el_denominator="reference")):
        ours = extraction_scores(model, rows, protocol, n=3, batch_size=3)
        expected = plain_loop.scores(rows, written, protocol, 3)
        assert ours.ma == pytest.approx(expected.ma, abs=1e-9)
        assert ours.el == pytest.approx(expected.el, abs=1e-9)
    assert 0 < sum(ours.ma) / len(rows) < 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("protocol", [Protocol(), Protocol(continuation="beam")])
def test_continuations_are_the_librarys_on_the_plain_network(
    architecture: str, protocol: Protocol
) -> None:
    model, plain, rows = tiny_pair(architecture)
    plain.generation_config = GenerationConfig()
    expected = []
    for row in range(len(rows)):
        ids = rows.input_ids[row : row + 1, : int(rows.n_given[row])]
        written = plain.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=GenerationConfig(
                num_beams=1 if protocol.continuation == "greedy" else 2,
                do_sample=False,
                max_new_tokens=12,
                use_cache=False,
                eos_token_id=EOS,
                pad_token_id=PAD,
            ),
        )[0, ids.shape[1] :].tolist()
        expected.append(written[: written.index(EOS)] if EOS in written else written)
    assert continue_rows(model, rows, protocol, 12, batch_size=3) == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_likelihoods_losses_and_perplexity(architecture: str) -> None:
    model, plain, rows = tiny_pair(architecture, Letters())
    model.__dict__["bos_token_id_to_prepend"] = None
    asked = [([5, 6, 7, 8, 9, 4], ending) for ending in ([7], [8, 9, 10], [9])]
    with torch.no_grad():
        for (context, ending), found in zip(asked, likelihoods(model, asked, 32, 2), strict=True):
            scores = plain_loop.row_logits(plain, [*context, *ending]).log_softmax(-1)
            own = scores[len(context) - 1 : -1].gather(1, torch.tensor(ending)[:, None])
            assert found.log_probability == pytest.approx(float(own.sum()), abs=2e-5)
        for protocol in (Protocol(), Protocol(loss_span="all", loss_reduction="mean")):
            scores = score_tokens(model, rows, span_mask(rows, protocol))
            expected = plain_loop.nll(plain, rows, rows, protocol)
            assert float(scores.nll(protocol.loss_reduction)) == pytest.approx(
                float(expected), rel=1e-5
            )
        ids = Letters()("\n\n".join(DOCUMENTS)).input_ids
        nll = []
        for window in cut_windows(ids, 16, None):
            scores = plain_loop.row_logits(plain, window).log_softmax(-1)[:-1]
            nll.append(-float(scores.gather(1, torch.tensor(window[1:])[:, None]).mean()))
    assert window_nll(model, DOCUMENTS, 16) == pytest.approx(nll, rel=1e-5)


def test_replies() -> None:
    model = byte_model()
    reinforced = LanguageModel(byte_model(seed=1).network, model.tokenizer, SOURCE)
    plain = plain_network(model.network, reinforced.network)
    decode_as_pair(model, reinforced, ALPHA)
    prompts = ["How do you do?", "Where is it", "No."]
    expected = []
    for prompt in prompts:
        ids = plain_loop.greedy(plain, model.tokenizer(prompt).input_ids, 8, 0)
        text = model.tokenizer.decode(ids, skip_special_tokens=True)
        expected.append(text.partition("\n")[0])
    assert write_replies(model, prompts, "\n", new_tokens=8) == expected


def test_the_network_stays_the_one_that_a_method_was_given() -> None:
    model, _, rows = tiny_pair("llama")
    ordinary = LanguageModel(tiny_network("llama"), model.tokenizer, SOURCE)
    assert shapes_of(model.network) == shapes_of(ordinary.network)
    assert Pair.of(ordinary.network) is None
    again = model.copied()  # both networks are copied
    own, other = Pair.of(model.network), Pair.of(again.network)
    assert own is not None
    assert other is not None
    assert own.reinforced is not other.reinforced
    torch.testing.assert_close(
        again.logits(rows.input_ids, rows.attention_mask),
        model.logits(rows.input_ids, rows.attention_mask),
        rtol=0,
        atol=0,
    )


def test_without_weight_it_is_the_base_model_bit_for_bit() -> None:
    model = LanguageModel(
        tiny_network("opt"), SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD), SOURCE
    )
    ids = torch.arange(3, 23)[None]
    before = model.network(ids).logits
    decode_as_pair(model, paired_with(model, tiny_rows(4, 0)), 0.0)
    assert model.network(ids).logits.equal(before)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_both_networks_keep_their_columns_in_one_cache(architecture: str) -> None:
    model, plain, rows = tiny_pair(architecture)
    assert behaviour_of(model) == behaviour_of(model.copied()) == Behaviour(True, False)
    cache, logits = DynamicCache(), []
    for part in rows.input_ids[:, :12].split([7, 1, 4], dim=1):
        logits.append(model.network(part, past_key_values=cache, use_cache=True).logits)
    expected = plain(rows.input_ids[:, :12], use_cache=False).logits
    torch.testing.assert_close(torch.cat(logits, dim=1), expected, rtol=0, atol=1e-5)
    assert len(cache.layers) == 2 * model.network.config.num_hidden_layers


def test_a_network_whose_outputs_depend_on_its_layers_numbers_keeps_nothing() -> None:
    def numbered(module: Any, _args: Any, output: Any) -> Any:
        return (output[0] * (1 + 0.1 * module.layer_idx), *output[1:])

    model = LanguageModel(
        tiny_network("llama"), SimpleNamespace(eos_token_id=EOS, pad_token_id=PAD), SOURCE
    )
    reinforced = model.copied()
    for layer in reinforced.network.model.layers:
        layer.self_attn.register_forward_hook(numbered)
    places = [layer.self_attn.layer_idx for layer in reinforced.network.model.layers]
    decode_as_pair(model, reinforced, ALPHA)
    assert [layer.self_attn.layer_idx for layer in reinforced.network.model.layers] == places
    assert behaviour_of(model) == Behaviour(False, False)


def test_what_goes_through_either_network_is_counted() -> None:
    model, _, rows = tiny_pair("gpt-neo")
    model.meter.phases.clear()
    model.network(rows.input_ids[:1, :5])
    assert model.meter.phases["other"].forward_tokens == 10
    with model.not_counted():
        model.network(rows.input_ids[:1, :5])
    assert model.meter.phases["other"].forward_tokens == 10


class SavedTokenizer:
    """Writes a file and is one."""

    eos_token_id, pad_token_id = EOS, PAD

    def save_pretrained(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")


def test_saved_it_is_two_whole_models_and_how_they_go_together(tmp_path: Path) -> None:
    model, _, rows = tiny_pair("llama", SavedTokenizer())
    save_model(model, tmp_path / "saved")
    assert not (tmp_path / "saved" / "config.json").exists()  # or the base would be taken for it
    how = json.loads((tmp_path / "saved" / "pair.json").read_text())
    one, other = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "saved" / how[name])(rows.input_ids).logits
        for name in ("base", "reinforced")
    )
    torch.testing.assert_close(
        suppressed_logits(one, other, how["alpha"]), model.network(rows.input_ids).logits
    )


def test_what_cannot_be_a_pair_is_refused_in_one_line() -> None:
    config = Gemma2Config(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=1.0,
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=EOS,
    )
    torch.manual_seed(0)
    capped = LanguageModel(Gemma2ForCausalLM(config), SimpleNamespace(), SOURCE)
    pair, _, _ = tiny_pair("gpt-neo")  # nor is one made a pair twice
    for model in (capped, pair):
        with pytest.raises(UserError, match="cannot be decoded as one of a pair") as refused:
            check_pairable(model)
        assert "\n" not in str(refused.value)


def test_the_published_logits(shared: Path) -> None:
    """`vectors.py`: v_base = 2 sin(.9 + 2.3 v), v_reinforced = 2 cos(.7 + 1.9 v), alpha = 1."""
    expected = json.loads((shared / "published" / "vectors.json").read_text())
    v = torch.arange(5, dtype=torch.float64)
    base, reinforced = 2 * torch.sin(0.9 + 2.3 * v), 2 * torch.cos(0.7 + 1.9 * v)
    assert suppressed_logits(base, reinforced, 1.0).tolist() == pytest.approx(
        expected["whp_logits_b0t1_alpha1"], abs=1e-9
    )
