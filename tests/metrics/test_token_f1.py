"""Token F1 against ParlAI's own: stored values always, the code itself where it is installed."""

import random

import pytest
from parlai_cases import f1_case, stored_table

from unlearnbench.metrics.text import scored_words, token_f1


def test_equals_the_values_that_parlai_gave():
    cases = stored_table()["f1"]
    found = [token_f1(reply, references) for reply, references, _ in cases]
    assert found == pytest.approx([value for *_, value in cases], abs=1e-15)
    assert len(cases) > 400
    n_between = sum(0 < value < 1 for *_, value in cases)
    assert n_between > 100  # most of them say something


def test_equals_parlai_on_thousands_of_texts():
    metrics = pytest.importorskip("parlai.core.metrics", reason="ParlAI: see docs/dialogue.md")
    dice = random.Random(5)
    for _ in range(20_000):
        reply, references = f1_case(dice)
        expected = metrics.F1Metric.compute(reply, references).value()
        assert token_f1(reply, references) == expected, (reply, references)


def test_equals_parlai_on_the_real_conversations(shared):
    metrics = pytest.importorskip("parlai.core.metrics", reason="ParlAI: see docs/dialogue.md")
    from unlearnbench.data.evaluation_sets.dialogue_files import read_dialogue_file

    for path in sorted((shared / "data/icu/dialogue").glob("*.json")):
        for row in read_dialogue_file(path):
            reply, *references = row["turns"]
            expected = metrics.F1Metric.compute(reply, references).value()
            assert token_f1(reply, references) == expected, row


def test_by_hand():
    # shared: red, ball; 2 of 3 written, 2 of 4 expected
    assert token_f1("The red ball rolls!", ["a big red ball, yes"]) == pytest.approx(
        2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4)
    )
    assert token_f1("yes yes no", ["yes"]) == pytest.approx(0.5)  # a bag: the second counts once
    assert token_f1("one", ["two", "ONE", "three"]) == 1.0  # the best over the references


def test_nothing_shared_is_nothing_even_between_two_that_say_nothing():
    assert token_f1("", [""]) == token_f1("the", ["..."]) == token_f1("dog", []) == 0.0


def test_what_counts_as_a_word():
    assert scored_words("A well-known\tdog's\nAN the “the” thé") == [
        *("well", "known", "dog", "s", "“", "”", "thé"),
    ]
