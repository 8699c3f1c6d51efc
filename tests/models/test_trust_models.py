"""No code that comes with a model runs unasked: pickles, Python files, foreign classes."""

import ast
import json
import pickle
import shutil
from pathlib import Path

import pytest
import tiny
import torch

import unlearnbench
from unlearnbench.data.hub_datasets import dataset_rows
from unlearnbench.data.pairs import encoder_folder
from unlearnbench.errors import UserError
from unlearnbench.metrics.bertscore_model import bert_folder
from unlearnbench.models.loading import load_model, model_facts
from unlearnbench.models.source import weights_sha256

ROOT = Path(__file__).resolve().parents[2]
PICKLED = "pytorch_model.bin"


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self):
        return (open, (self.canary, "w"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny.save_model(folder / "model", [" ".join(tiny.WORDS[:20])])
    tiny.save_bert(folder / "bert")
    return folder


@pytest.fixture
def model(saved, tmp_path):
    return Path(shutil.copytree(saved / "model", tmp_path / "model"))


@pytest.fixture
def bert(saved, tmp_path):
    return Path(shutil.copytree(saved / "bert", tmp_path / "bert"))


@pytest.fixture
def canary(tmp_path):
    """A file that is there once foreign code has run."""
    return tmp_path / "canary"


def pickled(folder, name=PICKLED):
    """Turn a folder's weights into a pickle, as older libraries wrote them."""
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / name)
    (folder / "model.safetensors").unlink()


def add(path, **fields):
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | fields))


def code(folder, canary, base="object"):
    """A module of the folder's own that leaves the canary when it is imported."""
    (folder / "foreign.py").write_text(
        f"open({str(canary)!r}, 'w').close()\n"
        "from transformers import GPTNeoConfig, GPTNeoForCausalLM, PreTrainedTokenizerFast\n"
        f"class Foreign({base}):\n    pass\n"
    )


def test_pickled_weights_need_the_flag_and_then_are_the_same_model(model):
    whole = load_model(str(model), device="cpu")
    safe = weights_sha256(model)
    pickled(model)
    for load in (load_model, model_facts):
        with pytest.raises(UserError, match=r"only pickled weights.*--allow-pickle"):
            load(str(model))
    loaded = load_model(str(model), device="cpu", allow_pickle=True)
    assert model_facts(str(model), allow_pickle=True).source == loaded.source
    for name, values in whole.network.state_dict().items():
        assert torch.equal(values, loaded.network.state_dict()[name]), name
    seen = {safe, weights_sha256(model)}
    content = (model / PICKLED).read_bytes()
    (model / PICKLED).write_bytes(content + b"x")
    assert len(seen | {weights_sha256(model)}) == 3, "a pickle that is read is part of the identity"


def test_pickles_beside_safetensors_change_nothing_and_are_not_read(model, canary):
    before = weights_sha256(model)
    (model / PICKLED).write_bytes(pickle.dumps(Bomb(canary)))
    load_model(str(model), device="cpu", allow_pickle=True)
    assert weights_sha256(model) == before
    assert not canary.exists()


@pytest.mark.parametrize("form", ["bare", "zipped", "in a shard"])
def test_a_pickle_that_acts_is_refused_even_with_the_flag(form, model, canary):
    pickled(model)
    if form == "bare":
        (model / PICKLED).write_bytes(pickle.dumps(Bomb(canary)))
    else:
        known = torch.load(model / PICKLED, weights_only=True)
        torch.save({**known, "bomb": Bomb(canary)}, model / PICKLED)
    if form == "in a shard":
        shard = "pytorch_model-00001-of-00001.bin"
        (model / PICKLED).rename(model / shard)
        places = dict.fromkeys([*known, "bomb"], shard)
        add(model / f"{PICKLED}.index.json", metadata={}, weight_map=places)
    for load in (model_facts, load_model):
        with pytest.raises(UserError, match="cannot load the weights") as caught:
            load(str(model), allow_pickle=True)
        assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_a_bert_and_an_encoder_are_never_pickled(bert):
    pickled(bert)
    with pytest.raises(UserError, match=r"the BERT in .* only pickled weights.*--bert DIR"):
        bert_folder(str(bert))
    with pytest.raises(UserError, match=r"encoder in .* only pickled weights.*--encoder DIR"):
        encoder_folder(str(bert))


def test_a_pickled_module_of_an_encoder_is_refused(bert):
    (bert / "2_Dense").mkdir()
    (bert / "2_Dense" / PICKLED).write_bytes(b"")
    with pytest.raises(UserError, match=r"2_Dense holds only pickled weights"):
        encoder_folder(str(bert))


