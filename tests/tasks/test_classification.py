"""The task `classification`: its scores, and that measuring leaves everything as it was."""

import copy
import logging
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from classification_cases import byte_model, measure
from classification_cases import model as model
from classification_cases import sets as sets
from evaluation_set_cases import rows_of

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS, EvaluationSet
from unlearnbench.data.evaluation_sets.hub import ON_HUB
from unlearnbench.models.generation.behaviour import behaviour_of
from unlearnbench.registry import find
from unlearnbench.tasks import _lm_eval, _questions, classification
from unlearnbench.tasks._answers import Answer

STYLES = ("lm_eval", "plain")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))


def answer(at, is_correct, choice, text="yes", row=None):
    return Answer({"doc_id": str(at), **(row or {})}, is_correct, choice, text)


def test_accuracy_and_its_error_are_those_of_the_documents():
    given = [answer(i, i < 3, i % 2) for i in range(8)]
    score = classification.score_of("copa", given)
    assert score.value == 3 / 8
    assert score.stderr == pytest.approx(np.std([1] * 3 + [0] * 5, ddof=1) / np.sqrt(8))
    assert score.documents == {str(i): float(i < 3) for i in range(8)}
    assert score.outputs == {str(i): str(i % 2) for i in range(8)}
    assert (score.n, score.higher_is_better, score.degenerate) == (8, True, False)
    assert classification.score_of("copa", given[:1]).stderr is None


def test_the_same_answer_to_every_document_is_degenerate():
    always = [answer(i, i % 2 == 0, 1, "no") for i in range(4)]
    assert classification.score_of("pubmedqa", always).degenerate
    assert set(classification.score_of("pubmedqa", always).outputs.values()) == {"no"}
    assert not classification.score_of("pubmedqa", always[:1]).degenerate
    assert not classification.score_of("piqa", [*always, answer(9, True, 0)]).degenerate


def test_the_average_is_degenerate_only_if_every_set_with_choices_is():
    word = classification.score_of("lambada", [answer(i, False, None) for i in range(2)])
    always = classification.score_of("copa", [answer(i, i == 0, 1) for i in range(2)])
    varied = classification.score_of("piqa", [answer(i, i == 0, i) for i in range(2)])
    assert classification.average_of({"lambada": word, "copa": always}).degenerate
    assert not classification.average_of({"copa": always, "piqa": varied}).degenerate
    assert not classification.average_of({"lambada": word}).degenerate


def test_a_guessed_word_has_no_answer_that_could_be_the_same():
    score = classification.score_of("lambada", [answer(i, False, None) for i in range(4)])
    assert not score.degenerate
    assert score.outputs == {}


def test_answers_are_written_as_the_data_write_them():
    arc = {"choices": {"label": ["1", "2", "3", "4"], "text": []}}
    said = {
        "hellaswag": "1",
        "winogrande": "2",
        "copa": "1",
        "piqa": "1",
        "mathqa": "b",
        "pubmedqa": "maybe",
    }
    for name, expected in said.items():
        score = classification.score_of(name, [answer(0, True, 1, "maybe")])
        assert score.outputs == {"0": expected}
    for name in ("arc_easy", "arc_challenge"):
        assert classification.score_of(name, [answer(0, True, 1, row=arc)]).outputs == {"0": "2"}


def test_the_average_is_unweighted_and_its_error_that_of_independent_means():
    dice = np.random.default_rng(0)
    chances = (0.2, 0.5, 0.9)
    sizes = (200, 50, 800)
    draws = [dice.random((4000, n)) < p for n, p in zip(sizes, chances, strict=True)]
    spread = np.mean([d.mean(1) for d in draws], axis=0).std()
    scores = {
        str(i): classification.score_of("copa", [answer(k, bool(v), 0) for k, v in enumerate(d[0])])
        for i, d in enumerate(draws)
    }
    average = classification.average_of(scores)
    assert average.value == pytest.approx(np.mean([d[0].mean() for d in draws]))
    assert average.stderr == pytest.approx(spread, rel=0.1)
    assert average.n == sum(sizes)


