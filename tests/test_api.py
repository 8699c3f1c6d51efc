"""The Python door: what it loads, what it measures, what it leaves alone, and what it says."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from fault_cases import forked
from tiny import cli

import unlearnbench as ub
from unlearnbench.data import forget_set as data
from unlearnbench.results.store import Store

ROOT = Path(__file__).parents[1]
N_ROWS, N_DOCUMENTS = 4, 5


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory, nano_data):
    """The nano world's data, and nothing that another test has measured."""
    cache = tmp_path_factory.mktemp("cache")
    shutil.copytree(nano_data, cache / nano_data.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNBENCH_CACHE", str(cache))
        yield


@pytest.fixture(scope="module")
def model():
    return ub.load_model("nano-neo", device="cpu")


@pytest.fixture(scope="module")
def forget_set(model):
    return ub.load_forget_set("nano", model, run="0", limit=N_ROWS)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.network.state_dict().items()}


def are_equal(some, others):
    return all(bool((tensor == others[name]).all()) for name, tensor in some.items())


def numbers(scores):
    return {
        task: {metric: score.model_dump() for metric, score in of.items()}
        for task, of in scores.items()
    }


def in_a_process(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def executed(code, folder):
    """Run code as a program, in a folder of its own and in a fork, which has torch loaded.

    A stop line is calibrated on four rows, not 64.
    """

    def work():
        os.chdir(folder)
        data.read_unseen = partial(data.read_unseen, limit=4)
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(code, "<string>", "exec"), vars(sys.modules["__main__"]))
        return 0

    ended = forked(folder / "told", work).wait(1800)  # machines are busy
    assert ended.status == 0, ended.err[-3000:]


# What it loads.


def test_importing_the_package_loads_nothing_else():
    told = in_a_process(
        "import sys; before = set(sys.modules); import unlearnbench as ub; ub.UserError\n"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before})"
    )
    ours_and_heavy = set(told.split()) - set(sys.stdlib_module_names)
    assert ours_and_heavy == {"unlearnbench"}


def test_every_public_name_is_there_and_no_other():
    told = json.loads(
        in_a_process(
            "import json, unlearnbench as ub\n"
            "there = [n for n in ub.__all__ if getattr(ub, n) is not None]\n"
            "print(json.dumps([ub.__all__, there, dir(ub)]))"
        )
    )
    declared, there, listed = map(sorted, told)
    assert declared == there == listed
    assert set(ub._MODULES) | {*ub._PLUGIN_PACKAGES, "__version__"} == set(declared)
    with pytest.raises(AttributeError, match="no attribute 'unlern'"):
        _ = ub.unlern


