"""The conformance kit: every registered plugin keeps its contract, and broken ones are caught."""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from click.testing import CliRunner
from fault_cases import run_pytest

from unlearnbench import registry
from unlearnbench.cli import cli
from unlearnbench.errors import UserError
from unlearnbench.metrics.task import Task
from unlearnbench.reporting.report import Report
from unlearnbench.results.score import Metric, Score
from unlearnbench.settings import setting
from unlearnbench.testing import (
    ContractError,
    check_attack,
    check_method,
    check_report,
    check_task,
    check_wrapper,
)
from unlearnbench.unlearning.gradient_method import GradientMethod

CHECKS = {
    "methods": check_method,
    "wrappers": check_wrapper,
    "tasks": check_task,
    "attacks": check_attack,
    "reports": check_report,
}
# One of each kind of method beside those of the default run; an epoch and a batch in parts of every
# one are default tests elsewhere (test_all_methods.py, test_same_everywhere.py).
AT_ONCE = ("gd", "npo", "task_vector", "answers", "membership", "replies", "mixing")


def _is_quick(kind: str, name: str, plugin: Any) -> bool:
    # An attack's own tests check it on smaller models.
    return name in AT_ONCE or (kind != "attacks" and registry.is_default(plugin))


PLUGINS = [
    pytest.param(
        kind,
        name,
        marks=[] if _is_quick(kind, name, plugin) else pytest.mark.slow,
    )
    for kind in CHECKS
    for name, plugin in getattr(registry, kind)().items()
]


@pytest.mark.parametrize(("kind", "name"), PLUGINS, ids=lambda value: value)
def test_every_registered_plugin_keeps_its_contract(kind: str, name: str) -> None:
    CHECKS[kind](registry.find(kind, name))


@dataclass(kw_only=True)
class Ascent(GradientMethod):
    """Gradient ascent, to be broken by each test in its own way."""

    name: ClassVar[str] = "ascent"
    label: ClassVar[str] = "Ascent"

    def loss(self, batch: Any) -> dict[str, Any]:
        return {"target": -batch.target_nll}


def test_a_method_that_does_as_it_should_passes() -> None:
    assert check_method(Ascent).n_epochs >= 1


class Descent(Ascent):
    """Learns what it should forget."""

    def loss(self, batch: Any) -> dict[str, Any]:
        return {"target": batch.target_nll}


class Collapsing(Ascent):
    """Its loss is no number."""

    def loss(self, batch: Any) -> dict[str, Any]:
        return {"target": batch.target_nll * float("nan")}


class Drawing(Ascent):
    """Draws from torch's own generator."""

    def loss(self, batch: Any) -> dict[str, Any]:
        return {"target": -batch.target_nll * float(1 + torch.rand(()))}


class Summing(Ascent):
    """A term that is a sum over the rows it is given, not a mean."""

    def loss(self, batch: Any) -> dict[str, Any]:
        return {"target": -batch.target_nll_per_row.sum() / 100}


class Tokenizing(Ascent):
    """Changes the tokenizer."""

    def prepare(self, model: Any, forget_set: Any) -> None:
        model.tokenizer.add_tokens(["<never seen>"])


class Environing(Ascent):
    """Leaves an environment variable behind."""

    def prepare(self, model: Any, forget_set: Any) -> None:
        os.environ["LEFT_BEHIND"] = f"{id(forget_set)} {os.urandom(4).hex()}"


class Nameless(Ascent):
    """A loss, not its terms."""

    def loss(self, batch: Any) -> Any:
        return -batch.target_nll


class PerRow(Ascent):
    """A loss for each row."""

    def loss(self, batch: Any) -> Any:
        return {"forget": -batch.target_nll_per_row}


class Unlabelled(Ascent):
    """Without a label."""

    label: ClassVar[str] = ""


@dataclass(kw_only=True)
class Silent(Ascent):
    """A setting without a meaning."""

    weight: float = 1.0


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Descent, "better known"),
        (Collapsing, "collapsed"),
        (Drawing, "torch's random generator"),
        (Summing, "in 2 parts"),
        (Tokenizing, "tokenizer"),
        (Environing, "environment variables"),
        (Silent, "weight has no meaning"),
        (Nameless, r"loss\(\) of '.*' gave .* its terms by name"),
        (PerRow, "each a tensor of one number"),
        (Unlabelled, "Unlabelled has no `label`"),
        (Silent(), "is no class; give the class"),
    ],
)
def test_a_method_that_breaks_the_contract_is_caught(
    method: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEFT_BEHIND", "")  # so that it is put back
    with pytest.raises(ContractError, match=message):
        check_method(method)


@dataclass(kw_only=True)
class Constant(Task):
    """One number for each row."""

    name: ClassVar[str] = "constant"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric("constant", "Constant", True),)
    value: float = setting(1.0, "what every row gets")

    def measure(self, model: Any, context: Any) -> dict[str, Score]:
        documents = dict.fromkeys(context.forget_set.rows.doc_ids, self.value)
        return {"constant": Score.of(documents, higher_is_better=True)}


class Contrary(Constant):
    """Says of its score what it does not say of its metric."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("constant", "Constant", False),)


class Restless(Constant):
    """Draws what it measures."""

    def measure(self, model: Any, context: Any) -> dict[str, Score]:
        documents = {name: random.random() for name in context.forget_set.rows.doc_ids}
        return {"constant": Score.of(documents, higher_is_better=True)}


class Training(Constant):
    """Changes the model that it measures."""

    def measure(self, model: Any, context: Any) -> dict[str, Score]:
        with torch.no_grad():
            next(model.network.parameters()).mul_(1.01)
        return super().measure(model, context)


def test_a_task_that_does_as_it_should_passes() -> None:
    assert check_task(Constant, value=0.5)["constant"].value == 0.5


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (Contrary, "higher_is_better"),
        (Restless, "random generator|second time"),
        (Training, "changed the weights"),
    ],
)
def test_a_task_that_breaks_the_contract_is_caught(task: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_task(task)


@dataclass(frozen=True)
class Bare(Report):
    """Prints what it is given as it is given."""

    name: ClassVar[str] = "bare"

    def render(self, document: Any) -> str:
        return " ".join(row.label for row in document.tables[0].groups[0].rows) + "\n"


def test_a_report_that_prints_control_characters_is_caught() -> None:
    with pytest.raises(ContractError, match="control character"):
        check_report(Bare)


@pytest.fixture
def registered() -> Iterator[None]:
    """Plugins that a test brings in are gone after it."""
    before = {kind: dict(registry._plugins[kind]) for kind in registry.KINDS}
    yield
    registry._plugins.update(before)


@pytest.mark.parametrize(
    "kinds",
    [("method", "report"), pytest.param(("wrapper", "task"), marks=pytest.mark.slow)],
)
def test_new_writes_plugins_whose_tests_pass_at_once(kinds: tuple[str, ...], tmp_path) -> None:
    own = tmp_path / "own"
    for kind in kinds:
        done = CliRunner().invoke(cli, ["new", kind, f"own_{kind}", "--out", str(own)])
        assert done.exit_code == 0, done.output
        assert (own / f"test_own_{kind}.py").is_file()
    tests = run_pytest(own, tmp_path / "told", str(own))
    assert tests.status == 0, tests.out + tests.err


@pytest.mark.parametrize("name", ["icu", "My Method", "class", "9lives", "_1", "torch"])
def test_new_refuses_names_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["new", "method", name, "--out", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert list(tmp_path.iterdir()) == []


def test_new_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text("precious")
    done = CliRunner().invoke(cli, ["new", "method", "mine", "--out", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]
