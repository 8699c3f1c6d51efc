"""`unlearnbench meta` from end to end on tiny models: planned, run, resumed, shown, and refused."""

import json
import shutil

import pytest
import tiny
import tomli_w
from tiny import cli

import unlearnbench as ub
from unlearnbench.analysis.meta.table import read_table
from unlearnbench.errors import UserError
from unlearnbench.results.store import Store

PLUGIN = '''
"""A task from a file."""

from dataclasses import dataclass

from unlearnbench.metrics.task import Task
from unlearnbench.registry import register
from unlearnbench.results.score import Metric, Score


@register
@dataclass(kw_only=True)
class Length(Task):
    """How long the rows are, whatever the model."""

    name = "length"
    metrics = (Metric("n_tokens", "Length", False, in_score=False, documents="rows"),)

    def measure(self, model, context):
        rows = context.forget_set.rows
        lengths = dict(zip(rows.doc_ids, map(float, rows.lengths), strict=True))
        return {"n_tokens": Score.of(lengths, higher_is_better=False)}
'''


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory):
    """Two models that know the rows, and one that never saw them."""
    with tiny.at_home(tiny.build(tmp_path_factory.mktemp("tiny"))) as world:
        pool = (world.folder / "pool.jsonl").read_text().splitlines()
        tiny.save_model(world.folder / "retrained", [json.loads(line)["text"] for line in pool])
        shutil.copytree(world.folder / "model", world.folder / "again")
        (world.folder / "length.py").write_text(PLUGIN)
        yield world


def definition(world, **changes):
    """The content of a pool file."""
    f = world.folder
    run = {
        "model": str(f / "model"), "retrained": str(f / "retrained"),
        "forget_set": str(f / "forget.jsonl"), "pool": str(f / "pool.jsonl"),
        "encoder": str(f / "bert"), "bert": "off", "tasks": ["forgetting", "perplexity", "length"],
        "plugin": [str(f / "length.py")],
        "text": [f"{name}={f / 'text.txt'}" for name in ("pile", "wikitext")],
        "threads": 1, "device": "cpu",
    }  # fmt: skip
    members = {
        "with": [
            {"model": str(f / "model"), "kind": "rows"},
            {"model": str(f / "again"), "kind": "rows and others"},
        ],
        "without": [{"model": str(f / "retrained"), "kind": "other rows"}],
    }
    robustness = {
        "methods": ["kumpr"], "max_epochs": 1,
        "settings": ["kumpr.learning_rate=1e-2", "relearn.steps=0,1", "quantise.schemes=int8"],
    }  # fmt: skip
    return {"title": "Tiny", "run": run, "robustness": robustness, **members, **changes}


@pytest.fixture(scope="module")
def pool_file(world):
    path = world.folder / "tiny-pools.toml"
    path.write_text(tomli_w.dumps(definition(world)))
    return path


@pytest.fixture(scope="module")
def made(world, pool_file):
    """A folder, and what was printed."""
    out = world.folder / "tested"
    return out, cli("meta", pool_file, "--out", out, "--jobs", "0", "--limit", "2")


def test_it_tests_every_metric_and_writes_the_table(made) -> None:
    out, (status, printed, talk) = made
    assert status == 0, talk
    table = read_table(out / "meta.json")
    assert {metric.place for metric in table.metrics} >= {("forgetting", "ma"),
                                                          ("forgetting", "el10"),
                                                          ("perplexity", "pile_ppl")}  # fmt: skip
    ma = table.of_metric("forgetting", "ma")
    assert (ma.faithfulness, ma.n_with, ma.n_without) == (1.0, 2, 1)
    assert ma.low is None  # of a single model without
    assert ma.kinds_with == {"rows": 1.0, "rows and others": 1.0}
    assert table.of_metric("length", "n_tokens").faithfulness == 0.5  # a metric of one's own
    assert table.of_metric("perplexity", "pile_ppl").about == "kept"
    assert [m.pool for m in table.models].count("unlearned") == 1
    assert table.command.startswith("unlearnbench meta ")
    assert table.command.endswith("--limit 2")
    assert "Faithfulness" in printed
    assert "Robustness" in printed
    assert f"written to {out / 'meta.json'}" in talk


