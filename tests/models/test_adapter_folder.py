"""A folder with an adapter is its base with the adapter, whatever reads it."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from tiny import cli
from transformers import AutoModelForCausalLM
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.models import adapter_folder as under_test
from unlearnbench.models.loading import load_model, model_facts
from unlearnbench.models.saving import save_model
from unlearnbench.registry import find

peft = pytest.importorskip("peft", reason="peft is not installed: pip install 'unlearnbench[lora]'")

NEVER = StopLine(el=-1.0, ma=-1.0)
IDS = torch.randint(3, 90, (3, 12), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A Llama of two layers and its tokenizer, as a folder."""
    model = tiny_model("llama")
    model.network.save_pretrained(tmp_path / "base")
    model.tokenizer.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def adapter(base: Path, folder: Path, kind: str = "LoraConfig", **settings: Any) -> Path:
    """A folder with an adapter of that base whose matrices are all drawn from a seed."""
    network = AutoModelForCausalLM.from_pretrained(base)
    chosen = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "up_proj"], **settings}
    model = peft.get_peft_model(network, getattr(peft, kind)(**chosen))
    torch.manual_seed(5)
    for name, values in model.named_parameters():
        if values.requires_grad and "lora_magnitude" not in name:
            torch.nn.init.normal_(values.data, std=0.2)
    model.save_pretrained(folder)
    return folder


def logits(network: Any) -> torch.Tensor:
    with torch.no_grad():
        return network(input_ids=IDS).logits


def as_peft_reads_it(folder: Path) -> torch.Tensor:
    return logits(peft.AutoPeftModelForCausalLM.from_pretrained(folder))


def loaded(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("LoraConfig", {"r": 4, "lora_alpha": 12}),
        pytest.param(
            "LoraConfig", {"r": 4, "use_rslora": True, "use_dora": True}, marks=pytest.mark.slow
        ),
        pytest.param("LoHaConfig", {"r": 4}, marks=pytest.mark.slow),
    ],
)
def test_it_says_what_peft_makes_of_it(
    kind: str, settings: dict[str, Any], base: Path, tmp_path: Path
) -> None:
    folder = adapter(base, tmp_path / "mine", kind, **settings)
    with pytest.warns(UserWarning, match="mine: its base with the adapter added is kept"):
        model = load_model(str(folder), device="cpu")
    torch.testing.assert_close(
        logits(model.network), as_peft_reads_it(folder), rtol=1e-4, atol=1e-4
    )
    assert float((logits(model.network) - logits(tiny_model("llama").network)).abs().max()) > 0.01
    assert (model.source.name, model.source.location) == ("mine", "mine")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is added up once only
        facts = model_facts(str(folder))
    assert facts is not None
    assert facts.source == model.source


def test_its_base_may_be_an_alias_or_stand_beside_it(base: Path, tmp_path: Path) -> None:
    folder = adapter(base, tmp_path / "mine")
    want = loaded(folder).source
    said = folder / "adapter_config.json"
    content = json.loads(said.read_text())
    said.write_text(json.dumps({**content, "base_model_name_or_path": "../base"}))
    assert under_test.base_name(folder) == "../base"
    assert loaded(folder).source == want
    said.write_text(json.dumps({**content, "base_model_name_or_path": "nano-neo"}))
    with pytest.raises(UserError, match=r"up_proj.* which its base has no place for"):
        model_facts(str(folder))  # GPT-Neo has q_proj, and no up_proj


def test_an_adapter_trained_on_it_is_saved_as_one_adapter_of_its_base(
    base: Path, tmp_path: Path
) -> None:
    model = loaded(adapter(base, tmp_path / "mine", r=4, lora_alpha=12))
    method = find("methods", "kumpr+lora")(
        learning_rate=1e-2,
        max_epochs=2,
        lora_keep="adapter",
        lora_rank=2,
        lora_target_modules=("q_proj", "v_proj"),  # the first one has an adapter, the other none
    )
    before = logits(model.network)
    method.unlearn(model, forget_set(), MaExaminer(NEVER))
    save_model(model, tmp_path / "kept")
    want = logits(model.network)
    assert float((want - before).abs().max()) > 1e-3
    kept = tmp_path / "kept" / "adapter"
    torch.testing.assert_close(as_peft_reads_it(kept), want, rtol=0, atol=1e-4)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "kept")
    torch.testing.assert_close(logits(whole), want, rtol=0, atol=1e-6)
    ranks = json.loads((kept / "adapter_config.json").read_text())
    assert ranks["base_model_name_or_path"] == str(base)
    assert ranks["r"] == 6
    assert set(ranks["rank_pattern"].values()) == {2, 4}
    torch.testing.assert_close(logits(loaded(kept).network), want, rtol=0, atol=1e-4)


