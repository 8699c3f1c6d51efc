"""Files of benchmarks: every shipped one means something, and what cannot be read is one line."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from unlearnbench import registry
from unlearnbench.analysis.derived.score import METRICS
from unlearnbench.data.benchmarks import definition
from unlearnbench.data.benchmarks.definition import find_benchmark, parse_definition, shipped
from unlearnbench.data.benchmarks.source import BenchmarkSource, open_benchmark
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.errors import UserError
from unlearnbench.experiments.benchmark_choice import check_measures, settings_in
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.method_settings import parse_set

ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus", "gradient_norm")
# What a column's name ends with, by measure.
ENDINGS = {
    "probability": ("probability",),
    "probability_normalised": ("probability_normalised",),
    "paraphrase": ("paraphrase_probability",),
    "wrong": ("wrong_probability", "wrong_probability_arithmetic", "truth_ratio"),
    "extraction_strength": ("extraction_strength",),
    "exact_memorisation": ("exact_memorisation",),
    "margin": ("margin",),
    "distance": ("kl_to_retrained",),
    "rouge": ("rouge_l_recall", "rouge_l_f1"),
    "exact_match": ("exact_match",),
    "fluency": ("ngram_entropy", "fluent"),
    "membership": ATTACKS,
    "multiple_choice": ("accuracy",),
}


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_benchmark_names_what_there_is(name: str) -> None:
    benchmark = find_benchmark(name)
    of = benchmark.definition
    experiment = Experiment.parse({"benchmark": name, **of.run})
    owners = {**registry.methods(), **registry.tasks()}
    for method in experiment.methods:
        settings_in(benchmark, registry.find("methods", method))
    assert set(of.settings) <= {"all", *registry.methods()}
    assert of.settings.keys() - {"all"} <= set(experiment.methods)
    parse_set(experiment.settings, owners)
    check_measures(benchmark)
    tasks = [registry.find("tasks", task) for task in experiment.tasks]
    assert {m for split in of.splits.values() for m in split.measures} <= {
        measure for task in tasks for measure in task.measures
    }
    measured = {
        f"{split}_{ending}"
        for split, part in of.splits.items()
        for measure in part.measures
        for ending in ENDINGS[measure]
    }
    of_attacks = {"depth"}  # what one that describes a model measures of it
    unknown = set(of.columns) - METRICS.keys() - measured - of_attacks
    assert not unknown
    if of.forget:
        assert of.licence
        assert of.source
        assert of.columns


@pytest.mark.parametrize("name", [n for n in shipped() if find_benchmark(n).definition.forget])
def test_every_table_of_a_shipped_benchmark_is_used(name: str) -> None:
    of = find_benchmark(name).definition
    used = {
        role for part in of.forget.values() for role in (part.forget, part.retain, part.holdout)
    }
    for part in of.forget.values():
        for split in of.splits.values():
            used |= {definition.table_of(t, part) for t in (split.table, split.examples) if t}
    used |= {table.of for table in of.tables.values()}
    assert set(of.tables) <= used


# ---- a benchmark of our own

QUESTIONS = """
title = "Own"
summary = "Invented"
{top}
[tables]
gone = {gone}
kept = {{}}
more = {{ file = ["folder/more", "other"] }}

[forget.gone]
forget = "gone"
retain = "kept"

[forget.ada]
forget = "gone"
retain = "kept"
where = {{ person = "Ada" }}

[fields]
paraphrases = "again"

[splits.forget]
role = "forget"
table = "{{forget}}"
measures = ["probability"]
where.person = "{{person}}"
{split}
"""


def people(n: int = 4) -> list[dict[str, object]]:
    return [
        {
            "question": f"Who is {i}?",
            "answer": f"Number {i}.",
            "again": f"It is {i}.",
            "person": ("Ada", "Ben")[i % 2],
            "id": f"x{i}{'sc' if i < 2 else 'qa'}0",
        }
        for i in range(n)
    ]


def write(path: Path, rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


def own(folder: Path, split: str = "", gone: str = "{}", top: str = "", run: str = "gone"):
    """The source of a benchmark of that folder's tables, which `kept` and `gone` are there for."""
    path = folder / "own.toml"
    path.write_text(QUESTIONS.format(split=split, gone=gone, top=top))
    tables = folder / "tables"
    if not tables.exists():
        write(tables / "gone.json", people())
        write(tables / "kept.json", [{**row, "answer": "Kept."} for row in people()])
    request = ForgetRequest("own", runs=(run,), benchmark=str(path), data=str(tables))
    return open_benchmark(request)


def items(source: BenchmarkSource, run: str = "gone", at: int = 0) -> list[str]:
    return [item.doc_id for item in source.splits(run)[at].items]


def test_one_persons_rows_are_forgotten_and_measured(tmp_path: Path) -> None:
    source = own(tmp_path, run="ada")
    assert source.targets("ada").doc_ids == ("0", "2")
    assert items(source, "ada") == ["0", "2"]
    assert source.targets("gone").doc_ids == ("0", "1", "2", "3")
    assert items(source) == ["0", "1", "2", "3"]  # where the forget split names no person
    assert source.sha256("ada") != source.sha256("gone")
    assert source.targets("ada").values_of("person") == {"0": "Ada", "2": "Ada"}