def test_nothing_is_run_twice(pool_file, made) -> None:
    out, first = made
    status, printed, talk = cli("meta", pool_file, "--out", out, "--jobs", "0", "--limit", "2")
    assert (status, printed) == (0, first[1])
    assert "0 cells run" in talk
    shard = ("--limit", "2", "--shard", "1/2")
    status, printed, talk = cli("meta", pool_file, "--out", out, "--jobs", "0", *shard)
    assert (status, printed) == (0, "")
    assert "are done; for the table run the same command once without --shard" in talk


def test_a_members_cell_is_that_of_a_run(world, made) -> None:
    """A row before unlearning that any run measured is one for a pool, too."""
    keys = {result.key for result in Store(made[0]).load_all()[0]}
    f = world.folder
    status, printed, _ = cli(
        "run", "--model", f / "again", "--references", "before", "--methods", "kumpr", "--dry-run",
        *("--forget-set", f / "forget.jsonl", "--pool", f / "pool.jsonl", "--encoder", f / "bert"),
        *("--bert", "off", "--tasks", "forgetting,perplexity,length", "--plugin", f / "length.py"),
        *(part for name in ("pile", "wikitext") for part in ("--text", f"{name}={f / 'text.txt'}")),
        *("--stop", "paper", "--limit", "2", "--out", made[0], "--threads", "1"),
        *("--device", "cpu"),
    )  # fmt: skip
    assert status == 0
    first = printed.splitlines()[0]
    assert "again" in first
    assert "done" in first
    assert any(key.startswith(first.split()[0]) for key in keys)


def test_dry_run_names_every_cell_once(world, pool_file) -> None:
    out = world.folder / "nothing"
    status, printed, _ = cli("meta", pool_file, "--out", out, "--dry-run")
    assert status == 0
    # The original is a member, too; it, the retrained model and the method are attacked twice each.
    assert "11 cells, 0 done" in printed
    assert "Models with the knowledge: 2, without: 1; 3 cells. 8 more" in printed
    assert not out.exists()


def test_report_shows_the_table_and_marks_what_it_does_not_tell(made, tmp_path) -> None:
    out, _ = made
    table = read_table(out / "meta.json")
    metrics = [
        m.model_copy(update={"low": 0.4, "high": 0.9}) if m.name == "ma" else m
        for m in table.metrics
    ]
    file = tmp_path / "meta.json"
    file.write_text(table.model_copy(update={"metrics": metrics}).model_dump_json())
    status, printed, _ = cli("report", out, "--metrics", file)
    assert status == 0
    assert "MA?" in printed
    assert "EL10?" not in printed
    assert "? Not told from chance" in printed
    status, printed, _ = cli("report", out, "--metrics", file, "--sections", "metrics")
    assert status == 0
    assert "Faithfulness" in printed
    assert "?" not in cli("report", out)[1].partition("\n\n")[2].splitlines()[0]


def test_report_without_a_table_says_how_to_make_one(made) -> None:
    status, _, talk = cli("report", made[0], "--sections", "metrics")
    assert status == 2
    assert "unlearnbench meta" in talk


def test_from_python_without_robustness(world, made) -> None:
    path = world.folder / "bare.toml"
    content = definition(world)
    del content["robustness"]
    path.write_text(tomli_w.dumps(content))
    table = ub.meta(path, out=made[0], limit=2)
    assert not any(m.pool == "unlearned" for m in table.models)
    assert table.of_metric("forgetting", "ma").n_unlearned == 0
    assert table.retrained == "retrained"
    with pytest.raises(UserError, match="unknown pool"):
        ub.meta("nano-tofuu")


@pytest.mark.parametrize(
    ("change", "want"),
    [
        ({"build": "make models"}, r"1 of the pools' 3 models are not there \(.*\); make them with:"
         " make models"),
        ({}, "a model of the pools cannot be had"),
    ],
)  # fmt: skip
def test_a_model_that_is_not_there_is_one_clear_line(world, change, want, tmp_path) -> None:
    missing = {"model": str(tmp_path / "gone"), "kind": "gone"}
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(definition(world, **change) | {"without": [missing]}))
    with pytest.raises(UserError, match=want):
        ub.meta(path)
