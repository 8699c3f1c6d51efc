"""What was found in files is kept by their content: asked once, again where anything changed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from unlearnbench.errors import UserError
from unlearnbench.files import software
from unlearnbench.files.cache import checked_once

PLAN = """
import sys
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import make_plan
make_plan(Experiment.parse({"references": "none"}))
print(sorted({"torch", "transformers", "tokenizers"} & set(sys.modules)))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of files, and a cache of its own."""
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text("{}")
    return made


def asking(folder, asked, what="size"):
    def check():
        asked.append(what)
        return ["GPT", 3]

    return checked_once(folder, what, check)


def test_a_check_is_made_once_for_each_question_and_content(folder):
    asked = []
    assert asking(folder, asked) == asking(folder, asked) == ["GPT", 3]
    assert asked == ["size"]
    asking(folder, asked, "other")
    assert asked == ["size", "other"]


@pytest.mark.parametrize("change", ["edited", "added", "renamed", "software"])
def test_whatever_changed_is_checked_again(folder, monkeypatch, change):
    asked = []
    asking(folder, asked)
    if change == "edited":
        (folder / "config.json").write_text("{ }")
    elif change == "added":
        (folder / "adapter_config.json").write_text("{}")
    elif change == "renamed":
        (folder / "config.json").rename(folder / "tokenizer.json")
    else:
        monkeypatch.setattr(software, "package_versions", lambda: {"torch": "0.0"})
    asking(folder, asked)
    assert len(asked) == 2


def test_what_is_wrong_is_told_each_time(folder):
    def check():
        raise UserError("damaged")

    for _ in range(2):
        with pytest.raises(UserError, match="damaged"):
            checked_once(folder, "size", check)


def test_what_cannot_be_read_is_left_to_the_check(folder):
    (folder / "folder.json").mkdir()
    asked = []
    asking(folder, asked)
    asking(folder, asked)
    assert len(asked) == 2


def test_the_nano_world_is_planned_again_without_torch():
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.planner import make_plan

    make_plan(Experiment.parse({"references": "none"}))
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", PLAN], env=hidden, capture_output=True, text=True, check=True
    )
    loaded = done.stdout.splitlines()[-1]
    # A machine with a GPU asks torch for its name.
    assert loaded == ("['torch']" if any(Path("/dev").glob("nvidia*")) else "[]")
