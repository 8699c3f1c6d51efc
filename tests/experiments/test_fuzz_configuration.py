"""What a run is asked: a value of the right type that comes back the same, or one line."""

import datetime
import json
import math
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import tomli_w
from fuzzing import (
    HOSTILE_TEXTS,
    command,
    damaged,
    fuzz,
    is_one_line,
    new_folder,
    no_waiting_for_the_disk,  # noqa: F401 - a fixture
    numbers,
    spoilt,
    texts,
    thorough,
    values,
    written,
)
from hypothesis import strategies as st

from unlearnbench.cli.judge import JudgeOptions
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import read_learning_rates
from unlearnbench.experiments.method_settings import parse_set
from unlearnbench.experiments.named import find_experiment
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods, tasks
from unlearnbench.settings import settings_of

FIELDS = settings_of(Experiment)
dates = st.sampled_from([
    datetime.date(2026, 1, 2), datetime.time(3, 4), datetime.datetime(2026, 1, 2, 3, 4)
])  # fmt: skip
inner = st.booleans() | numbers | texts | dates
toml_values = inner | st.lists(inner | st.lists(inner, max_size=2), max_size=3)
toml_values |= st.dictionaries(texts, inner, max_size=2)


def allowed(type_: Any, value: Any) -> bool:
    """Whether a value of TOML can stand for one of that type at all, text aside."""
    if get_origin(type_) is tuple:
        items = value if isinstance(value, list) else [value]
        return all(type(i) in (str, int) for i in items)
    types = get_args(type_) if type(type_).__name__ in ("UnionType", "_UnionGenericAlias") else ()
    if types:
        return any(allowed(one, value) for one in types)
    if isinstance(value, str):
        return True
    return type(value) in {bool: (bool,), int: (int,), float: (int, float)}.get(type_, ())


def is_of(type_: Any, value: Any) -> bool:
    """Whether a value has a type, and can be calculated with or stored."""
    if get_origin(type_) is tuple:
        return type(value) is tuple and all(is_of(get_args(type_)[0], one) for one in value)
    choices = get_args(type_)
    if choices and not isinstance(choices[0], type):
        return value in choices
    if choices:
        return any(is_of(one, value) for one in choices)
    if type(value) is not type_:
        return False
    if type_ is str:
        return bool(value.strip()) and "\0" not in value and bool(value.encode())
    return type_ is bool or value is None or math.isfinite(value)


def check_parsed(owner: Any, name: str, value: Any) -> None:
    field = settings_of(owner)[name]
    try:
        parsed = getattr(owner.parse({name: value}), name)
    except UserError as error:
        assert is_one_line(str(error))  # noqa: PT017 - a refusal is as good as an answer
        assert field.flag in str(error)  # noqa: PT017
        return
    assert allowed(field.type, value)
    assert is_of(field.type, parsed)
    for one in parsed if isinstance(parsed, tuple) else (parsed,):
        if type(one) is int:
            assert abs(one) < 2**63
        if type(one) in (int, float):
            assert one >= field.bounds.get("minimum", one)
            assert "above" not in field.bounds or one > field.bounds["above"]


@fuzz(360, name=st.sampled_from(list(FIELDS)), value=toml_values)
def test_a_field_takes_what_it_says_or_refuses_in_one_line(name, value):
    check_parsed(Experiment, name, value)


@fuzz(80, name=st.sampled_from(list(settings_of(JudgeOptions))), value=texts | st.just("1"))
def test_so_does_the_judge_s(name, value):
    check_parsed(JudgeOptions, name, value)


likely = st.sampled_from(
    [
        "1",
        "2.5",
        "true",
        "cpu",
        "x,y",
        "a=b",
        "paper",
        "all",
        "none",
        3,
        0.5,
        True,
        ["a"],
        [1, 2],
        [],
    ]
)


@fuzz(120, given=st.dictionaries(st.sampled_from(list(FIELDS)), likely | texts, max_size=4))
def test_what_is_parsed_comes_back_the_same_from_its_own_file(given):
    try:
        experiment = Experiment.parse(given)
    except UserError:
        return
    assert Experiment.parse(tomllib.loads(experiment.to_toml())) == experiment
    assert Experiment.parse(tomllib.loads(experiment.to_toml())).to_toml() == experiment.to_toml()