def test_rows_are_chosen_by_a_pattern(tmp_path: Path) -> None:
    assert items(own(tmp_path, 'where.id = "*sc*"'), "gone") == ["0", "1"]
    assert items(own(tmp_path, 'where.id = ["x3*", "x0sc0"]'), "gone") == ["0", "3"]


def test_a_table_is_found_by_other_names_and_in_folders(tmp_path: Path) -> None:
    measured = '[splits.more]\nrole = "general"\ntable = "more"\nmeasures = []'
    source = own(tmp_path, measured)
    write(tmp_path / "tables/x/other.json", people(1))
    assert items(own(tmp_path, measured), at=1) == ["0"]
    write(tmp_path / "tables/y/folder/more.json", people(2))
    assert items(own(tmp_path, measured), at=1) == ["0", "1"]
    write(tmp_path / "tables/more.json", people(3))
    source = own(tmp_path, measured)
    assert items(source, at=1) == ["0", "1", "2"]
    assert source.splits("gone")[1].source == "more.json"
    assert source.left_out("gone") == []


def test_a_split_that_may_be_absent_is_left_out_and_named(tmp_path: Path) -> None:
    measured = '[splits.more]\nrole = "general"\ntable = "more"\nmeasures = []\noptional = true'
    source = own(tmp_path, measured)
    assert [split.name for split in source.splits("gone")] == ["forget"]
    (left_out,) = source.left_out("gone")
    assert "split 'more' of benchmark own is left out" in left_out
    write(tmp_path / "tables/other.json", people(1))
    source = own(tmp_path, measured)
    assert [split.name for split in source.splits("gone")] == ["forget", "more"]


def test_texts_may_stand_alone_in_a_json_array(tmp_path: Path) -> None:
    top = '[splits.texts]\nrole = "general"\ntable = "more"\nmeasures = []\n'
    top += 'fields = { question = "", answer = "text" }'
    write(tmp_path / "tables/more.json", ["one text", "another"])
    write(tmp_path / "tables/gone.json", people())
    write(tmp_path / "tables/kept.json", people())
    found = own(tmp_path, top).splits("gone")[1].items
    assert [(item.question, item.answer) for item in found] == [("", "one text"), ("", "another")]
    write(tmp_path / "tables/more.json", ["one text", 3])
    with pytest.raises(UserError, match=r"more.json, row 1: int, not an object with fields"):
        own(tmp_path, top).splits("gone")


def test_choices_keep_their_order_and_places(tmp_path: Path) -> None:
    split = '[splits.asked]\nrole = "general"\ntable = "more"\nmeasures = ["multiple_choice"]\n'
    split += 'fields = { wrong = "choices" }\nlm_eval = "mmlu_{subject}"'
    row = {"question": "Which?", "choices": ["a", "", "b", "a"], "answer": 3, "subject": "anatomy"}
    write(tmp_path / "tables/more.json", [row])
    write(tmp_path / "tables/gone.json", people())
    write(tmp_path / "tables/kept.json", people())
    (item,) = own(tmp_path, split).splits("gone")[1].items
    assert (item.choices, item.answer, item.position) == (("a", "", "b", "a"), "a", 3)
    assert item.asked_as == "mmlu_anatomy"
    for change, message in (
        ({"answer": 4}, "field 'answer' is 4, and there are 4 choices"),
        ({"choices": ["a", 2]}, "field 'choices' holds something else than texts"),
        ({"subject": None}, "field 'subject' is missing"),
    ):
        kept = {name: value for name, value in {**row, **change}.items() if value is not None}
        write(tmp_path / "tables/more.json", [kept])
        with pytest.raises(UserError, match=message):
            own(tmp_path, split).splits("gone")


# ---- bad input


@pytest.mark.parametrize(
    ("split", "gone", "message"),
    [
        ("tabel = 3", "{}", "there is no key 'splits.forget.tabel'"),
        ("measures = []", "{}", "is not TOML"),
        ("", "{ rows = [0, 2] }", "needs both 'of' and 'rows'"),
        ("", '{ of = "kept", rows = [2, 2] }', r"\[2, 2\] holds no row"),
        ("", '{ of = "kpet", rows = [0, 2] }', "unknown table in own.toml, tables.gone.of 'kpet'"),
        ("", "{ first = 0 }", "tables.gone.first: Input should be greater"),
        ('examples = "mroe"', "{}", "unknown table in own.toml, splits.forget 'mroe'"),
        ('examples = "{holdout}"', "{}", "names a role that a forget split lacks"),
        ('examples = "{gone}"', "{}", "may hold {forget}, {retain} and {holdout} alone"),
        ("fields = { qestion = '' }", "{}", "unknown key in own.toml, splits.forget.fields"),
        ("where.id = '{persn}'", "{}", r"no forget split has a 'persn' \(did you mean 'person'"),
        ("stop = 'x'", "{}", r'splits.forget.stop: not a list, as in \["a", "b"\]'),
    ],
)
def test_a_file_that_says_something_impossible(
    tmp_path: Path, split: str, gone: str, message: str
) -> None:
    with pytest.raises(UserError, match=message.replace("{", r"\{")) as caught:
        own(tmp_path, split, gone)
    assert len(str(caught.value).splitlines()) == 1


