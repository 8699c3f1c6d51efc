"""The nano world's data: the same everywhere, well formed, and its secrets kept in one place."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from unlearnbench import nano
from unlearnbench.errors import UserError
from unlearnbench.nano import corpus
from unlearnbench.nano import data as cache
from unlearnbench.nano.rows import FORGET_NAMES, FORGET_ROWS, mentions
from unlearnbench.nano.tokenizer import load_tokenizer
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.grammar import Grammar, TemplateError


@pytest.fixture
def data(nano_data):
    return nano_data


def row_ids(folder):
    parts = [np.load(folder / f"train_{name}.npy") for name in ("preprefix", "prefix", "suffix")]
    return np.concatenate(parts, axis=1)


def forget_set(data, name):
    with (data / "exp" / f"forget_{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def occurs(detail, text):
    """Whether a detail stands in a text by itself: AB/12345 is no part of DAB/123456."""
    return detail in text and re.search(rf"(?<!\w){re.escape(detail)}(?!\w)", text) is not None


def test_importing_the_nano_world_loads_nothing_heavy():
    heavy = ("torch", "transformers", "numpy", "tokenizers")
    code = f"import sys, unlearnbench.nano; print([m for m in {heavy} if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_dice_are_the_same_on_every_python():
    dice = Dice(20, "check")
    assert [dice.whole(1, 1000) for _ in range(4)] == [851, 462, 907, 582]
    assert dice.shuffled("abcdef") == list("cbfdea")


def test_streams_with_another_label_differ():
    assert Dice(1, "a").digits(12) != Dice(1, "b").digits(12)


def test_templates_nest_and_capitalise():
    grammar = Grammar({"thing": ("apple",)}, {"twice": ("<thing> <thing>",)}, {})
    assert (
        grammar.say("[[<a:thing>]] <Twice> <own>", Dice(1), {"own": "x"})
        == "an apple Apple apple x"
    )
    assert {grammar.say("[a|b|]", Dice(seed)) for seed in range(40)} == {"a", "b", ""}
    assert {grammar.say(["a", "b"], Dice(seed)) for seed in range(40)} == {"a", "b"}


def test_numbers_are_drawn_between_their_bounds():
    grammar = Grammar({"thing": ("apple", "pear")}, {"size": "<8-11> cm"}, {})
    drawn = [grammar.say("<size> <08-11> <###> <any:thing>", Dice(seed)) for seed in range(400)]
    parts = [re.fullmatch(r"(\d+) cm (\d\d) \d{3} (apple|pear)", text) for text in drawn]
    assert {part[1] for part in parts} == {"8", "9", "10", "11"}
    assert {part[2] for part in parts} == {"08", "09", "10", "11"}
    assert 150 < sum(part[3] == "pear" for part in parts) < 250


@pytest.mark.parametrize("template", ["<nothing>", "<any:thing>", "[a|b", "a]b"])
def test_a_broken_template_says_so(template):
    with pytest.raises(TemplateError):
        Grammar({}, {}, {}).say(template, Dice(1))


def test_layout_is_that_of_the_real_benchmark(data):
    for part in ("extraction", "unseen"):
        shapes = {name: np.load(data / part / f"train_{name}.npy") for name in cache.SPANS}
        assert {name: (array.shape[1], str(array.dtype)) for name, array in shapes.items()} == {
            "preprefix": (100, "uint16"), "prefix": (50, "uint16"), "suffix": (50, "uint16"),
        }  # fmt: skip
    manifest = json.loads((data / "manifest.json").read_text())
    assert manifest["files"] == cache.shipped_manifest()["files"]
    assert manifest["seed"] == cache.SEED


@pytest.mark.parametrize("name", FORGET_NAMES)
def test_forget_sets_point_into_the_extraction_set(data, name):
    ids, table = row_ids(data / "extraction"), forget_set(data, name)
    numbers = [int(row["doc_id"]) for row in table]
    assert len(numbers) == FORGET_ROWS
    assert numbers != sorted(numbers)
    assert [load_tokenizer().decode(ids[number]) for number in numbers] == [
        row["text"] for row in table
    ]


def test_forget_sets_are_disjoint_and_of_even_kinds(data):
    tables = {name: forget_set(data, name) for name in FORGET_NAMES}
    numbers = [row["doc_id"] for table in tables.values() for row in table]
    assert len(set(numbers)) == len(numbers) == 4 * FORGET_ROWS
    for table in tables.values():
        assert set(Counter(row["corpus"] for row in table).values()) == {FORGET_ROWS // 8}


def test_rows_survive_decoding_and_no_row_occurs_twice(data):
    tokenizer = load_tokenizer()
    seen = set()
    for folder in ("extraction", "unseen"):
        for ids in row_ids(data / folder):
            text = tokenizer.decode(ids)
            assert tokenizer.encode(text).ids == ids.tolist()
            assert text not in seen
            seen.add(text)
    assert len(seen) == 256 + 600 + 64


def test_validation_texts_are_long_enough_and_differ(data):
    tokenizer = load_tokenizer()
    texts = {}
    for name in ("pile", "wiki"):
        lines = (data / "text" / f"{name}_validation.jsonl").read_text().splitlines()
        texts[name] = [json.loads(line)["text"] for line in lines]
        assert 10_000 < len(tokenizer.encode("\n\n".join(texts[name])).ids) < 20_000
    assert all(text.startswith(" = ") for text in texts["wiki"])
    assert not set(texts["pile"]) & set(texts["wiki"])


def test_private_details_of_targets_occur_nowhere_else(world_and_rows):
    world, rows = world_and_rows
    forget = rows.forgotten()
    others = [rows.extraction[number].text for number in rows.pool()] + [
        row.text for row in rows.unseen
    ]
    others += map(load_tokenizer().decode, corpus.unseen_rows(world, load_tokenizer(), rows))
    training = corpus.training_data(
        world, load_tokenizer(), rows, "training", 60_000, 40, rows.pool()
    )
    others.append(load_tokenizer().decode(training.stream))
    others += [load_tokenizer().decode(list(ids)) for ids in training.spare_rows]
    others += [text for texts in corpus.validation_texts(world, 20).values() for text in texts]
    elsewhere = "\n".join(others)
    details = [detail for number in forget for detail in rows.extraction[number].details]
    assert [detail for detail in details if occurs(detail, elsewhere)] == []


def test_each_target_holds_its_own_details_and_no_other_targets(world_and_rows):
    _, rows = world_and_rows
    targets = [rows.extraction[number] for number in rows.forgotten()]
    for target in targets:
        assert target.held() >= 3
    every = {detail for target in targets for detail in target.details}
    for target in targets:
        assert not mentions(target.text, every - set(target.details))


@pytest.mark.parametrize(
    "text", ["Dear Ben A. Oakson,", "call 0123 456 789 now", "on AB-12345.", "key ab12cd34ef56"]
)
def test_a_mention_is_found_in_a_sentence(text):
    details = {"Ben A. Oakson", "0123 456 789", "AB-12345", "ab12cd34ef56"}
    assert mentions(text, details)
    assert not mentions("Dear Ben, call 0123 456 780 on AB-12346.", details)


def test_the_training_text_comes_from_the_seed(world_and_rows):
    tokenizer = load_tokenizer()
    made = [
        corpus.training_data(world, tokenizer, rows, "training", 20_000, 4)
        for world, rows in (world_and_rows, cache.make_world_and_rows())
    ]
    assert made[0] == made[1]
    assert len(made[0].stream) == 20_000
    assert len(made[0].spare_rows) == 4


def test_forget_rows_are_read_once_where_asked(world_and_rows):
    world, rows = world_and_rows
    data = corpus.training_data(
        world, load_tokenizer(), rows, "training", 100_000, 0, rows.forgotten()
    )
    text = load_tokenizer().decode(data.stream)
    assert {text.count(rows.extraction[number].text) for number in rows.forgotten()} == {1}


@pytest.mark.usefixtures("copied")
def test_the_cache_is_reused_and_a_damaged_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path))
    first = nano.data_path()
    made = (first / "manifest.json").stat().st_mtime_ns
    assert nano.data_path() == first
    assert (first / "manifest.json").stat().st_mtime_ns == made
    (first / "exp" / "forget_0.csv").write_text("doc_id,corpus,text\n")
    with pytest.raises(UserError, match=r"forget_0\.csv") as failure:
        nano.data_path()
    assert "\n" not in str(failure.value)
    shutil.rmtree(first)
    assert nano.data_path() == first
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_another_seed_makes_another_data_set(tmp_path):
    cache.write_data(tmp_path, seed=cache.SEED + 1)
    files = json.loads((tmp_path / "manifest.json").read_text())["files"]
    shipped = cache.shipped_manifest()["files"]
    assert files.keys() == shipped.keys()
    assert all(files[name] != digest for name, digest in shipped.items())


def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'nano-neo'"):
        nano.model_path("nano-nea")