# Each was taken for something else once.
SILENT = [
    ("cell_timeout", True),
    ("cell_timeout", math.inf),
    ("cell_timeout", "nan"),
    ("cell_timeout", "1_0"),
    ("gpus_per_cell", math.nan),
    ("limit", True),
    ("limit", 1.0),
    ("limit", "1.0"),
    ("limit", "1_0"),
    ("limit", "٣"),
    ("limit", ""),
    ("limit", [3]),
    ("limit", 2**63),
    ("limit", int("f" * 9000, 16)),
    ("seeds", []),
    ("seeds", ""),
    ("seeds", ","),
    ("seeds", [True]),
    ("seeds", [1.0]),
    ("seeds", {"1": 2}),
    ("runs", ""),
    ("runs", [["0", "1"]]),
    ("runs", {"0": 1}),
    ("runs", True),
    ("model", []),
    ("model", " , "),
    ("references", []),
    ("out", ""),
    ("out", " "),
    ("out", "a\0b"),
    ("out", "caf\udce9"),
    ("out", 3),
    ("out", ["results"]),
    ("revision", 1.10),
    ("revision", ""),
    ("revision", datetime.date(2026, 1, 2)),
    ("revision", {"x": 1}),
    ("trust_remote_code", 1),
    ("trust_remote_code", 1.0),
    ("trust_remote_code", ""),
    ("trust_remote_code", [True]),
    ("protocol", ["paper"]),
    ("text", [""]),
    ("settings", ""),
]


@pytest.mark.parametrize(("name", "value"), SILENT, ids=[f"{n}={v!r:.20}" for n, v in SILENT[:13]]
                         + [str(n) for n in range(13, len(SILENT))])  # fmt: skip
def test_what_is_something_else_is_refused(name, value):
    with pytest.raises(UserError, match=r"unlearnbench run --help") as caught:
        Experiment.parse({name: value})
    assert is_one_line(str(caught.value))


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("runs", [0, 1], ("0", "1")),
        ("runs", "0, 1,", ("0", "1")),
        ("runs", [], ()),
        ("seeds", 7, (7,)),
        ("seeds", " 1,2 ", (1, 2)),
        ("limit", " 8 ", 8),
        ("limit", "None", None),
        ("cell_timeout", 3, 3.0),
        ("cell_timeout", ".5", 0.5),
        ("cell_timeout", "1e-3", 0.001),
        ("trust_remote_code", "yes", True),
    ],
)
def test_what_says_it_in_another_way_is_understood(name, value, parsed):
    found = getattr(Experiment.parse({name: value}), name)
    assert (found, type(found)) == (parsed, type(parsed))


# ---- files

CONFIGURATION = Experiment().to_toml().encode()


def check_configuration(content: bytes) -> None:
    with new_folder() as folder:
        path = folder / "c.toml"
        path.write_bytes(content)
        try:
            given = Experiment.from_toml(path)
        except UserError as error:
            assert is_one_line(" ".join(str(error).split()))  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
            return
        assert given == tomllib.loads(content.decode())


@fuzz(120, content=st.binary(max_size=30) | texts.map(lambda t: t.encode("utf-8", "replace"))
      | damaged(CONFIGURATION))  # fmt: skip
