"""`unlearnbench attack` from end to end on a tiny model: kept models, made again, resumed."""

import json
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny
from fault_cases import copy
from tiny import all_numbers, cli

from unlearnbench import registry
from unlearnbench.files.software import source_sha256
from unlearnbench.results.record import Result, attacked_model_in
from unlearnbench.results.store import Store

SLOW = '''
"""Mixing that takes its time."""

import time
from dataclasses import dataclass

from unlearnbench import attacks
from unlearnbench.registry import register


@register
@dataclass(kw_only=True)
class Slow(attacks["mixing"]):
    """Mixing that takes its time."""

    name = "slow-mixing"
    label = "Slow mixing"

    def apply(self, model, target):
        time.sleep(1.5)
        yield from super().apply(model, target)
'''
FAULTY = '''
"""An attack that fails on what was unlearned."""

from dataclasses import dataclass

from unlearnbench.attacking.attack import Attack, Point
from unlearnbench.registry import register
from unlearnbench.settings import setting


@register
@dataclass(kw_only=True)
class Faulty(Attack):
    """Yields a point, and then what a setting says."""

    name = "faulty"
    label = "Faulty"

    fault: str = setting("raises", "what goes wrong")

    def apply(self, model, target):
        yield Point("one", "one", model, facts={"n": 1.0})
        if self.fault == "raises":
            raise RuntimeError("no more")
        if self.fault == "twice":
            yield Point("one", "again", model)
        if self.fault == "infinite":
            yield Point("two", "two", model, facts={"n": float("inf")})
'''


MIXING = ("--attacks", "mixing", "--set", "mixing.alphas=0,0.5,1")

NOTED = '''
"""An attack that says how the model would be trained."""

from dataclasses import dataclass

from unlearnbench.attacking.attack import Attack, Point
from unlearnbench.registry import register


@register
@dataclass(kw_only=True)
class Noted(Attack):
    """Changes nothing."""

    name = "noted"
    label = "Noted"

    def apply(self, model, target):
        parts = model.strategy.gradient_accumulation_steps
        yield Point("here", "here", model, facts={"parts": float(parts)})
'''


@dataclass(frozen=True)
class Attacked:
    """A folder with a run of one method and its attacks, and what was printed."""

    out: Path
    table: str

    def results(self) -> list[Result]:
        """Those under attack."""
        return attacked_in(self.out)


def attack(*arguments: object) -> tuple[int, str, str]:
    """`unlearnbench attack` in this process."""
    return cli("attack", *arguments, "--jobs", "0")


def attacked_in(out: Path) -> list[Result]:
    return [r for r in Store(out).load_all()[0] if r.attack is not None]


def by_role(results: list[Result]) -> dict[str, Result]:
    return {result.role: result for result in results}


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    """The files of a run, with a model that never saw the rows."""
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        pool = (world.folder / "pool.jsonl").read_text().splitlines()
        tiny.save_model(world.folder / "retrained", [json.loads(line)["text"] for line in pool])
        (world.folder / "slow.py").write_text(SLOW)
        (world.folder / "faulty.py").write_text(FAULTY)
        (world.folder / "noted.py").write_text(NOTED)
        yield world


def run_options(world, out, *more):
    retrained = ("--retrained", str(world.folder / "retrained"))
    return world.options(out, *retrained, *more, methods="kumpr")


@pytest.fixture(scope="module")
def kept(world, tmp_path_factory):
    """A run that kept its model, not attacked yet."""
    out = tmp_path_factory.mktemp("kept")
    status, _, told = cli(*run_options(world, out, "--save-models"))
    assert status == 0, told
    return out


@pytest.fixture(scope="module")
def attacked(kept, tmp_path_factory):
    """The same after `unlearnbench attack`."""
    out = copy(kept, tmp_path_factory.mktemp("attacked"))
    status, table, told = attack(out, *MIXING)
    assert status == 0, told
    assert "3 cells run" in told
    return Attacked(out, table)


def test_the_three_models_are_attacked_alike_and_point_by_point(attacked):
    results = by_role(attacked.results())
    assert sorted(results) == ["before", "method", "retrained"]
    for result in results.values():
        assert [p.name for p in result.attack.points] == ["alpha=0", "alpha=0.5", "alpha=1"]
        assert [p.position for p in result.attack.points] == [0.0, 0.5, 1.0]
        assert result.attack.settings["alphas"] == [0.0, 0.5, 1.0]
        assert not result.attack.made_again
        assert result.trace is None
        assert set(result.at("alpha=0")) == {"forgetting"}
        assert len(result.at("alpha=1")["forgetting"]["ma"].documents) == 8
        assert {metric.task for metric in result.metrics} == {"forgetting"}
        assert result.costs["attack"].seconds >= 0


def test_an_attack_that_changes_nothing_measures_what_the_run_measured(attacked):
    every = Store(attacked.out).load_all()[0]
    base = {attacked_model_in(r.identity): r.scores for r in every if r.attack is None}
    for result in attacked.results():
        measured = base[result.attack.model]["forgetting"]
        for name, score in result.at("alpha=0")["forgetting"].items():
            # A batch of other texts rounds their vectors otherwise.
            exact = name != "bertscore_f1"
            assert score.documents == (
                measured[name].documents if exact else pytest.approx(measured[name].documents)
            )


