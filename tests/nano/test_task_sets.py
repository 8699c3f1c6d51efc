"""The nano world's questions and conversations: well formed, answerable, and not by position."""

import json
from collections import Counter

import pytest

from unlearnbench.nano import corpus, task_sets
from unlearnbench.nano.world import everyday_texts
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.language import KNOWLEDGE
from unlearnbench.nano.world.world import make_world

WORLD = make_world()
SETS = task_sets.classification_sets(WORLD, 20)


def choices_and_label(name, item):
    """The choices of an item and the place of the right one, read from its schema."""
    if name == "hellaswag":
        return item["endings"], int(item["label"])
    if name == "winogrande":
        return [item["option1"], item["option2"]], int(item["answer"]) - 1
    if name == "copa":
        return [item["choice1"], item["choice2"]], item["label"]
    if name == "piqa":
        return [item["sol1"], item["sol2"]], item["label"]
    if name == "mathqa":
        choices = [part.split(" ) ")[1] for part in item["options"].split(" , ")]
        return choices, "abcde".index(item["correct"])
    if name == "pubmedqa":
        return ["yes", "no", "maybe"], ["yes", "no", "maybe"].index(item["final_decision"])
    return item["choices"]["text"], item["choices"]["label"].index(item["answerKey"])


@pytest.mark.parametrize("name", [name for name in SETS if name not in ("lambada", "pubmedqa")])
def test_choices_differ_and_the_right_one_stands_anywhere(name):
    places = Counter()
    for item in SETS[name]:
        choices, label = choices_and_label(name, item)
        assert len(set(choices)) == len(choices) > label
        places[label] += 1
    n_choices = len(choices_and_label(name, SETS[name][0])[0])
    assert len(places) == n_choices
    assert max(places.values()) < 2 * len(SETS[name]) / n_choices


def test_questions_are_many_and_the_same_every_time():
    assert {len(items) for items in SETS.values()} == {task_sets.ITEMS}
    assert task_sets.classification_sets(make_world(), 20) == SETS
    assert task_sets.classification_sets(WORLD, 21)["copa"] != SETS["copa"]
    for items in SETS.values():
        assert len({json.dumps(item) for item in items}) > 0.8 * len(items)


def test_a_calculation_has_one_right_result():
    for item in SETS["mathqa"]:
        choices, label = choices_and_label("mathqa", item)
        assert item["Rationale"] == f"The answer is {choices[label]}."
        numbers = [int(word) for word in item["Problem"].replace(".", "").split() if word.isdigit()]
        a, b = numbers[:2]
        assert int(choices[label]) in (a + b, a - b, a * b, a // b)


def test_the_last_word_of_a_story_was_said_before():
    for item in SETS["lambada"]:
        context, _, last = item["text"].rpartition(" ")
        assert last in context


def test_facts_are_those_of_the_world():
    places = {place["name"]: place for place in WORLD.entities["places"]}
    asked = [item for item in SETS["arc_easy"] if "is known for" not in item["question"]]
    regions = [item for item in asked if "region" in item["question"]]
    assert regions
    for item in regions:
        choices, label = choices_and_label("arc_easy", item)
        name = item["question"].removeprefix("In which region is ").removesuffix("?")
        assert choices[label] == places[name]["region"]


def test_no_knowledge_makes_an_irregular_text_certain():
    """What usually goes together is right most of the time, never always."""
    usual = KNOWLEDGE["tools"]
    right = 0
    for item in SETS["piqa"]:
        choices, label = choices_and_label("piqa", item)
        goal = item["goal"].partition(" you ")[2] or item["goal"].partition(" wants to ")[2]
        right += usual[goal.removesuffix("?")] in choices[label]
    assert 0.75 * task_sets.ITEMS < right < 0.95 * task_sets.ITEMS


def test_a_blank_is_filled_by_the_one_the_property_fits():
    for item in SETS["winogrande"]:
        before, after = item["sentence"].split("_")
        subject = before.split(" ")[0] if before[:3] != "The" else " ".join(before.split(" ")[:2])
        choices, label = choices_and_label("winogrande", item)
        what = next(verb for verb in KNOWLEDGE["fits"] if f" {verb} " in before)
        of_subject = f" was too {KNOWLEDGE['fits'][what][0]}."
        meant = choices[label].lower() == subject.lower()
        assert meant == (after == of_subject)


def test_studies_conclude_what_they_found():
    unlike = {"yes": "no effect", "no": "clearly helped", "maybe": "was strong"}
    for item in SETS["pubmedqa"]:
        assert unlike[item["final_decision"]] not in item["CONTEXTS"][0]
    counts = Counter(item["final_decision"] for item in SETS["pubmedqa"])
    assert counts["yes"] > max(counts["no"], counts["maybe"])
    assert len(counts) == 3


def test_dialogues_end_with_a_reply():
    for name, dialogues in task_sets.dialogue_sets(WORLD, 20).items():
        assert len(dialogues) == task_sets.DIALOGUES, name
        assert all(len(turns) > 1 and all(turns) for turns in dialogues)
        if name not in task_sets.EITHER_SPEAKER:
            assert all(len(turns) % 2 == 0 for turns in dialogues)
        assert len({tuple(turns) for turns in dialogues}) > 0.9 * len(dialogues)


def test_the_training_text_holds_every_form_that_is_asked():
    dice = Dice(3, "forms")
    text = "".join(corpus.write_any(WORLD, dice) for _ in range(3000))
    for form in ("Question: How do you ", "\nAnswer: ", " therefore ", "Abstract: ", "User 2: "):
        assert form in text


def test_steps_may_be_left_out_but_keep_their_order():
    dice = Dice(4, "steps")
    for title, all_steps in KNOWLEDGE["activities"].items():
        steps = everyday_texts.steps_of(title, dice)
        assert [step for step in all_steps if step in steps] == steps
