"""Models that are damaged or half copied: one line, exit status 2, and nothing lost."""

import json
import os
import shutil
import struct
from pathlib import Path

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from tiny import cli

from unlearnbench.errors import UserError
from unlearnbench.models.loading import load_model, model_facts

EMBEDDINGS, QUERIES = "transformer.wte.weight", "transformer.h.0.attn.attention.q_proj"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    """The files of a run; the cache and the plugins that runs load are gone afterwards."""
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


@pytest.fixture(scope="module")
def measured(world, tmp_path_factory):
    """A folder with the results of the undamaged model."""
    out = tmp_path_factory.mktemp("measured")
    status, _, told = cli(*options(world, world.folder / "model", out))
    assert status == 0, told
    return out


@pytest.fixture
def model(world, tmp_path):
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(world.folder / "model", tmp_path / "model"))


def options(world, model, out):
    """One method's quickest run of a model."""
    given = world.options(out, "--jobs", "0", "--references", "none", methods="kumpr")
    given[given.index("--model") + 1] = str(model)
    given[given.index("--max-epochs") + 1] = "1"
    return given


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(world, model, out):
    """What is said of a model before anything runs; the results that there were are untouched."""
    before = contents(out)
    status, shown, told = cli(*options(world, model, out))
    assert (status, shown) == (2, ""), told
    assert told.count("\n") == 1, told
    assert told.startswith("unlearnbench: error: ")
    assert "Traceback" not in told
    assert contents(out) == before
    return told


def cut(name, n_bytes):
    """Keep the first bytes of a file, or all but the last with a negative number."""

    def damage(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:n_bytes])

    return damage


def written(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def configured(name="config.json", **changes):
    def damage(folder):
        known = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(known | changes))

    return damage


def without(field):
    def damage(folder):
        known = json.loads((folder / "config.json").read_text())
        del known[field]
        (folder / "config.json").write_text(json.dumps(known))

    return damage


def indexed(*names, rename=None):
    """An index that names these files; the weights are moved away or to one of the names."""

    def damage(folder):
        if rename:
            (folder / WEIGHTS).rename(folder / rename)
        places = {f"tensor{i}": name for i, name in enumerate(names)}
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))

    return damage


def huge_header(folder):
    """A header that claims to be longer than any file."""
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", 1 << 60) + data[8:])


def shifted(folder):
    """A header whose tensors lie behind the end of the file."""
    data = (folder / WEIGHTS).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    last = max((n for n in header if n != "__metadata__"), key=lambda n: header[n]["data_offsets"])
    header[last]["shape"][0] *= 1000
    header[last]["data_offsets"][1] += 1 << 40
    text = json.dumps(header).encode()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def dangling(name):
    def damage(folder):
        (folder / name).unlink()
        (folder / name).symlink_to(folder.parent / "blobs" / "gone")

    return damage


