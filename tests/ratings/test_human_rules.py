"""The rules of a rehearsal: each against another way to compute it, and at its extremes."""

import random
import string
from collections import Counter

import nltk.translate.bleu_score
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearnbench.ratings.human.rehearsal import (
    JUDGE_FORMULA,
    JUDGE_NAME,
    RULES,
    Rule,
    judge_score,
    stand_in_judge,
)
from unlearnbench.ratings.human.sheet import Item
from unlearnbench.ratings.judge import questions

VOCABULARY = ["ba", "be", "bi", "bo", "bu", "da", "de", "di", "do", "du"]
REFERENCE = "seven old ships left harbour before dawn with salt and rope for northern towns"
OTHER = "nobody in our street had ever owned such quiet dogs until last winter came round"
RULE = {rule.name: rule for rule in RULES}


def random_text(dice, longest=25):
    return " ".join(dice.choices(VOCABULARY, k=dice.randint(0, longest)))


def f1_by_hand(written, expected):
    """2 x shared words / all words, counted one by one."""
    left, shared = Counter(expected), 0
    for word in written:
        if left[word] > 0:
            left[word] -= 1
            shared += 1
    return 2 * shared / (len(written) + len(expected)) if shared else 0


def by_hand(name, prefix, reference, candidate):
    """A rule's score from its printed formula, before it is rounded."""
    written = candidate.split()
    if not written:
        return 1
    f1, of_prefix = (f1_by_hand(written, text.split()) for text in (reference, prefix))
    copied = {"rule-reference": f1, "rule-either": max(f1, of_prefix)}[name]
    return 1 + 7 * (1 - copied)


@pytest.mark.parametrize("name", list(RULE))
@pytest.mark.parametrize("seed", range(40))
def test_a_rule_rates_by_its_formula(name, seed):
    dice = random.Random(seed)
    texts = [random_text(dice) for _ in range(3)]
    score = RULE[name].score(Item("i", *texts))
    assert abs(score - by_hand(name, *texts)) <= 0.5 + 1e-9
    assert score in range(1, 9)


@pytest.mark.filterwarnings("ignore:::nltk")
@pytest.mark.parametrize("seed", range(40))
def test_the_judges_rule_scores_by_its_formula(seed):
    dice = random.Random(seed)
    reference, candidate = random_text(dice), random_text(dice)
    written, expected = candidate.split(), reference.split()
    bleu = nltk.translate.bleu_score.sentence_bleu([expected], written) if expected else 0.0
    expected_score = 10 * (1 - bleu) if written else 0.0
    assert judged(candidate, reference) == pytest.approx(expected_score, abs=0.0501)


def score(name, candidate, reference=REFERENCE, prefix="one day"):
    return RULE[name].score(Item("i", prefix, reference, candidate))


def judged(candidate, reference=REFERENCE, prefix="one day"):
    return judge_score(questions.Item(prefix, reference, candidate))


@pytest.mark.parametrize("empty", ["", " ", "\n", "...", "the"])
def test_nothing_gets_the_lowest_score_of_all(empty):
    assert [score(name, empty) for name in RULE] == [1, 1]
    assert judged(empty) == 0.0


def test_a_copy_of_the_reference_is_lowest_and_other_words_are_the_best():
    assert [score(name, REFERENCE) for name in RULE] == [1, 1]
    assert judged(REFERENCE) == 0.0
    assert [score(name, OTHER) for name in RULE] == [8, 8]
    assert judged(OTHER) == 10.0


def test_shuffled_words_of_the_reference_are_a_copy_by_f1_and_none_by_bleu():
    shuffled = " ".join(sorted(REFERENCE.split()))
    assert [score(name, shuffled) for name in RULE] == [1, 1]
    assert judged(shuffled) > 9


def test_a_continuation_that_repeats_the_prefix_is_seen_by_the_rule_that_looks_there():
    assert score("rule-reference", OTHER, prefix=OTHER) == 8
    assert score("rule-either", OTHER, prefix=OTHER) == 1


def test_case_punctuation_and_unicode():
    assert score("rule-reference", "ÅSA, kom HEM!", reference="åsa kom hem") == 1
    assert score("rule-reference", "見よ東海の空明けて", reference="見よ東海の空明けて") == 1
    # Compared as they are written.
    assert score("rule-reference", "é é", reference="e\u0301 e\u0301") == 8


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_text_leaves_the_scales(prefix, reference, candidate):
    for rule in RULES:
        assert rule.score(Item("i", prefix, reference, candidate)) in range(1, 9)
    found = judged(candidate, reference, prefix)
    assert 0 <= found <= 10
    assert found == round(found, 1)


def test_halves_are_rounded_up():
    rule = Rule("rule-half", "", lambda item: 1 - float(item.prefix))
    found = [rule.score(Item("i", text, "", "word")) for text in ("0", "0.5", "1", f"{0.51 / 7}")]
    assert found == [1, 5, 8, 2]


def test_every_rule_says_that_it_is_one():
    assert all(name.startswith("rule-") and rule.formula for name, rule in RULE.items())
    judge = stand_in_judge()
    assert judge.is_rule
    assert judge.id.startswith("rule-")
    assert (judge.judge_model, judge.prompt) == (JUDGE_NAME, JUDGE_FORMULA)
    assert "no language model" in judge.endpoint
    assert not set(judge.id) - set(string.ascii_lowercase + string.digits + "-")
