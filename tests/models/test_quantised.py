"""A base in few bits: what refuses it, and adapters that train beside it.

bitsandbytes computes on CPUs as well, slowly: there the code is tried, past the refusal.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import choose_model
from unlearnbench.models import quantised
from unlearnbench.models.saving import save_model
from unlearnbench.registry import find
from unlearnbench.running.checks import MethodInputs, check_unlearned


def test_without_a_gpu_or_the_library_one_line_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="--quantise-base 4bit needs a CUDA GPU, and the device"):
        choose_model(Experiment(quantise_base="4bit", device="cpu"), "nano-neo")
    monkeypatch.setattr(quantised, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r"pip install 'unlearnbench\[quantised\]'"):
        quantised.check_quantisation("8bit", "cuda:0")
    quantised.check_quantisation("no", "cpu")


def test_only_adapters_are_trained_beside_it() -> None:
    with pytest.raises(UserError, match="kumpr trains all of it; train adapters: --adapter lora"):
        quantised.check_trained_by(find("methods", "kumpr")(), "4bit")
    quantised.check_trained_by(find("methods", "kumpr+lora")(), "4bit")
    quantised.check_trained_by(find("methods", "kumpr")(), "no")


def test_the_memory_that_it_spares_is_that_of_its_linear_layers() -> None:
    from unlearnbench.running.memory.prediction import Shape

    n_linear = Shape(10**9, 32_000, 2048, 16, 1, 1, 2048).n_linear
    assert n_linear == 10**9 - 2 * 32_000 * 2048
    assert quantised.spared_bytes("4bit", n_linear, 4) == pytest.approx(3.47 * n_linear)
    assert quantised.spared_bytes("no", n_linear, 4) == 0
    with pytest.raises(UserError, match="--attacks work on whole weights"):
        quantised.check_attacked("8bit")


@pytest.mark.slow
@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_an_adapter_is_trained_and_saved_beside_it(
    bits: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("bitsandbytes", reason="pip install 'unlearnbench[quantised]'")
    peft = pytest.importorskip("peft", reason="pip install 'unlearnbench[quantised]'")
    from unlearnbench.models.loading import load_model

    config = LlamaConfig(  # no layer narrower than a block of 64 weights
        vocab_size=97,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    tiny_model().tokenizer.save_pretrained(tmp_path / "base")
    monkeypatch.setattr("unlearnbench.models.loading.check_quantisation", lambda *_: None)
    model = load_model(str(tmp_path / "base"), device="cpu", quantise_base=bits)
    ids = torch.randint(3, 90, (3, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        quantised_only = model.network(ids).logits
        options = quantised.loading_options(bits, "float32", "cpu")
        library_s = AutoModelForCausalLM.from_pretrained(tmp_path / "base", **options)
        torch.testing.assert_close(quantised_only, library_s(ids).logits, rtol=1e-4, atol=1e-4)
    data = forget_set()
    inputs = MethodInputs.of(model, data)
    method = find("methods", "kumpr+lora")(learning_rate=1e-2, max_epochs=2)
    trace = method.unlearn(model, data, MaExaminer(StopLine(el=-1.0, ma=-1.0)))
    check_unlearned(trace, model, data, inputs)
    assert not any(p.requires_grad for p in model.network.parameters())
    with torch.no_grad():
        after = model.network(ids).logits
    assert float((after - quantised_only).abs().max()) > 1e-3
    save_model(model, tmp_path / "kept")
    said = json.loads((tmp_path / "kept" / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == str(tmp_path / "base")
    assert (tmp_path / "kept" / "tokenizer.json").is_file()
    assert not (tmp_path / "kept" / "model.safetensors").exists()
    read = peft.PeftModel.from_pretrained(library_s, str(tmp_path / "kept"))
    with torch.no_grad():
        torch.testing.assert_close(read(ids).logits, after, rtol=1e-3, atol=1e-3)
    with pytest.raises(UserError, match="has an adapter beside its quantised base already"):
        method.unlearn(model, data, MaExaminer(StopLine(el=-1.0, ma=-1.0)))
