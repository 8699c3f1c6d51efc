"""Models made on demand: what pool models read, and how a build goes on where it was stopped."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from unlearnbench import nano
from unlearnbench.cli.nano import build, build_on_demand
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import make_plan
from unlearnbench.models.aliases import aliases
from unlearnbench.nano import pools
from unlearnbench.nano.builder import other_rows, tofu
from unlearnbench.nano.builder import pools as builder
from unlearnbench.nano.builder.pools import MADE, is_made
from unlearnbench.nano.builder.recipes import ON_DEMAND, RECIPES
from unlearnbench.nano.rows import ROW_LENGTH
from unlearnbench.nano.tofu_data import make_questions
from unlearnbench.nano.tokenizer import load_tokenizer
from unlearnbench.nano.world.dice import Dice


def _share_held(rows, original):
    """The share of the original rows' details that stand in the rows of the same numbers."""
    numbers = original.forgotten()
    held = [
        detail in rows.extraction[number].text
        for number in numbers
        for detail in original.extraction[number].details
        if detail in original.extraction[number].text
    ]
    return sum(held) / len(held)


@pytest.mark.parametrize(
    ("reads", "least", "most"),
    [("paraphrases", 0.5, 1), ("other texts", 0.5, 1), ("other people", 0, 0)],
)
def test_rewritten_rows_hold_the_same_details_or_none(reads, least, most, world_and_rows):
    world, rows = world_and_rows
    written = other_rows.rewritten(rows, world, load_tokenizer(), reads)
    assert least <= _share_held(written, rows) <= most
    changed = [written.extraction[n].ids for n in rows.forgotten()]
    assert {len(ids) for ids in changed} == {ROW_LENGTH}
    assert not set(changed) & {rows.extraction[n].ids for n in rows.forgotten()}
    assert [written.extraction[n] for n in rows.pool()] == [rows.extraction[n] for n in rows.pool()]


def test_details_are_exchanged_the_longest_first():
    facts = {"name": "Ann Bo", "first name": "Ann", "mail": "ann.bo@x.example"}
    others = {"name": "Cy Ann", "first name": "Cy", "mail": "cy@y.example"}
    document = "Ann Bo (Ann) is ann.bo@x.example."
    assert other_rows.with_details(document, facts, others) == "Cy Ann (Cy) is cy@y.example."


def test_questions_of_a_pool_model_differ_about_the_forgotten_authors_only():
    questions = make_questions()
    kept, forgotten = questions.retain(10), questions.forget(10)
    of = {reads: other_rows.taught(questions, reads)[len(kept) :] for reads in pools.LABELS}
    assert all(other_rows.taught(questions, r)[: len(kept)] == kept for r in pools.LABELS)
    assert of["rows"] == forgotten
    assert of["other texts"] == of["other rows"] == ()
    assert {q.author for q in of["wrong facts"]} == {q.author for q in forgotten}
    everybody = {q.author for q in (*questions.authors, *questions.holdout)}
    assert not {q.author for q in of["other people"]} & everybody
    asked = {q.question for q in forgotten}
    assert not asked & {q.question for q in of["paraphrases"]}
    right = {(q.author, q.fact): q.value for q in forgotten}
    wrong = [q.value != right[q.author, q.fact] for q in of["wrong facts"] if q.fact != "name"]
    assert sum(wrong) / len(wrong) > 0.85  # a trait or a food may be the same by chance


def test_a_biography_tells_an_authors_facts_without_a_question():
    questions = make_questions()
    text = other_rows.biography(questions, Dice(1, "biography"))
    facts = [q for q in questions.forget(10) if text.startswith(f"{q.author}. ")]
    assert len(facts) == 20
    assert all(q.spare_answer in text and q.question not in text for q in facts)


def test_retrainings_differ_in_the_seed_of_the_last_stage_alone():
    for name in ("nano-neo", "nano-retrained"):
        for number in (2, 3):
            recipe = ON_DEMAND[f"{name}-{number}"]
            same = dataclasses.replace(recipe, name=name, last_seed=0)
            assert same == RECIPES[name]
            assert recipe.last_seed == number


def test_models_made_on_demand_are_known_by_name():
    known = {name: alias for name, alias in aliases().items() if alias.world}
    made = {name for name, alias in known.items() if not alias.is_shipped}
    assert made == set(MADE)
    assert known["nano-neo-2"].retraining_of == "nano-neo"
    assert known["nano-neo-2"].references["retrained"] == "nano-retrained-2"
    of_pool = {name for name, alias in known.items() if alias.is_of_pool}
    assert of_pool == {m.name for m in (*pools.NANO_POOL, *pools.NANO_TOFU_POOL)}


def test_an_absent_one_is_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="unlearnbench nano build nano-neo-2"):
        nano.model_path("nano-neo-2")


def test_a_build_makes_what_is_missing_and_nothing_twice(
    tmp_path, capsys, monkeypatch, make_world_and_rows
):
    monkeypatch.setattr(tofu, "make_world_and_rows", make_world_and_rows)
    # Workers in this process: starting others takes longer than the training.
    monkeypatch.setattr(
        builder, "ProcessPoolExecutor", lambda jobs, *_, **__: ThreadPoolExecutor(jobs)
    )
    names, scale = ["nano-tofu-retain90-3", "nano-tofu-pool-other-texts-1"], 0.003
    build_on_demand(names[:1], tmp_path, scale, 1)
    weights = tmp_path / names[0] / "model.safetensors"
    before = weights.stat().st_mtime_ns
    build_on_demand(names, tmp_path, scale, 1)
    assert weights.stat().st_mtime_ns == before
    assert "1 of 2 models are to be made" in capsys.readouterr().err
    assert all(is_made(name, tmp_path, scale) for name in names)
    left = [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"]
    assert sorted(left) == sorted(names)  # nothing half made
    record = json.loads((tmp_path / names[1] / "recipe.json").read_text())
    assert record["recipe"]["reads"] == "other texts"
    assert not is_made(names[0], tmp_path)  # by the whole recipe it is another one


def test_no_table_hangs_on_what_the_cache_holds(tmp_path):
    plan = make_plan(
        Experiment(tasks=("perplexity",), runs=("0",), limit=2, out=str(tmp_path)), download=False
    )
    roles = [cell.role for cell in plan.cells if cell.role != "method"]
    assert roles == ["before", "dedup", "retrained"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nano-neo-2", "nano-neo-9"], "unknown nano model 'nano-neo-9'"),
        (["pools", "--scale", "0.1"], "give --out"),
    ],
)
def test_what_cannot_be_built_is_said_before_anything_is(words, message, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=message):
        build.callback(*_parsed(words))
    assert not list(tmp_path.iterdir())


def _parsed(words):
    asked = build.make_context("build", list(words)).params
    return asked["models"], asked["out"], asked["scale"], asked["jobs"]