def test_type_checkers_see_what_is_fetched_later():
    source = Path(ub.__file__).read_text(encoding="utf-8")
    typed = source.partition("if TYPE_CHECKING:")[2].partition("__version__ =")[0]
    for name, module in ub._MODULES.items():
        assert re.search(rf"from unlearnbench\.{module} import[^)]*?\b{name}\b", typed), name
    assert (Path(ub.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("kind", ["methods", "wrappers", "tasks", "attacks", "reports"])
def test_plugins_are_mappings_by_name(kind):
    from unlearnbench import registry

    mapping = getattr(ub, kind)
    assert dict(mapping) == getattr(registry, kind)()
    assert len(mapping) == len(list(mapping))
    name = next(iter(mapping))
    assert name in mapping
    assert mapping[name].name == name
    assert "absent" not in mapping
    assert mapping.get("absent") is None
    with pytest.raises(ub.UserError, match=f"did you mean '{name}'.*unlearnbench list {kind}"):
        _ = mapping[name + "x"]


# What it measures.


@pytest.fixture(scope="module")
def commanded(tmp_path_factory):
    """Two cells of the command line: the model before unlearning, and after ICU."""
    out = tmp_path_factory.mktemp("commanded")
    status, _, told = cli(
        *("run", "--model", "nano-neo", "--runs", "0", "--limit", N_ROWS, "--device", "cpu"),
        *("--methods", "icu", "--references", "before", "--max-epochs", 2, "--stop", "paper"),
        *("--tasks", "forgetting,perplexity,dialogue", "--jobs", 0),
        *("--task-limit", N_DOCUMENTS, "--set", "icu.alpha=0.1", "--out", out),
    )
    assert status == 0, told
    return out


def test_the_numbers_are_those_of_the_command_line(commanded, forget_set, model):
    by_role = {result.role: result for result in Store(commanded).load_all()[0]}
    tasks = list(by_role["before"].scores)
    before = ub.evaluate(model, tasks, forget_set, task_limit=N_DOCUMENTS)
    assert numbers(before) == numbers(by_role["before"].scores)

    unlearned = model.copied()
    examiner = ub.make_examiner(unlearned, forget_set, stop="paper")
    trace = ub.unlearn(unlearned, forget_set, "icu", examiner, alpha=0.1, max_epochs=2)
    assert trace.model_dump_json() == by_role["method"].trace.model_dump_json()
    after = ub.evaluate(unlearned, tasks, forget_set, examiner, task_limit=N_DOCUMENTS)
    assert numbers(after) == numbers(by_role["method"].scores)
    # Nothing is kept in the process: without an examiner all is measured anew, and the same.
    anew = ub.evaluate(unlearned, ["forgetting"], forget_set, task_limit=N_DOCUMENTS)
    assert anew["forgetting"]["ma"] == after["forgetting"]["ma"]


def test_tasks_of_the_model_alone_need_no_forget_set(commanded, model):
    before = next(r for r in Store(commanded).load_all()[0] if r.role == "before")
    scores = ub.evaluate(model, "perplexity", task_limit=N_DOCUMENTS)
    assert numbers(scores) == {"perplexity": numbers(before.scores)["perplexity"]}
    with pytest.raises(ub.UserError, match="task 'forgetting' looks at a forget set"):
        ub.evaluate(model, ["forgetting"])


def test_a_run_gives_what_the_command_line_stored(commanded, tmp_path, capfd):
    results = ub.run(
        methods=["icu"],
        model="nano-neo",
        runs=[0],
        limit=N_ROWS,
        device="cpu",
        references="before",
        max_epochs=2,
        stop="paper",
        tasks=["forgetting", "perplexity", "dialogue"],
        task_limit=N_DOCUMENTS,
        settings={"icu.alpha": 0.1},
        out=str(commanded),
    )
    assert [result.role for result in results] == ["before", "method"]
    assert {r.key: r.started_at for r in results} == {
        r.key: r.started_at for r in Store(commanded).load_all()[0]
    }
    assert capfd.readouterr() == ("", "")
    frame = results.to_frame().set_index("role")
    method = results[1]
    assert frame.loc["method", "ma"] == method.scores["forgetting"]["ma"].value
    assert frame.loc["method", "settings.alpha"] == 0.1
    assert frame.loc["method", "n_epochs"] == method.trace.n_epochs
    assert frame.loc["before", "pile_ppl"] == results[0].scores["perplexity"]["pile_ppl"].value


@pytest.mark.usefixtures("undrawn")
def test_a_folder_becomes_frames_and_tables(commanded):
    results = ub.load_results(commanded)
    documents = results.to_frame(documents=True)
    ma = documents[(documents.metric == "ma") & (documents.role == "method")]
    after = next(r for r in results if r.role == "method")
    assert dict(zip(ma.doc_id, ma.value, strict=True)) == after.scores["forgetting"]["ma"].documents
    assert dict(zip(ma.doc_id, ma.output, strict=True)) == after.continuations
    n_documents = sum(
        len(s.documents) for r in results for t in r.scores.values() for s in t.values()
    )
    assert len(documents) == n_documents

    table = results.table()
    _, printed, _ = cli("report", commanded, "--plain")
    assert table.to_text() == printed
    assert table.to_latex() == cli("report", commanded, "--latex")[1]
    assert table.to_markdown() == cli("report", commanded, "--markdown")[1]
    assert table.to_html() == cli("report", commanded, "--html")[1]
    assert "NEO + ICU" in results._repr_html_()
    with pytest.raises(ub.UserError, match="did you mean 'latex'"):
        table.to("latx")
    with pytest.raises(ub.UserError, match="unknown section 'tabel'"):
        results.report("tabel")


def test_what_is_left_out_of_a_folder_is_warned_of(commanded, tmp_path):
    with pytest.raises(ub.UserError, match="unlearnbench run --out"):
        ub.load_results(tmp_path)
    path = next((commanded / "cells").glob("*.json"))
    (tmp_path / "cells").mkdir()
    for file in path.parent.glob(f"{path.stem}*"):
        shutil.copy(file, tmp_path / "cells")
    (tmp_path / "cells" / ("0" * 64 + ".json")).write_text("{}")
    with pytest.warns(UserWarning, match="left out .*0000"):
        assert len(ub.load_results(tmp_path)) == 1


# What it leaves alone.


def test_two_models_side_by_side(model, forget_set):
    one, two = model.copied(), model.copied()
    untouched = weights(two)
    alone = ub.evaluate(two, ["forgetting", "perplexity"], forget_set, task_limit=2)
    first = ub.make_examiner(one, forget_set, stop="paper")
    second = ub.make_examiner(two, forget_set, stop="paper")
    ub.unlearn(one, forget_set, "kumpr", first, max_epochs=1)
    assert not are_equal(weights(one), untouched)
    assert are_equal(weights(two), untouched)
    assert numbers(ub.evaluate(two, ["forgetting", "perplexity"], forget_set, task_limit=2)) == (
        numbers(alone)
    )

    # One after the other, what a model becomes does not depend on what was done to the other.
    of_one = weights(one)
    trace = ub.unlearn(two, forget_set, "kumpr", second, max_epochs=1)
    assert are_equal(weights(one), of_one)
    assert are_equal(weights(two), of_one)
    assert trace.outcome == "not_forgotten"
    assert numbers(ub.evaluate(one, ["forgetting"], forget_set, first)) == numbers(
        ub.evaluate(two, ["forgetting"], forget_set, second)
    )


@pytest.mark.parametrize("method", ["icu", "kl"])
def test_the_number_of_threads_changes_rounding_only(method, model, forget_set):
    def epochs(n_threads):
        of_threads = replace(forget_set, cell=replace(forget_set.cell, threads=n_threads))
        examiner = ub.make_examiner(model, of_threads, stop="paper")
        return ub.unlearn(model.copied(), of_threads, method, examiner, max_epochs=2).epochs

    by_one, by_two = epochs(1), epochs(2)
    assert len(by_one) == len(by_two) == 3
    for one, two in zip(by_one, by_two, strict=True):
        assert one.losses == pytest.approx(two.losses, rel=1e-5)
        assert one.metrics["ma"] == two.metrics["ma"]


def test_a_method_object_unlearns_by_itself_and_through_the_door(model, forget_set):
    one, two = model.copied(), model.copied()
    method = ub.methods["icu"](alpha=0.1, learning_rate=1e-4, max_epochs=1)
    examiner = ub.make_examiner(one, forget_set, stop="paper")
    alone = method.unlearn(one, forget_set, examiner)
    again = ub.unlearn(two, forget_set, method, examiner)
    assert again.model_dump_json() == alone.model_dump_json()
    assert are_equal(weights(one), weights(two))
    with pytest.raises(ub.UserError, match="has its settings already"):
        ub.unlearn(two, forget_set, method, alpha=0.2)


def test_a_run_takes_the_command_lines_schedule_and_leaves_the_model_with_its_own(
    model, forget_set, tmp_path
):
    (tmp_path / "pile.txt").write_text("A text of some words that nobody has to forget.")
    unlearned, examiner = model.copied(), ub.make_examiner(model, forget_set, stop="paper")
    method = ub.methods["kumpr"](learning_rate=1e-3)
    options = {"until": "steps", "max_steps": 1, "optimizer": "adamw", "lr_schedule": "linear"}
    trace = ub.unlearn(unlearned, forget_set, method, examiner, **options)
    assert trace.reason.startswith("ended after 1 step as asked (--until steps), in epoch 1: ")
    assert unlearned.strategy == model.strategy
    budget = {
        "until": "budget",
        "utility_budget": 1.0001,
        "text": [f"pile={tmp_path / 'pile.txt'}"],
    }
    trace = ub.unlearn(model.copied(), forget_set, "kumpr", examiner, max_epochs=1, **budget)
    assert "loss of pile" in trace.reason
    for wrong, message in (
        ({"until": "steps"}, "--until steps needs --max-steps"),
        ({"until": "stepps"}, "until 'stepps' is not one of"),
        ({"warmup_epochs": 9, "max_epochs": 2}, "longer than the 2 steps that kumpr has over 4"),
    ):
        with pytest.raises(ub.UserError, match=message):
            ub.unlearn(unlearned, forget_set, "kumpr", **wrong)
    with pytest.raises(ub.UserError, match="a method object has its settings already"):
        ub.unlearn(unlearned, forget_set, method, until="epochs", alpha=1)


def test_the_process_is_as_before(model, forget_set, capfd):
    import numpy as np
    import torch

    own = model.copied()
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    torch.set_num_threads(2)
    flags = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(False)
    try:
        with torch.random.fork_rng():
            expected = (random.random(), np.random.random(), torch.rand(1).item())
        random.seed(3)
        np.random.seed(3)
        ub.unlearn(
            own, forget_set, "kumpr", ub.make_examiner(own, forget_set, stop="paper"), max_epochs=1
        )
        ub.evaluate(own, ["forgetting", "perplexity"], forget_set, task_limit=2)
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark == flags[1]
        assert (random.random(), np.random.random(), torch.rand(1).item()) == expected
    finally:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(flags[0], warn_only=True)
    assert capfd.readouterr() == ("", "")


def test_threads_take_turns_and_leave_the_process_as_it_was(model, forget_set):
    import torch

    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    random.seed(3)
    before = random.getstate(), torch.random.get_rng_state().tolist()
    traces = []

    def work():
        own = model.copied()
        examiner = ub.make_examiner(own, forget_set, stop="paper")
        traces.append(ub.unlearn(own, forget_set, "kumpr", examiner, max_epochs=1))

    workers = [threading.Thread(target=work) for _ in range(3)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
        assert (random.getstate(), torch.random.get_rng_state().tolist()) == before
    finally:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True, warn_only=True)
    assert len({trace.model_dump_json() for trace in traces}) == 1
    assert len(traces) == 3


def test_transformers_shows_bars_as_before(model, forget_set):
    from transformers.utils import logging

    logging.enable_progress_bar()
    other = ub.load_forget_set("nano", model, run="2", limit=3)  # whose pairs no test has found
    ub.unlearn(
        model.copied(), other, "icu", ub.make_examiner(model, other, stop="paper"), max_epochs=1
    )
    assert logging.is_progress_bar_enabled()


def test_progress_is_shown_when_asked_for(model, forget_set, capfd):
    own = model.copied()
    ub.unlearn(
        own,
        forget_set,
        "icu",
        ub.make_examiner(own, forget_set, stop="paper"),
        max_epochs=1,
        progress=True,
    )
    out, told = capfd.readouterr()
    assert out == ""
    assert "nano-neo: NEO + ICU, forget set 0, seed 42: not forgotten, 1 epochs" in told


# What it says.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, f: ub.unlearn(m, f, "icy"), "unknown method 'icy' .did you mean 'icu'"),
        (lambda m, f: ub.unlearn(m, f, "icu", alhpa=1), "setting of icu 'alhpa'.*'alpha'"),
        (lambda m, f: ub.unlearn(m, f, "icu", alpha="x"), "icu.alpha='x' is not a number"),
        (lambda m, f: ub.unlearn(m, f, "icu", max_epochs=0), "icu.max_epochs='0' is not"),
        (lambda m, f: ub.unlearn(m, f, "icu", seed=-1), "seeds .*at least 0"),
        (lambda m, f: ub.unlearn(m, f.rows, "icu"), "no forget set of ub.load_forget_set"),
        (lambda m, f: ub.unlearn("nano-neo", f, "icu"), "str is no model of ub.load_model"),
        (lambda m, f: ub.evaluate(m, ["forgeting"], f), "did you mean 'forgetting'"),
        (lambda m, f: ub.evaluate(m, ["forgetting"], f, task_limit=0), "task_limit 0 is not"),
        (lambda m, f: ub.evaluate(m, "forgetting", f, protocol="paper"), "has its protocol"),
        (lambda m, f: ub.load_model("nano-neu"), "did you mean 'nano-neo'"),
        (lambda m, f: ub.load_forget_set("nano", m, limit=1.5), "limit 1.5 is not a whole number"),
        (lambda m, f: ub.load_forget_set("nano", m, run="9"), "unknown run '9'"),
        (lambda m, f: ub.load_forget_set("nano", m, protocol="x"), "not one of paper, released"),
        (lambda m, f: ub.make_examiner(m, f, stop="now"), "stop 'now' is not one of"),
        (
            lambda m, f: ub.unlearn(m, f, ub.methods["icu"]),
            "<class .*Icu'> is no method; give its na",
        ),
        (lambda m, f: ub.unlearn(m, f, None), "None is no method"),
        (
            lambda m, f: ub.unlearn(m, f, "icu", "paper"),
            "'paper' is no examiner of ub.make_examiner",
        ),
        (lambda m, f: ub.evaluate(m, "forgetting", f, f), "is no examiner of ub.make"),
        (lambda m, f: ub.load_forget_set(m, f), r"^forget_set LanguageModel.(?s:[^\n]*)$"),
        (
            lambda m, f: ub.load_forget_set("nano", m, protocol={"a": 1}),
            "protocol .* is not one of",
        ),
        (
            lambda m, f: ub.evaluate(m, "perplexity", f, settings={"protocol.sequence": "all"}),
            "has its protocol",
        ),
        (lambda m, f: ub.Protocol.named("papr"), "unknown protocol 'papr' .did you mean 'paper'"),
        (lambda m, f: ub.methods[None], "unknown method 'None'"),
        (
            lambda m, f: ub.register(type("Nameless", (ub.Method,), {})),
            "Nameless has no name that an option can take .it is None.",
        ),
        (lambda m, f: ub.run(method=["icu"]), "unknown option 'method' .did you mean 'methods'"),
        (lambda m, f: ub.run(methods=["icu"], limit="few"), "limit 'few' is not a whole number"),
    ],
)
def test_mistakes_are_told_as_on_the_command_line(call, message, model, forget_set):
    with pytest.raises(ub.UserError, match=message):
        call(model, forget_set)


