"""The task `dialogue`: columns, averages, and the real sets with real models, scored anew."""

import re
from collections import Counter
from statistics import fmean, stdev

import pytest
import torch
from extraction_cases import shared_model

from unlearnbench.data.evaluation_sets import DIALOGUE_SETS, EvaluationSet
from unlearnbench.data.evaluation_sets.dialogue_files import read_dialogue_file
from unlearnbench.metrics.task import TaskContext
from unlearnbench.registry import find
from unlearnbench.tasks.dialogue import normalize_reply

TALK = (
    {"doc_id": "5", "turns": ["how are you ?", "fine thanks"]},
    {"doc_id": "2", "turns": ["hi", "hello", "a red dog"]},
    {"doc_id": "9", "turns": ["bye", "see you"]},
)


def evaluation_set(name, rows):
    return EvaluationSet(name, tuple(rows), "validation", f"{name}.json")


def measure(monkeypatch, replies, names=DIALOGUE_SETS, limit=None):
    """The task's scores when a model writes those replies to every set."""
    seen = []

    def write(model, prompts, stop, new_tokens, batch_size):
        seen.append((prompts, stop, new_tokens))
        return replies[: len(prompts)]

    monkeypatch.setattr("unlearnbench.models.generation.replies.write_replies", write)
    sets = {name: evaluation_set(name, TALK) for name in names}
    scores = find("tasks", "dialogue")().measure(None, TaskContext(None, {}, sets, limit=limit))
    return scores, seen


def test_replies_are_scored_by_document(monkeypatch):
    scores, seen = measure(monkeypatch, [" Fine, THE thanks", "red", " "])
    assert seen[0] == (
        [
            "User 1: How are you?\nUser 2:",
            "User 1: Hi\nUser 2: Hello\nUser 1:",
            "User 1: Bye\nUser 2:",
        ],
        "\nUser ",
        32,
    )
    assert len(seen) == 1  # all sets' prompts together, each of them once
    talk = scores["wizard_of_wikipedia"]
    assert talk.documents == pytest.approx({"5": 1.0, "2": 2 / 3, "9": 0.0})
    assert talk.outputs == {"5": "Fine, THE thanks", "2": "red", "9": ""}
    assert talk.value == pytest.approx(fmean([1, 2 / 3, 0]))
    assert talk.stderr == pytest.approx(stdev([1, 2 / 3, 0]) / 3**0.5)
    assert (talk.n, talk.higher_is_better, talk.degenerate) == (3, True, False)


def test_one_answer_to_everything_is_degenerate(monkeypatch):
    scores, _ = measure(monkeypatch, ["you", "you", " you "])
    assert all(score.degenerate for score in scores.values())
    scores, _ = measure(monkeypatch, ["you"], limit=1)
    assert not any(score.degenerate for score in scores.values())
    assert scores["dia_avg"].stderr is None


def test_the_average_is_unweighted_and_needs_all_four(monkeypatch):
    scores, _ = measure(monkeypatch, ["fine", "dog", "you"])
    average, parts = scores.pop("dia_avg"), list(scores.values())
    assert list(scores) == list(DIALOGUE_SETS)
    assert average.value == pytest.approx(fmean(part.value for part in parts))
    # Four independent means of the same spread: half of one's standard error.
    assert average.stderr == pytest.approx(parts[0].stderr / 2)
    assert average.n == 12
    scores, _ = measure(monkeypatch, ["fine", "dog", "you"], names=DIALOGUE_SETS[:3])
    assert list(scores) == list(DIALOGUE_SETS[:3])
    assert measure(monkeypatch, [], names=())[0] == {}


def test_columns():
    task = find("tasks", "dialogue")()
    assert task.needs == DIALOGUE_SETS
    assert [(m.name, m.label, m.in_score) for m in task.metrics] == [
        ("dia_avg", "Dia Avg. (F1)", True),
        ("wizard_of_wikipedia", "Wizard of Wikipedia (F1)", False),
        ("empathetic_dialogues", "Empathetic Dialogues (F1)", False),
        ("blended_skill_talk", "Blended Skill Talk (F1)", False),
        ("wizard_of_internet", "Wizard of Internet (F1)", False),
    ]
    assert all(m.higher_is_better and m.scale == 100 and m.unit == "%" for m in task.metrics)


def generated(model, prompt):
    """The library's own greedy search, one prompt at a time, with its own BOS."""
    tokenizer, network = model.tokenizer, model.network
    bos = [tokenizer.bos_token_id]
    room = network.config.max_position_embeddings - 32 - 1
    ids = torch.tensor([bos + tokenizer(prompt, add_special_tokens=False).input_ids[-room:]])
    written = network.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=32
    )
    text = tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    return text.split("\nUser ")[0].strip()


def plain_f1(reply, reference):
    """Token F1 of texts in plain English, written down once more."""
    bags = [
        Counter(
            w for w in re.sub(r"[^\w\s]|_", " ", t.lower()).split() if w not in ("a", "an", "the")
        )
        for t in (reply, reference)
    ]
    shared, total = sum((bags[0] & bags[1]).values()), sum(bags[0].values()) + sum(bags[1].values())
    return 2 * shared / total if shared else 0.0


@pytest.mark.parametrize("name", ["stories260K", "babyllama105"])
def test_real_sets_and_models_as_scored_by_hand(name, shared):
    model = shared_model(shared / "models" / name)
    rows = {s: read_dialogue_file(shared / f"data/icu/dialogue/{s}.json") for s in DIALOGUE_SETS}
    sets = {s: evaluation_set(s, rows[s]) for s in DIALOGUE_SETS}
    task = find("tasks", "dialogue")(batch_size=3)
    scores = task.measure(model, TaskContext(None, {}, sets, limit=3))
    for s in DIALOGUE_SETS:
        for row in rows[s][:3]:
            *said, reference = row["turns"]
            lines = [f"User {1 + i % 2}: {normalize_reply(turn)}" for i, turn in enumerate(said)]
            prompt = "\n".join([*lines, f"User {1 + len(said) % 2}:"])
            reply = generated(model, prompt)
            assert scores[s].outputs[row["doc_id"]] == reply
            expected = plain_f1(reply, reference)
            assert scores[s].documents[row["doc_id"]] == pytest.approx(expected)
        assert scores[s].value == pytest.approx(fmean(scores[s].documents.values()))
    assert scores["dia_avg"].value == pytest.approx(fmean(scores[s].value for s in DIALOGUE_SETS))
    assert scores["dia_avg"].value > 0
    assert model.meter.phases["other"].generated_tokens <= 12 * 32
