"""A cell that runs out of memory fails alone, and its result says what to change."""

from pathlib import Path

import pytest
from tiny import TinyWorld, at_home, build, cli

from unlearnbench.results.store import Store

# More than any address space: refused by the allocator itself, on every machine.
GREEDY = '''
"""A method that asks for more memory than there is."""

from dataclasses import dataclass

import torch

from unlearnbench.registry import register
from unlearnbench.unlearning.gradient_method import GradientMethod


@register
@dataclass(kw_only=True)
class Greedy(GradientMethod):
    """Takes 64 TiB."""

    name = "greedy"
    label = "Greedy"

    def loss(self, batch):
        torch.empty(2**46, dtype=torch.uint8)
        return {"forget": -batch.target_nll}
'''


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return build(tmp_path_factory.mktemp("world"))


@pytest.mark.parametrize("jobs", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_a_cell_without_memory_fails_alone(world: TinyWorld, tmp_path: Path, jobs: str) -> None:
    (world.folder / "greedy.py").write_text(GREEDY)
    more = ("--plugin", str(world.folder / "greedy.py"), "--references", "none", "--jobs", jobs)
    with at_home(world):
        status, shown, told = cli(*world.options(tmp_path / "out", *more, methods="greedy,kumpr"))
    assert status == 1, told
    results = {r.method.name: r for r in Store(tmp_path / "out").load_all()[0]}
    assert results["kumpr"].status in ("ok", "not_forgotten")
    error = results["greedy"].error or ""
    assert results["greedy"].status == "failed"
    assert "out of memory while asking for 70.4 TB" in error
    assert "it needs about" in error
    assert "--gradient-accumulation-steps 2, --gradient-checkpointing" in error
    assert "Traceback" not in shown