def test_any_file_is_a_configuration_or_named(content):
    check_configuration(content)


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 50_000,
        b"a = " + b"9" * 5000,
        b"a = 1\na = 2",
        b"\xff",
        b"\xef\xbb\xbfa = 1",
    ],
    ids=["nested", "digits", "twice", "no text", "mark"],
)
def test_a_file_that_is_no_configuration_is_named(content, tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    status, out, err = command("run", "--config", path)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert str(path) in err


DEFINITION = {
    "title": "t",
    "summary": "s",
    "sections": ["table"],
    "axes": ["alpha"],
    "published": {"table": "table1", "source": "v2"},
    "run": {"model": ["nano-neo"], "methods": "icu", "seeds": [1, 2], "settings": ["icu.alpha=1"]},
    "variants": [{"settings": ["icu.beta=0"], "label": "w/o"}, {}],
}


def as_toml(value: Any) -> bytes | None:
    """The value as TOML; None where TOML knows no such value."""
    try:
        return tomli_w.dumps(value).encode()
    except (TypeError, ValueError, AttributeError):
        return None


definitions = spoilt(DEFINITION).map(as_toml).filter(lambda c: c is not None)


@fuzz(160, content=definitions | damaged(as_toml(DEFINITION)))
def test_any_file_is_an_experiment_or_named(content):
    with new_folder() as folder:
        path = folder / "own.toml"
        path.write_bytes(content)
        try:
            found = find_experiment(str(path)).definition
        except UserError as error:
            assert is_one_line(" ".join(str(error).split()))  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
            return
        asked = found.experiments({"limit": "3"})
        assert len(asked) == len(found.variants) > 0
        assert all(one.limit == 3 and one.model and one.seeds for one in asked)
        assert found.sections


@pytest.mark.parametrize("given", [3, True, {"icu.alpha": 1}, [["x"]], 0.5])
def test_settings_of_another_kind_are_refused_in_both_places(given, tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(as_toml({**DEFINITION, "run": {"settings": given}}))
    with pytest.raises(UserError, match=r"own\.toml: \[run\]: --set"):
        find_experiment(str(path))
    path.write_bytes(as_toml(DEFINITION))
    with pytest.raises(UserError, match="--set"):
        find_experiment(str(path)).definition.experiments({"settings": given})


def test_a_single_setting_may_be_written_as_text(tmp_path):
    path = tmp_path / "own.toml"
    path.write_bytes(as_toml({**DEFINITION, "run": {"settings": "icu.alpha=1"}}))
    asked = find_experiment(str(path)).definition.experiments({})
    assert [one.settings for one in asked] == [("icu.alpha=1", "icu.beta=0"), ("icu.alpha=1",)]


@fuzz(24, name=texts)
def test_any_name_of_an_experiment_is_known_or_refused(name):
    for one in (name, f"{name}.toml"):
        with pytest.raises(UserError):
            find_experiment(one)


# ---- --set

OWNERS = {"protocol": Protocol, **methods(), **tasks()}
PLACES = [f"{name}.{field}" for name, owner in OWNERS.items() for field in settings_of(owner)]


@fuzz(
    200,
    place=st.sampled_from(PLACES) | texts,
    value=texts | numbers.map(str),
    sign=st.sampled_from(["=", "=", "=", " = ", "", "=="]),
)
def test_any_set_is_a_value_of_its_field_or_refused(place, value, sign):
    owners = {name: owner for name, owner in OWNERS.items() if name != "protocol"}
    try:
        ((owner, found),) = parse_set([f"{place}{sign}{value}"], owners).items()
    except UserError as error:
        assert is_one_line(" ".join(str(error).split()))  # noqa: PT017
        return
    ((name, parsed),) = found.items()
    assert is_of(settings_of(OWNERS[owner])[name].type, parsed)
    assert place.strip() == f"{owner}.{name}"


# ---- learning rates

CANDIDATE = {
    "learning_rate": 1e-4, "reached": True, "outcome": "forgotten", "n_epochs": 3, "distance": 0.0,
    "mean_log_perplexity": 2.5,
}  # fmt: skip
RATES = {
    "rule": "r", "model": "nano-neo", "weights_sha256": "0" * 64, "forget_set": "f", "run": "t",
    "protocol": "paper", "stop": "calibrated", "max_epochs": 20, "grid": [1e-4, 2e-4],
    "methods": {
        "icu": {"learning_rate": 1e-4, "reached": True, "candidates": [CANDIDATE, CANDIDATE]}
    },
}  # fmt: skip


@fuzz(
    160,
    content=spoilt(RATES).map(lambda raw: written(raw).encode("utf-8", "surrogatepass"))
    | damaged(json.dumps(RATES).encode())
    | values.map(lambda value: written(value).encode()),
)
def test_any_file_holds_rates_to_train_with_or_is_named(content):
    with new_folder() as folder:
        path = folder / "r.json"
        path.write_bytes(content)
        try:
            found = read_learning_rates(path)
        except UserError as error:
            assert is_one_line(str(error))  # noqa: PT017
            assert str(path) in str(error)  # noqa: PT017
            return
    assert found.max_epochs is None or found.max_epochs >= 1
    for tuned in found.methods.values():
        assert 0 < tuned.learning_rate < math.inf


@pytest.mark.parametrize(
    "rates",
    [
        b"[" * 100_000,
        json.dumps(RATES | {"max_epochs": "20"}).encode(),
        json.dumps(RATES).replace("0.0001", "NaN").encode(),
        json.dumps(RATES).replace("0.0001", "-0.0001").encode(),
        json.dumps(RATES).replace('"run"', '"run": "x", "run"').encode(),
    ],
    ids=["nested", "text for a number", "NaN", "negative", "a name twice"],
)
def test_rates_that_are_none_are_named(rates, tmp_path):
    (tmp_path / "r.json").write_bytes(rates)
    with pytest.raises(UserError, match=r"r\.json holds no learning rates"):
        read_learning_rates(tmp_path / "r.json")


# ---- shards, and the command line as a whole


@fuzz(80, text=texts | st.builds("{}/{}".format, st.integers(-1, 9), st.integers(-1, 9)))
def test_any_shard_is_a_part_or_refused(text):
    from unlearnbench.running.launching.grid import share_of

    cells: Any = tuple(range(10))
    try:
        share = share_of(cells, text)
    except UserError as error:
        assert is_one_line(str(error))  # noqa: PT017
        return
    first, count = map(int, text.split("/"))
    assert share == tuple(cell for cell in cells if cell % count == first - 1)


FLAGS = ["--" + one.flag for one in FIELDS.values() if not one.is_flag]
# A shell passes no NUL, and what is no UTF-8 in this way only.
HOSTILE_WORDS = [one for one in HOSTILE_TEXTS if one not in ("\0", "\ud800")] + ["caf\udce9"]
word = st.sampled_from([*HOSTILE_WORDS, "1", "nano-neo", "results"])
ELSEWHERE = [
    ("report",), ("report", "--sections"), ("report", "--judge"), ("report", "--experiment"),
    ("report", "--compare"), ("report", "--document"), ("report", "-o"), ("show",), ("list",),
    ("judge", "--limit"), ("judge", "--base-url"), ("human", "score"), ("human", "sheet", "--out"),
    ("human", "serve"), ("run", "--experiment"), ("run", "--config"), ("run", "--plugin"),
    ("run", "--model"), ("tune", "--grid"), ("tune", "--model"), ("nano",), ("completion",), (),
]  # fmt: skip


@fuzz(48, options=st.lists(st.tuples(st.sampled_from(FLAGS), word), max_size=3))
def test_any_options_of_a_run_with_a_mistake_among_them_are_refused(options):
    arguments = [part for option in options for part in option]
    with new_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        status, out, _ = command("run", "--dry-run", *arguments, "--seeds", "x")
        assert (status, out) == (2, "")
        assert list(Path.cwd().iterdir()) == []


@fuzz(60, start=st.sampled_from(ELSEWHERE), words=st.lists(word, min_size=1, max_size=3))
def test_any_words_are_refused_or_answered(start, words):
    if start[:1] == ("run",):
        words = [*words, "--seeds", "x"]
    if start[:1] == ("tune",):
        words = [*words, "--protocol", "x"]
    with new_folder() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        command(*start, *words)


@pytest.mark.parametrize(
    "words",
    [("human", "serve"), ("human", "sheet", "--out"), ("list", "methods", "--plugin"),
     ("run", "--config"), ("run", "--experiment"), ("report",), ("judge",)],
)  # fmt: skip
def test_a_name_that_no_file_can_have_is_refused(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = command(*words, "x" * 400)
    assert (status, out) == (2, "")


@pytest.mark.slow
@pytest.mark.parametrize("check", thorough(globals()), ids=lambda one: one.__name__)
def test_many_times(check):
    check.thorough()
