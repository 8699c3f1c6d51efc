"""--pairing: what it does to a run, and what is said of one that cannot be."""

import json
from pathlib import Path
from typing import Any

import pytest
import tiny

from unlearnbench.results.store import Store


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tiny.TinyWorld:
    """The tiny world; its rows and its pool have authors, and one pool lacks one of them."""
    world = tiny.build(tmp_path_factory.mktemp("pairing"))
    for name, authors in (("forget", "ab"), ("pool", "abc")):
        rows = [json.loads(line) for line in (world.folder / f"{name}.jsonl").open()]
        named = [{**row, "author": authors[i % len(authors)]} for i, row in enumerate(rows)]
        (world.folder / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in named))
    return world


def ran(world: tiny.TinyWorld, out: Path, *more: str) -> tuple[Any, str]:
    """The result of ICU's cell, and what was said."""
    few = ("--limit", "4", "--references", "none", "--set", "icu.learning_rate=1e-3")
    with tiny.at_home(world):
        status, _, said = tiny.cli(*world.options(out, *few, *more, methods="icu,kumpr"))
    assert status == 0, said
    by_method = {result.method.name: result for result in Store(out).load_all()[0]}
    return by_method["icu"], said


def test_another_pairing_is_another_cell_with_other_losses(
    world: tiny.TinyWorld, tmp_path: Path
) -> None:
    pairings = ("nearest", "random", "same:author")
    results = [ran(world, tmp_path / str(i), "--pairing", p)[0] for i, p in enumerate(pairings)]
    assert "pairing" not in results[0].identity["forget_set"]
    assert [r.identity["forget_set"].get("pairing") for r in results[1:]] == [*pairings[1:]]
    assert len({r.key for r in results}) == 3
    learnt = [r.trace.epochs[1].losses["learn"] for r in results]
    assert len({round(value, 6) for value in learnt}) == 3
    targets = [r.trace.epochs[1].losses["target"] for r in results]
    assert targets[1] == pytest.approx(targets[0], rel=0.2)


def test_other_values_of_the_field_are_another_cell(world: tiny.TinyWorld, tmp_path: Path) -> None:
    """They choose the retain items, and stand in no text by which rows are told apart."""
    first, _ = ran(world, tmp_path / "one", "--pairing", "same:author")
    rows = [json.loads(line) for line in (world.folder / "pool.jsonl").open()]
    turned = [{**row, "author": {"a": "b", "b": "a"}.get(row["author"], "c")} for row in rows]
    pool = tmp_path / "turned.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in turned))
    second, _ = ran(world, tmp_path / "two", "--pairing", "same:author", "--pool", str(pool))
    assert second.identity["forget_set"]["sha256"] == first.identity["forget_set"]["sha256"]
    assert second.trace.epochs[1].losses != first.trace.epochs[1].losses
    assert second.key != first.key


@pytest.mark.parametrize(
    ("pairing", "message"),
    [
        ("nearst", "--pairing 'nearst' is none of nearest, random, same:FIELD"),
        ("same:", "--pairing 'same:' is none of nearest, random, same:FIELD"),
        ("same:auther", "has no field 'auther' (it has 'author'); take another field"),
        ("same:doc_id", "no row of the pool has doc_id 'forget0'; give another pool"),
    ],
)
def test_a_pairing_that_cannot_be_is_told_before_anything_is_run(
    world: tiny.TinyWorld, tmp_path: Path, pairing: str, message: str
) -> None:
    with tiny.at_home(world):
        status, _, said = tiny.cli(*world.options(tmp_path, "--pairing", pairing))
    assert status == 2
    assert message in said
    assert len(said.strip().splitlines()) == 1
