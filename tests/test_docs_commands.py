"""Every command of the documentation parses, and is run or planned, or its page says what it needs.

A mark above a block excuses its commands from being run; CONTRIBUTING.md says how to write one.
"""

import contextlib
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from log_cases import RETAIN_SEED, open_unlearning_log
from tiny import cli as run_in_process

from unlearnbench import registry
from unlearnbench.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PLACEHOLDER = re.compile(r"…|\b[A-Z]{2,}\b")
PLUGIN_OPTIONS = {"methods": "methods", "tasks": "tasks", "attacks": "attacks"}
WORDS_FOR_MANY = {"all", "classification"}


def pages() -> list[Path]:
    written = [p for p in sorted((ROOT / "docs").rglob("*.md")) if p.name != "cli.md"]
    return [*written, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


def hooks():
    path = ROOT / "docs" / "hooks.py"
    if not path.is_file():
        pytest.skip("no checkout beside the tests")
    spec = importlib.util.spec_from_file_location("site_hooks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands_of(page: Path):
    return hooks().commands(page.read_text(encoding="utf-8"))


def words_of(text: str) -> list[str]:
    """The words after the program's name, without a comment and without … for options left out."""
    words = shlex.split(text.replace("…", " "), comments=True)
    if ">" in words:
        words = words[: words.index(">")]
    return words[words.index("unlearnbench") + 1 :] if "unlearnbench" in words else []


def parsed(words: list[str]) -> tuple[str, dict[str, object]]:
    """A command's name and what it would be given; click's error where it has no such option."""
    # A command keeps its help option, so that later contexts print it as the first had it.
    command, context = cli, click.Context(cli, info_name="unlearnbench", **cli.context_settings)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"no command {name!r}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    parser = command.make_parser(context)
    values, rest, _ = parser.parse_args(words)
    assert rest == [], f"too many arguments: {rest}"
    for option in command.params:
        given = values.get(option.name)
        for one in given if isinstance(given, (list, tuple)) else [given]:
            if isinstance(option.type, click.Choice) and isinstance(one, str):
                option.type.convert(one, option, context)
    return context.info_name or "", values


def unknown_names(values: dict[str, object]) -> list[str]:
    """Plugins that the options name and that are not built in."""
    if values.get("plugin"):
        return []
    missing = []
    for option, kind in PLUGIN_OPTIONS.items():
        if option == "methods" and "folder" in values:  # of results, which say their plugins
            continue
        known = WORDS_FOR_MANY | set(registry.plugins(kind)) | set(registry.plugins("wrappers"))
        given = values.get(option) or ()
        for text in [given] if isinstance(given, str) else given:
            missing += [n for part in text.split(",") for n in part.split("+") if n not in known]
    return missing


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_every_command_has_such_options_and_names(page):
    wrong = []
    for command in commands_of(page):
        if not (words := words_of(command.text)):
            continue
        try:
            _, values = parsed(words)
            if missing := unknown_names(values):
                raise AssertionError(f"no such plugin: {missing}")
        except (click.UsageError, AssertionError) as error:
            wrong.append(f"{command.text}: {error}")
    assert wrong == []


# What trains or asks is planned: --dry-run.
PLANNED = ("run", "forget", "attack", "meta", "tune", "judge")
CATALOGUE = ("list", "show", "new", "completion")


def to_be_run(page: Path, catalogue: bool) -> list[list[str]]:
    """The page's commands that need nothing but the package; words in capitals are the reader's."""
    found = []
    for command in commands_of(page):
        words = words_of(command.text)
        if not words or command.needs or PLACEHOLDER.search(command.text.partition(" #")[0]):
            continue
        if command.text.startswith("unlearnbench") and (words[0] in CATALOGUE) == catalogue:
            plan = words[0] in PLANNED and "--dry-run" not in words
            found.append([*words, "--dry-run"] if plan else words)
    return found


def file_of(page: Path, name: str) -> str:
    """The block that stands under a file's name in a page."""
    text = page.read_text(encoding="utf-8")
    return re.search(rf"^`{re.escape(name)}`:\n\n```\w*\n(.*?)^```$", text, re.M | re.S)[1]


def expanded(word: str) -> list[str]:
    """What a shell makes of a word."""
    return sorted(map(str, Path().glob(word))) if "*" in word else [word]


def failures(commands: list[list[str]]) -> list[str]:
    failed = []
    for words in commands:
        status, _, told = run_in_process(*(f for word in words for f in expanded(word)))
        if status != 0:
            failed.append(f"{shlex.join(words)}: {status}: {told[-300:]}")
    return failed


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_what_lists_and_shows_does(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "\n".join(failures(to_be_run(page, catalogue=True))) == ""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with what the pages' commands speak of: results, texts, a plugin, logs."""
    folder = tmp_path_factory.mktemp("reader")
    tutorials = ROOT / "docs" / "tutorials"
    (folder / "capped.py").write_text(file_of(tutorials / "new_method.md", "capped.py"))
    with contextlib.chdir(folder):  # secrets.jsonl, other.jsonl, unseen.jsonl, keep.jsonl
        exec(file_of(tutorials / "deletion_request.md", "texts.py"), {})
    for name in ("tofu", "pool"):
        rows = [{"question": f"{name} {i}?", "answer": f"{i}.", "author": "A"} for i in range(8)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    retained = open_unlearning_log(seed=RETAIN_SEED, known=1.5)
    for name, log in {
        "TOFU_EVAL": open_unlearning_log(reference=retained),
        "RETAIN_EVAL": retained,
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(log))
    few = ["--limit", "30", "--runs", "0", "--max-epochs", "1", "--task-limit", "30"]
    few += ["--tasks", "forgetting,perplexity"]
    methods = ["--plugin", "capped.py", "--methods", "icu,npo,llmu,capped"]
    steps = ["relearn.steps=0,1", "sample.samples=4", "sample.new_tokens=4"]
    settings = [word for step in steps for word in ("--set", step)]
    with contextlib.chdir(folder):
        for words in (
            ["run", *methods, *few, "--save-models", "--jobs", "0"],
            ["attack", "--methods", "icu", "--attacks", "relearn,sample", *settings, "--jobs", "0"],
        ):
            status, _, told = run_in_process(*words)
            assert status == 0, told
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", pages(), ids=lambda p: p.name)
def test_what_runs_is_planned_and_what_reads_does(page, place, monkeypatch):
    monkeypatch.chdir(place)
    shutil.rmtree("study", ignore_errors=True)  # another page's: what people rate is never replaced
    Path("study-key.json").unlink(missing_ok=True)
    assert "\n".join(failures(to_be_run(page, catalogue=False))) == ""
