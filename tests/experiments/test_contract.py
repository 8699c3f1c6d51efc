"""What a method says of itself: which runs take it, what it needs, what was released."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest
from tiny import cli

from unlearnbench import registry
from unlearnbench.errors import UserError
from unlearnbench.experiments.data_choice import without_weights
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.method_settings import chosen_plugins
from unlearnbench.experiments.planner import Plan, make_plan
from unlearnbench.metrics.task import SPLITS
from unlearnbench.nano import NANO
from unlearnbench.settings import setting
from unlearnbench.testing import ContractError, check_method
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Need, PublishedFault

DEFAULT = ["dpo", "icu", "kl", "kumpr", "llmu"]
FAULT = PublishedFault("span", "padding", "averages over padding", "answers only", "theirs #1")
CONSTANT = PublishedFault("beta", 4.5, "takes 4.5", "takes 2.5", "theirs #2")
TOLD = PublishedFault("", None, "draws the same items on every rank", "nothing", "theirs #3")


@dataclass(kw_only=True)
class Faulty(GradientMethod):
    """A method whose published code departs from its paper."""

    name: ClassVar[str] = "faulty"
    label: ClassVar[str] = "Faulty"
    formula: ClassVar[str] = "−β NLL(x_tgt)\n  + 0"
    needs: ClassVar[tuple[Need, ...]] = ("refusals",)
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (FAULT, CONSTANT, TOLD)
    sequences_per_row: ClassVar[int] = 1

    beta: float = setting(2.5, "weight", source="somebody's configuration", above=0)
    span: Literal["answer", "padding"] = setting("answer", "what is averaged over")

    def loss(self, batch: Any) -> dict[str, Any]:
        return {"target": -self.beta * batch.target_nll}


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> type[Faulty]:
    """The method, registered for one test."""
    registry.methods()
    plugins = {kind: dict(known) for kind, known in registry._plugins.items()}
    monkeypatch.setattr(registry, "_plugins", plugins)
    plugins["methods"]["faulty"] = Faulty
    return Faulty


def planned(**options: Any) -> Plan:
    asked = {"runs": ("0",), "references": ("none",), "methods": ("faulty",), **options}
    return make_plan(Experiment(**asked), download=False)


@pytest.mark.usefixtures("faulty")
def test_a_run_takes_five_methods_unless_they_are_named() -> None:
    assert list(chosen_plugins("methods", ())) == DEFAULT
    everyone = list(registry.methods())
    assert "faulty" in everyone
    everyone.remove("retain_only")  # a sham
    assert list(chosen_plugins("methods", ("all",))) == everyone
    assert list(chosen_plugins("methods", ("kl", "all"))) == ["kl", *(set_without("kl", everyone))]
    of_splits = {name for name, task in registry.tasks().items() if SPLITS in task.needs}
    assert set(chosen_plugins("tasks", ())) == set(registry.tasks()) - of_splits
    assert {"answers", "replies", "membership"} <= of_splits


def set_without(name: str, names: list[str]) -> list[str]:
    return [one for one in names if one != name]


def test_a_built_in_method_is_taken_if_it_says_so_and_a_file_s_always() -> None:
    built_in = {"__module__": "unlearnbench.methods.mine"}
    assert not registry.is_default(type("Mine", (Faulty,), built_in))
    assert registry.is_default(type("Mine", (Faulty,), {**built_in, "runs_by_default": True}))
    of_file = type("Mine", (Faulty,), {"__module__": f"{registry._FILE_MODULE}mine_0"})
    elsewhere = type("Theirs", (Faulty,), {"__module__": "theirs.method", "runs_by_default": True})
    assert registry.is_default(of_file)
    assert not registry.is_default(elsewhere)


def test_no_plugin_is_called_all() -> None:
    with pytest.raises(UserError, match="has no name that an option can take"):
        registry.register(type("All", (Faulty,), {"name": "all", "label": "All"}))


@pytest.mark.usefixtures("faulty")
def test_the_released_protocol_gives_released_values_and_set_is_stronger() -> None:
    (paper,) = planned().cells
    assert (paper.settings["beta"], paper.settings["span"]) == (2.5, "answer")
    (released,) = planned(protocol="released").cells
    assert (released.settings["beta"], released.settings["span"]) == (4.5, "padding")
    assert released.origins["span"] == "as released: averages over padding"
    (said,) = planned(protocol="released", settings=("faulty.beta=3",)).cells
    assert (said.settings["beta"], said.settings["span"]) == (3.0, "padding")
    assert said.origins["beta"] == "--set faulty.beta"


@pytest.mark.usefixtures("faulty")
def test_a_method_that_needs_refusals_takes_the_nano_world_s(tmp_path: Any) -> None:
    (stock,) = planned().cells
    assert stock.data.source.stock_refusals == NANO.refusals()
    path = tmp_path / "refusals.txt"
    path.write_text("Nobody knew.\n")
    (given,) = planned(refusals=str(path)).cells
    assert "refusals" not in given.identity["forget_set"]
    assert given.identity["forget_set"]["sha256"] != stock.identity["forget_set"]["sha256"]
    (plain,) = planned(methods=("kl",)).cells
    assert stock.identity["forget_set"].pop("refusals")
    assert stock.identity["forget_set"] == plain.identity["forget_set"]
    object.__setattr__(stock.data.source, "stock_refusals", ())  # the source is shared
    try:
        with pytest.raises(UserError, match=r"method 'faulty' needs refusals, .* --refusals FILE"):
            planned()
    finally:
        object.__setattr__(stock.data.source, "stock_refusals", NANO.refusals())


def test_a_method_looks_at_a_model_without_weights_before_any_is_trained(
    faulty: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def check(self: Any, model: Any, source: Any, run: str) -> None:
        names = [name for name, _ in model.network.named_modules()]
        seen.append((self.beta, source.title(run)))
        if f"transformer.h.{self.beta:g}" not in names:
            raise UserError(f"no layer {self.beta:g}")

    monkeypatch.setattr(faulty, "check", check)
    assert planned(settings=("faulty.beta=1",), runs=("0", "1"), seeds=(1, 2)).cells
    assert [beta for beta, _ in seen] == [1.0, 1.0]
    assert len({title for _, title in seen}) == 2
    with pytest.raises(UserError, match="no layer 99"):
        planned(settings=("faulty.beta=99",))


def test_the_default_methods_build_no_network() -> None:
    without_weights.cache_clear()
    planned(methods=())
    assert without_weights.cache_info().misses == 0


def test_show_says_what_it_is_what_it_costs_and_what_was_released(
    faulty: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from unlearnbench.cli.catalogue import describe

    page = describe("faulty")
    for part in (
        "Formula:\n  −β NLL(x_tgt)\n  + 0\n",
        "Needs: refusals\n",
        "Cost per step: 1 x gradient ascent",
        "      default from: somebody's configuration\n",
        "  span = padding (--protocol released, or --set)\n"
        "      released: averages over padding\n"
        "      paper: answers only\n"
        "      source: theirs #1\n",
        "  no setting\n      released: draws the same items on every rank\n",
    ):
        assert part in page
    assert "one pass of the original model" not in page
    assert "one pass of the original model over rows and retain items" in describe("icu")
    assert describe("kl").count("Needs: original model, retain items") == 1
    _, listed, _ = cli("list", "methods")
    marked = [line.split()[0] for line in listed.splitlines() if line.split()[1] == "default"]
    assert marked == DEFAULT
    assert "faulty" in listed


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (PublishedFault("bta", 1.0, "", "", ""), "did you mean 'beta'"),
        (PublishedFault("beta", -1.0, "", "", ""), "is not a number, above 0"),
        (PublishedFault("beta", 9.0, "", "", ""), "two released values"),
        (PublishedFault("span", "answer", "", "", ""), "two released values"),
        (PublishedFault("max_epochs", 100, "", "", ""), "is the default"),
    ],
)
def test_a_fault_that_cannot_be_switched_breaks_the_contract(fault: Any, told: str) -> None:
    broken = type(
        "Broken", (Faulty,), {"__doc__": "It.", "published_faults": (FAULT, CONSTANT, fault)}
    )
    with pytest.raises(ContractError, match=told):
        check_method(broken)
