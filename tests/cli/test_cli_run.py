"""`unlearnbench run` from end to end on a tiny model: results, resuming, failures, exit codes."""

import json
import signal
import time
from pathlib import Path

import pytest
import tiny
from fault_cases import changed, copy, forked_cli, wait_until
from fault_cases import forked_workers as forked_workers
from tiny import all_numbers, cli

from unlearnbench.results.store import Store

STILL = '''
"""A method that follows no gradient."""

from dataclasses import dataclass

from unlearnbench.registry import register
from unlearnbench.unlearning.epochs import EpochLog
from unlearnbench.unlearning.method import Method


@register
@dataclass(kw_only=True)
class Still(Method):
    """Leaves everything as it is."""

    name = "still"
    label = "Still"

    def unlearn(self, model, forget_set, examiner):
        self.max_epochs = 0
        log = EpochLog(self, model, forget_set, examiner)
        log.before()
        return log.trace
'''

DEADLY = """
import os
from dataclasses import dataclass

from unlearnbench.unlearning.method import Method
from unlearnbench.registry import register


@register
@dataclass(kw_only=True)
class Deadly(Method):
    \"\"\"Takes its process with it.\"\"\"

    name = "deadly"
    label = "Deadly"

    def unlearn(self, model, forget_set, examiner):
        os._exit(9)
"""


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    """The files of a run; the cache and the plugins that runs load are gone afterwards."""
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        yield world


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    """The folder and the table of a run that nothing happened to."""
    out = tmp_path_factory.mktemp("undisturbed")
    status, table, told = cli(*world.options(out))
    assert status == 0, told
    return out, table


def test_table_on_stdout_talk_on_stderr_configuration_kept(undisturbed, world):
    out, table = undisturbed
    assert "KUMPR" in table
    assert "Push" in table
    assert "unlearnbench:" not in table
    results, damages = Store(out).load_all()
    assert damages == []
    assert sorted(r.label for r in results) == [
        "model (before unlearning)",
        "model + KUMPR",
        "model + Push",
    ]
    assert len(list((out / "experiments").glob("*.toml"))) == 1
    method = next(r for r in results if r.label == "model + KUMPR")
    assert method.method.settings["learning_rate"] == 1e-3
    assert method.method.origins["learning_rate"] == "--set kumpr.learning_rate"
    assert method.trace.n_epochs == 2
    assert method.costs["unlearn"].forward_tokens > 0
    assert method.model.n_parameters > 0
    assert "forgetting" in method.scores
    assert list(method.continuations) == method.forget_set.doc_ids
    last = {row.doc_id: row.continuation for row in method.trace.epochs[-1].rows}
    assert method.continuations == last
    assert "perplexity" in method.scores


def test_no_path_of_this_machine_is_in_a_result(undisturbed, world):
    for path in (undisturbed[0] / "cells").glob("*.json"):
        assert str(world.folder.parent) not in path.read_text()


def test_the_same_command_runs_nothing_and_prints_the_same(undisturbed, world):
    out, table = undisturbed
    status, shown, told = cli(*world.options(out))
    assert (status, shown) == (0, table)
    assert "0 cells run, 3 from before" in told


def test_the_kept_configuration_repeats_the_run(undisturbed, world):
    out, table = undisturbed
    kept = next((out / "experiments").glob("*.toml"))
    status, shown, told = cli("run", "--config", kept)
    assert (status, shown) == (0, table)
    assert "0 cells run" in told
    status, _, told = cli("run", "--config", kept, "--max-epochs", "1", "--dry-run")
    assert status == 0, told


def test_a_changed_setting_is_a_new_cell_and_the_others_stay(undisturbed, world, tmp_path):
    out = copy(undisturbed[0], tmp_path)
    status, _, told = cli(*world.options(out, "--set", "push.weight=0.5"))
    assert status == 0, told
    assert "1 cells run, 2 from before" in told
    assert len(Store(out).load_all()[0]) == 4


def test_changed_data_is_a_new_cell(undisturbed, world, tmp_path):
    out = copy(undisturbed[0], tmp_path)
    _, shown, _ = cli(*world.options(out, "--limit", "4", "--dry-run"))
    assert shown.count("to do") == 3
    _, shown, _ = cli(*world.options(out, "--dry-run"))
    assert shown.count("to do") == 0
    assert "forward tokens or so" in shown  # rows of free text have no fixed length
    assert "upper bound" in shown


