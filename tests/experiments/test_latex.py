"""Every nano experiment, small, from its run to its compiled pages."""

import re
import shutil
import subprocess

import pytest

from unlearnbench.cli import status_of
from unlearnbench.experiments.named import shipped

NANO = [name for name in shipped() if name.startswith("nano-")]
SMALL = ("--limit", "6", "--task-limit", "12", "--max-epochs", "2")

ONE_RUN = ("nano-cases", "nano-process")  # as shipped

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """All of them in one folder, with a rehearsal of the human study."""
    folder = tmp_path_factory.mktemp("results")
    for name in NANO:
        runs = "0" if name in ONE_RUN else "0,1"
        small = [*SMALL, "--runs", runs, "--out", str(folder)]
        assert status_of(["run", "--experiment", name, *small]) == 0
    assert status_of(["human", "rehearse", str(folder), "--rows", "5"]) == 0
    return folder


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("name", NANO)
def test_its_latex_compiles_without_a_warning(results, name, tmp_path):
    report = ["report", str(results), "--experiment", name, "-o", f"{tmp_path}/"]
    assert status_of(report) == 0
    assert {f"{name}.{suffix}" for suffix in ("tex", "md", "html", "json", "txt")} <= {
        path.name for path in tmp_path.iterdir()
    }
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert re.findall(r".*(?:Warning|Overfull|Underfull).*", done.stdout) == []
