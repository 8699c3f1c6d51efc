"""Methods with wrappers: their names, settings and checks, and the same numbers in parts."""

import dataclasses
import json
from pathlib import Path

import pytest
import tiny
import torch
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench import registry
from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import make_plan
from unlearnbench.experiments.wrapped import setting_place
from unlearnbench.files.software import source_sha256
from unlearnbench.models.devices.strategy import Strategy
from unlearnbench.registry import find
from unlearnbench.testing import check_wrapper
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Method
from unlearnbench.unlearning.wrapper import Wrapper, made_wrappers

NEVER = StopLine(el=-1.0, ma=-1.0)


def weights(name, **options):
    model = tiny_model()
    strategy = {k: options.pop(k) for k in list(options) if k.startswith("gradient_")}
    model.strategy = Strategy(**strategy)
    method = find("methods", name)(learning_rate=1e-3, max_epochs=2, batch_size=4, **options)
    trace = method.unlearn(model, forget_set(n_rows=7), MaExaminer(NEVER))
    return torch.cat([p.detach().flatten() for p in model.network.parameters()]), trace


@pytest.mark.parametrize("wrappers", ["sam", "gru", "sure", "lora", "gru+sam", "sure+sam+lora"])
def test_a_batch_in_parts_and_recomputed_gives_the_same_weights(wrappers):
    want, whole = weights(f"icu+{wrappers}")
    for strategy in ({"gradient_accumulation_steps": 3}, {"gradient_checkpointing": True}):
        got, trace = weights(f"icu+{wrappers}", **strategy)
        torch.testing.assert_close(got, want, rtol=0, atol=1e-5)
        assert trace.epochs[-1].losses == pytest.approx(whole.epochs[-1].losses, rel=1e-4, abs=1e-5)
    assert float((want - weights("icu")[0]).abs().max()) > 1e-5


def test_a_method_that_draws_draws_the_same_in_every_pass_of_a_step():
    """LLMU draws completions; a step so small that it changes nothing must see the same ones."""
    with_sam, trace = weights("llmu+sam", sam_rho=1e-12)
    alone, plain = weights("llmu")
    torch.testing.assert_close(with_sam, alone, rtol=0, atol=1e-5)
    assert trace.epochs[-1].losses == pytest.approx(plain.epochs[-1].losses, rel=1e-4, abs=1e-5)


def test_a_name_with_wrappers_is_a_method_made_once():
    made = find("methods", "kumpr+sam+lora")
    assert made is find("methods", "kumpr+sam+lora")
    assert issubclass(made, find("methods", "kumpr"))
    assert (made.name, made.label) == ("kumpr+sam+lora", "KUMPR + SAM + LoRA")
    assert made.authors_ma_threshold == find("methods", "kumpr").authors_ma_threshold
    settings = dataclasses.asdict(made(sam_rho=0.5, lora_rank=2))
    assert (settings["sam_rho"], settings["lora_rank"], settings["batch_size"]) == (0.5, 2, 8)
    json.dumps(settings)
    sam, lora = made_wrappers(made(sam_rho=0.5, lora_rank=2))
    assert (sam.rho, lora.rank) == (0.5, 2)
    assert "kumpr+sam+lora" not in registry.methods()
    assert setting_place(made, "sam_rho") == "sam.rho"
    assert setting_place(made, "batch_size") == "kumpr.batch_size"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("kumpr+smm", r"unknown wrapper 'smm' \(did you mean 'sam'\?\); see all with: .* wrappers"),
        ("kumrp+sam", "unknown method 'kumrp'.*did you mean 'kumpr'"),
        ("kumpr+sam+sam", "names the wrapper 'sam' twice"),
        ("kumpr+", "unknown wrapper ''"),
        ("+sam", "unknown method ''"),
    ],
)
def test_names_that_are_wrong(name, told):
    with pytest.raises(UserError, match=told):
        find("methods", name)


def test_nothing_goes_round_a_method_without_gradients():
    class Other(Method):
        name, label = "other", "Other"

        def unlearn(self, model, forget_set, examiner):
            raise NotImplementedError

    with pytest.raises(UserError, match=r"'other' follows no gradient.*--methods other"):
        find("wrappers", "sam").of(Other)


def test_a_method_that_trains_past_the_loop_is_not_passed_off_as_wrapped():
    @dataclasses.dataclass(kw_only=True)
    class Past(GradientMethod):
        name, label = "past", "Past"

        def loss(self, batch):
            return {"target": -batch.target_nll}

        def unlearn(self, model, forget_set, examiner):
            return find("methods", "kumpr")(max_epochs=1).unlearn(model, forget_set, examiner)

    with pytest.raises(UserError, match="'past' does not train by the epoch loop"):
        find("wrappers", "sam").of(Past)().unlearn(tiny_model(), forget_set(), MaExaminer(NEVER))


def test_dpo_with_a_wrapper_is_trained_by_the_loop():
    _, trace = weights("dpo+sam")
    assert trace.epochs[1].losses.keys() == {"preference"}
    got, _ = weights("dpo+sam", sam_rho=1e-12)
    want, _ = weights("dpo")
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)


def test_an_edited_wrapper_is_another_method(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_plugins", {k: dict(v) for k, v in registry._plugins.items()})
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import dataclass\n"
        "import unlearnbench as ub\n\n"
        "@ub.register\n@dataclass(kw_only=True)\nclass Mine(ub.Wrapper):\n"
        '    """Half of it."""\n    name = "mine"\n    label = "Mine"\n'
        '    half: float = ub.setting(0.5, "of it")\n'
    )
    registry.load_plugin_file(path)
    plain, wrapped = find("methods", "kumpr"), find("methods", "kumpr+mine")
    before = source_sha256(wrapped)
    assert before != source_sha256(plain)
    assert issubclass(find("wrappers", "mine"), Wrapper)
    path.write_text(path.read_text() + "\nCHANGED = 1\n")
    source_sha256.cache_clear()
    assert source_sha256(wrapped) != before


