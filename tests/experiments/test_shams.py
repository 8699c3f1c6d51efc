"""Sham rows of a plan: which there are, what they are run with, and that no method is one."""

import json
from statistics import median_low

import pytest

from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.method_settings import chosen_plugins
from unlearnbench.experiments.planner import Plan, make_plan
from unlearnbench.experiments.shams import is_requested, reference_roles
from unlearnbench.running.token_bounds import forward_tokens


def planned(**options: object) -> Plan:
    asked = {"runs": ("0",), "methods": ("icu", "npo", "whp"), "references": ("shams",), "limit": 4}
    return make_plan(Experiment(**{**asked, **options}), download=False)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planned()


@pytest.mark.parametrize(
    ("requested", "roles"),
    [
        (("auto",), ("before", "dedup", "retrained", "null")),
        (("shams",), ("before", "retrained", "null")),
        (("auto", "shams"), ("before", "dedup", "retrained", "null")),
        (("dedup", "shams"), ("before", "dedup", "retrained", "null")),
        (("before",), ("before",)),
        (("none",), ()),
    ],
)
def test_shams_come_with_what_they_are_compared_with(requested, roles):
    assert reference_roles(requested) == roles


def test_what_only_auto_asked_for_is_left_out_without_a_word():
    assert not is_requested("dedup", ("auto", "shams"))
    assert not is_requested("null", ("auto",))
    assert is_requested("null", ("auto", "shams"))
    assert is_requested("retrained", ("before",))  # a task asks for it


@pytest.mark.parametrize("requested", [("sham",), ("none", "shams"), ("shams", "beforee")])
def test_an_unknown_reference_is_named(requested):
    with pytest.raises(UserError, match="unlearnbench run --help"):
        reference_roles(requested)


def test_every_method_has_its_noise_and_the_table_one_row_of_retain_rows(plan):
    rows = {cell.label: cell.role for cell in plan.cells}
    shams = [label for label, role in rows.items() if role == "sham"]
    assert shams == ["NEO + noise (ICU)", "NEO + noise (NPO)", "NEO + noise (WHP)",
                     "NEO + retain only"]  # fmt: skip
    assert [label for label, role in rows.items() if role == "method"] == [
        "NEO + ICU", "NEO + NPO", "NEO + WHP",
    ]  # fmt: skip
    assert {"before", "retrained"} < set(rows.values())
    by_label = {cell.label: cell for cell in plan.cells}
    for name in ("ICU", "NPO", "WHP"):
        method, noise = by_label[f"NEO + {name}"], by_label[f"NEO + noise ({name})"]
        assert noise.settings == method.settings
        assert noise.noise.base == noise.model_key == method.key == method.model_key
        assert noise.key != method.key
        assert noise.models == method.models is not None
        assert forward_tokens(noise) == forward_tokens(method)  # if it was not kept


def test_retain_rows_are_trained_on_at_the_usual_rate_for_as_long_as_any(plan):
    cells = {cell.method: cell for cell in plan.cells if cell.noise is None and cell.is_trained}
    rates = [cells[name].settings["learning_rate"] for name in ("icu", "npo", "whp")]
    sham = cells["retain_only"]
    assert sham.settings["learning_rate"] == median_low(rates)
    assert sham.origins["learning_rate"] == "the median of the methods beside it"
    assert sham.settings["max_epochs"] == cells["icu"].settings["max_epochs"]


def test_their_settings_can_be_set():
    plan = planned(
        methods=("icu",),
        settings=("noise.scale=2", "retain_only.learning_rate=1e-3", "retain_only.max_epochs=2"),
    )
    cells = {cell.label: cell for cell in plan.cells}
    assert cells["NEO + noise (ICU)"].noise.settings == {"scale": 2.0}
    assert cells["NEO + noise (ICU)"].identity["noise"] == {"scale": 2.0}
    assert cells["NEO + retain only"].settings["learning_rate"] == 1e-3
    with pytest.raises(UserError, match="scale"):
        planned(methods=("icu",), settings=("noise.scal=2",))
    with pytest.raises(UserError, match="add --references shams"):
        planned(methods=("icu",), settings=("noise.scale=2",), references=("before",))


def test_a_plan_without_shams_has_none_and_no_other_keys(plan):
    without = planned(references=("before", "retrained"))
    assert {cell.role for cell in without.cells} == {"before", "retrained", "method"}
    assert {cell.key for cell in without.cells} < {cell.key for cell in plan.cells}
    assert all("noise" not in cell.identity for cell in without.cells)


def test_all_methods_are_without_shams_and_a_named_sham_is_one():
    assert "retain_only" not in chosen_plugins("methods", ("all",))
    plan = planned(methods=("icu", "retain_only"), references=("none",))
    assert {cell.method: cell.role for cell in plan.cells} == {
        "icu": "method",
        "retain_only": "sham",
    }
    both = planned(methods=("icu", "retain_only"))
    assert sum(cell.method == "retain_only" for cell in both.cells) == 1


def test_without_rows_to_keep_there_are_no_retain_rows_to_train_on(tmp_path):
    rows = [
        {"doc_id": str(i), "text": "Mara wrote to Tobin in the spring. " * 12} for i in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {
        "forget_set": str(tmp_path / "rows.jsonl"), "limit": None, "stop": "paper",
        "model": ("nano-neo",), "runs": (), "tasks": ("forgetting",), "bert": "nano",
    }  # fmt: skip
    plan = planned(methods=("kumpr",), **options)
    assert "noise" in plan.cells[-1].label
    assert not any(cell.method == "retain_only" for cell in plan.cells)
    assert any(one.startswith("sham 'retain only' is left out: ") for one in plan.warnings)
    with pytest.raises(UserError, match="needs retain items"):
        planned(methods=("retain_only",), **options)


def test_shams_are_not_attacked():
    plan = planned(methods=("icu",), attacks=("mixing",), tasks=("forgetting",))
    assert {cell.role for cell in plan.cells if cell.attack} == {"before", "retrained", "method"}
