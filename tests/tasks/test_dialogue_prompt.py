"""How a conversation is written for a model; the normalisation is held equal to ParlAI's."""

import random

import pytest
from parlai_cases import nasty_text, stored_table

from unlearnbench.tasks.dialogue import conversation_prompt, normalize_reply


def test_turns_alternate_and_the_reply_s_speaker_is_asked():
    two = conversation_prompt(["hi .", "Hello , how are you ?"])
    assert two == ("User 1: Hi.\nUser 2:", "Hello, how are you?")
    three = conversation_prompt(["A", "b  B", "i ' m fine !"])
    assert three == ("User 1: A\nUser 2: B b\nUser 1:", "I'm fine!")


def test_normalised_as_parlai_did():
    cases = stored_table()["reply"]
    assert len(cases) > 400
    for text, expected in cases:
        assert normalize_reply(text) == expected, text
    assert sum(text != expected for text, expected in cases) > 200


def test_normalised_as_parlai_does_for_thousands_of_texts():
    strings = pytest.importorskip("parlai.utils.strings", reason="ParlAI: see docs/dialogue.md")
    dice = random.Random(6)
    for _ in range(20_000):
        text = nasty_text(dice)
        assert normalize_reply(text) == strings.normalize_reply(text), text


def test_normalised_as_parlai_does_for_the_real_conversations(shared):
    strings = pytest.importorskip("parlai.utils.strings", reason="ParlAI: see docs/dialogue.md")
    from unlearnbench.data.evaluation_sets.dialogue_files import read_dialogue_file

    for path in sorted((shared / "data/icu/dialogue").glob("*.json")):
        for row in read_dialogue_file(path):
            for turn in row["turns"]:
                assert normalize_reply(turn) == strings.normalize_reply(turn), turn


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("SO I SAID . it did", "So I said. It did"),
        ("what ? yes , i'm here", "What? Yes, I'm here"),
        ("", ""),
    ],
)
def test_by_hand(text, written):
    assert normalize_reply(text) == written
