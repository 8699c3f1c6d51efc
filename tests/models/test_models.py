"""Models: names, identity, loading, what a tokenizer puts in front, and every way it goes wrong."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import (
    AutoModelForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    PreTrainedTokenizerFast,
)

from unlearnbench.errors import UserError
from unlearnbench.experiments import model_choice
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.metrics.perplexity import window_nll
from unlearnbench.models import hub
from unlearnbench.models.aliases import aliases
from unlearnbench.models.loading import ModelFacts, load_model, model_facts
from unlearnbench.models.side_models import find_side_model
from unlearnbench.models.source import weights_sha256
from unlearnbench.models.vocabulary import (
    ByteLevelText,
    bos_token_id_to_prepend,
    encode_continuations,
    encode_starts,
    uses_gpt2_vocabulary,
)


def byte_tokenizer(**special: str) -> PreTrainedTokenizerFast:
    """256 bytes and one end-of-text token: every text encodes, and decodes to itself."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<|endoftext|>": 0} | {token: i + 1 for i, token in enumerate(alphabet)}
    tokenizer = Tokenizer(BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"} | special
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-Neo in float16, with its tokenizer, as save_pretrained writes it."""
    folder = tmp_path_factory.mktemp("models") / "tiny-neo"
    torch.manual_seed(0)
    config = GPTNeoConfig(
        vocab_size=257,
        hidden_size=16,
        num_layers=2,
        num_heads=2,
        attention_types=[[["global", "local"], 1]],
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=0,
    )
    GPTNeoForCausalLM(config).half().save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    """The tiny model in a folder that a test may damage."""
    return Path(shutil.copytree(saved, tmp_path / "tiny-neo"))


def known(name: str, revision: str | None = None) -> ModelFacts:
    """What is known of a model that is here."""
    facts = model_facts(name, revision)
    assert facts is not None
    return facts


def test_auto_is_float32_for_a_large_model_on_a_gpu_too(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = replace(known(str(saved)), n_parameters=2_700_000_000)
    monkeypatch.setattr("unlearnbench.models.loading.model_facts", lambda *_: large)
    monkeypatch.setattr(model_choice, "choose_device", lambda _: ("cuda", "cuda some GPU"))
    for asked, dtype in (("auto", "float32"), ("bfloat16", "bfloat16")):
        wanted = Experiment.parse({"dtype": asked})
        assert model_choice.choose_model(wanted, str(saved)).dtype == dtype


def test_half_precision_weights_are_widened_on_the_cpu(saved: Path) -> None:
    model = load_model(str(saved), device="cpu")
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    assert not model.network.training
    assert load_model(str(saved), device="cpu", dtype="bfloat16").network.dtype == torch.bfloat16


def test_identity_without_loading_is_the_loaded_model_s(saved: Path) -> None:
    model = load_model(str(saved), device="cpu")
    assert model.source.name == model.source.location == "tiny-neo"
    assert model.source.revision is None, "a plain folder has no commit"
    facts = model_facts(str(saved))
    assert facts is not None
    assert facts.source == model.source
    assert facts.n_parameters == model.n_parameters
    assert (facts.architecture, facts.keeps_columns) == ("GPTNeoForCausalLM", True)


def test_weights_hash_is_over_names_and_bytes_and_ignores_notes(copy: Path) -> None:
    names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    lines = [f"{n} {hashlib.sha256((copy / n).read_bytes()).hexdigest()}" for n in names]
    joined = "\n".join(lines).encode()
    expected = hashlib.sha256(len(joined).to_bytes(8, "little") + joined).hexdigest()
    assert weights_sha256(copy) == expected
    (copy / "README.md").write_text("a note")
    assert weights_sha256(copy) == expected
    damaged = bytearray((copy / "model.safetensors").read_bytes())
    damaged[-1] ^= 1
    (copy / "model.safetensors").write_bytes(damaged)
    assert weights_sha256(copy) != expected


def test_weights_hash_covers_a_bert_vocabulary_and_a_sentence_encoders_modules(copy: Path) -> None:
    seen = {weights_sha256(copy)}
    (copy / "1_Pooling").mkdir()
    (copy / "2_Dense").mkdir()
    parts = ("vocab.txt", "modules.json", "1_Pooling/config.json", "2_Dense/model.safetensors")
    for part in parts:
        for content in ("one", "two"):
            (copy / part).write_text(content)
            seen.add(weights_sha256(copy))
    assert len(seen) == 1 + 2 * len(parts)
    for note in ("learning_rates.json", "recipe.json", "training_log.jsonl"):
        (copy / note).write_text("{}")
        assert weights_sha256(copy) in seen


def test_weights_hash_knows_which_module_a_file_belongs_to(copy: Path) -> None:
    hashes = []
    for first, second in (("a", "b"), ("b", "a")):
        for folder, text in (("1_Pooling", first), ("2_Dense", second)):
            (copy / folder).mkdir(exist_ok=True)
            (copy / folder / "config.json").write_text(text)
        hashes.append(weights_sha256(copy))
    assert hashes[0] != hashes[1]


def test_published_aliases_and_their_reference_rows() -> None:
    known = aliases()
    assert known["neo-1.3b"].hub_id == "EleutherAI/gpt-neo-1.3B"
    assert known["opt-2.7b"].hub_id == "facebook/opt-2.7b"
    assert known["neo-2.7b"].references["dedup"] == "opt-2.7b"
    assert known["neo-125m"].family == "NEO"
    for alias in known.values():
        assert alias.description.endswith(".")
        assert alias.licence
        assert set(alias.references.values()) <= set(known)


def test_listing_aliases_loads_no_torch() -> None:
    code = (
        "import sys; from unlearnbench.models.aliases import aliases\n"
        "aliases(); print('torch' in sys.modules)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("offline", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_a_model_that_cannot_be_fetched_is_told(offline: str, tmp_path: Path) -> None:
    # A proxy nobody listens at stands for a machine without a network.
    environment = os.environ | {
        "HF_HUB_OFFLINE": offline,
        "HF_HOME": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    code = (
        "from unlearnbench.errors import UserError\n"
        "from unlearnbench.models.loading import load_model\n"
        "try: load_model('neo-125m')\n"
        "except UserError as error: print(error)"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    message = shown.stdout.strip()
    assert "hf download EleutherAI/gpt-neo-125m" in message
    assert "--model nano-neo" in message
    assert "\n" not in message


def _remove(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _only_pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])


def _not_causal(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForMaskedLM"]}))


def _a_layer_too_few(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["attention_layers"] *= 2
    more = {"num_layers": 4, "attention_types": [[["global", "local"], 2]]}
    (folder / "config.json").write_text(json.dumps(config | more))


def _contradictory(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_layers": 3}))


def _bad_index(folder: Path) -> None:
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_remove("config.json"), "no config.json"),
        (_remove("model.safetensors"), "no complete safetensors"),
        (_bad_index, "no complete safetensors"),
        (_only_pickled, "only pickled weights"),
        (_cut_short, "cannot load the weights"),
        (_not_causal, "no causal language model"),
        (_a_layer_too_few, "lack"),
        (_contradictory, "cannot read .*config.json"),
        (_remove("tokenizer.json"), "no tokenizer"),
    ],
)
def test_a_damaged_folder_is_one_line(damage: Any, said: str, copy: Path) -> None:
    damage(copy)
    with pytest.raises(UserError, match=said) as caught:
        load_model(str(copy), device="cpu")
    assert "\n" not in str(caught.value)


def test_names_that_are_nothing(saved: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'neo-125m'"):
        load_model("neo-125")
    with pytest.raises(UserError, match="no model folder at"):
        load_model("./nowhere")
    with pytest.raises(UserError, match="device 'cuda:99' is not available"):
        load_model(str(saved), device="cuda:99")


class FakeHub:
    """What the hub's client answers for a repository."""

    def __init__(self, files: list[str], discussions: list[Any]) -> None:
        self.files, self.discussions = files, discussions

    def list_repo_files(self, _hub_id: str) -> list[str]:
        return self.files

    def get_repo_discussions(self, _hub_id: str, discussion_type: str) -> list[Any]:
        assert discussion_type == "pull_request"
        return self.discussions


def test_the_hub_s_own_conversion_is_taken_where_main_has_only_pickles() -> None:
    somebody = SimpleNamespace(author="somebody", git_reference="refs/pr/1")
    bot = SimpleNamespace(author="SFconvertbot", git_reference="refs/pr/7")
    pickled = FakeHub(["pytorch_model.bin"], [somebody, bot])
    assert hub._revision_with_safetensors(pickled, "a/b") == "refs/pr/7"  # type: ignore[arg-type]
    safe = FakeHub(["model.safetensors", "pytorch_model.bin"], [bot])
    assert hub._revision_with_safetensors(safe, "a/b") == "main"  # type: ignore[arg-type]
    with pytest.raises(UserError, match="refs/pr/N"):
        hub._revision_with_safetensors(FakeHub(["pytorch_model.bin"], [somebody]), "a/b")  # type: ignore[arg-type]


def test_a_cached_snapshot_gives_its_commit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some--neo"
    shutil.copytree(saved, repository / "snapshots" / commit)
    (repository / "refs" / "refs" / "pr").mkdir(parents=True)
    (repository / "refs" / "refs" / "pr" / "3").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    import huggingface_hub._snapshot_download as download

    if hasattr(download, "HF_HUB_CACHE"):
        monkeypatch.setattr(download, "HF_HUB_CACHE", str(tmp_path))
    assert known("some/neo").source.revision == commit, "only the conversion's ref is cached"
    (repository / "refs" / "main").write_text(commit)
    assert known("some/neo", "main").source.revision == commit
    assert load_model("some/neo", device="cpu").source.location == "some/neo"


def test_a_model_that_is_not_here_has_no_invented_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_cached", lambda *_: None)
    assert model_facts("neo-125m") is None


def test_the_real_llamas_start_with_bos_and_gpt_neo_with_nothing(shared: Path) -> None:
    for name in ("stories260K", "babyllama105"):
        model = load_model(str(shared / "models" / name), device="cpu")
        assert model.bos_token_id_to_prepend == 1 == model.tokenizer("a").input_ids[0]
        assert not uses_gpt2_vocabulary(model.tokenizer)
    neo = load_model(str(shared / "models" / "pile-neo"), device="cpu")
    assert neo.bos_token_id_to_prepend is None
    assert uses_gpt2_vocabulary(neo.tokenizer)


def test_bos_of_tokenizers_that_do_not_add_it() -> None:
    llama, neo = SimpleNamespace(model_type="llama"), SimpleNamespace(model_type="gpt_neo")
    lost = byte_tokenizer(bos_token="A", eos_token="B")
    assert bos_token_id_to_prepend(lost, llama) == lost.bos_token_id  # type: ignore[arg-type]
    assert bos_token_id_to_prepend(lost, neo) is None  # type: ignore[arg-type]
    end_of_text = byte_tokenizer()
    assert bos_token_id_to_prepend(end_of_text, llama) is None, "end of text is no BOS"  # type: ignore[arg-type]
    said = byte_tokenizer(bos_token="A", eos_token="B")
    said.init_kwargs["add_bos_token"] = False
    assert bos_token_id_to_prepend(said, llama) is None  # type: ignore[arg-type]


def test_gpt2_s_own_files_have_gpt2_s_vocabulary(shared: Path, tmp_path: Path) -> None:
    from transformers import GPT2Tokenizer

    folder = shared / "data" / "gpt2_tokenizer"
    tokenizer = GPT2Tokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    assert uses_gpt2_vocabulary(tokenizer)
    tokenizer.add_tokens(["[PAD]"])
    assert uses_gpt2_vocabulary(tokenizer), "a token behind the vocabulary changes no id"
    assert bos_token_id_to_prepend(tokenizer) is None
    vocab = json.loads((folder / "vocab.json").read_text())
    vocab["!"], vocab['"'] = vocab['"'], vocab["!"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    swapped = GPT2Tokenizer(vocab=str(tmp_path / "vocab.json"), merges=str(folder / "merges.txt"))
    assert not uses_gpt2_vocabulary(swapped)


@pytest.mark.parametrize("name", ["stories260K", "babyllama105"])
def test_a_continuation_gets_no_space_of_its_own(name: str, shared: Path) -> None:
    tokenizer = load_model(str(shared / "models" / name), device="cpu").tokenizer
    start = tokenizer("the dog r", add_special_tokens=False)["input_ids"]
    for text in ("an home", " ran", "e"):
        [ids] = encode_continuations(tokenizer, [text])
        assert tokenizer.decode(start + ids) == "the dog r" + text


def test_an_encoder_that_lacks_weights_is_told(tmp_path: Path) -> None:
    encoder = Path(shutil.copytree(find_side_model("nano", "BERT", "--bert"), tmp_path / "bert"))
    assert find_side_model(str(encoder), "BERT", "--bert") == encoder
    tensors = load_file(encoder / "model.safetensors")
    [lost, *_] = [name for name in tensors if "layer.0.attention" in name]
    del tensors[lost]
    save_file(tensors, encoder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"the BERT in .* lacks 1 parameters of its config.json"):
        find_side_model(str(encoder), "BERT", "--bert")


def test_a_special_token_in_a_text_is_plain_text(copy: Path) -> None:
    padded = byte_tokenizer()
    padded.add_special_tokens({"pad_token": "[PAD]"})
    assert padded("a [PAD]")["input_ids"][-1] == 257  # and the model's embeddings end at 256
    padded.save_pretrained(copy)
    model = load_model(str(copy))
    text = f"a [PAD] b {padded.eos_token} c"
    [ids] = encode_starts(model.tokenizer, [text])
    assert len(ids) == len(text)
    assert max(ids) < 257
    assert len(window_nll(model, [text])) == 1


def test_bytes_of_a_character_in_two_spans_stay_together() -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer("né!")["input_ids"]
    assert len(ids) == 4
    assert ByteLevelText.of(tokenizer).spans([ids[:2], ids[2:]]) == ["n", "é!"]
    assert ByteLevelText.of(tokenizer).spans([ids[:2], []]) == ["n", "\N{REPLACEMENT CHARACTER}"]


def test_loading_says_nothing_on_stdout(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(str(saved), device="cpu")
    assert capfd.readouterr().out == ""


def test_a_second_look_at_a_model_builds_no_network(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = model_facts(str(saved))
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", None)
    assert model_facts(str(saved)) == facts