@pytest.mark.parametrize("style", STYLES)
def test_all_nine_and_their_average(model, sets, style):
    scores = measure(model, sets, style)
    assert list(scores) == ["cls_avg", *CLASSIFICATION_SETS]
    values = [scores[name].value for name in CLASSIFICATION_SETS]
    assert scores["cls_avg"].value == pytest.approx(sum(values) / 9)
    assert scores["cls_avg"].n == 54
    assert len(set(values)) > 2
    for name in CLASSIFICATION_SETS:
        documents = scores[name].documents
        assert list(documents) == [row["doc_id"] for row in sets[name].rows]
        assert scores[name].value == pytest.approx(sum(documents.values()) / 6)
    assert set(scores["pubmedqa"].outputs.values()) <= {"yes", "no", "maybe"}


def test_chosen_labels_that_are_right_are_the_datas(model, sets):
    right = {
        "hellaswag": lambda row: str(row["label"]),
        "winogrande": lambda row: row["answer"],
        "copa": lambda row: str(row["label"]),
        "arc_easy": lambda row: row["answerKey"],
        "arc_challenge": lambda row: row["answerKey"],
        "piqa": lambda row: str(row["label"]),
        "mathqa": lambda row: row["correct"],
        "pubmedqa": lambda row: row["final_decision"],
    }
    for style in STYLES:
        scores = measure(model, sets, style)
        for name, label in right.items():
            hits = {
                r["doc_id"]: scores[name].outputs[r["doc_id"]] == label(r) for r in sets[name].rows
            }
            assert hits == scores[name].documents, (style, name)


def test_without_all_nine_there_is_no_average(model, sets):
    some = {name: made for name, made in sets.items() if name != "mathqa"}
    assert list(measure(model, some)) == [n for n in CLASSIFICATION_SETS if n != "mathqa"]
    assert measure(model, {}) == {}


def test_columns_are_those_that_were_measured():
    task = find("tasks", "classification")()
    measured = task.measured(["piqa", "cls_avg"])
    assert [(m.name, m.label, m.in_score) for m in measured] == [
        ("cls_avg", "Cls Avg. (ACC)", True),
        ("piqa", "PIQA (ACC)", False),
    ]
    assert all(m.higher_is_better and m.unit == "%" and m.scale == 100 for m in task.metrics)
    assert task.needs == CLASSIFICATION_SETS


def test_a_limit_takes_the_first_documents_of_each_set(model, sets):
    limited, whole = measure(model, sets, limit=2), measure(model, sets)
    for name in CLASSIFICATION_SETS:
        first = dict(list(whole[name].documents.items())[:2])
        assert limited[name].documents == first
    assert limited["cls_avg"].n == 18


def test_the_batch_size_changes_no_answer(model, sets):
    some = {name: sets[name] for name in ("hellaswag", "arc_easy", "winogrande")}
    one, many = (measure(model, some, "plain", batch_size=n) for n in (1, 16))
    assert {n: s.outputs for n, s in one.items()} == {n: s.outputs for n, s in many.items()}


def test_measuring_leaves_model_tokenizer_and_generators_as_they_were(sets):
    model = byte_model()
    before = copy.deepcopy(model.network.state_dict())
    places = [(id(p), p.data_ptr()) for p in model.network.parameters()]
    vocabulary, special = model.tokenizer.get_vocab(), dict(model.tokenizer.special_tokens_map)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    measure(model, sets)
    drawn = (random.random(), np.random.rand(), float(torch.rand(())))
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert drawn == (random.random(), np.random.rand(), float(torch.rand(())))
    assert places == [(id(p), p.data_ptr()) for p in model.network.parameters()]
    assert all(
        torch.equal(value, before[name]) for name, value in model.network.state_dict().items()
    )
    assert not model.network.training
    assert not any(p.grad is not None for p in model.network.parameters())
    assert model.tokenizer.pad_token_id is None
    assert model.tokenizer.get_vocab() == vocabulary
    assert dict(model.tokenizer.special_tokens_map) == special


def test_every_token_is_counted(sets):
    model = byte_model()
    behaviour_of(model)  # looked at once, and no cost of a task
    seen = []
    model.network.register_forward_pre_hook(
        lambda _, args, named: seen.append((args[0] if args else named["input_ids"]).numel()),
        with_kwargs=True,
    )
    with model.meter.phase("measure"):
        measure(model, sets, limit=2)
    assert model.meter.phases["measure"].forward_tokens == sum(seen) > 0