def test_the_model_before_unlearning_comes_back_at_the_end(attacked):
    results = by_role(attacked.results())
    whole = results["before"].at("alpha=0")
    assert results["method"].at("alpha=1") == whole
    assert results["retrained"].at("alpha=1") == whole
    assert results["method"].at("alpha=0") != whole


def test_the_same_command_runs_nothing_and_prints_the_same(attacked):
    status, table, told = attack(attacked.out, *MIXING)
    assert (status, table) == (0, attacked.table)
    assert "0 cells run, 3 from before" in told


def test_run_with_attacks_does_both_and_gives_the_same_results(attacked, world, tmp_path):
    status, table, told = cli(*run_options(world, tmp_path, *MIXING, "--save-models"))
    assert status == 0, told
    assert "6 cells run" in told
    assert "Recovery under attack" in attacked.table
    assert attacked.table.partition("\n")[2].strip() in table
    ours, theirs = all_numbers(tmp_path), all_numbers(attacked.out)
    assert ours.keys() == theirs.keys()
    for name, result in theirs.items():
        assert ours[name]["scores"] == result["scores"]


def test_a_model_that_was_not_kept_is_made_again_and_said_so(attacked, kept, tmp_path, world):
    out = copy(kept, tmp_path)
    shutil.rmtree(out / "models")
    status, _, told = attack(out, *MIXING, "--methods", "kumpr")
    assert status == 0, told
    again, first = (by_role(each)["method"] for each in (attacked_in(out), attacked.results()))
    assert again.attack.made_again
    assert again.scores == first.scores
    log = (out / "logs" / f"{again.key}.log").read_text()
    assert "the unlearned model was not kept; it is unlearned again" in log
    # It is kept now, so that the next attack need not make it once more.
    assert [folder.name for folder in (out / "models").iterdir()]
    other = ("--attacks", "mixing", "--set", "mixing.alphas=0.1")
    assert attack(out, *other)[0] == 0
    newest = [r for r in attacked_in(out) if r.role == "method" and len(r.attack.points) == 1]
    assert [r.attack.made_again for r in newest] == [False]


def test_the_main_table_is_the_same_with_attacks_in_the_folder(attacked, kept):
    assert cli("report", attacked.out, "--sections", "table")[1] == cli("report", kept)[1]


def test_a_dry_run_says_what_it_would_cost(kept, tmp_path):
    status, shown, told = attack(kept, "--attacks", "mixing", "--dry-run")
    assert status == 0, told
    assert shown.count("under Mixing") == shown.count("forward tokens") == 3
    assert "3 cells, 0 done" in shown
    assert not (kept / "cells" / "x").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--attacks", "mixng"), "unknown attack 'mixng' (did you mean 'mixing'?)"),
        (("--attacks", "mixing", "--set", "mixing.alpha=1"), "did you mean 'alphas'?"),
        (("--attacks", "mixing", "--set", "mixing.alphas=2"), "mixing.alphas='2' is not a list"),
        (("--attacks", "mixing", "--methods", "dpo"), "is of a model that these options choose"),
        (("--attacks", "mixing", "--attack-tasks", "perplex"), "unknown task 'perplex'"),
        (("--set", "slow.alphas=1"), "unknown owner in --set 'slow'"),
        (("--set", "kumpr.learning_rate=1"), "models are attacked as they were run"),
        (("--attacks", "mixing", "--seeds", "7"), "is of a model that these options choose"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(kept, options, complaint):
    status, shown, told = attack(kept, *options)
    assert (status, shown) == (2, "")
    assert complaint in told
    assert told.count("\n") == 1


def test_a_folder_without_models_to_attack_is_named(tmp_path, kept, world):
    status, _, told = attack(tmp_path)
    assert status == 2
    assert f"no results in {tmp_path}" in told
    bare = copy(kept, tmp_path / "bare")
    shutil.rmtree(bare / "experiments")
    status, _, told = attack(bare)
    assert status == 2
    assert "does not say how the models of its results were made" in told


def test_a_model_that_cannot_be_made_again_is_said_so(tmp_path, kept, world):
    out = copy(kept, tmp_path)
    for file in (out / "experiments").glob("*.toml"):
        file.write_text(file.read_text().replace("forget.jsonl", "gone.jsonl"))
    status, _, told = attack(out, "--attacks", "mixing")
    assert status == 2
    assert "cannot be made again" in told
    assert "gone.jsonl" in told


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", "RuntimeError: no more"),
        ("twice", "has two points called 'one'"),
        ("infinite", "the fact 'n' is no number"),
    ],
)
def test_an_attack_that_fails_costs_only_its_cells(kept, tmp_path, world, fault, message):
    out = copy(kept, tmp_path)
    plugin = ("--plugin", world.folder / "faulty.py", "--methods", "kumpr")
    status, _, told = attack(out, "--attacks", "faulty", "--set", f"faulty.fault={fault}", *plugin)
    assert status == 1
    assert message in told
    assert {result.status for result in attacked_in(out)} == {"failed"}
    assert {r.status for r in Store(out).load_all()[0] if not r.attack} <= {"ok", "not_forgotten"}


