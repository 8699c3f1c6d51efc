"""One cell over two processes, through the command line: the same numbers as in one."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import tiny
from fault_cases import on_two_ranks
from unlearning_fakes import tiny_model

from unlearnbench.cli import status_of
from unlearnbench.models.devices import ranks
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store
from unlearnbench.running.launching.in_process import call_others

TIMEOUT = 500

# It fails in one process only, where the other waits for it.
LAME = '''
"""A method that one of two processes cannot go on with."""

import os
from dataclasses import dataclass

from unlearnbench.registry import register
from unlearnbench.unlearning.gradient_method import GradientMethod


@register
@dataclass(kw_only=True)
class Lame(GradientMethod):
    """Fails in its second step in process 1."""

    name = "lame"
    label = "Lame"

    def loss(self, batch):
        if batch.references._stepped and os.environ.get("RANK") == "1":
            raise RuntimeError("a foot is missing")
        return {"target": -batch.target_nll}
'''


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tiny.TinyWorld:
    world = tiny.build(tmp_path_factory.mktemp("devices"))
    (world.folder / "lame.py").write_text(LAME)
    return world


def options(world: tiny.TinyWorld, out: Path, methods: str, *more: str) -> list[str]:
    """Eight rows in batches of three: 3, 3 and 2, and so shares of 2 and 1, 2 and 1, 1 and 1."""
    rates = [f"{name}.learning_rate=1e-3" for name in ("icu", "dpo") if name in methods]
    set_ = [word for rate in rates for word in ("--set", rate)]
    return world.options(out, "--batch-size", "3", *set_, *more, methods=methods)


def by_method(out: Path) -> dict[str, Result]:
    return {result.method.name: result for result in Store(out).load_all()[0]}


@pytest.fixture(scope="module")
def alone(world: tiny.TinyWorld) -> dict[str, Result]:
    """The run of one process that the others are held against."""
    return run_alone(world, "kumpr,icu")


def run_alone(world: tiny.TinyWorld, methods: str) -> dict[str, Result]:
    out = world.folder / "alone"
    with tiny.at_home(world):
        status, _, told = tiny.cli(*options(world, out, methods))
    assert status == 0, told
    return by_method(out)


def on_two(
    world: tiny.TinyWorld, launcher: list[str], arguments: list[str]
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *launcher, "-m", "unlearnbench", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env={
            **os.environ,
            "UNLEARNBENCH_CACHE": str(world.folder / "cache"),
            "OMP_NUM_THREADS": "1",
        },
    )


TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def check_equal(got: Result, want: Result) -> None:
    """Losses of every epoch, every epoch's and every task's metrics, tokens of every phase."""
    assert got.status == want.status
    if want.trace is not None and got.trace is not None:
        assert got.trace.outcome == want.trace.outcome
        for mine, other in zip(got.trace.epochs, want.trace.epochs, strict=True):
            assert mine.losses == pytest.approx(other.losses, rel=1e-5, abs=1e-5)
            assert mine.metrics == pytest.approx(other.metrics, rel=1e-5, abs=1e-6)
            assert [r.doc_id for r in mine.rows] == [r.doc_id for r in other.rows]
            assert [r.continuation for r in mine.rows] == [r.continuation for r in other.rows]
    assert got.scores.keys() == want.scores.keys()
    for task, scores in want.scores.items():
        for name, score in scores.items():
            assert got.scores[task][name].value == pytest.approx(score.value, rel=1e-5, abs=1e-6)
    for phase, cost in want.costs.items():
        # what a method looks up once, one process looks up for all
        of_branches = phase in ("extraction", "continuations", "calibrate")
        # some finished branches go along until others are finished, in each process on its own
        allowed = 0.05 * cost.forward_tokens if of_branches else 0
        assert abs(got.costs[phase].forward_tokens - cost.forward_tokens) <= allowed
        assert got.costs[phase].generated_tokens == cost.generated_tokens


def forked_on_two(world: tiny.TinyWorld, arguments: list[str]) -> tuple[str, str]:
    """Stdout and stderr of two forks of this process, which has torch loaded."""
    with tiny.at_home(world):
        ended = on_two_ranks(world.folder / "forks", lambda: status_of(arguments))
    return "".join(one.out for one in ended), "".join(one.err for one in ended)


def launched_on_two(world: tiny.TinyWorld, arguments: list[str]) -> tuple[str, str]:
    """The same of two processes that torchrun starts."""
    done = on_two(world, TORCHRUN, arguments)
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "started", [forked_on_two, pytest.param(launched_on_two, marks=pytest.mark.slow)]
)
def test_two_processes_give_the_numbers_of_one(
    world: tiny.TinyWorld, alone: dict[str, Result], started
) -> None:
    """And a method that fails in one of them fails alone, in both, while the others are saved.

    So are the models: the process that writes them must not shut the other one out.
    """
    out = world.folder / started.__name__
    more = ("--plugin", str(world.folder / "lame.py"), "--save-models")
    shown, told = started(world, options(world, out, "kumpr,icu,lame", *more))
    kept = {folder.name for folder in (out / "models").iterdir()}
    assert kept == {r.key for r in by_method(out).values() if r.method.name in ("kumpr", "icu")}
    assert "process 1 failed: RuntimeError: a foot is missing" in told
    assert "torch.distributed" not in shown
    found = by_method(out)
    assert found["lame"].status == "failed"
    assert "process 1 failed" in str(found["lame"].error)
    for name in ("none", "kumpr", "icu"):
        check_equal(found[name], alone[name])
    assert found["icu"].identity["training"] == {"n_processes": 2}
    assert shown.count("EL10") >= 1  # one table: only the first process talks
    assert shown.count("model + ICU †") == 1


@pytest.mark.slow
def test_two_processes_make_the_same_pair_and_write_the_same_alternates(
    world: tiny.TinyWorld,
) -> None:
    methods = "task_vector,whp,altpo,kumpr"
    rates = [f"{name}.learning_rate=1e-4" for name in ("task_vector", "whp", "altpo")]
    more = [word for rate in rates for word in ("--set", rate)]
    done = world.run(*options(world, world.folder / "one more", methods, *more, "--jobs", "0"))
    assert done.returncode == 0, done.stderr
    wanted = by_method(world.folder / "one more")
    out = world.folder / "two more"
    done = on_two(world, TORCHRUN, options(world, out, methods, *more))
    assert done.returncode == 0, done.stderr
    found = by_method(out)
    for name in ("task_vector", "whp", "altpo"):
        check_equal(found[name], wanted[name])


needs_deepspeed = pytest.mark.skipif(
    shutil.which("c++") is None, reason="DeepSpeed compiles an extension and needs a C++ compiler"
)


@pytest.mark.slow
@needs_deepspeed
@pytest.mark.parametrize("stage", ["zero2", "zero3"])
def test_zero_on_two_processes_gives_the_numbers_of_one(world: tiny.TinyWorld, stage: str) -> None:
    """Every cell has its own engine, one after the other in the same processes."""
    pytest.importorskip("deepspeed", reason="the extra 'deepspeed' is not installed")
    alone = run_alone(world, "kumpr,icu,dpo")
    out = world.folder / stage
    more = ("--deepspeed", stage, "--gradient-accumulation-steps", "2")
    done = on_two(world, TORCHRUN, options(world, out, "kumpr,icu,dpo", *more))
    assert done.returncode == 0, done.stderr
    found = by_method(out)
    for name, want in alone.items():
        got = found[name]
        if name == "dpo":  # trl's trainer pads, and so counts, otherwise than our loop
            got.costs["unlearn"] = want.costs["unlearn"]
        check_equal(got, want)
    assert found["icu"].identity["training"]["deepspeed"] == stage
    assert done.stdout.lstrip().startswith("model: ")


SCHEDULE = (
    *("--optimizer", "adamw", "--weight-decay", "0.1", "--lr-schedule", "cosine"),
    *("--warmup-steps", "1", "--max-grad-norm", "0.5", "--max-epochs", "3"),
    *("--until", "budget", "--utility-budget", "1.02", "--budget-every", "2"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage", [None, *(pytest.param(stage, marks=needs_deepspeed) for stage in ("zero2", "zero3"))]
)
def test_a_schedule_on_two_processes_gives_the_numbers_of_one(
    world: tiny.TinyWorld, stage: str | None
) -> None:
    """Clipping by the whole batch's norm, rates and the budget's text among them."""
    more: tuple[str, ...] = ()
    if stage is not None:
        pytest.importorskip("deepspeed", reason="the extra 'deepspeed' is not installed")
        more = ("--deepspeed", stage, "--gradient-accumulation-steps", "2")
    alone, out = world.folder / "schedule", world.folder / f"schedule-{stage}"
    done = world.run(*options(world, alone, "kumpr,icu", "--jobs", "0", *SCHEDULE))
    assert done.returncode == 0, done.stderr
    done = on_two(world, TORCHRUN, options(world, out, "kumpr,icu", *more, *SCHEDULE))
    assert done.returncode == 0, done.stderr
    found = by_method(out)
    for name, want in by_method(alone).items():
        check_equal(found[name], want)
    assert "the utility budget" in str(found["kumpr"].trace)
    assert found["icu"].identity["training"]["schedule"]["max_grad_norm"] == 0.5


@pytest.mark.slow
@needs_deepspeed
def test_accelerate_launch_with_deepspeed_of_its_own(
    world: tiny.TinyWorld, alone: dict[str, Result]
) -> None:
    """Its processes, its ZeRO stage: nothing is said on our command line."""
    pytest.importorskip("deepspeed", reason="the extra 'deepspeed' is not installed")
    out = world.folder / "accelerate"
    launcher = [
        "accelerate.commands.launch",
        *("--multi_gpu", "--num_processes", "2", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
        patch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2")
        done = on_two(world, launcher, options(world, out, "kumpr"))
    assert done.returncode == 0, done.stderr
    found = by_method(out)
    check_equal(found["kumpr"], alone["kumpr"])
    assert found["kumpr"].identity["training"] == {
        "deepspeed": "zero2",
        "deepspeed_version": version("deepspeed"),
        "n_processes": 2,
    }


@pytest.mark.slow
@needs_deepspeed
def test_zero_in_one_process_needs_no_launcher(
    world: tiny.TinyWorld, alone: dict[str, Result]
) -> None:
    pytest.importorskip("deepspeed", reason="the extra 'deepspeed' is not installed")
    out = world.folder / "zero-alone"
    done = world.run(*options(world, out, "kumpr", "--deepspeed", "zero2"))
    assert done.returncode == 0, done.stderr
    check_equal(by_method(out)["kumpr"], alone["kumpr"])


def test_without_a_launcher_nothing_is_exchanged() -> None:
    model = tiny_model()
    with ranks.together():
        assert ranks.over_ranks(3, lambda own: [10 * i for i in own]) == [0, 10, 20]
        assert ranks.from_first(lambda: "here") == "here"
        assert list(ranks.each_by_one("ab", str.upper)) == [("a", "A"), ("b", "B")]
        ranks.same_weights(model)
        model.meter.sum_over_processes()
        call_others(None)
    with pytest.raises(ZeroDivisionError):
        ranks.gathered(lambda: 1 // 0)
