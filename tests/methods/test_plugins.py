"""The two example plugins run through the harness unchanged; every method keeps the contract."""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from fault_cases import run_pytest
from unlearning_fakes import MaExaminer, forget_set, memorise, tiny_model

from unlearnbench import registry
from unlearnbench.data.stop_line import StopLine
from unlearnbench.models.paired import decode_as_pair
from unlearnbench.protocol import Protocol
from unlearnbench.registry import load_plugin_file, methods
from unlearnbench.settings import settings_of
from unlearnbench.testing import check_method
from unlearnbench.unlearning.method import Method

EXAMPLES = Path(__file__).parents[2] / "examples"
PLUGIN = EXAMPLES / "plugin_file" / "random_labels.py"
ER = EXAMPLES / "unlearnbench-er" / "src"


@pytest.fixture
def registered() -> Iterator[None]:
    """Plugins that a test brings in are gone after it."""
    methods()
    before = dict(registry._plugins["methods"])
    yield
    registry._plugins["methods"] = before


@pytest.fixture
def er(registered: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's class, as its entry point would bring it in."""
    monkeypatch.syspath_prepend(str(ER))
    monkeypatch.delitem(sys.modules, "unlearnbench_er", raising=False)
    registry._import_tree("unlearnbench_er")
    return methods()["er"]


def forgets(method_class: Any) -> None:
    model, set_ = tiny_model("opt"), forget_set()
    memorise(model, set_.rows)
    trace = method_class(learning_rate=1e-3, batch_size=4, max_epochs=15).unlearn(
        model, set_, MaExaminer()
    )
    assert trace.epochs[0].metrics["ma"] == 1.0
    assert trace.outcome == "forgotten"


def test_one_file_plugin_unlearns(registered: None) -> None:
    load_plugin_file(PLUGIN)
    forgets(methods()["random_labels"])


def test_er_package_unlearns(er: Any) -> None:
    forgets(er)


@pytest.mark.slow
def test_the_tests_of_the_er_package_pass_as_a_third_party_runs_them(tmp_path: Path) -> None:
    done = run_pytest(ER.parent, tmp_path, "--rootdir", ".", "tests", path=ER)
    assert done.status == 0, done.out + done.err
    assert "3 passed" in done.out


def test_er_package_declares_its_entry_point() -> None:
    import tomllib

    project = tomllib.loads((ER.parent / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["unlearnbench.methods"] == {"er": "unlearnbench_er"}


@pytest.mark.parametrize("name", list(methods()))
def test_every_method_documents_itself(name: str) -> None:
    method = methods()[name]
    assert issubclass(method, Method)
    assert method.__doc__.splitlines()[0].endswith(".")
    assert method.label
    assert method.source
    assert method.citation.startswith("@")
    assert all(s.meaning for s in settings_of(method).values())
    assert {f.name for f in fields(method)} == set(settings_of(method))


def test_listing_methods_loads_no_torch() -> None:
    code = (
        "import sys; from unlearnbench.registry import methods; methods(); "
        "print('torch' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout
    assert output.strip() == "False"


def test_the_method_that_the_documentation_writes_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "methods.md"
    if not page.is_file():
        pytest.skip("no checkout beside the tests")
    monkeypatch.setattr(registry, "_plugins", {k: dict(v) for k, v in registry._plugins.items()})
    code = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "capped.py").write_text(code)
    load_plugin_file(tmp_path / "capped.py")
    forgets = check_method(methods()["capped"])  # type: ignore[arg-type]
    assert forgets.epochs[-1].losses.keys() == {"forget", "retain"}
    alone = check_method(methods()["capped"], alpha=0.0)  # type: ignore[arg-type]
    assert alone.epochs[-1].losses.keys() == {"forget"}


def test_pdu_needs_retain_items_also_where_its_dual_variable_starts_at_zero() -> None:
    needs = methods()["pdu"](alpha=0.0, retain="kl").needed(None, Protocol())
    assert {"retain items", "original model"} <= set(needs)


def test_dpo_trains_a_pair_of_networks_too() -> None:
    """By the epoch loop: trl would take the head's weight past the pair."""
    model, set_ = tiny_model(), forget_set()
    decode_as_pair(model, tiny_model(seed=1), 1.0)
    method = methods()["dpo"](learning_rate=1e-3, batch_size=3, max_epochs=1)
    trace = method.unlearn(model, set_, MaExaminer(StopLine(el=-1.0, ma=-1.0)))
    assert trace.epochs[-1].losses["preference"] > 0