def test_options_may_be_whatever_stands_for_text_numbers_and_lists(model):
    import numpy as np

    folder = ROOT / "unlearnbench" / "nano" / "weights" / "nano-neo"
    if not folder.is_dir():
        pytest.skip("the weights are elsewhere: an installed package is tested")
    assert ub.load_model(folder).source.weights_sha256 == model.source.weights_sha256
    few = ub.load_forget_set("nano", model, limit=np.int64(2), protocol=None)
    assert len(few.rows) == 2
    names = ["perplexity"]
    expected = numbers(ub.evaluate(model, names, task_limit=2, settings={"perplexity.window": 64}))
    for tasks in (iter(names), dict.fromkeys(names).keys(), np.array(names), "perplexity"):
        for settings in (["perplexity.window=64"], {"perplexity.window": np.int64(64)}):
            scores = ub.evaluate(model, tasks, task_limit=2, settings=settings)
            assert numbers(scores) == expected
            tasks = names  # an iterator can be gone through once
    with pytest.raises(ub.UserError, match="no file at /nowhere"):
        ub.evaluate(model, "perplexity", text={"own": Path("/nowhere.jsonl")})


def test_an_examiner_is_of_one_model_and_protocol(model, forget_set):
    other = ub.load_model("nano-opt", device="cpu")
    rows = ub.load_forget_set("nano", other, limit=2)
    examiner = ub.make_examiner(model, forget_set, stop="paper")
    with pytest.raises(ub.UserError, match="of another model or protocol than"):
        ub.unlearn(other, rows, "kumpr", examiner)
    released = ub.load_forget_set("nano", model, limit=2, protocol="released")
    with pytest.raises(ub.UserError, match="of another model or protocol than"):
        ub.evaluate(model, "forgetting", released, examiner)


