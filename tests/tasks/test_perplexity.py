"""The task `perplexity`: one column per text that is there."""

import math

import numpy as np
import pytest
from perplexity_cases import DOCUMENTS, letters_model

from unlearnbench.metrics.perplexity import window_nll
from unlearnbench.metrics.task import TaskContext
from unlearnbench.registry import find
from unlearnbench.results.score import Score


def measure(texts, limit=None):
    task = find("tasks", "perplexity")(window=16)
    return task.measure(letters_model("gpt-neo", None), TaskContext(None, texts, limit=limit))


def test_a_column_per_text_with_each_windows_nll():
    scores = measure({"pile": DOCUMENTS, "wikitext": DOCUMENTS[:1]})
    expected = window_nll(letters_model("gpt-neo", None), DOCUMENTS, 16)
    assert list(scores) == ["pile_ppl", "wikitext_ppl"]
    assert scores["pile_ppl"].value == pytest.approx(np.exp(np.mean(expected)))
    assert scores["pile_ppl"].aggregation == "exp_mean"
    assert scores["pile_ppl"].documents == {str(i): nll for i, nll in enumerate(expected)}


def test_an_absent_text_is_left_out_never_zero():
    assert list(measure({"wikitext": DOCUMENTS})) == ["wikitext_ppl"]
    assert measure({"pile": ()}) == {}


def test_a_text_of_another_name_is_a_column_outside_the_scores():
    scores = measure({"mine": DOCUMENTS, "pile": DOCUMENTS})
    assert list(scores) == ["pile_ppl", "mine_ppl"]
    assert scores["mine_ppl"] == scores["pile_ppl"]
    pile, mine = find("tasks", "perplexity")().measured(scores)
    assert (pile.label, pile.in_score) == ("Pile (PPL)", True)
    assert (mine.label, mine.in_score, mine.capped) == ("mine (PPL)", False, True)
    assert not mine.higher_is_better


def test_a_limit_takes_the_first_documents():
    limited = measure({"pile": DOCUMENTS}, limit=1)["pile_ppl"]
    assert limited == measure({"pile": DOCUMENTS[:1]})["pile_ppl"]


def test_columns_are_capped_and_smaller_is_better():
    metrics = find("tasks", "perplexity").metrics
    assert [(m.name, m.capped, m.higher_is_better) for m in metrics] == [
        ("pile_ppl", True, False),
        ("wikitext_ppl", True, False),
    ]


def test_infinity_survives_the_result_file():
    score = Score(value=math.inf, n=1, higher_is_better=False)
    assert Score.model_validate_json(score.model_dump_json()).value == math.inf
