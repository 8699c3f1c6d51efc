"""A model in a GGUF file is the network that was written into it, converted once and kept."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from tiny import cli
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from unlearnbench.errors import UserError
from unlearnbench.models import gguf as under_test
from unlearnbench.models import hub
from unlearnbench.models.loading import load_model, model_facts
from unlearnbench.models.source import weights_sha256

gguf = pytest.importorskip("gguf", reason="gguf is not installed: pip install 'unlearnbench[gguf]'")

HEADS, KEY_HEADS = 4, 2
BEGINNINGS = sorted({word[:2] for word in tiny.WORDS})
MERGES = [f"{two[0]} {two[1]}" for two in BEGINNINGS] + [f"{w[:2]} {w[2]}" for w in tiny.WORDS]
TOKENS = ["<|end|>", "<|begin|>", "Ġ", *map(chr, range(97, 123)), *BEGINNINGS, *tiny.WORDS]
TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def network() -> LlamaForCausalLM:
    """A Llama of two layers with weights from a seed, embeddings and head tied."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(TOKENS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def write(
    path: Path,
    network: LlamaForCausalLM,
    template: str = TEMPLATE,
    kind: str = "llama",
    more: dict[str, np.ndarray] | None = None,
    without: str = "",
    n_layers: int = 2,
    n_parts: int = 1,
) -> Path:
    """The network in a GGUF file, as the format's own converter lays a Llama out."""
    config = network.config
    writer = gguf.GGUFWriter(path, kind)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(n_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3] + [1] * (len(TOKENS) - 2))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    if n_parts > 1:
        writer.add_uint16("split.count", n_parts)
    for name, values in {**tensors(network), **(more or {})}.items():
        if name != without:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(network: LlamaForCausalLM) -> dict[str, np.ndarray]:
    """By the format's names; rotary halves of each head stand interleaved there."""

    def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
        halves = weight.reshape(heads, 2, -1, weight.shape[1])
        return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))

    body = network.model
    found = {
        "token_embd.weight": body.embed_tokens.weight,
        "output_norm.weight": body.norm.weight,
    }
    for i, layer in enumerate(body.layers):
        attention, mlp = layer.self_attn, layer.mlp
        parts = {
            "attn_norm": layer.input_layernorm,
            "attn_q": attention.q_proj,
            "attn_k": attention.k_proj,
            "attn_v": attention.v_proj,
            "attn_output": attention.o_proj,
            "ffn_norm": layer.post_attention_layernorm,
            "ffn_gate": mlp.gate_proj,
            "ffn_up": mlp.up_proj,
            "ffn_down": mlp.down_proj,
        }
        found |= {f"blk.{i}.{name}.weight": part.weight for name, part in parts.items()}
    values = {name: tensor.detach().numpy() for name, tensor in found.items()}
    for i in range(len(body.layers)):
        for name, heads in (("attn_q", HEADS), ("attn_k", KEY_HEADS)):
            key = f"blk.{i}.{name}.weight"
            values[key] = interleaved(values[key], heads)
    return values


