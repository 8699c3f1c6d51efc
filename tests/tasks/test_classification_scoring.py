"""Real questions: lm-eval's style against lm-eval, the plain style against a scoring of our own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import lm_eval
import pytest
import torch
import yaml
from classification_cases import byte_model, measure
from classification_cases import sets as sets
from evaluation_set_cases import FILES, read, write
from extraction_cases import shared_model

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS

# With the documents of each set that are asked: contexts of 512 tokens and of 256 characters.
REAL = {"stories260K": 6, "babyllama105": 3}
# lm-eval stops at PIQA's row 22, a choice of which is longer than babyllama105's context.
MORE = {"stories260K": 40, "babyllama105": 20}
LM_EVAL_FILES = {
    "hellaswag": "hellaswag/hellaswag.yaml",
    "lambada": "lambada/lambada_openai.yaml",
    "winogrande": "winogrande/default.yaml",
    "copa": "super_glue/copa/default.yaml",
    "arc_easy": "arc/arc_easy.yaml",
    "arc_challenge": "arc/arc_challenge.yaml",
    "piqa": "piqa/piqa.yaml",
    "mathqa": "mathqa/mathqa.yaml",
    "pubmedqa": "pubmedqa/pubmedqa.yaml",
}


def prompt_and_choices(name, row):
    """What the released prompts are, and which choice is right."""
    if name == "hellaswag":
        return row["ctx"], [" " + e for e in row["endings"]], int(row["label"])
    if name == "winogrande":
        before, _, rest = row["sentence"].partition(" _")
        choices = [" " + row["option1"] + rest, " " + row["option2"] + rest]
        return before, choices, int(row["answer"]) - 1
    if name == "copa":
        return row["premise"], [" " + row["choice1"], " " + row["choice2"]], row["label"]
    if name.startswith("arc"):
        choices = row["choices"]
        right = choices["label"].index(row["answerKey"])
        return row["question"], [" " + text for text in choices["text"]], right
    if name == "piqa":
        return row["goal"], [" " + row["sol1"], " " + row["sol2"]], row["label"]
    if name == "mathqa":
        *four, last = re.split(r" ?, (?=[b-e] \) )", row["options"])
        # The released code and lm-eval end the first four at a comma: "1 , 000" becomes "1".
        choices = [*(re.split(" ?, ", option)[0][4:] for option in four), last[4:]]
        return row["Problem"], choices, "abcde".index(row["correct"])
    assert name == "pubmedqa"
    prompt = f"Context: {row['CONTEXTS'][0]}\nQuestion: {row['QUESTION']}\nAnswer:"
    return prompt, [" yes", " maybe", " no"], ["yes", "maybe", "no"].index(row["final_decision"])


@torch.no_grad()
def log_probabilities(model, prompt, choice):
    """Of each of the choice's tokens after the prompt, and whether it is the likeliest one."""
    start = model.tokenizer(prompt, verbose=False).input_ids
    ids = model.tokenizer(prompt + choice, verbose=False).input_ids
    n_choice = len(ids) - len(start)
    ids = torch.tensor(ids[-(model.max_length + 1) :])
    logits = model.network(ids[None, :-1]).logits[0].double().log_softmax(-1)[-n_choice:]
    targets = ids[-n_choice:]
    return logits.gather(1, targets[:, None])[:, 0], logits.argmax(-1) == targets


def plain_outcome(model, name, row):
    if name == "lambada":
        before, _, word = row["text"].rpartition(" ")
        return float(log_probabilities(model, before, " " + word)[1].all())
    prompt, choices, right = prompt_and_choices(name, row)
    sums = [float(log_probabilities(model, prompt, choice)[0].sum()) for choice in choices]
    return float(sums.index(max(sums)) == right)


def fits(model, name, row):
    """Whether every choice fits the model's context."""
    if name == "lambada":
        return True
    prompt, choices, _ = prompt_and_choices(name, row)
    n_prompt = len(model.tokenizer(prompt, verbose=False).input_ids)
    longest = max(len(model.tokenizer(prompt + c, verbose=False).input_ids) for c in choices)
    return longest - n_prompt <= model.max_length


def assert_plain_is_our_own(model, sets, limit):
    scores = measure(model, sets, "plain", limit)
    for name, made in sets.items():
        rows = [row for row in made.rows[:limit] if fits(model, name, row)]
        expected = {row["doc_id"]: plain_outcome(model, name, row) for row in rows}
        assert scores[name].documents == expected, name


