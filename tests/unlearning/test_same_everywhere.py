"""A batch in one go, in parts, over two processes and by ZeRO: the same losses and weights."""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import everywhere
import pytest
import torch
from everywhere import Trained
from fault_cases import on_two_ranks

from unlearnbench.models.devices.strategy import Strategy

SUPPORT = Path(everywhere.__file__).parent
# At theta_0 their KL term has no gradient but rounding, by which Adam moves weights that get none
# other, a whole step each (docs/methods.md).
MOVED_BY_ROUNDING = ("kl", "llmu")


@cache
def in_one_go() -> dict[str, Trained]:
    return everywhere.every(Strategy())


def saved(file: Path) -> dict[str, Trained]:
    return {name: Trained(*parts) for name, parts in torch.load(file).items()}


def some_on_two_processes(folder: Path) -> dict[str, Trained]:
    """One of each kind: alone, with a frozen model, hidden states, alternates, in wrappers."""
    return on_two_processes(folder, ("gd", "npo", "rmu", "altpo", *everywhere.WRAPPED))


def on_two_processes(folder: Path, names: tuple[str, ...] = ()) -> dict[str, Trained]:
    """Forks of this one, which has torch loaded; test_devices_processes.py has real launchers."""

    def work() -> int:
        everywhere.save_every(folder / "trained.pt", names=names)
        return 0

    ended = on_two_ranks(folder, work)
    assert [each.status for each in ended] == [0, 0], [each.err[-3000:] for each in ended]
    return saved(folder / "trained.pt")


def launched(folder: Path, deepspeed: str) -> dict[str, Trained]:
    launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    file = folder / "trained.pt"
    path = os.pathsep.join([str(SUPPORT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, "-m", *launcher, str(SUPPORT / "everywhere.py"), str(file), deepspeed],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return saved(file)


def in_parts(_: Path) -> dict[str, Trained]:
    return everywhere.every(Strategy(gradient_accumulation_steps=2))


def by_zero_2(folder: Path) -> dict[str, Trained]:
    pytest.importorskip("deepspeed", reason="the extra 'deepspeed' is not installed")
    if shutil.which("c++") is None:
        pytest.skip("DeepSpeed compiles an extension and needs a C++ compiler")
    return launched(folder, "zero2")


@pytest.mark.parametrize(
    "train",
    [
        in_parts,
        some_on_two_processes,
        pytest.param(on_two_processes, marks=pytest.mark.slow),
        pytest.param(by_zero_2, marks=pytest.mark.slow),
    ],
)
def test_every_gradient_method_trains_alike(train, tmp_path: Path) -> None:
    wrong = []
    got = train(tmp_path)
    if train is not some_on_two_processes:
        assert got.keys() == in_one_go().keys()
    for name in got:
        want = in_one_go()[name]
        noise = 0.05 if name in MOVED_BY_ROUNDING else 1e-4
        for epoch, (mine, other) in enumerate(zip(got[name].losses, want.losses, strict=True), 1):
            if mine != pytest.approx(other, rel=noise, abs=1e-6):
                wrong.append(f"{name}, epoch {epoch}: {mine}, not {other}")
        for of, weights in want.weights.items():
            distance = float((got[name].weights[of] - weights).norm() / weights.norm())
            if distance > noise:
                wrong.append(f"{name}, {of}: {distance:.2g} away")
    assert not wrong, "\n".join(wrong)
