"""Which printed row stands beside which of one's own, and why the two may differ."""

from dataclasses import fields
from typing import Any

import pytest
from golden_results import result

from unlearnbench.analysis.columns import EPOCHS, PAPER_COLUMNS, S_M, S_Z
from unlearnbench.errors import UserError
from unlearnbench.protocol import Protocol
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.published.differences import sentences
from unlearnbench.reporting.published.matching import Beside, besides
from unlearnbench.reporting.published.protocol_touches import EVERY, TOUCHES, departures
from unlearnbench.results.record import Result, StopRecord

BEFORE = {"label": "NEO (before unlearning)", "method": "none", "role": "before"}
DEDUP = {"label": "OPT", "method": "none", "role": "dedup"}


def made(*rows: dict[str, Any], group: str = "neo-125m", **changes: Any) -> tuple[Result, ...]:
    return tuple(result(**{"group": group, **changes, **row}) for row in rows)


def method(name: str, **settings: Any) -> dict[str, Any]:
    return {"label": f"NEO + {name.upper()}", "method": name, "settings": settings}


def beside(results: tuple[Result, ...], **published: str) -> Beside:
    (only,) = besides(Findings(results, published=published))
    return only


def matches(found: Beside) -> dict[str, str | None]:
    return {line.label: line.printed.label if line.printed else None for line in found.lines}


def told(results: tuple[Result, ...], kind: str, **published: str) -> list[str]:
    findings = Findings(results, published=published)
    (only,) = besides(findings)
    return [text for k, text in sentences(only, findings) if k == kind and text]


@pytest.mark.parametrize(
    ("group", "printed"),
    [
        ("neo-125m", ("Table I", "125M", False)),
        ("EleutherAI/gpt-neo-2.7B", ("Table I", "2.7B", False)),
        ("tinyllama", ("Table IV", "1.1B", False)),
    ],
)
def test_a_model_is_known_by_its_name(group: str, printed: tuple[str, str, bool]):
    found = beside(made(BEFORE, method("icu"), group=group))
    assert (found.table.place, found.size, found.stands_in) == printed


@pytest.mark.parametrize(
    ("architecture", "printed"),
    [("GPTNeoForCausalLM", ("Table I", "125M")), ("LlamaForCausalLM", ("Table IV", "1.1B"))],
)
def test_a_synthetic_model_stands_in_for_one_of_its_architecture(architecture, printed):
    model = result().model.model_copy(update={"architecture": architecture})
    found = beside(made(BEFORE, method("icu"), group="nano-x", model=model))
    assert (found.table.place, found.size, found.stands_in) == (*printed, True)


def test_a_model_of_another_name_is_known_by_architecture_and_size():
    model = result().model.model_copy(
        update={"name": "mine", "n_parameters": 1_315_575_808, "is_synthetic": False}
    )
    assert beside(made(BEFORE, group="mine", model=model)).size == "1.3B"
    llama = model.model_copy(update={"architecture": "LlamaForCausalLM"})
    with pytest.raises(UserError, match="prints nothing for mine"):
        beside(made(BEFORE, group="mine", model=llama))
    found = beside(made(BEFORE, group="mine", model=llama), params="2.7B")
    assert (found.size, found.stands_in) == ("2.7B", True)


def test_rows_are_matched_by_role_and_method_and_the_rest_is_listed():
    rows = made(BEFORE, DEDUP, method("kumpr"), method("mine"), {**method("icu"), "position": 9})
    found = beside(rows)
    assert matches(found) == {
        "NEO (before unlearning)": "NEO (before unlearning)",
        "OPT": "OPT",
        "NEO + KUMPR": "NEO + KUMPR",
        "NEO + MINE": None,
        "NEO + ICU": "NEO + ICU",
        "NEO + DPO": "NEO + DPO",
        "NEO + KL": "NEO + KL",
        "NEO + LLMU": "NEO + LLMU",
    }
    assert [line.label for line in found.lines if line.own is None] == [
        "NEO + DPO", "NEO + KL", "NEO + LLMU",
    ]  # fmt: skip
    assert len(found.matched) == 4


def test_of_several_rows_of_icu_the_one_with_the_papers_weights_counts():
    rows = made(
        method("kl"), method("icu", alpha=0.5, beta=1.0), method("icu", alpha=0.1, beta=1.0)
    )
    found = matches(beside(rows))
    assert found["NEO + ICU (alpha=0.5)"] == "NEO + ICU"
    assert found["NEO + ICU (alpha=0.1)"] is None
    other = made(method("kl"), method("icu", alpha=0.2, beta=1.0))
    assert matches(beside(other))["NEO + ICU"] == "NEO + ICU"
    assert told(other, "weights") == [
        "Weights: alpha=0.2, beta=1 for NEO + ICU here, alpha=0.5, beta=1 there; touches all of "
        "its columns."
    ]


def test_a_sweep_of_weights_is_guessed_and_matched_by_value():
    rows = made(*(method("icu", alpha=a, beta=b) for a, b in ((0.1, 0.5), (2.0, 2.0), (3.0, 1.0))))
    found = beside(rows)
    assert found.table.name == "alpha-beta"
    by_label = matches(found)
    assert by_label["NEO + ICU (alpha=0.1, beta=0.5)"] == "NEO + ICU (alpha=0.1, beta=0.5)"
    assert by_label["NEO + ICU (alpha=3, beta=1)"] is None
    assert sum(line.own is None for line in found.lines) == 8