def test_a_damaged_result_is_named_and_measured_again(undisturbed, world, tmp_path):
    out = copy(undisturbed[0], tmp_path)
    victim = sorted((out / "cells").glob("*.json"))[0]
    victim.write_text(victim.read_text()[:100])
    status, shown, told = cli("report", out)
    assert status == 1
    assert victim.name in told
    assert "model + " in shown
    status, shown, told = cli(*world.options(out))
    assert (status, shown) == (0, undisturbed[1])
    assert victim.name in told
    assert "1 cells run" in told


def test_a_failing_cell_costs_only_itself(undisturbed, world, tmp_path):
    out = copy(undisturbed[0], tmp_path)
    command = world.options(out, "--set", "push.weight=-1")
    status, shown, told = cli(*command)
    assert status == 1
    assert "KUMPR" in shown
    assert "RuntimeError: weight is negative" in told
    failed = [r for r in Store(out).load_all()[0] if r.status == "failed"]
    assert [r.error for r in failed] == ["RuntimeError: weight is negative"]
    assert "Traceback" in (out / "logs" / f"{failed[0].key}.log").read_text()
    status, _, told = cli(*command)
    assert "1 cells run, 2 from before, 1 failed" in told


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--set", "kumpr.lerning_rate=1"), "did you mean 'learning_rate'"),
        (("--set", "kumpr.learning_rate=fast"), "is not a number"),
        (("--set", "icu.alpha=0.1"), "'icu' takes no part in this run"),
        (("--methods", "icuu"), "did you mean 'icu'"),
        (("--tasks", "perplexty"), "did you mean 'perplexity'"),
        (("--protocol", "relased"), "is not one of paper, released"),
        (("--references", "befor"), "did you mean 'before'"),
        (("--references", "none,before"), "unknown reference 'none'; see all with"),
        (("--dry-run", "--shard", "3/2"), "e.g. --shard 1/4"),
        (("--model", "nano-nea"), "did you mean 'nano-neo'"),
        (("--model", "./nowhere"), "no model folder at"),
        (("--forget-set", "./nowhere"), "no forget set at"),
        (("--runs", "7"), "unknown run '7'"),
        (("--stop", "calibrated"), "--unseen"),
        (("--data-revision", "piqa"), "'piqa' is not NAME=COMMIT"),
        (("--bert", "./nowhere"), "nowhere"),
        (("--plugin", "nowhere.py"), "no plugin file"),
        (("--text", "nofile"), "NAME=FILE"),
        (("--device", "cuda:99"), "is not available here"),
        (("--limit", "0"), "--limit '0' is not"),
        (("--set", "push.learning_rate=-1"), "a number, above 0"),
        (("--revision", "v1", "--model", "neo-125m,opt-125m"), "a revision of one model"),
        (("--until", "steps"), "--until steps needs --max-steps"),
        (("--max-steps", "9"), "a meaning with --until steps only"),
        (("--until", "budget"), "--until budget needs --utility-budget"),
        (("--until", "budget", "--utility-budget", "1"), "above 1"),
        (("--budget-text", "pile"), "a meaning with --until budget only"),
        (
            ("--until", "budget", "--utility-budget", "1.1", "--budget-text", "pille"),
            "did you mean 'pile'",
        ),
        (("--weight-decay", "0.1"), "a meaning with --optimizer adamw only"),
        (("--warmup-steps", "1", "--warmup-epochs", "1"), "in steps or in epochs"),
        (("--warmup-epochs", "2.5"), "longer than the 2 steps that kumpr has over 8 rows"),
        (("--warmup-steps", "6", "--until", "steps", "--max-steps", "5"), "longer than the 5"),
    ],
)
def test_mistakes_are_told_before_anything_runs(world, tmp_path, more, told):
    status, shown, error = cli(*world.options(tmp_path / "out", *more))
    assert status == 2
    assert shown == ""
    assert told in error
    assert error.strip().count("\n") == 0
    assert error.startswith("unlearnbench: error: ")
    assert not (tmp_path / "out" / "cells").exists()


def test_calibrated_line_is_measured_on_unseen_rows(world, tmp_path):
    unseen = world.folder / "unseen.jsonl"
    options = world.options(tmp_path, "--stop", "calibrated", "--unseen", unseen, methods="kumpr")
    status, _, told = cli(*options)
    assert status == 0, told
    results = Store(tmp_path).load_all()[0]
    assert {r.stop.source for r in results} == {"calibrated"}
    assert {r.stop.n_unseen for r in results} == {8}
    assert len({(r.stop.el, r.stop.ma) for r in results}) == 1
    assert {r.costs["calibrate"].forward_tokens > 0 for r in results} == {True}


