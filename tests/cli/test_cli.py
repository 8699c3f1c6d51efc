"""The command line's shape: light, documented, exit codes, what list and show say."""

import json
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from golden_results import golden_results

from unlearnbench import registry
from unlearnbench.cli import status_of
from unlearnbench.cli.catalogue import KINDS
from unlearnbench.cli.pages import pages
from unlearnbench.results.record import key_of
from unlearnbench.results.store import Store
from unlearnbench.settings import settings_of

DOCS = Path(__file__).resolve().parents[2] / "docs"  # also when a wheel is tested
HEAVY = {
    "torch", "transformers", "tokenizers", "numpy", "datasets", "trl", "accelerate", "rich",
    "matplotlib", "scipy", "jinja2", "pandas", "pyarrow", "lm_eval", "openai", "faiss",
    "sentence_transformers", "sklearn", "nltk", "sacrebleu", "bert_score", "huggingface_hub", "ray",
    "deepspeed",
}  # fmt: skip
HELP = {"pydantic", "importlib.metadata", "email"}  # what not even a listing may take from `--help`
REPORT = {"numpy", "scipy"}  # for intervals


LIGHT = [
    ["--help"],
    ["run", "--help"],
    ["report", "--help"],
    ["list"],
    ["list", "methods"],
    ["list", "models"],
    ["list", "tasks"],
    ["list", "reports"],
    ["list", "sections"],
    ["list", "experiments"],
    ["show", "icu"],
    ["show", "protocol"],
    ["show", "result"],
    ["show", "neo-1.3b"],
    ["show", "experiment"],
    ["show", "nano-table1"],
    ["completion", "fish"],
]


def test_help_list_and_show_load_nothing_heavy():
    every, told = loaded_by(*LIGHT)
    assert told == ""
    for command, (status, loaded) in zip(LIGHT, every, strict=True):
        assert status == 0, command
        assert not loaded & HEAVY, command


def loaded_by(
    *commands: list[str], folder: Path | None = None
) -> tuple[list[tuple[int, set[str]]], str]:
    """Of commands in one new process: exit status and modules after each, and their talk."""
    code = (
        "import sys\nfrom unlearnbench.cli import status_of\n"
        f"for command in {commands!r}:\n    status = status_of(command)\n"
        "    print('\\nLOADED', status, *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("LOADED ")]
    return [(int(status), set(loaded)) for status, *loaded in lines], done.stderr


def test_help_reads_no_schema_and_looks_for_no_plugin():
    every, _ = loaded_by(["--help"], ["run", "--help"], ["tune", "--help"])
    assert [status for status, _ in every] == [0, 0, 0]
    for _, loaded in every:
        assert not loaded & (HEAVY | HELP)
        assert not {name for name in loaded if name.startswith("unlearnbench.methods")}


def test_a_report_loads_only_what_its_intervals_take(tmp_path):
    store = Store(tmp_path / "results")
    for number, one in enumerate(golden_results()):
        identity = {"number": number}
        store.save(one.model_copy(update={"identity": identity, "key": key_of(identity)}))
    ((status, loaded),), told = loaded_by(["report", "results"], folder=tmp_path)
    assert status == 0, told
    assert loaded & HEAVY <= REPORT


@pytest.mark.parametrize("kind", KINDS)
def test_list_prints_a_sentence_per_name_and_json_the_same(kind, capsys):
    assert status_of(["list", kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert status_of(["list", kind, "--json"]) == 0
    known = json.loads(capsys.readouterr().out)
    assert lines
    assert [line.split()[0] for line in lines] == [one["name"] for one in known]
    assert all(one["summary"].endswith(".") for one in known), known


@pytest.mark.parametrize("kind", registry.KINDS)
def test_show_knows_every_plugin(kind, capsys):
    for name, plugin in getattr(registry, kind)().items():
        assert status_of(["show", name]) == 0
        shown = capsys.readouterr().out
        assert name in shown.splitlines()[0]
        for field in settings_of(plugin) if is_dataclass(plugin) else ():
            assert field in shown


def test_show_prints_a_methods_settings_source_and_citation(capsys):
    status_of(["show", "kumpr"])
    shown = capsys.readouterr().out
    for part in ("learning_rate", "batch_size", "Source:", "@inproceedings", "--set kumpr.NAME"):
        assert part in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["show", "icuu"], "did you mean 'icu'"),
        (["list", "modles"], "'modles' is not one of"),
        (["run", "--metods", "icu"], "--methods"),
        (["frobnicate"], "No such command"),
        (["report", "nowhere"], "unlearnbench run"),
        (["tune", "--grid", "fast"], "--grid"),
        (["tune", "--model", "nano-neo,nano-llama"], "one --model"),
    ],
)
def test_usage_errors_are_one_line_and_exit_2(arguments, told, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert status_of(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("unlearnbench: error: ")
    assert shown.err.count("\n") == 1
    assert told in shown.err


@pytest.mark.parametrize("name", ["cli.md", "results.md"])
def test_reference_pages_are_those_of_the_code(name):
    page = DOCS / name
    assert page.read_text(encoding="utf-8") == pages(DOCS)[name], (
        "regenerate with: python -m unlearnbench.cli.pages docs"
    )


def test_every_option_of_run_is_a_field_of_the_experiment():
    from unlearnbench.cli.run import run
    from unlearnbench.experiments.experiment import Experiment

    options = {parameter.name for parameter in run.params} - {"config", "name", "dry_run"}
    assert options == set(Experiment.__dataclass_fields__)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_say_how_to_install_them(shell, capsys):
    assert status_of(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_UNLEARNBENCH_COMPLETE" in script
    assert script.startswith("# To install")


def test_an_option_completes_its_choices_and_the_registered_names():
    from unlearnbench.cli.options import SettingType
    from unlearnbench.experiments.experiment import Experiment

    fields = settings_of(Experiment)
    found = SettingType(fields["protocol"]).shell_complete(None, None, "re")
    assert [one.value for one in found] == ["released"]
    found = SettingType(fields["methods"]).shell_complete(None, None, "kumpr,ic")
    assert [one.value for one in found] == ["kumpr,icu"]
    found = SettingType(fields["methods"]).shell_complete(None, None, "al")
    assert {one.value for one in found} == {"all", "altpo"}
    found = SettingType(fields["model"]).shell_complete(None, None, "tinyl")
    assert [one.value for one in found] == ["tinyllama"]