def test_a_forget_set_is_of_one_model(forget_set):
    other = ub.load_model("nano-opt", device="cpu")
    with pytest.raises(ub.UserError, match="for model 'nano-neo', and is given to 'nano-opt'"):
        ub.evaluate(other, ["forgetting"], forget_set)


def test_a_protocol_of_ones_own_is_followed(model):
    from dataclasses import replace

    own = replace(ub.Protocol(), sequence="all", perplexity_cap=None)
    assert ub.load_forget_set("nano", model, limit=2, protocol=own).protocol == own
    released = ub.load_forget_set("nano", model, limit=2, protocol="released")
    assert released.protocol == ub.Protocol.named("released")


def test_a_method_of_a_notebook_unlearns_but_is_in_no_stored_result(tmp_path):
    executed(
        """
from dataclasses import dataclass

import unlearnbench as ub

@ub.register
@dataclass(kw_only=True)
class Push(ub.GradientMethod):
    name, label = "push", "Push"
    weight: float = ub.setting(1.0, "of the loss")

    def loss(self, batch: ub.UnlearnBatch):
        return {"forget": -self.weight * batch.target_nll}

model = ub.load_model("nano-neo")
forget_set = ub.load_forget_set("nano", model, limit=2)
examiner = ub.make_examiner(model, forget_set, stop="paper")
trace = ub.unlearn(model, forget_set, "push", examiner, weight=2, max_epochs=1)
assert trace.epochs[1].losses["forget"] < 0
try:
    ub.run(methods=["push"], limit=2, out="results")
except ub.UserError as error:
    assert "'push'" in str(error) and 'plugin=["push.py"]' in str(error), error
else:
    raise AssertionError("an unknown source was stored")
""",
        tmp_path,
    )


# What is written about it.


def of_fewer_rows(code):
    """What is written, of two rows and two documents."""
    fewer, n_limits = re.subn(r"limit=\d+", "limit=2", code)
    assert n_limits >= 3
    return fewer


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_page_runs(tmp_path):
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, flags=re.S | re.M)
    assert len(blocks) >= 5
    executed(of_fewer_rows("\n".join(blocks)), tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_notebook_runs(tmp_path):
    notebook = json.loads((ROOT / "examples" / "python_door.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert len(cells) >= 5
    executed(of_fewer_rows("\n".join(cells)), tmp_path)


def test_a_method_object_is_checked_like_a_named_one(model, forget_set):
    for method, settings in ((ub.methods["rmu"](layer=99), {}), ("rmu", {"layer": 99})):
        with pytest.raises(ub.UserError, match=r"nano-neo has 4 layers, 0 to 3"):
            ub.unlearn(model, forget_set, method, **settings)