def test_a_run_may_end_only_when_no_single_row_is_known(world, tmp_path):
    unseen = ("--stop", "rows", "--unseen", world.folder / "unseen.jsonl")
    rates = ("--set", "kumpr.learning_rate=3e-3", "--max-epochs", "1")
    status, _, err = cli(*world.options(tmp_path, *unseen, *rates, methods="kumpr"))
    assert status == 0, err
    trained = next(r for r in Store(tmp_path).load_all()[0] if r.trace is not None)
    assert trained.stop.source == "rows"
    assert trained.trace.outcome == "not_forgotten"
    page = cli("report", tmp_path)[1]
    assert "no single row may be known better than these" in " ".join(page.split())


@pytest.mark.usefixtures("forked_workers")
def test_two_workers_give_the_same_numbers(undisturbed, world, tmp_path):
    check_workers("2", undisturbed, world, tmp_path)


@pytest.mark.slow
def test_a_new_process_gives_the_same_numbers(undisturbed, world, tmp_path):
    check_workers("1", undisturbed, world, tmp_path)


def check_workers(jobs, undisturbed, world, tmp_path):
    status, table, told = cli(*world.options(tmp_path, "--jobs", jobs))
    assert (status, table) == (0, undisturbed[1]), told
    assert all_numbers(tmp_path) == all_numbers(undisturbed[0])


@pytest.mark.usefixtures("forked_workers")
def test_a_cell_that_kills_its_worker_is_the_only_one_lost(undisturbed, world, tmp_path):
    deadly = tmp_path / "deadly.py"
    deadly.write_text(DEADLY)
    options = world.options(tmp_path, methods="deadly,kumpr,push")
    status, _, told = cli(*options, "--plugin", deadly, "--jobs", "2", "--retries", "1")
    assert status == 1, told
    assert "its process ended with exit status 9; it is run again" in told
    assert "4 cells run, 0 from before, 1 failed" in told
    errors = {r.label: r.error for r in Store(tmp_path).load_all()[0]}
    assert errors == {
        "model (before unlearning)": None,
        "model + Deadly": "its process ended with exit status 9 (2 attempts)",
        "model + KUMPR": None,
        "model + Push": None,
    }
    assert changed(undisturbed[0], tmp_path) == []


def test_the_order_of_rows_is_the_one_asked_for_now(undisturbed, world):
    shown = cli(*world.options(undisturbed[0], methods="push,kumpr"))[1]
    assert shown.index("model + Push") < shown.index("model + KUMPR")
    assert undisturbed[1].index("model + KUMPR") < undisturbed[1].index("model + Push")


def test_a_renamed_folder_holds_the_same_data(undisturbed, world, tmp_path):
    import shutil

    renamed = Path(shutil.copy(world.folder / "forget.jsonl", tmp_path / "other.jsonl"))
    options = world.options(undisturbed[0], "--dry-run")
    options[options.index("--forget-set") + 1] = str(renamed)
    assert cli(*options)[1].count("to do") == 0


def test_a_dry_run_shows_the_cells_of_its_shard(undisturbed, world):
    options = world.options(undisturbed[0], "--dry-run")
    lines = [line for line in cli(*options)[1].splitlines() if "  done  " in line]
    assert len(lines) > 2
    shown = cli(*options, "--shard", "2/2")[1]
    assert [line for line in shown.splitlines() if "  done  " in line] == lines[1::2]
    assert f"{len(lines[1::2])} cells" in shown


def test_of_a_launchers_processes_the_first_one_talks(world, tmp_path, monkeypatch):
    row = json.dumps({"text": " ".join(tiny.WORDS[:40])}) + "\n"
    (tmp_path / "twice.jsonl").write_text(2 * row)
    options = world.options(tmp_path / "out", "--dry-run", methods="push")
    options[options.index("--forget-set") + 1] = str(tmp_path / "twice.jsonl")
    del options[options.index("--set") : options.index("--set") + 2]  # KUMPR's
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        status, shown, told = cli(*options)
        assert status == 0, told
        assert ("cells, 0 done" in shown, "repeats" in told) == (rank == "0", rank == "0")
        assert rank == "0" or (shown, told) == ("", "")


def test_killed_and_started_again_gives_the_same_table(undisturbed, world, tmp_path):
    run = forked_cli(tmp_path / "driver", *world.options(tmp_path / "out"))
    wait_until(lambda: n_cells_in(tmp_path / "out") >= 1, of=run)
    time.sleep(0.05)
    run.signal(signal.SIGKILL)
    run.wait()
    status, table, told = cli(*world.options(tmp_path / "out"))
    assert (status, table) == (0, undisturbed[1]), told
    assert all_numbers(tmp_path / "out") == all_numbers(undisturbed[0])


