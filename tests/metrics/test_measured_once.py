"""What is measured before training: asked once, with its cost each time."""

import json
from math import nan
from types import SimpleNamespace

import pytest

from unlearnbench.files import software
from unlearnbench.files.cache import cache_root
from unlearnbench.metrics.measured_once import measured_once
from unlearnbench.metrics.task import RETRAINED, Task
from unlearnbench.models.devices.meter import Meter
from unlearnbench.registry import find
from unlearnbench.running.shared_measurements import is_shared

ANSWER = {"el": 0.1 + 0.2, "rows": [1, nan], "text": "é\ud800"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path))


def measuring(meter: Meter, asked: list[int]):
    """Counts 7 tokens in the phase 'look'."""

    def measure():
        asked.append(1)
        with meter.phase("look"):
            meter.count_forward(7)
        return ANSWER

    return measure


def ask(meter: Meter, asked: list[int], what="a model"):
    with meter.phase("around"):
        return measured_once("lines", what, meter, measuring(meter, asked))


def test_the_second_to_ask_gets_the_same_answer_and_the_same_cost():
    asked, first, second = [], Meter(), Meter()
    answers = [ask(first, asked), ask(second, asked)]
    assert len(asked) == 1
    assert repr(answers[0]) == repr(answers[1]) == repr(ANSWER)
    assert first.phases["look"].forward_tokens == second.phases["look"].forward_tokens == 7
    assert first.phases["look"] == second.phases["look"]
    assert second.phases["around"].forward_tokens == 0


def test_the_cost_of_before_is_not_counted_again():
    asked, first, second = [], Meter(), Meter()
    with first.phase("look"):
        first.count_forward(100)
    ask(first, asked)
    ask(second, asked)
    assert (first.phases["look"].forward_tokens, second.phases["look"].forward_tokens) == (107, 7)


def test_another_question_or_other_software_is_measured(monkeypatch):
    asked = []
    ask(Meter(), asked)
    ask(Meter(), asked, what="another model")
    assert len(asked) == 2
    monkeypatch.setattr(software, "package_versions", lambda: {"torch": "0.0"})
    ask(Meter(), asked)
    assert len(asked) == 3


def test_a_damaged_answer_is_measured_again():
    asked = []
    ask(Meter(), asked)
    (entry,) = cache_root().glob("lines/*.json")
    entry.write_bytes(entry.read_bytes().replace(b"0.3", b"0.4"))
    assert json.dumps(ask(Meter(), asked)) == json.dumps(ANSWER)
    assert len(asked) == 2


def test_runs_share_only_what_a_task_says_they_may():
    """A task of one's own that looks at the retrained model may return texts, or ask the line."""

    class Own:
        needs = (RETRAINED,)
        is_of_model_alone = Task.is_of_model_alone
        is_kept_by_forget_set = Task.is_kept_by_forget_set

    beside, alone = SimpleNamespace(retrained="a model"), SimpleNamespace(retrained=None)
    distance, perplexity = (find("tasks", name) for name in ("distance", "perplexity"))
    assert [is_shared(cell, distance) for cell in (beside, alone)] == [True, False]
    assert [is_shared(cell, perplexity) for cell in (beside, alone)] == [True, True]
    assert [is_shared(cell, Own) for cell in (beside, alone)] == [False, False]
