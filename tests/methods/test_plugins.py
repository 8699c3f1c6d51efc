"""The two example plugins run through the harness unchanged; every method keeps the contract."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from unlearning_fakes import MaExaminer, forget_set, memorise, tiny_model

from unlearnbench import registry
from unlearnbench.registry import load_plugin_file, methods
from unlearnbench.settings import settings_of
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.method import Method

EXAMPLES = Path(__file__).parents[2] / "examples"
PLUGIN = EXAMPLES / "plugin_file" / "random_labels.py"
NPO = EXAMPLES / "unlearnbench-npo" / "src"


@pytest.fixture
def registered() -> Iterator[None]:
    """Plugins that a test brings in are gone after it."""
    methods()
    before = dict(registry._plugins["methods"])
    yield
    registry._plugins["methods"] = before


@pytest.fixture
def npo(registered: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package's class, as its entry point would bring it in."""
    monkeypatch.syspath_prepend(str(NPO))
    monkeypatch.delitem(sys.modules, "unlearnbench_npo", raising=False)
    registry._import_tree("unlearnbench_npo")
    return methods()["npo"]


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


def test_npo_package_unlearns(npo: Any) -> None:
    forgets(npo)


def test_npo_at_the_original_model_and_towards_gradient_ascent(npo: Any) -> None:
    """2 log 2 / beta at theta_0, and for small beta the gradient of gradient ascent."""
    model, set_ = tiny_model(), forget_set()
    batch = UnlearnBatch.of(model, set_, [0, 1, 2])
    loss = npo(beta=1e-3).loss(batch)["npo"]
    assert float(loss.detach()) == pytest.approx(2 * 0.6931472 / 1e-3, rel=1e-5)
    parameters = list(model.network.parameters())
    got = torch.autograd.grad(loss, parameters, retain_graph=True)
    want = torch.autograd.grad(-batch.target_nll, parameters)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_tests_of_the_npo_package_pass_as_a_third_party_runs_them() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    path = os.pathsep.join([str(NPO), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [*command, "tests"],
        cwd=NPO.parent,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_npo_package_declares_its_entry_point() -> None:
    import tomllib

    project = tomllib.loads((NPO.parent / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["unlearnbench.methods"] == {"npo": "unlearnbench_npo"}


@pytest.mark.parametrize(
    "name", ["kumpr", "kl", "dpo", "llmu", "icu", "task_vector", "whp", "altpo"]
)
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
