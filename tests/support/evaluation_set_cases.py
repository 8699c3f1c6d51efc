"""Evaluation sets as files, and what they hold."""

import json
import random

from tiny import sentence

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS
from unlearnbench.data.evaluation_sets.reading import read_sets

FILES = {
    "hellaswag": "hellaswag/hellaswag.validation.sample6.jsonl",
    "lambada": "lambada_openai.test.jsonl",
    "winogrande": "winogrande_xl.validation.jsonl",
    "copa": "copa.validation.jsonl",
    "arc_easy": "arc/arc_easy.validation.jsonl",
    "arc_challenge": "arc/arc_challenge.validation.jsonl",
    "piqa": "piqa.validation.jsonl",
    "mathqa": "mathqa.validation.jsonl",
    "pubmedqa": "pubmed_qa_labeled_fold0_source.validation.jsonl",
}


def rows_of(name, n=6):
    """Rows in the schema of the real set, with words in random order."""
    dice = random.Random(f"{name} of 1")
    make = _MAKERS[name.split("_")[0]]
    return [make(i, lambda n: sentence(dice, n)) for i in range(n)]


def _hellaswag(i, words):
    start, more = words(5), words(3)
    return {
        "ind": 7 * i,
        "activity_label": words(2),
        "ctx_a": start,
        "ctx_b": more,
        "ctx": f"{start} {more}",
        "endings": [words(4) for _ in range(4)],
        "source_id": f"wiki~{i}",
        "label": str(i % 4),
    }


def _arc(i, words):
    labels = ["1", "2", "3", "4"] if i == 2 else ["A", "B", "C", "D", "E"][: 3 + i % 3]
    choices = {"text": [words(3) for _ in labels], "label": labels}
    return {"id": f"q{i}", "question": words(8), "choices": choices, "answerKey": labels[i % 3]}


_MAKERS = {
    "hellaswag": _hellaswag,
    "arc": _arc,
    "lambada": lambda i, words: {"text": words(9)},
    "winogrande": lambda i, words: {
        "sentence": f"{words(4)} _ {words(3)}.",
        "option1": words(1),
        "option2": words(1),
        "answer": "12"[i % 2],
    },
    "copa": lambda i, words: {
        "premise": f"{words(4)}.",
        "choice1": f"{words(3).capitalize()}.",
        "choice2": f"{words(4).capitalize()}.",
        "question": ("cause", "effect")[i % 2],
        "idx": i,
        "label": i // 2 % 2,
    },
    "piqa": lambda i, words: {
        "goal": words(5),
        "sol1": words(4),
        "sol2": words(6),
        "label": i % 2,
    },
    "mathqa": lambda i, words: {
        "Problem": f"what is {i} + {words(4)} ?",
        "options": f"a ) {i} , b ) {words(1)} , c ) {words(2)} , d ) 1 , 000 , e ) none of these",
        "correct": "abcde"[i % 5],
        "category": "general",
    },
    "pubmedqa": lambda i, words: {
        "QUESTION": f"{words(5)}?",
        "CONTEXTS": [words(6), words(4)],
        "final_decision": ("yes", "no", "maybe")[i % 3],
        "LONG_ANSWER": words(3),
    },
}


def write(folder, names=CLASSIFICATION_SETS, n=6):
    """A folder of those sets, as JSONL."""
    for name in names:
        path = folder / FILES[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows_of(name, n)))
    return folder


def read(folder, names=CLASSIFICATION_SETS, warnings=None):
    return read_sets(names, str(folder), {}, [] if warnings is None else warnings)