def test_its_logits_are_those_of_the_network_that_was_written(tmp_path, network):
    path = write(tmp_path / "m.gguf", network)
    with pytest.warns(UserWarning, match=r"m\.gguf: its weights are kept as float32"):
        model = load_model(str(path), device="cpu")
    ids = torch.randint(2, len(TOKENS), (3, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(model.network(ids).logits, network(ids).logits)
    assert model.network.config.tie_word_embeddings
    assert model.network.lm_head.weight is model.network.model.embed_tokens.weight
    assert (model.source.name, model.source.location) == ("m.gguf", "m.gguf")
    facts = model_facts(str(path))
    assert facts is not None
    assert facts.source == model.source
    assert facts.n_parameters == model.n_parameters


def test_its_tokenizer_is_the_file_s(tmp_path, network):
    path = write(tmp_path / "m.gguf", network)
    with pytest.warns(UserWarning, match="kept"):
        model = load_model(str(path), device="cpu")
    text = " ".join(tiny.WORDS[:3])
    assert model.tokenizer.convert_ids_to_tokens(model.tokenizer(text)["input_ids"]) == [
        *(tiny.WORDS[0], "Ġ", tiny.WORDS[1], "Ġ", tiny.WORDS[2])
    ]
    assert (model.tokenizer.eos_token, model.tokenizer.bos_token) == ("<|end|>", "<|begin|>")
    assert model.bos_token_id_to_prepend is None, "the file says that no text starts with one"
    chat = [{"role": "user", "content": "hello"}]
    assert model.tokenizer.apply_chat_template(chat, tokenize=False) == "user: hello"


def test_it_is_converted_once_whatever_its_place_and_again_where_damaged(tmp_path, network, cache):
    first, second = tmp_path / "a" / "m.gguf", tmp_path / "b" / "m.gguf"
    for path in (first, second):
        path.parent.mkdir()
        write(path, network)
    with pytest.warns(UserWarning, match="kept"):
        folder = under_test.gguf_folder(first)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert under_test.gguf_folder(second) == folder
    before = weights_sha256(folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.warns(UserWarning, match="kept"):
        assert under_test.gguf_folder(first) == folder
    assert weights_sha256(folder) == before
    assert not list((cache / "gguf").glob("*.tmp")), "nothing half written is left"


def test_another_content_is_another_model(tmp_path, network):
    plain = write(tmp_path / "a.gguf", network)
    other = write(tmp_path / "b.gguf", network, template=TEMPLATE.replace(": ", " - "))
    with pytest.warns(UserWarning, match="kept"):
        facts = [model_facts(str(path)) for path in (plain, other)]
    assert facts[0] is not None
    assert facts[1] is not None
    assert facts[0].source.weights_sha256 != facts[1].source.weights_sha256


NAN = np.full((32,), np.nan, dtype=np.float32)
WRONG = {
    "one of 3 parts": {"n_parts": 3},
    "declares 100000 layers": {"n_layers": 100_000},
    r"does not fill 1 tensors of a LlamaForCausalLM \(model.layers.1.mlp.up": {
        "without": "blk.1.ffn_up.weight"
    },
    r"takes 4 fewer \(not rope_freqs.weight\)": {
        "more": {"rope_freqs.weight": np.ones(4, dtype=np.float32)}
    },
    r"hold NaN or infinity \(model.norm.weight\)": {"more": {"output_norm.weight": NAN}},
    "is not supported": {"kind": "bert"},
    "no causal language model": {"kind": "t5"},
}


@pytest.mark.parametrize("told", WRONG)
def test_a_file_that_is_no_whole_causal_model_is_refused_in_one_line(
    told, tmp_path, network, cache
):
    path = write(tmp_path / "m.gguf", network, **WRONG[told])
    with pytest.raises(UserError, match=told) as refused:
        model_facts(str(path))
    assert "\n" not in str(refused.value)
    assert "m.gguf" in str(refused.value)
    assert not list((cache / "gguf").glob("*.sha256"))


@pytest.mark.parametrize("n_bytes", [3, 40, 3000, -100])
def test_a_file_cut_short_is_refused_in_one_line(n_bytes, tmp_path, network):
    path = write(tmp_path / "m.gguf", network)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(UserError, match="download it again") as refused:
        model_facts(str(path))
    assert "\n" not in str(refused.value)


def test_what_is_missing_is_told(tmp_path, network, monkeypatch):
    with pytest.raises(UserError, match=r"no GGUF file at .*owner/m.gguf: give an existing one"):
        model_facts("owner/m.gguf")
    path = write(tmp_path / "m.gguf", network)
    monkeypatch.setattr(under_test, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'unlearnbench\[gguf\]'"):
        model_facts(str(path))


def test_a_cache_that_cannot_be_written_is_told(tmp_path, network, monkeypatch):
    path = write(tmp_path / "m.gguf", network)
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="set UNLEARNBENCH_CACHE to another folder"):
        model_facts(str(path))


def test_a_repository_of_gguf_files_is_told_to_name_one():
    class Api:
        def list_repo_files(self, hub_id):
            return ["README.md", "b.gguf", "a.gguf"]

        def get_repo_discussions(self, hub_id, discussion_type):
            return []

    with pytest.raises(UserError, match=r"hf download o/m a.gguf .* --model DIR/a.gguf"):
        hub._revision_with_safetensors(Api(), "o/m")


def test_a_run_of_one_goes_through(tmp_path, network):
    world = tiny.build(tmp_path / "tiny")
    path = write(tmp_path / "m.gguf", network)
    out = tmp_path / "out"
    with tiny.at_home(world):
        more = ("--references", "none", "--tasks", "forgetting", "--save-models")
        more += ("--until", "epochs")  # at random weights nothing is known, which ends it at once
        given = world.options(out, *more, methods="kumpr")
        given[given.index("--model") + 1] = str(path)
        status, shown, told = cli(*given)
    assert status == 0, told
    assert "m.gguf" in shown
    [kept] = (out / "models").iterdir()  # saved as a plain folder, which transformers reads
    unlearned = AutoModelForCausalLM.from_pretrained(kept)
    assert unlearned.config.to_dict().get("quantization_config") is None
    after = unlearned.state_dict()["model.layers.0.mlp.up_proj.weight"]
    before = network.state_dict()["model.layers.0.mlp.up_proj.weight"]
    assert 0 < float((after - before).abs().max()) < 0.1
    assert AutoTokenizer.from_pretrained(kept).chat_template == TEMPLATE
    assert load_model(str(kept), device="cpu").bos_token_id_to_prepend is None, "as in the file"
    stored = next((out / "cells").glob("*.json")).read_text()
    assert '"location":"m.gguf"' in stored.replace(" ", "")
    assert str(tmp_path / "tiny" / "cache") not in stored, "where it was found is nobody's business"
