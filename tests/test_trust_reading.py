"""Reading somebody's results folder: nothing outside it is opened, nothing in it is run."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trust_cases
from html_cases import Sketch
from trust_cases import CONTROLS

import unlearnbench
from unlearnbench.cli import status_of
from unlearnbench.experiments.named import Named, parse_definition
from unlearnbench.experiments.recorded import PlannedCell, _digest, record
from unlearnbench.reporting import sections
from unlearnbench.results.record import question_in
from unlearnbench.results.store import Store

TEXTS = "table,cases,process,pairs,runs,stability,costs,human"
# Looks at what is opened while everything is reported, and at what else a process could do.
TRACED = """
import sys
opened = []
def look(event, arguments):
    if event in ("open", "os.listdir", "os.scandir"):
        opened.append(str(arguments[0]))
    elif event in ("socket.connect", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn"):
        opened.append(f"{event} {arguments[0]}")
sys.addaudithook(look)
from unlearnbench.reporting import sections
from unlearnbench.cli import status_of
results, out, *formats = sys.argv[1:]
sections.figures = dict  # they are drawn of the same findings, and take long
for kind in formats:
    status = status_of(["report", results, "--sections", %r, f"--{kind}", "-o", f"{out}/{kind}"])
    assert status == 0, kind
print("OPENED", *dict.fromkeys(map(repr, opened)), sep="\\n")
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Results with hostile texts, and the same with harmless ones."""
    return trust_cases.make_folders(tmp_path_factory.mktemp("trust"))


def test_reporting_opens_nothing_outside_its_folders(folders, tmp_path):
    shutil.copytree(folders["hostile"], tmp_path / "results")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "out").mkdir()
    formats = ("plain", "markdown", "latex", "csv", "json", "html")
    done = subprocess.run(
        [sys.executable, "-c", TRACED % TEXTS, "results", str(tmp_path / "out"), *formats],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    told = done.stdout.partition("OPENED\n")[2].splitlines()
    opened = [str(ast.literal_eval(line)) for line in told]
    assert any(path.startswith("results/cells/") for path in opened)
    own = [str(tmp_path / name) for name in ("results", "out", "home")]
    assert [path for path in opened if not _is_expected(path, own)] == []


def _is_expected(path, own):
    """The results, what is written, Python with its packages, and the system's own files."""
    package = Path(unlearnbench.__file__).resolve().parents[1]
    places = [*own, str(package), sys.prefix, sys.base_prefix, "/usr", "/proc", "/sys", "/dev"]
    if ".." in path:
        return False
    if path.isdigit() or path.startswith("results"):  # an open file, or the folder as it was given
        return True
    is_system = path in ("/etc/localtime", "/etc/mime.types", "/etc/os-release")
    return is_system or any(path == place or path.startswith(f"{place}/") for place in places)


@pytest.mark.parametrize("kind", ["csv", "json", "plain"])
def test_a_terminal_gets_no_escape_sequence_of_a_text(kind, folders, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    command = ["report", str(folders["hostile"]), "--sections", "cases", f"--{kind}"]
    assert status_of(command) == 0
    shown = capsys.readouterr().out
    assert trust_cases.FORMULA in shown
    assert not CONTROLS.search(shown)


def test_a_file_s_hostile_name_is_shown_harmless(folders, tmp_path, capsys):
    folder = Path(shutil.copytree(folders["harmless"], tmp_path / "results"))
    (folder / "cells" / "\x1b]0;owned\x07\n<b>.json").write_text("{")
    (folder / "experiments").mkdir()
    assert status_of(["report", str(folder), "--json"]) == 1
    told = capsys.readouterr().err
    assert "␛]0;owned␇" in told
    assert not CONTROLS.search(told)


EXPERIMENT = """
title = {title!r}
sections = {sections}
[run]
plugin = {plugin!r}
model = ["/etc/passwd"]
forget_set = "../../secret.txt"
"""


def recorded(folder, canary, *shown):
    """A run of an experiment whose kept definition is hostile in every part."""
    plugin = folder / "plugin.py"
    plugin.write_text(f"open({str(canary)!r}, 'w').close()")
    results = Store(folder).load_all()[0]
    cells = [
        PlannedCell(question=_digest(question_in(r.identity)), title="\x1b[1m", position=i,
                    label="<b>\x1b[1m")
        for i, r in enumerate(results)
    ]  # fmt: skip
    gone = PlannedCell(question="0" * 64, title="<img src=x>\x1b]0;t\x07", position=99)
    text = EXPERIMENT.format(
        title="<script>alert(1)</script>", sections=list(shown), plugin=[str(plugin)]
    )
    record(folder, Named("own", parse_definition(text, "a test"), text), [*cells, gone])


def test_a_kept_experiment_runs_nothing_and_shows_harmless(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sections, "figures", lambda: {"sketch": Sketch})
    folder = Path(shutil.copytree(folders["harmless"], tmp_path / "results"))
    recorded(folder, tmp_path / "canary", "table", "runs")
    for kind in ("html", "plain", "latex"):
        assert status_of(["report", str(folder), "--experiment", "own", f"--{kind}"]) == 0
        shown = capsys.readouterr()
        assert "alert(1)" in shown.out
        assert kind != "html" or "<script>alert" not in shown.out
        assert not CONTROLS.search(shown.out + shown.err)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("section", ["../../secret", "/etc/passwd", "os", "__init__", "_printing"])
def test_a_section_is_one_of_ours(section, folders, tmp_path, capsys):
    folder = Path(shutil.copytree(folders["harmless"], tmp_path / "results"))
    recorded(folder, tmp_path / "canary", section)
    assert status_of(["report", str(folder), "--experiment", "own"]) == 2
    assert f"unknown section '{section}'" in capsys.readouterr().err
