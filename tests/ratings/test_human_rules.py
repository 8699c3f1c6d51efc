"""The rules of a rehearsal: each against another way to compute it, and at its extremes."""

import math
import random
import string
from collections import Counter

import nltk.translate.bleu_score
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from unlearnbench.ratings.human.rules import RULES, Rule
from unlearnbench.ratings.human.sheet import Item
from unlearnbench.ratings.judge import items
from unlearnbench.ratings.judge.rule import FORMULA, NAME, rule_score, stand_in_judge
from unlearnbench.ratings.text_quantities import (
    evenness,
    freshness,
    independence,
    novelty,
    substance,
)

VOCABULARY = ["ba", "be", "bi", "bo", "bu", "da", "de", "di", "do", "du"]
REFERENCE = "seven old ships left harbour before dawn with salt and rope for northern towns"
OTHER = "nobody in our street had ever owned such quiet dogs until last winter came round"
RULE = {rule.name: rule for rule in RULES}


def random_text(dice, longest=25):
    return " ".join(dice.choices(VOCABULARY, k=dice.randint(0, longest)))


def by_hand(name, prefix, reference, candidate):
    """A rule's score from its printed formula, with counts and loops of its own."""
    written, expected = candidate.split(), reference.split()
    enough = min(1, 2 * len(written) / len(expected)) if expected else float(bool(written))
    left = Counter(expected)
    shared = 0
    for word in written:
        if left[word] > 0:
            left[word] -= 1
            shared += 1
    f1 = 2 * shared / (len(written) + len(expected)) if shared else 0
    every = prefix.split()
    known = [(every[i], every[i + 1]) for i in range(len(every) - 1)]
    n_fresh = 0
    for i in range(len(written) - 1):
        if (written[i], written[i + 1]) not in known:
            n_fresh += 1
        known.append((written[i], written[i + 1]))
    fresh = n_fresh / (len(written) - 1) if len(written) > 1 else 0
    share = {
        "rule-overlap": enough * (1 - f1),
        "rule-repetition": enough * fresh,
        "rule-both": enough * (1 - f1) * fresh,
    }[name]
    return 1 + 7 * share


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
    if len(written) < 2:
        assert rule_score(items.Item("p", reference, candidate)) == 0
        return
    bleu = nltk.translate.bleu_score.sentence_bleu([expected], written) if expected else 0.0
    even = entropy(list(Counter(written).values()), base=2) / math.log2(len(written))
    enough = min(1, 2 * len(written) / len(expected)) if expected else 1
    found = rule_score(items.Item("p", reference, candidate))
    assert found == pytest.approx(10 * enough * (1 - bleu) * even, abs=0.0501)


def score(name, candidate, reference=REFERENCE, prefix="one day"):
    return RULE[name].score(Item("i", prefix, reference, candidate))


def judged(candidate, reference=REFERENCE, prefix="one day"):
    return rule_score(items.Item(prefix, reference, candidate))


@pytest.mark.parametrize("empty", ["", " ", "\n", "...", "the"])
def test_nothing_gets_the_lowest_score_of_all(empty):
    assert [score(name, empty) for name in RULE] == [1, 1, 1]
    assert judged(empty) == 0.0


def test_a_copy_of_the_reference_is_lowest_where_copying_is_looked_at():
    assert score("rule-overlap", REFERENCE) == 1
    assert score("rule-both", REFERENCE) == 1
    assert judged(REFERENCE) == 0.0
    assert score("rule-repetition", REFERENCE) == 8  # this rule never sees the reference's words


def test_shuffled_words_of_the_reference_are_a_copy_by_overlap_and_none_by_bleu():
    shuffled = " ".join(sorted(REFERENCE.split()))
    assert score("rule-overlap", shuffled) == 1
    assert judged(shuffled) > 9


def test_a_loop_is_lowest_where_repetition_is_looked_at():
    loop = "quiet " * 20
    assert score("rule-overlap", loop) == 8  # this rule only looks for the reference's words
    assert score("rule-repetition", loop) == 1
    assert score("rule-both", loop) == 1
    assert judged(loop) == 0.0


def test_a_continuation_that_repeats_the_prefix_is_repetition():
    assert score("rule-repetition", OTHER, prefix=OTHER) == 1
    assert score("rule-repetition", OTHER) == 8


def test_other_words_without_repetition_are_the_best():
    assert [score(name, OTHER) for name in RULE] == [8, 8, 8]
    assert judged(OTHER) == 10.0


def test_half_as_many_words_as_the_reference_are_enough():
    words, n = OTHER.split(), len(REFERENCE.split())
    assert substance(" ".join(words[: n // 2 + n % 2]), REFERENCE) == 1
    assert substance(" ".join(words[: n // 4]), REFERENCE) == pytest.approx(2 * (n // 4) / n)
    assert (substance("a word", ""), substance("", "")) == (1, 0)


def test_case_punctuation_and_unicode():
    assert novelty("ÅSA, kom HEM!", "åsa kom hem") == 0
    assert novelty("мир и дом", "мир и дом") == 0
    assert freshness("", "猫 と 犬 と 猫 と 犬") == pytest.approx(4 / 6)
    assert evenness("🙂 🙂 🙃 🙃") == pytest.approx(0.5)
    assert score("rule-overlap", "見よ東海の空明けて", reference="見よ東海の空明けて") == 1
    assert independence("é é", "e\u0301 e\u0301") == 1  # compared as they are written


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_no_text_leaves_the_scales(prefix, reference, candidate):
    for rule in RULES:
        assert rule.score(Item("i", prefix, reference, candidate)) in range(1, 9)
    found = judged(candidate, reference, prefix)
    assert 0 <= found <= 10
    assert found == round(found, 1)


def test_halves_are_rounded_up():
    rule = Rule("rule-half", "", lambda item: float(item.prefix))
    found = [rule.score(Item("i", text, "", "")) for text in ("0", "0.5", "1", f"{0.5 / 7}")]
    assert found == [1, 5, 8, 2]


def test_every_rule_says_that_it_is_one():
    assert all(name.startswith("rule-") and rule.formula for name, rule in RULE.items())
    judge = stand_in_judge()
    assert judge.is_rule
    assert judge.id.startswith("rule-")
    assert (judge.judge_model, judge.prompt) == (NAME, FORMULA)
    assert "no language model" in judge.endpoint
    assert not set(judge.id) - set(string.ascii_lowercase + string.digits + "-")