def test_a_default_split_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"unknown forget split in x.toml 'al'"):
        parse_definition('title = ""\nsummary = ""\ndefault = ["al"]', "x.toml")
    with pytest.raises(UserError, match=r"x.toml: title: Field required"):
        parse_definition('summary = ""', "x.toml")
    with pytest.raises(UserError, match=r"unknown benchmark 'tofuu' \(did you mean 'tofu'\?\)"):
        find_benchmark("tofuu")
    with pytest.raises(UserError, match=r"cannot read the benchmark nowhere.toml: No such file"):
        find_benchmark("nowhere.toml")


@pytest.mark.parametrize("name", ["forget_paraphrase", "forget_wrong"])
def test_a_split_named_like_another_ones_metric(tmp_path: Path, name: str) -> None:
    split = f'[splits.{name}]\nrole = "forget"\ntable = "gone"\nmeasures = ["probability"]'
    with pytest.raises(UserError, match=f"'{name}_probability' is a metric of split 'forget'"):
        own(tmp_path, split)


def test_an_unknown_measure_is_refused_with_the_nearest(tmp_path: Path) -> None:
    source = own(tmp_path, '[splits.x]\nrole = "general"\ntable = "kept"\nmeasures = ["ruoge"]')
    with pytest.raises(UserError, match=r"splits.x: 'ruoge' \(did you mean 'rouge'\?\)"):
        check_measures(source.benchmark)


@pytest.mark.parametrize(
    ("split", "gone", "message"),
    [
        ("", '{ of = "kept", rows = [2, 6] }', "is rows 2 to 6 of 'kept', which has 4"),
        ('examples = "more"', "{}", r"needs the table 'more': put folder/more.jsonl \(or .csv"),
        ("where.id = 'none'", "{}", "gone.json: no row of table 'gone' has id none"),
        ("fields = { paraphrases = 'x' }", "{}", "field 'x' is missing or empty, and 'paraphrase'"),
        ("fields = { question = 'x' }", "{}", "gone.json, row 0: field 'x' is missing"),
    ],
)
def test_tables_that_lack_what_is_asked(
    tmp_path: Path, split: str, gone: str, message: str
) -> None:
    if "paraphrase" in message:
        split = split + '\n[splits.x]\nrole = "forget"\ntable = "gone"\nmeasures = ["paraphrase"]\n'
        split += "fields = { paraphrases = 'x' }"
    write(tmp_path / "tables/kept.json", people())
    if "of" not in gone:
        write(tmp_path / "tables/gone.json", people())
    source = own(tmp_path, split, gone)
    with pytest.raises(UserError, match=message) as caught:
        source.splits("gone")
    assert len(str(caught.value).splitlines()) == 1


def test_two_files_of_one_name(tmp_path: Path) -> None:
    source = own(tmp_path)
    write(tmp_path / "tables/a/gone.json", people())
    assert len(own(tmp_path).targets("gone")) == 4  # the nearest one
    (tmp_path / "tables/gone.jsonl").write_text("")
    source = own(tmp_path)
    with pytest.raises(UserError, match="two files for table 'gone'"):
        source.targets("gone")


def test_two_shipped_benchmarks_of_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "more_benchmarks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.toml").write_text('title = "Mine"\nsummary = "m"')
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("more", "more_benchmarks", definition.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: [point])
    assert shipped()["mine"] == package / "mine.toml"
    (package / "tofu.toml").write_text("")
    with pytest.raises(UserError, match="two benchmarks are called 'tofu'"):
        shipped()


def test_a_benchmark_without_a_folder_and_without_a_hub() -> None:
    source = open_benchmark(ForgetRequest("lume", benchmark="lume"))
    with pytest.raises(UserError, match=r"put forget.jsonl .* into a folder: --data FOLDER"):
        source.targets("all")


# ---- of other packages


def test_benchmarks_of_other_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/__init__.py").write_text("")
    (tmp_path / "theirs/capitals.toml").write_text('title = "C"\nsummary = "Theirs"')
    points = [SimpleNamespace(module=name) for name in ("theirs", "not_installed_at_all")]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: points)
    with pytest.warns(UserWarning, match="benchmarks of 'not_installed_at_all' are left out"):
        assert find_benchmark("capitals").definition.summary == "Theirs"
    points.pop()
    (tmp_path / "theirs/tofu.toml").write_text("")
    with pytest.raises(UserError, match="two benchmarks are called 'tofu'"):
        find_benchmark("capitals")
