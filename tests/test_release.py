"""A release: one version everywhere, and archives that can be uploaded."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import unlearnbench

ROOT = Path(__file__).resolve().parents[1]
MOST = 30e6  # bytes of a wheel
NOT_SOURCE = (".*", "__pycache__", "build", "dist", "site", "results", "*.egg-info")


@pytest.fixture(scope="module", autouse=True)
def checkout() -> None:
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("no checkout beside the tests")


def test_version_is_the_same_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (\S+)$", citation, re.M) == [unlearnbench.__version__]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    named = re.findall(r"^## \[(\S+)\]", changes, re.M)
    assert named[0] == "Unreleased"
    assert (named[1:] or [unlearnbench.__version__])[0] == unlearnbench.__version__


def test_weights_leave_room_in_a_wheel():
    weights = (ROOT / "unlearnbench").rglob("weights/**/*")
    assert sum(file.stat().st_size for file in weights if file.is_file()) < MOST


@pytest.mark.slow
def test_archives_can_be_uploaded(tmp_path):
    pytest.importorskip("twine", reason="twine is not installed: the extra dev")
    pytest.importorskip("setuptools", "77", reason="no setuptools to build with, offline")
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    python("build", "--no-isolation", "--outdir", tmp_path / "dist", source)
    wheel, sources = sorted((tmp_path / "dist").iterdir(), key=lambda file: file.suffix != ".whl")
    python("twine", "check", "--strict", wheel, sources)
    assert wheel.stat().st_size < MOST
    assert sources.name == f"unlearnbench-{unlearnbench.__version__}.tar.gz"


def python(*words: object) -> None:
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