def test_the_wrapper_that_the_documentation_writes_keeps_the_contract(tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "wrappers.md"
    if not page.is_file():
        pytest.skip("no checkout beside the tests")
    monkeypatch.setattr(registry, "_plugins", {k: dict(v) for k, v in registry._plugins.items()})
    code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "half.py").write_text(code)
    registry.load_plugin_file(tmp_path / "half.py")
    check_wrapper(find("wrappers", "half"), share=0.25)
    (no_forgetting, _), (none, _) = weights("kumpr+half", half_share=0.0), weights("kumpr+half")
    assert torch.equal(
        no_forgetting, torch.cat([p.flatten() for p in tiny_model().network.parameters()])
    )
    assert not torch.equal(no_forgetting, none)


def plan(*methods, **options):
    experiment = Experiment(
        methods=methods, runs=("0",), references=("none",), device="cpu", **options
    )
    return make_plan(experiment, download=False).cells


def test_settings_reach_method_and_wrapper_and_tuned_rates_say_whose_they_are():
    cell, bare = plan(
        "kumpr+sam", "kumpr", settings=("sam.rho=0.1", "kumpr.batch_size=3"), tasks=("forgetting",)
    )
    assert cell.label == "NEO + KUMPR + SAM"
    assert (cell.settings["sam_rho"], cell.settings["batch_size"]) == (0.1, 3)
    assert bare.settings["batch_size"] == 3
    assert "sam_rho" not in bare.settings
    assert cell.settings["learning_rate"] == bare.settings["learning_rate"]
    assert cell.origins["learning_rate"].startswith("tuned for kumpr alone on forget set")
    assert cell.origins["sam_rho"] == "--set sam.rho"
    assert cell.origins["batch_size"] == "--set kumpr.batch_size"
    assert set(cell.identity["software"]["plugins"]) == {"forgetting", "kumpr+sam"}
    (adapter,) = plan("kumpr", adapter="lora", tasks=("forgetting",))
    assert adapter.method == "kumpr+lora"
    assert "peft" in adapter.identity["software"]["packages"]
    assert "peft" not in bare.identity["software"]["packages"]


@pytest.mark.parametrize(
    ("methods", "options", "told"),
    [
        (("kumpr+gru",), {}, "and kumpr has none"),
        (("kumpr+lora",), {"settings": ("lora.target_modules=q_prj",)}, "did you mean 'q_proj'"),
        (("icu",), {"adapter": "lra"}, "unknown wrapper 'lra'.*did you mean 'lora'"),
        (("icu",), {"settings": ("sam.rho=1",)}, "'sam' takes no part in this run"),
        (("icu+sam",), {"settings": ("sam.rh=1",)}, "unknown setting of sam 'rh'.*'rho'"),
        (("icu+sam",), {"settings": ("sam.rho=-1",)}, "at least 0"),
        (("icu+gru",), {"settings": ("gru.gamma=0",)}, "above 0"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(methods, options, told):
    with pytest.raises(UserError, match=told):
        plan(*methods, tasks=("forgetting",), **options)


def test_zero_3_is_refused_at_planning(tmp_path, monkeypatch):
    monkeypatch.setattr("unlearnbench.models.devices.deepspeed.find_spec", lambda _: True)
    monkeypatch.setattr("unlearnbench.models.devices.strategy.version", lambda _: "0")
    with pytest.raises(UserError, match="which ZeRO 3 has not; take: --deepspeed zero2"):
        plan("icu+sam", deepspeed="zero3", tasks=("forgetting",))
    assert plan("icu+lora", deepspeed="zero3", tasks=("forgetting",))


def test_through_the_command_line_the_row_is_named(tmp_path):
    world = tiny.build(tmp_path / "world")
    out = tmp_path / "out"
    with tiny.at_home(world):
        command = world.options(
            out,
            *("--adapter", "lora", "--save-models", "--set", "lora.keep=adapter"),
            *("--set", "sam.rho=0.05", "--references", "none"),
            methods="kumpr+sam,push",
        )
        status, table, told = tiny.cli(*command)
        assert status == 0, told
    assert "model + KUMPR + SAM + LoRA" in table
    assert "model + Push + LoRA" in table
    results = [json.loads(p.read_text()) for p in (out / "cells").glob("*.json")]
    by_name = {one["method"]["name"]: one for one in results}
    assert by_name.keys() == {"kumpr+sam+lora", "push+lora"}
    assert by_name["kumpr+sam+lora"]["method"]["settings"]["sam_rho"] == 0.05
    for one in results:
        kept = out / "models" / one["key"]
        assert {p.name for p in (kept / "adapter").iterdir()} >= {"adapter_model.safetensors"}
        assert (kept / "model.safetensors").is_file()
        losses = [epoch["losses"] for epoch in one["trace"]["epochs"][1:]]
        assert losses[1] != losses[0]


def test_the_memory_that_wrappers_take_is_counted():
    from unlearnbench.running.memory.prediction import OPTIMISER, WRAPPERS, predict

    plain, sam, lora = plan("kumpr", "kumpr+sam", "kumpr+lora", tasks=("forgetting",))
    of = {cell.method: predict(cell).phases["unlearn"] for cell in (plain, sam, lora)}
    assert WRAPPERS not in of["kumpr"]
    assert of["kumpr+sam"][WRAPPERS] == 4 * of["kumpr"]["weights"]
    assert of["kumpr+lora"][OPTIMISER] < of["kumpr"][OPTIMISER] / 10
