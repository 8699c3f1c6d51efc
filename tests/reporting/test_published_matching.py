"""Which printed row stands beside which of one's own, and why the two may differ."""

from dataclasses import fields
from typing import Any

import pytest
from golden_results import result

from unlearnbench.analysis.columns import EPOCHS, PAPER_COLUMNS, S_M, S_Z
from unlearnbench.errors import UserError
from unlearnbench.protocol import Protocol
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.published.matching import Beside, besides
from unlearnbench.reporting.published.setup import METHODS, TOUCHES, departures
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


def departed(results: tuple[Result, ...], **published: str) -> dict[str, tuple[str, str, str]]:
    """Own value, printed value and what it touches, by the name of the setting."""
    findings = Findings(results, published=published)
    (only,) = besides(findings)
    return {d.name: (d.own, d.printed, d.touches) for d in departures(only, findings)}


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
    assert departed(other)["alpha"] == ("0.2", "0.5", "NEO + ICU")
    assert "beta" not in departed(other)


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
    assert "learning_rate" not in departed(nano)  # the lines name both
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
        assert set(touch.methods) <= set(METHODS)


EVERY = ("kumpr", "dpo", "kl", "llmu", "icu")


def of_size(n_parameters: int, protocol: dict[str, Any], **published: str) -> set[str]:
    """The protocol's settings in which five methods of a model of that size depart."""
    model = result().model.model_copy(update={"n_parameters": n_parameters})
    rows = made(BEFORE, *map(method, EVERY), model=model, protocol=protocol)
    return set(departed(rows, **published)) & set(TOUCHES)


def test_a_run_under_the_released_protocol_departs_in_nothing():
    released = vars(Protocol.named("released"))
    assert not of_size(10**10, released, table="per-run")  # which prints no scores
    # Version 2's scores are capped, which the released code knows nothing of.
    assert of_size(10**10, released) == {"perplexity_cap"}


def test_what_departs_is_listed_with_what_it_touches():
    paper = vars(Protocol())
    small, large = of_size(125_000_000, paper), of_size(2_700_000_000, paper)
    assert set(TOUCHES) - small == {"perplexity_cap", "large_model_learning_rate"}
    assert large - small == {"large_model_learning_rate"}
    found = departed(made(BEFORE, method("icu"), method("kl")))
    assert found["el_positions"] == ("every", "suffix", "EL10; every method's row")
    assert found["kl_term"] == ("divergence", "cross_entropy", "NEO + ICU, NEO + KL")
    assert found["neighbour_metric"] == ("cosine", "l2", "nothing")
    assert not {"dpo_loss", "llmu_mismatch"} & set(found)


def test_released_numbers_of_five_sets_of_128_rows_depart_in_nothing():
    protocol = {**vars(Protocol.named("released")), "perplexity_cap": 1000.0}
    icu = method("icu", batch_size=8, alpha=0.5, beta=1.0)
    rows = [made(BEFORE, icu, run=run, protocol_name="released", protocol=protocol)
            for run in "01234"]  # fmt: skip
    assert departed(sum(rows, ())) == {}


def test_a_calibrated_line_other_rates_and_few_sets_are_listed():
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
    one = one.model_copy(update={"method": tuned, "identity": {"tasks": {"limit": 10}}})
    found = departed((one,))
    assert found["model"] == ("nano-neo", "GPT-Neo 125M", "everything")
    assert found["stop line"] == (
        "EL10 < 0.0407, MA < 0.4374", "EL10 < 0.0499, MA < 0.5994", "every method's row",
    )  # fmt: skip
    assert found["forget sets"][:2] == (f"1 of {len(one.forget_set.doc_ids)} rows", "5 of 128 rows")
    assert found["learning_rate"] == ("2e-4 (tuned)", "5e-6", "NEO + KL")
    assert found["max_epochs"] == ("12", "ran 14.0", "NEO + KL")
    assert found["batch_size"] == ("16", "8", "NEO + KL")
    assert found["documents per task"][:2] == ("the first 10", "all")


def test_an_unknown_table_or_model_names_the_way_out():
    with pytest.raises(UserError, match="did you mean 'table1"):
        beside(made(BEFORE), table="table11")
    with pytest.raises(UserError, match=r"prints nothing in alpha-beta for neo-1.3b.*published"):
        beside(made(method("icu"), group="neo-1.3b"), table="alpha-beta")