def test_learning_rates_are_matched_by_value_and_only_a_stand_in_by_order():
    own = (5e-7, 1e-6, 2e-6, 5e-6, 3e-5)
    rows = made(*(method("icu", learning_rate=rate) for rate in own))
    found = beside(rows)
    assert (found.table.name, found.by_order, len(found.matched)) == ("learning-rate", False, 4)
    nano = made(*(method("icu", learning_rate=100 * rate) for rate in own), group="nano-neo")
    found = beside(nano)
    pairs = {
        line.own.settings["learning_rate"]: line.printed.settings["learning_rate"]
        for line in found.matched
        if line.own and line.printed
    }
    assert pairs == {100 * a: b for a, b in zip(own, (5e-7, 1e-6, 2e-6, 5e-6, 1e-5), strict=True)}
    assert found.by_order
    assert told(nano, "learning_rate") == [
        "Learning rates are laid beside the printed ones by their order."
    ]
    assert not beside(nano[:4]).by_order


def test_runs_are_taken_in_the_order_of_the_forget_sets():
    rows = tuple(
        one
        for run, el10 in (("0", 0.01), ("2", 0.03))
        for one in made(BEFORE, method("icu"), method("kl"), run=run, scores={"el10": el10})
    )
    found = beside(rows, table="per-run")
    values = {
        line.label: (line.own.cells["el10"].mean if line.own else None,
                     line.printed.values["el10"] if line.printed else None)
        for line in found.lines
    }  # fmt: skip
    assert values == {
        "NEO (before unlearning)": (pytest.approx(2.0), "51.9"),
        "NEO + ICU, forget set 0": (pytest.approx(1.0), "3.6"),
        "NEO + ICU, forget set 2": (pytest.approx(3.0), "4.4"),
        "NEO + ICU (run=2)": (None, "4.8"),
        "NEO + ICU (run=4)": (None, "3.9"),
        "NEO + ICU (run=5)": (None, "5.0"),
    }
    assert found.unprinted == ("NEO + KL",)


def test_every_protocol_setting_says_what_it_touches():
    assert set(TOUCHES) == {field.name for field in fields(Protocol)}
    columns = {c.name for c in (*PAPER_COLUMNS, EPOCHS, S_Z, S_M)} | {"human"}
    for touch in TOUCHES.values():
        assert set(touch.columns) <= columns
        assert set(touch.methods) <= set(EVERY)


def test_a_run_under_the_released_protocol_departs_in_nothing():
    released = vars(Protocol.named("released"))
    assert not list(departures(released, None, 10**10))
    # Version 2's scores are capped, which the released code knows nothing of.
    assert [d.setting for d in departures(released, 1000.0, 10**10)] == ["perplexity_cap"]


def test_what_departs_is_told_with_what_it_touches():
    paper = vars(Protocol())
    small = {d.setting: d for d in departures(paper, 1000.0, 125_000_000)}
    assert set(TOUCHES) - set(small) == {"perplexity_cap", "large_model_learning_rate"}
    large = {d.setting for d in departures(paper, 1000.0, 2_700_000_000)}
    assert large - set(small) == {"large_model_learning_rate"}
    rows = made(BEFORE, method("icu"), method("kl"))
    protocol = told(rows, "protocol")
    assert "el_positions: every here, suffix there; touches EL10 of every row and every column of "\
        "the methods' rows." in protocol  # fmt: skip
    assert "kl_term: divergence here, cross_entropy there; touches every column of NEO + ICU, "\
        "NEO + KL." in protocol  # fmt: skip
    assert not any(text.startswith(("dpo_loss", "llmu_mismatch")) for text in protocol)


def test_released_numbers_of_128_rows_need_few_words():
    model = result().model.model_copy(update={"n_parameters": 125_198_592, "is_synthetic": False})
    rows = made(
        BEFORE, method("icu", batch_size=8), model=model, protocol_name="released",
        protocol={**vars(Protocol.named("released")), "perplexity_cap": 1000.0},
    )  # fmt: skip
    kinds = {
        k: told(rows, k) for k in ("stand_in", "protocol", "stop_line", "learning_rate", "dtype")
    }
    assert kinds == {k: [] for k in kinds}


def test_a_calibrated_line_other_rates_and_few_sets_are_told():
    stop = StopRecord(source="calibrated", el=0.0407, ma=0.4374, n_unseen=64)
    tuned = result().method.model_copy(
        update={
            "label": "NEO + KL",
            "name": "kl",
            "settings": {"learning_rate": 2e-4, "max_epochs": 12, "batch_size": 16},
            "origins": {"learning_rate": "tuned on forget set x"},
        }
    )
    one = result("NEO + KL", method="kl", group="nano-neo", stop=stop)
    results = (one.model_copy(update={"method": tuned}),)
    assert "EL10 < 0.0407 and MA < 0.4374; EL10 < 0.0499" in told(results, "stop_line")[0]
    n_rows = len(one.forget_set.doc_ids)
    assert f"1 of {n_rows} rows here, 5 of 128 there" in told(results, "means")[0]
    assert "2e-4 (tuned) for NEO + KL here, 5e-6 there" in told(results, "learning_rate")[0]
    assert told(results, "epoch_limit") == ["Epoch limit: 12 for NEO + KL, which ran 14.0 there."]
    assert "Batch: 16 rows here, 8 there" in told(results, "batch_size")[0]
    assert "says nothing about the paper" in told(results, "stand_in")[0]
    limited = one.model_copy(update={"identity": {"tasks": {"limit": 10}}})
    assert "the first 10 documents" in told((limited,), "limit")[0]


def test_an_unknown_table_or_model_names_the_way_out():
    with pytest.raises(UserError, match="did you mean 'table1"):
        beside(made(BEFORE), table="table11")
    with pytest.raises(UserError, match=r"prints nothing in alpha-beta for neo-1.3b.*published"):
        beside(made(method("icu"), group="neo-1.3b"), table="alpha-beta")