def test_more_than_plain_lora_is_kept_whole_alone(base: Path, tmp_path: Path) -> None:
    model = loaded(adapter(base, tmp_path / "mine", use_dora=True))
    method = find("methods", "kumpr+lora")(max_epochs=1, lora_keep="adapter")
    with pytest.raises(UserError, match="more than plain LoRA"):
        method.unlearn(model, forget_set(), MaExaminer(NEVER))


@pytest.mark.slow
def test_an_adapter_of_a_folder_names_its_path(base: Path, tmp_path: Path) -> None:
    model = loaded(base)
    method = find("methods", "kumpr+lora")(learning_rate=1e-2, max_epochs=1, lora_keep="adapter")
    method.unlearn(model, forget_set(), MaExaminer(NEVER))
    save_model(model, tmp_path / "kept")
    got = as_peft_reads_it(tmp_path / "kept" / "adapter")
    torch.testing.assert_close(got, logits(model.network), rtol=0, atol=1e-5)


def edited(**fields: Any) -> Any:
    def edit(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    return edit


def without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def cut(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])


def pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def nested(folder: Path) -> None:
    shutil.copytree(folder, folder / "inner")
    edited(base_model_name_or_path="inner")(folder)


WRONG = {
    "of /no/where, which is not on this machine; copy it here and write its folder into": (
        edited(base_model_name_or_path="/no/where")
    ),
    "of some/base, which is not on this machine": edited(base_model_name_or_path="some/base"),
    "of nano-neu, which is not on this machine": edited(base_model_name_or_path="nano-neu"),
    "does not name the model": edited(base_model_name_or_path=None),
    "of another adapter": nested,
    "is for SEQ_CLS": edited(task_type="SEQ_CLS"),
    "for Megatron": edited(megatron_config={"x": 1}, megatron_core="antigravity"),
    "holds no adapter_model.safetensors": without("adapter_model.safetensors"),
    "holds pickled adapter weights": pickled,
    "cannot add the adapter": cut,
    "which its base has no place for": edited(target_modules=["q_proj"]),
    "which are not in its file": edited(target_modules=["q_proj", "up_proj", "v_proj"]),
    "size mismatch": edited(r=5),
}


@pytest.mark.parametrize(
    "told",
    [one if at < 6 else pytest.param(one, marks=pytest.mark.slow) for at, one in enumerate(WRONG)],
)
def test_what_cannot_be_read_is_told_in_one_line(told: str, base: Path, tmp_path: Path) -> None:
    folder = adapter(base, tmp_path / "mine")
    WRONG[told](folder)
    with pytest.raises(UserError, match=told) as refused:
        model_facts(str(folder))
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)


def test_without_peft_one_line_says_what_to_install(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = adapter(base, tmp_path / "mine")
    monkeypatch.setattr(under_test, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"mine needs peft: pip install 'unlearnbench\[lora\]'"):
        model_facts(str(folder))


def test_a_prompt_that_is_learned_is_no_weight(base: Path, tmp_path: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(base)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    peft.get_peft_model(network, config).save_pretrained(tmp_path / "mine")
    with pytest.raises(UserError, match="is a PROMPT_TUNING, which acts beside the weights"):
        model_facts(str(tmp_path / "mine"))


@pytest.mark.slow
def test_a_run_of_one_goes_through_and_its_models_load(tmp_path: Path) -> None:
    world = tiny.build(tmp_path / "tiny")
    folder = adapter(world.folder / "model", tmp_path / "mine", target_modules=["q_proj"], r=2)
    out = tmp_path / "out"
    # Such an adapter makes the base forget, so that the stop line would end the run at once.
    more = ("--save-models", "--set", "lora.keep=adapter", "--until", "epochs")
    with tiny.at_home(world):
        given = world.options(out, "--references", "before", *more, methods="kumpr+lora")
        given[given.index("--model") + 1] = str(folder)
        status, shown, told = cli(*given)
    assert status == 0, told
    assert "mine" in shown
    kept = next((out / "models").iterdir())
    whole = logits(AutoModelForCausalLM.from_pretrained(kept))
    torch.testing.assert_close(as_peft_reads_it(kept / "adapter"), whole, rtol=0, atol=1e-4)