def write_lm_eval_tasks(folder, files):
    """Task files for lm-eval: its own definitions, on given data files and splits."""
    folder.mkdir()
    for name, file in files.items():
        split = "test" if ".test." in file.name else "validation"
        config = {
            "include": str(Path(lm_eval.__file__).parent / "tasks" / LM_EVAL_FILES[name]),
            "task": f"ours_{name}",
            "tag": None,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {
                "data_files": {split: str(file)},
                "cache_dir": str(folder.parent / "cache"),
            },
            "training_split": None,
            "validation_split": None if split == "test" else split,
            "test_split": split if split == "test" else None,
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


def assert_equal_to_lm_eval(scores, results, samples):
    """Accuracy, its error and each document's outcome, exactly."""
    for name in CLASSIFICATION_SETS:
        theirs = results[f"ours_{name}"]
        assert scores[name].value == theirs["acc,none"], name
        assert scores[name].stderr == pytest.approx(theirs["acc_stderr,none"], rel=1e-12), name
        outcomes = {str(s["doc_id"]): float(s["acc"]) for s in samples[f"ours_{name}"]}
        assert scores[name].documents == outcomes, name


def evaluate_in_process(folder, tasks, limit):
    found = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(folder), "dtype": "float32"},
        tasks=[f"ours_{name}" for name in CLASSIFICATION_SETS],
        task_manager=lm_eval.tasks.TaskManager(include_path=str(tasks), include_defaults=False),
        limit=limit,
        batch_size=8,
        device="cpu",
        bootstrap_iters=10,  # of LAMBADA's perplexity; the error of an accuracy has a formula
    )
    return found["results"], found["samples"]


def run_command(folder, tasks, limit, out):
    options = {
        "--model": "hf",
        "--model_args": f"pretrained={folder},dtype=float32",
        "--tasks": ",".join(f"ours_{name}" for name in CLASSIFICATION_SETS),
        "--include_path": tasks,
        "--limit": limit,
        "--batch_size": 8,
        "--device": "cpu",
        "--output_path": out,
    }
    words = [str(word) for option in options.items() for word in option]
    subprocess.run(
        [sys.executable, "-m", "lm_eval", *words, "--log_samples"],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    (file,) = out.rglob("results_*.json")
    samples = {
        f"ours_{name}": [json.loads(line) for line in path.open()]
        for name in CLASSIFICATION_SETS
        for path in out.rglob(f"samples_ours_{name}_2*.jsonl")
    }
    return json.loads(file.read_text())["results"], samples


def real_files(shared, sets):
    return {name: next((shared / "data").rglob(made.source)) for name, made in sets.items()}


@pytest.fixture(scope="module")
def real_sets(shared):
    return read(shared / "data")


def test_plain_style_on_made_up_questions(tmp_path):
    assert_plain_is_our_own(byte_model(), read(write(tmp_path)), None)


def test_lm_eval_style_on_made_up_questions(tmp_path):
    model = byte_model()
    model.network.save_pretrained(tmp_path / "model")
    model.tokenizer.save_pretrained(tmp_path / "model")
    data = write(tmp_path / "data")
    files = {name: data / FILES[name] for name in CLASSIFICATION_SETS}
    tasks = write_lm_eval_tasks(tmp_path / "tasks", files)
    scores = measure(model, read(data))
    assert_equal_to_lm_eval(scores, *evaluate_in_process(tmp_path / "model", tasks, None))


@pytest.mark.parametrize("name", REAL)
def test_plain_style_on_real_questions(shared, real_sets, name):
    assert_plain_is_our_own(shared_model(shared / "models" / name), real_sets, REAL[name])


@pytest.mark.parametrize("name", REAL)
def test_lm_eval_style_on_real_questions(shared, real_sets, name, tmp_path):
    folder = shared / "models" / name
    tasks = write_lm_eval_tasks(tmp_path / "tasks", real_files(shared, real_sets))
    scores = measure(shared_model(folder), real_sets, limit=REAL[name])
    assert_equal_to_lm_eval(scores, *evaluate_in_process(folder, tasks, REAL[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_lm_eval_style_equals_the_command(shared, real_sets, name, tmp_path):
    folder = shared / "models" / name
    tasks = write_lm_eval_tasks(tmp_path / "tasks", real_files(shared, real_sets))
    scores = measure(shared_model(folder), real_sets, limit=MORE[name])
    assert_equal_to_lm_eval(scores, *run_command(folder, tasks, MORE[name], tmp_path / "out"))


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_plain_style_on_more_real_questions(shared, real_sets, name):
    """Among them two of PIQA's that do not fit babyllama105."""
    assert_plain_is_our_own(shared_model(shared / "models" / name), real_sets, 50)