@pytest.mark.slow
def test_killed_at_five_random_moments(undisturbed, world, tmp_path):
    import random

    dice = random.Random(time.time_ns())
    for _ in range(5):
        process = world.start(*world.options(tmp_path))
        time.sleep(dice.uniform(0.0, 12.0))
        process.kill()
        process.communicate()
    done = world.run(*world.options(tmp_path))
    assert (done.returncode, done.stdout) == (0, undisturbed[1]), done.stderr
    assert all_numbers(tmp_path) == all_numbers(undisturbed[0])


def test_an_interrupt_says_how_to_go_on(world, tmp_path):
    out = tmp_path / "out"
    run = forked_cli(tmp_path / "driver", *world.options(out, "--max-epochs", "5000"))
    wait_until(lambda: n_cells_in(out) >= 1, of=run)
    run.signal(signal.SIGINT)
    ended = run.wait()
    assert (ended.status, ended.out) == (130, ""), ended.err
    assert "of 3 cells are done, run the same command to go on" in ended.err
    assert Store(out).load_all()[1] == []


def test_tune_writes_rates_that_runs_then_use(world, tmp_path):
    rates = tmp_path / "learning_rates.json"
    options = world.options(tmp_path / "tuning")[1:]
    del options[options.index("--tasks") : options.index("--tasks") + 4]  # tasks, kumpr's rate
    options[options.index("--max-epochs") + 1] = "6"
    command = ["tune", *options, "--run", "0", "--grid", "1e-6,1e-2", "-o", str(rates)]
    status, shown, told = cli(*command)
    assert status == 0, told
    assert shown.splitlines() == ["kumpr  0.01", "push  0.01"]
    written = json.loads(rates.read_text())
    tried = written["methods"]["kumpr"]["candidates"]
    assert [(c["learning_rate"], c["reached"]) for c in tried] == [(1e-6, False), (1e-2, True)]
    assert "[1/" in told
    assert "[1/" not in cli(*command)[2]  # the second time every candidate is there
    again = json.loads(rates.read_text())
    assert again == written
    assert (written["max_epochs"], written["stop"]) == (6, "paper")

    status, _, told = cli("run", *options, "--out", tmp_path / "out", "--learning-rates", rates)
    assert status == 0, told
    used = [r.method for r in Store(tmp_path / "out").load_all()[0] if r.role == "method"]
    assert [m.settings["learning_rate"] for m in used] == [1e-2, 1e-2]
    assert all(m.origins["learning_rate"].startswith("tuned on forget set ") for m in used)


@pytest.mark.slow
def test_tune_tries_settings_and_keeps_what_the_file_holds(world, tmp_path):
    """A method at a time, into one file; what is tuned otherwise is refused before any cell."""
    rates, out = tmp_path / "learning_rates.json", tmp_path / "tuning"
    options = world.options(out)[1:]
    del options[options.index("--methods") : options.index("--methods") + 6]
    options[options.index("--max-epochs") + 1] = "6"
    command = ["tune", *options, "--run", "0", "--grid", "3e-3", "-o", rates]
    status, shown, told = cli(*command, "--methods", "kumpr")
    assert (status, shown.splitlines()) == (0, ["kumpr  0.003"]), told
    kumpr = json.loads(rates.read_text())["methods"]["kumpr"]
    tries = ("--methods", "push", "--try", "push.weight=1e-9,2", "--grid", "1e-6,3e-3")
    status, shown, told = cli(*command, *tries)
    assert (status, shown.splitlines()) == (0, ["push  0.003  weight=2.0"]), told
    written = json.loads(rates.read_text())
    assert written["methods"]["kumpr"] == kumpr
    assert written["grid"] == [1e-6, 3e-3]
    tried = [(c["learning_rate"], c["settings"]) for c in written["methods"]["push"]["candidates"]]
    assert tried == [(rate, {"weight": w}) for rate in (1e-6, 3e-3) for w in (1e-9, 2.0)]

    n_before = len(list((out / "cells").glob("*.json")))
    for flag in ("limit", "task_limit"):
        few = (*command, "--methods", "kumpr", f"--{flag.replace('_', '-')}", "2")
        status, shown, told = cli(*few)
        assert (status, shown) == (2, "")
        assert f"keeps push, tuned with {flag.replace('_', ' ')} none, not 2" in told
    options[options.index("--max-epochs") + 1] = "7"
    command = ["tune", *options, "--run", "0", "--grid", "3e-3", "-o", rates]
    status, shown, told = cli(*command, "--methods", "kumpr")
    assert (status, shown) == (2, "")
    assert f"{rates} keeps push, tuned with max epochs 6, not 7" in told
    assert len(list((out / "cells").glob("*.json"))) == n_before

    run = ("--methods", "push", "--learning-rates", rates, "--out", tmp_path / "out")
    status, _, told = cli("run", *options, *run, "--set", "push.learning_rate=1e-3")
    assert status == 0, told
    (used,) = [r.method for r in Store(tmp_path / "out").load_all()[0] if r.role == "method"]
    assert (used.settings["weight"], used.settings["learning_rate"]) == (2.0, 1e-3)
    assert used.origins["weight"].startswith("tuned on forget set ")