def foreign_vocabulary(folder):
    """A tokenizer of a larger vocabulary than the model's."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary["foreign"] = 50256
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


def with_tensors(**by_name):
    """More tensors in the file, each made of the embeddings."""

    def damage(folder):
        tensors = load_file(folder / WEIGHTS)
        made = {name: make(tensors[EMBEDDINGS]) for name, make in by_name.items()}
        save_file(tensors | made, folder / WEIGHTS, metadata={"format": "pt"})

    return damage


FAULTS = {
    "a LoRA saved unmerged": (
        with_tensors(**{f"{QUERIES}.lora_A.weight": lambda e: e[:4].clone(), "x": torch.clone}),
        f"but 2 ({QUERIES}.lora_A.weight, x); copy the config.json",
    ),
    "a bias that no layer has": (
        with_tensors(**{f"{QUERIES}.bias": lambda e: e[0].clone()}),
        f"takes all tensors in {{folder}} but 1 ({QUERIES}.bias)",
    ),
    "a layer too few": (
        configured(
            num_layers=1,
            attention_types=[[["global"], 1]],
            attention_layers=["global"],
        ),
        "but 13 (transformer.h.1.",
    ),
    "a head of its own that is tied": (
        with_tensors(**{"lm_head.weight": lambda e: e + 1}),
        "ties lm_head.weight to transformer.wte.weight (tie_word_embeddings)",
    ),
    "weights empty": (written(WEIGHTS, b""), "model.safetensors is damaged"),
    "weights cut in the header": (cut(WEIGHTS, 100), "model.safetensors is damaged"),
    "weights cut in the data": (cut(WEIGHTS, -10), "not fully covered"),
    "weights with more behind": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes() + b"x"),
        "model.safetensors is damaged",
    ),
    "weights are garbage": (written(WEIGHTS, b"garbage" * 99), "model.safetensors is damaged"),
    "weights with a huge header": (huge_header, "model.safetensors is damaged"),
    "weights beyond the file": (shifted, "model.safetensors is damaged"),
    "weights are gone": (dangling(WEIGHTS), "links to weights that are gone"),
    "a shard is missing": (
        indexed("model-1.safetensors", "model-2.safetensors", rename="model-1.safetensors"),
        "1 of 2 files of its index are missing (model-2.safetensors)",
    ),
    "an index leads out": (indexed("../x.safetensors"), "names '../x.safetensors'"),
    "an index leads to the root": (indexed("/etc/x.safetensors"), "names '/etc/x.safetensors'"),
    "an index names a pickle": (indexed("pytorch_model.bin"), "names 'pytorch_model.bin'"),
    "an index names no file": (indexed(), "it names no file"),
    "an index of numbers": (indexed(3), "names '3'"),
    "an index is no JSON": (written(INDEX, b"{"), "has no weight_map"),
    "an index is a list": (written(INDEX, b"[]"), "has no weight_map"),
    "configuration cut": (cut("config.json", -30), "config.json: it is no JSON"),
    "configuration empty": (written("config.json", b""), "config.json: it is no JSON"),
    "configuration in bytes": (written("config.json", b"\xff\x00"), "config.json: it is no JSON"),
    "configuration too deep": (written("config.json", b"[" * 99_999), "config.json: it is no JSON"),
    "configuration is a list": (written("config.json", b"[]"), "it holds no JSON object"),
    "configuration of text": (configured(hidden_size="wide"), "cannot read"),
    "configuration of minus one": (configured(vocab_size=-1), "negative dimension"),
    "configuration without a type": (without("model_type"), "model_type"),
    "another architecture": (configured(model_type="never-heard-of"), "never-heard-of"),
    "no causal language model": (
        configured(architectures=["BertForMaskedLM"]),
        "no causal language model",
    ),
    "a number for an architecture": (configured(architectures=[3]), "no causal language model"),
    "a smaller vocabulary": (configured(vocab_size=50), "do not fit its config.json"),
    "a huge vocabulary": (configured(vocab_size=10**14), "do not fit its config.json"),
    "a huge width": (configured(hidden_size=2**40), "size calculation overflowed"),
    "a million layers": (
        configured(
            model_type="llama", architectures=[], intermediate_size=8, num_hidden_layers=10**6
        ),
        "declares 1000000 layers",
    ),
    "layers that contradict": (configured(num_layers=3), "config.json: "),
    "a layer too many": (
        configured(
            num_layers=4,
            attention_types=[[["global", "local"], 2]],
            attention_layers=["global", "local"] * 2,
        ),
        "lack 26 parameters of its config.json (transformer.h.2.",
    ),
    "weights named elsewhere": (
        configured(transformers_weights="adapter_model.bin"),
        "transformers_weights",
    ),
    "an adapter": (written("adapter_config.json", b"{}"), "holds an adapter"),
    "tokenizer cut": (cut("tokenizer.json", -50), "no tokenizer can be read"),
    "tokenizer empty": (written("tokenizer.json", b""), "no tokenizer can be read"),
    "tokenizer is garbage": (written("tokenizer.json", b"\x00" * 99), "no tokenizer can be read"),
    "tokenizer of nothing": (written("tokenizer.json", b"{}"), "no tokenizer can be read"),
    "tokenizer of another model": (
        foreign_vocabulary,
        "'foreign' has id 50256 and the model knows ids 0 to 96",
    ),
    "tokenizer's settings cut": (cut("tokenizer_config.json", 9), "no tokenizer can be read"),
    "tokenizer's settings a list": (
        written("tokenizer_config.json", b"[]"),
        "no tokenizer can be read",
    ),
    "tokenizer gone": (dangling("tokenizer.json"), "no tokenizer can be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_model_is_told_before_anything_runs(fault, world, measured, model):
    damage, said = FAULTS[fault]
    damage(model)
    assert said.format(folder=model) in refused(world, model, measured)


HARMLESS = {
    "masks and their fill values": {
        "transformer.h.0.attn.attention.bias": lambda _: torch.ones(1, 1, 8, 8).tril(),
        "transformer.h.0.attn.attention.masked_bias": lambda _: torch.tensor(-1e9),
    },
    "rotary tables": {"transformer.h.0.attn.rotary_emb.inv_freq": lambda e: e[0].clone()},
    "a copy of the tied head": {"lm_head.weight": torch.clone},
}


@pytest.mark.parametrize("tensors", HARMLESS)
def test_tensors_that_change_no_value_are_taken(tensors, model):
    plain = model_facts(str(model)).n_parameters
    with_tensors(**HARMLESS[tensors])(model)
    assert model_facts(str(model)).n_parameters == plain
    assert load_model(str(model)).n_parameters == plain


def test_a_pickled_head_of_its_own_that_is_tied_is_refused_at_loading(model):
    with_tensors(**{"lm_head.weight": lambda e: e + 1})(model)
    torch.save(load_file(model / WEIGHTS), model / "pytorch_model.bin")
    (model / WEIGHTS).unlink()
    with pytest.raises(UserError, match=r"ties lm_head.weight to transformer.wte.weight"):
        load_model(str(model), allow_pickle=True)


def test_an_adapter_alone_is_called_one(world, measured, model):
    (model / "config.json").unlink()
    (model / "adapter_config.json").write_text('{"base_model_name_or_path": "some/base"}')
    assert "holds an adapter of some/base" in refused(world, model, measured)


@pytest.mark.parametrize("has_config", [False, True])
def test_a_folder_with_a_gguf_file_is_told_to_name_it(has_config, world, measured, model):
    (model / WEIGHTS).rename(model / "m.gguf")
    if not has_config:
        (model / "config.json").unlink()
    assert f"name the GGUF file in it: --model {model / 'm.gguf'}" in refused(
        world, model, measured
    )


def test_a_file_that_only_ends_with_gguf_is_told(world, measured, tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"PK")
    assert "m.gguf is no GGUF file" in refused(world, tmp_path / "m.gguf", measured)


def test_a_file_is_no_model_folder(world, measured, tmp_path):
    (tmp_path / "model").write_text("a file")
    assert "it is a file" in refused(world, tmp_path / "model", measured)


@pytest.mark.parametrize("name", ["", WEIGHTS, "config.json", "tokenizer.json"])
def test_what_one_may_not_read_is_told(name, world, measured, model):
    (model / name).chmod(0)
    if os.access(model / name, os.R_OK):
        pytest.skip("this user may read everything")
    try:
        assert "ermission denied" in refused(world, model, measured)
    finally:
        (model / name).chmod(0o700)


@pytest.mark.parametrize("name", [WEIGHTS, "config.json"])
def test_a_cached_model_whose_blobs_are_gone_is_told(
    name, world, measured, model, tmp_path, monkeypatch
):
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "cache" / "models--some--neo"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(model, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (snapshot / name).unlink(missing_ok=True)
    (snapshot / name).symlink_to(f"../../blobs/{'0' * 64}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    told = refused(world, "some/neo", measured)
    assert ("hf download some/neo" if name == WEIGHTS else "No such file") in told


def test_what_is_not_needed_may_be_missing(world, model, tmp_path):
    (model / "generation_config.json").unlink()
    status, _, told = cli(*options(world, model, tmp_path / "out"))
    assert status == 0, told


@pytest.mark.parametrize("wrong", ["nan", "inf"])
def test_weights_that_are_no_numbers_fail_the_cell_and_nothing_else(
    wrong, world, measured, model, tmp_path
):
    from safetensors.torch import load_file, save_file

    weights = load_file(model / WEIGHTS)
    weights["transformer.h.1.mlp.c_fc.weight"][3, 5] = float(wrong)
    save_file(weights, model / WEIGHTS, metadata={"format": "pt"})
    out = Path(shutil.copytree(measured, tmp_path / "out"))
    before = contents(out / "cells")
    status, _, told = cli(*options(world, model, out))
    assert status == 1
    assert "hold NaN or infinity (transformer.h.1.mlp.c_fc.weight)" in told
    after = contents(out / "cells")
    assert len(after) == len(before) + 2  # a header and its documents
    assert before.items() <= after.items()
