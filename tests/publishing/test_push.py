"""Models with their cards, pushed to a hub on this machine."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import certificate
from hub_server import TOKEN, Hub, Repository, hub_at_home
from huggingface_hub import constants
from stored_cases import full_result
from tiny import cli

from unlearnbench.files.hashing import file_sha256
from unlearnbench.forgetting.card import model_card
from unlearnbench.models import paired
from unlearnbench.models.source import weights_sha256
from unlearnbench.results.record import key_of
from unlearnbench.results.store import Store

NAME = "ann/gone"


@pytest.fixture
def request_folder(tmp_path: Path, model: Path) -> Path:
    """What `forget` leaves, with an adapter and what must stay private."""
    folder = tmp_path / "first"
    shutil.copytree(model, folder / "model")
    (folder / "model" / "notes.txt").write_text("not of the model")
    (folder / "adapter").mkdir()
    shutil.copy(model / "model.safetensors", folder / "adapter" / "adapter_model.safetensors")
    (folder / "adapter" / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": "EleutherAI/gpt-neo-125m"})
    )
    (folder / "private").mkdir()
    (folder / "private" / "rows.jsonl").write_text("the secret")
    (folder / "report.html").write_text("<p>report</p>")
    one = certificate(1, "0", weights_sha256(folder / "model"), None)
    (folder / "README.md").write_text(model_card(one))
    files = {name: file_sha256(folder / name) for name in ("report.html", "README.md")}
    one.model_copy(update={"files": files}).write(folder)
    return folder


@pytest.fixture
def kept(tmp_path: Path, model: Path) -> Path:
    """A kept model in a folder of results."""
    result = full_result(unknown=0.3)
    Store(tmp_path / "out").save(result)
    folder = tmp_path / "out" / "models" / result.key
    shutil.copytree(model, folder)
    return folder


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_at_home() as made:
        yield made


def test_a_pushed_request_comes_back_whole_and_loads(request_folder, hub, tmp_path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    status, said, err = cli("push", request_folder, NAME, "--private")
    assert (status, said.strip()) == (0, f"{constants.ENDPOINT}/{NAME}"), err
    there = hub.repositories[NAME]
    assert there.private
    assert there.commits == ["Unlearned model: gd, deletion request 1"]
    assert {"README.md", "certificate.json", "report.html", "model.safetensors", "config.json",
            "adapter/adapter_model.safetensors"} <= there.files.keys()  # fmt: skip
    assert not any("private" in name or "notes" in name for name in there.files)
    assert not any(b"the secret" in content for content in there.files.values())
    folder = hub.download(NAME, tmp_path / "downloaded")
    AutoModelForCausalLM.from_pretrained(folder)
    assert len(AutoTokenizer.from_pretrained(folder)("kab kad")["input_ids"]) == 2
    status, said, _ = cli("forget", "--verify", folder)
    assert (status, said.count("ok "), said.count("BAD")) == (0, 4, 0), said


def test_a_second_push_replaces_the_files_of_the_first(kept, hub) -> None:
    assert cli("push", kept, NAME)[0] == 0
    files = hub.repositories[NAME].files
    stale = {"model-00001-of-00002.safetensors", "certificate.json", "adapter/adapter_config.json"}
    owners = {"picture.png", "onnx/config.json"}
    files |= dict.fromkeys(stale | owners, b"")
    status, _, err = cli("push", kept, NAME)
    assert status == 0, err
    assert not stale & files.keys()
    assert owners <= files.keys()
    assert len(hub.repositories[NAME].commits) == 2


def test_others_models_and_public_places_are_left_alone(kept, hub) -> None:
    hub.repositories[NAME] = Repository(files={"model.safetensors": b"another's"})
    status, _, err = cli("push", kept, NAME)
    assert status == 2
    assert "is there already, and its card does not say" in err
    hub.repositories[NAME] = Repository(files={".gitattributes": b""})  # as the site makes it
    status, _, err = cli("push", kept, NAME, "--private")
    assert status == 2
    assert "is there already and public" in err
    assert not any(one.startswith("POST") for one in hub.requests)
    assert cli("push", kept, NAME)[0] == 0


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (401, "does not accept the token; log in with a token that may write: hf auth login"),
        (403, "the token may not write to ann/gone"),
        (404, "there is no user or organisation ann"),
        (500, "the hub refused ann/gone (500)"),
    ],
)
def test_what_the_hub_refuses_is_one_line_without_the_token(kept, hub, refusal, said) -> None:
    hub.refusal = refusal
    status, _, err = cli("push", kept, NAME)
    assert status == 2
    assert said in err
    assert err.count("\n") == 1
    assert TOKEN not in err
    assert NAME not in hub.repositories


def test_without_a_hub_token_or_network_one_line_says_so(kept, hub, monkeypatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert "the hub cannot be reached at http://127.0.0.1:9" in cli("push", kept, NAME)[2]
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "there is no token for the hub" in cli("push", kept, NAME)[2]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in cli("push", kept, NAME)[2]
    for name, said in (("gone", "does not say whose"), ("a/b/c", "no name"), ("a/b c", "no name")):
        status, _, err = cli("push", kept, name, "--dry-run")
        assert status == 2
        assert said in err


def test_a_dry_run_shows_files_and_card_and_sends_nothing(request_folder, kept) -> None:
    status, said, err = cli("push", request_folder, NAME, "--dry-run", "--private")
    assert status == 0, err
    assert f"{NAME}, if it is made now: private" in said
    assert "  adapter/adapter_config.json " in said
    assert "left out: notes.txt" in said
    assert "rows known better than unseen ones" in said
    assert said.endswith("dry run: nothing was sent; without --dry-run it is\n")
    status, said, err = cli("push", kept, NAME, "--dry-run")
    assert status == 0, err
    assert "## How to make it again" in said


def test_what_nobody_could_load_is_refused_before_anything_is_sent(request_folder, kept) -> None:
    def refused(folder: Path) -> str:
        status, said, err = cli("push", folder, NAME, "--dry-run")
        assert (status, said, err.count("\n")) == (2, "", 1)
        return err

    weights = kept / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    assert "is damaged" in refused(kept)
    weights.write_bytes(whole)
    (kept / paired.FILE_NAME).write_text("{}")
    assert "holds two networks that are decoded as one" in refused(kept)
    (kept / paired.FILE_NAME).unlink()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (kept / name).rename(kept / f"{name}.away")
    assert "has no tokenizer" in refused(kept)
    config = request_folder / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({"base_model_name_or_path": "/home/ann/base"}))
    assert "a folder that nobody else has" in refused(request_folder)
    (request_folder / "report.html").write_text("<p>other</p>")
    assert "is not as it was certified: report.html" in refused(request_folder)


def test_of_a_results_folder_the_only_model_is_meant_or_one_is_to_be_named(kept) -> None:
    out = kept.parent.parent
    status, _, err = cli("push", out, NAME, "--dry-run")
    assert status == 0, err
    other = full_result(seed=5)
    Store(out).save(other)
    shutil.copytree(kept, out / "models" / other.key)
    status, _, err = cli("push", out, NAME, "--dry-run")
    assert status == 2
    assert "holds 2 such models; name one of them: " in err
    assert f"{out}/models/{kept.name[:8]}* (ICU, forget set 0, seed 0)" in err
    identity = {"method": {"name": "npo"}}
    method = other.method.model_copy(update={"name": "npo"})
    one = other.model_copy(update={"identity": identity, "key": key_of(identity), "method": method})
    Store(out).save(one)
    shutil.copytree(kept, out / "models" / one.key)
    status, said, err = cli("push", out, NAME, "--dry-run", "--method", "npo")
    assert status == 0, err
    assert one.key in said
    assert (
        "unknown method with a kept model 'npq' (did you mean 'npo'?)"
        in (cli("push", out, NAME, "--method", "npq")[2])
    )


def test_folders_without_a_model_to_push_say_why(kept, tmp_path) -> None:
    out = kept.parent.parent
    assert "nothing is known to say of its model" in cli("push", tmp_path, NAME)[2]
    store = Store(out)
    for seed, change, said in (
        (1, {"role": "before"}, "is no unlearned model (before)"),
        (2, {"status": "failed", "error": "out of memory"}, "failed or collapsed (out of memory)"),
        (3, {}, "the model was not kept"),
    ):
        result = full_result(seed=seed).model_copy(update=change)
        store.save(result)
        assert said in cli("push", out / "models" / result.key, NAME)[2]
    assert "has no result of the model" in cli("push", out / "models" / ("0" * 64), NAME)[2]