def test_tune_calls_methods_with_an_adapter_what_a_run_calls_them(world, tmp_path):
    rates = tmp_path / "learning_rates.json"
    options = world.options(tmp_path / "out", methods="push,kumpr")[1:]
    options += ["--adapter", "sam", "--set", "sam.rho=0.1"]
    options[options.index("--max-epochs") + 1] = "1"
    command = ["tune", *options, "--run", "0", "--grid", "3e-3", "-o", rates]
    del command[command.index("--tasks") : command.index("--tasks") + 4]
    status, shown, told = cli(*command, "--try", "push+sam.weight=2")
    assert status == 0, told
    assert [line.split()[0] for line in shown.splitlines()] == ["kumpr+sam", "push+sam"]
    assert json.loads(rates.read_text())["methods"]["push+sam"]["settings"] == {"weight": 2.0}


@pytest.mark.parametrize(
    ("tried", "told"),
    [
        ("push.weight", "is not NAME.SETTING=A,B"),
        ("push.weight=", "is not NAME.SETTING=A,B"),
        ("push.wait=1,2", "did you mean 'weight'"),
        ("push.weight=1,much", "is not a number"),
        ("pusch.weight=1", "did you mean 'push'"),
        ("icu.alpha=1", "unknown method in --try 'icu'"),
        ("push.learning_rate=1", "rates are tried with --grid"),
        ("push.max_epochs=1,2", "say it with --max-epochs"),
    ],
)
def test_what_cannot_be_tried_is_told_before_anything_runs(world, tmp_path, tried, told):
    options = world.options(tmp_path / "out", methods="push")[1:]
    del options[options.index("--tasks") : options.index("--tasks") + 4]
    status, shown, error = cli("tune", *options, "--run", "0", "--try", tried)
    assert (status, shown) == (2, "")
    assert told in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "out" / "cells").exists()


def test_a_run_by_another_schedule_is_another_cell_with_its_own_row(undisturbed, world, tmp_path):
    """Also of a method from a file; what follows no gradient has none and is warned of."""
    out = copy(undisturbed[0], tmp_path)
    still = tmp_path / "still.py"
    still.write_text(STILL)
    schedule = ("--until", "budget", "--utility-budget", "1.5", "--lr-schedule", "linear")
    options = world.options(out, "--plugin", still, *schedule, methods="kumpr,push,still")
    status, shown, told = cli(*options)
    assert status == 0, told
    assert (
        "method 'still' follows no gradient: --lr-schedule, --until, --utility-budget, "
        "--budget-text is left out for it"
    ) in told
    assert "model + Still" in shown
    results = Store(out).load_all()[0]
    assert len(results) == 6  # the three of before, and those of kumpr, push and still
    trained = {
        r.method.name: r.identity["training"]["schedule"]
        for r in results
        if "training" in r.identity
    }
    asked = {
        "lr_schedule": "linear",
        "until": "budget",
        "utility_budget": 1.5,
        "budget_text": "pile",
    }
    assert trained == {"kumpr": asked, "push": asked}
    (kumpr,) = [r for r in results if r.method.name == "kumpr" and "training" in r.identity]
    assert "utility budget" in kumpr.trace.reason
    assert "loss of pile" in kumpr.trace.reason
    assert kumpr.costs["budget"].forward_tokens > 0
    report = cli("report", out)[1]
    assert "model + KUMPR (lr_schedule=linear, until=budget" in report
    assert "Schedule of model + KUMPR (" in " ".join(report.split())


def n_cells_in(out: Path) -> int:
    return len(list((out / "cells").glob("*.json")))