def test_shards_of_attacks_leave_none_out(kept, tmp_path):
    out = copy(kept, tmp_path)
    options = ("--attacks", "mixing", "--set", "mixing.alphas=1")
    for number in (1, 2):
        assert attack(out, *options, "--shard", f"{number}/2")[0] == 0
    assert sorted(r.role for r in attacked_in(out)) == ["before", "method", "retrained"]


def test_what_other_software_unlearned_is_attacked_as_such_or_not_at_all(world, tmp_path):
    push = world.folder / "push.py"
    before, retrained = push.read_text(), ("--retrained", str(world.folder / "retrained"))
    options = world.options(tmp_path, *retrained, "--save-models", methods="push")
    options = [o for o in options if o not in ("--set", "kumpr.learning_rate=1e-3")]
    assert cli(*options)[0] == 0
    (old,) = (r for r in Store(tmp_path).load_all()[0] if r.role == "method")
    try:
        push.write_text(before.replace("-self.weight * batch", "-2 * self.weight * batch"))
        registry._plugins["methods"].pop("push", None)
        registry.load_plugin_file(push)
        source_sha256.cache_clear()
        status, _, told = attack(tmp_path, *MIXING)
        assert status == 0, told
        (method,) = (r for r in attacked_in(tmp_path) if r.role == "method")
        # It is the old method's model, and stands beside the old method's row alone.
        assert method.attack.model == attacked_model_in(old.identity)
        assert not method.attack.made_again
        assert method.at("alpha=0")["forgetting"]["ma"].documents == (
            old.scores["forgetting"]["ma"].documents
        )
        shutil.rmtree(tmp_path / "models")
        status, _, told = attack(tmp_path, "--attacks", "mixing", "--set", "mixing.alphas=1",
                                 "--methods", "push")  # fmt: skip
        assert status == 2
        assert "other software unlearned this model, and it was not kept" in told
    finally:
        push.write_text(before)
        source_sha256.cache_clear()


def test_whoever_trains_on_trains_all_models_alike(world, kept, tmp_path):
    out = copy(kept, tmp_path)
    for file in (out / "experiments").glob("*.toml"):
        text = file.read_text()
        file.write_text(text.replace("accumulation_steps = 1", "accumulation_steps = 2"))
    status, _, told = cli(*run_options(world, out, "--gradient-accumulation-steps", "2"))
    assert status == 0, told
    status, _, told = attack(out, "--plugin", world.folder / "noted.py", "--attacks", "noted")
    assert status == 0, told
    assert {r.attack.points[0].facts["parts"] for r in attacked_in(out)} == {2.0}


def test_a_named_experiment_with_attacks_has_all_its_cells(world, tmp_path):
    options = [str(o) for o in run_options(world, tmp_path / "out", *MIXING)[1:]]
    flags: dict[str, list[str]] = {}
    for flag, value in zip(options[::2], options[1::2], strict=True):
        flags.setdefault(flag.removeprefix("--").replace("-", "_"), []).append(value)
    flags["settings"] = flags.pop("set")
    lines = [f"{name} = {json.dumps(v if len(v) > 1 else v[0])}" for name, v in flags.items()]
    file = tmp_path / "mine.toml"
    file.write_text('title = "Mine"\nsummary = "Mine"\n[run]\n' + "\n".join(lines))
    status, shown, told = cli("run", "--experiment", file)
    assert status == 0, told
    assert "6 cells run" in told
    assert "have no result yet" not in shown
    assert "Recovery under attack" in shown


def test_the_text_of_a_utility_budget_makes_another_model():
    def identity(text: str, until: str) -> dict:
        schedule = {"schedule": {"until": until, "budget_text": "wikitext"}}
        return {"role": "method", "training": schedule, "texts": {"wikitext": text}}

    one, other = (attacked_model_in(identity(text, "budget")) for text in "ab")
    assert one != other
    one, other = (attacked_model_in(identity(text, "epochs")) for text in "ab")
    assert one == other


@pytest.mark.slow
def test_killed_and_started_again_it_gives_the_same_table(kept, tmp_path, world):
    plugin = ("--plugin", str(world.folder / "slow.py"), "--attacks", "slow-mixing", "--jobs", "1")
    whole, cut = copy(kept, tmp_path / "whole"), copy(kept, tmp_path / "cut")
    undisturbed = world.run("attack", str(whole), *plugin)
    assert undisturbed.returncode == 0, undisturbed.stderr
    process = world.start("attack", str(cut), *plugin)
    while not attacked_in(cut) and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    n_done = len(attacked_in(cut))
    assert 1 <= n_done < 3
    again = world.run("attack", str(cut), *plugin)
    assert again.returncode == 0, again.stderr
    assert f"{3 - n_done} cells run, {n_done} from before" in again.stderr
    assert again.stdout == undisturbed.stdout