@pytest.mark.parametrize("place", ["foreign.Foreign", "owner/name--foreign.Foreign"])
def test_a_model_s_code_is_not_run(place, model, canary):
    code(model, canary)
    foreign = {"AutoConfig": place, "AutoModelForCausalLM": place}
    add(model / "config.json", auto_map=foreign, model_type="foreign")
    for load in (model_facts, load_model):
        with pytest.raises(UserError, match="allow it with --trust-remote-code"):
            load(str(model))
    assert not canary.exists()


def test_a_known_architecture_is_the_library_s_own_whatever_the_folder_says(model, canary):
    code(model, canary)
    place = "foreign.Foreign"
    foreign = {"AutoConfig": place, "AutoModelForCausalLM": place, "AutoTokenizer": [None, place]}
    add(model / "config.json", auto_map=foreign)
    (model / "custom_generate").mkdir()
    shutil.copy(model / "foreign.py", model / "custom_generate" / "generate.py")
    loaded = load_model(str(model), device="cpu")
    assert type(loaded.network).__module__.startswith("transformers.")
    assert not canary.exists()


def test_with_the_flag_it_is_run(model, canary, tmp_path, monkeypatch):
    code(model, canary, base="GPTNeoForCausalLM")
    add(model / "config.json", auto_map={"AutoModelForCausalLM": "foreign.Foreign"})
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "m"))
    loaded = load_model(str(model), device="cpu", trust_remote_code=True)
    assert type(loaded.network).__name__ == "Foreign"
    assert canary.exists()


def test_a_tokenizer_s_code_is_not_run(model, canary):
    code(model, canary)
    place = ["foreign.Foreign", "foreign.Foreign"]
    add(model / "tokenizer_config.json", auto_map={"AutoTokenizer": place}, tokenizer_class="Odd")
    (model / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="no tokenizer can be read"):
        load_model(str(model), device="cpu")
    assert not canary.exists()


@pytest.mark.parametrize("field", ["attn_implementation", "experts_implementation"])
def test_a_kernel_from_the_hub_is_not_fetched(field, model):
    add(model / "config.json", **{field: "owner/kernel"})
    with pytest.raises(UserError, match="allow it with --trust-remote-code"):
        load_model(str(model), device="cpu")


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_the_code_of_a_bert_or_an_encoder_is_not_run(name, bert, canary):
    code(bert, canary)
    add(bert / name, auto_map={"AutoModel": "foreign.Foreign"})
    for find in (bert_folder, encoder_folder):
        with pytest.raises(UserError, match=r"Python code of its own.*is not run"):
            find(str(bert))
    assert not canary.exists()


@pytest.mark.parametrize("place", ["foreign.Foreign", "os.system", "subprocess.run"])
def test_classes_that_an_encoder_names_are_not_imported(place, bert, canary):
    code(bert, canary)
    modules = [{"idx": 0, "name": "0", "path": "", "type": place}]
    (bert / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(UserError, match="is no part of sentence-transformers"):
        encoder_folder(str(bert))
    assert not canary.exists()


@pytest.mark.parametrize("content", ["{", "[1]", '[{"no": "type"}]', "3"])
def test_damaged_lists_of_modules_are_one_line(content, bert):
    (bert / "modules.json").write_text(content)
    with pytest.raises(UserError, match=r"modules\.json is damaged"):
        encoder_folder(str(bert))


def test_a_data_set_s_loading_script_is_not_run(tmp_path, monkeypatch, canary):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.py").write_text(f"open({str(canary)!r}, 'w').close()")
    with pytest.raises(UserError):
        dataset_rows("hf:./words")
    assert not canary.exists()


def calls_in(path):
    """Every call of a file: its name as written, and its keyword arguments as written."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


def test_the_package_has_no_door_for_foreign_code():
    forbidden = {"eval", "exec", "compile", "__import__", "torch.load", "os.system", "os.popen",
                 "yaml.load", "yaml.unsafe_load"}  # fmt: skip
    places = [
        Path(unlearnbench.__file__).parent,
        *(ROOT / n for n in ("methods", "wrappers", "tasks", "attacks", "benchmarks", "reports")),
    ]
    files = sorted(path for place in places for path in place.rglob("*.py"))
    assert len(files) > 200
    for path in files:
        lines = {line.strip() for line in path.read_text().splitlines()}
        assert not {"import shelve", "import marshal", "import joblib"} & lines, path
        # Between a driver and the workers of its own Ray cluster cells travel pickled.
        assert "import pickle" not in lines or "ray" in path.parts, path
        for name, given in calls_in(path):
            assert name not in forbidden, (path, name)
            assert given.get("shell", "False") == "False", path
            assert given.get("trust_remote_code") != "True", path
            assert given.get("weights_only", "True") == "True", path
            assert name not in ("np.load", "numpy.load") or given["allow_pickle"] == "False", path