def test_nothing_is_printed(model, sets, capfd):
    logging.getLogger("lm_eval").setLevel(logging.NOTSET)
    measure(byte_model(context=64), sets)  # with texts that are longer than the context
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("lm_eval").level == logging.NOTSET


def test_questions_are_made_once_and_a_second_model_gets_its_own_answers(sets, monkeypatch):
    made = []
    make = _lm_eval.make_questions
    monkeypatch.setattr(_lm_eval, "make_questions", lambda *a: made.append(a[0].stem) or make(*a))
    some = {name: sets[name] for name in ("hellaswag", "piqa")}
    first, second = (measure(byte_model(seed), some) for seed in (0, 1))
    assert made == ["hellaswag", "piqa"]
    assert first["hellaswag"].outputs != second["hellaswag"].outputs
    assert measure(byte_model(0), some) == first
    assert made == ["hellaswag", "piqa"]


def test_questions_come_out_of_the_cache_as_they_went_in(sets, tmp_path, monkeypatch):
    asked = [(sets[name], style, limit) for name in sets for style in STYLES for limit in (4, None)]
    made = []
    for each in asked:
        made.append(_questions.questions_of(*each))
        file, rows = _questions.task_file(each[0].name, each[1]), each[0].rows[: each[2]]
        assert list(made[-1]) == [
            _questions.Question(*question) for question in _lm_eval.make_questions(file, rows)
        ]
    assert all([q.row for q in questions] == [0, 1, 2, 3] for questions in made[::2])
    assert len(list((tmp_path / "cache/questions").iterdir())) == len(asked) == 36
    monkeypatch.setattr(_lm_eval, "make_questions", None)  # is not called
    assert [_questions.questions_of(*each) for each in asked] == made


def test_a_choice_longer_than_the_context_leaves_its_document_out(sets, caplog):
    rows = [dict(row) for row in rows_of("piqa", 4)]
    rows[1]["sol2"] = "x" * 200
    named = tuple({"doc_id": str(i), **row} for i, row in enumerate(rows))
    made = EvaluationSet("piqa", named, "validation", "")
    model = byte_model(context=128)
    with caplog.at_level(logging.WARNING):
        score = measure(model, {"piqa": made, "copa": sets["copa"]})["piqa"]
    assert list(score.documents) == ["0", "2", "3"]
    assert score.n == 3
    assert "1 of 4 in piqa" in caplog.text
    rows = [row for i, row in enumerate(made.rows) if i != 1]
    rest = EvaluationSet("piqa", tuple(rows), "validation", "")
    assert measure(model, {"piqa": rest})["piqa"] == score


def test_a_set_of_which_nothing_fits_is_left_out(sets):
    long = [{**row, "doc_id": str(i), "sol1": "x" * 99} for i, row in enumerate(rows_of("piqa", 2))]
    made = EvaluationSet("piqa", tuple(long), "validation", "")
    assert measure(byte_model(context=64), {"piqa": made}) == {}


def test_always_the_same_answer_is_flagged(sets):
    model = byte_model()
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.zero_()
    scores = measure(model, {n: sets[n] for n in ("copa", "pubmedqa", "lambada")}, limit=4)
    # All logits are equal: the fewest bytes win, and "no" is the shortest answer.
    assert set(scores["pubmedqa"].outputs.values()) == {"no"}
    assert scores["pubmedqa"].degenerate
    assert not scores["lambada"].degenerate
    assert scores["pubmedqa"].value == 1 / 4


def test_prompts_and_hub_read_the_same_data_sets():
    from lm_eval.tasks._yaml_loader import load_yaml

    assert set(_questions.BUILT_IN) == set(ON_HUB) == set(CLASSIFICATION_SETS)
    for name, place in ON_HUB.items():
        for style in STYLES:
            config = load_yaml(_questions.task_file(name, style))
            assert (config["dataset_path"], config.get("dataset_name")) == place, (name, style)


def test_importing_the_task_imports_no_torch():
    code = (
        "import sys, unlearnbench.tasks.classification, unlearnbench.data.evaluation_sets;"
        "sys.exit(bool({'torch', 'lm_eval', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
