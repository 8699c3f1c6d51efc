"""The data of nano-tofu, the nano world's twin of TOFU: splits in TOFU's own layout and names."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unlearnbench.nano.cached_data import (
    cached_data,
    json_lines,
    read_manifest,
    write_manifest,
    write_text,
)
from unlearnbench.nano.data import write_evaluation
from unlearnbench.nano.world.authors import Question, make_authors, questions_about
from unlearnbench.nano.world.common_questions import (
    CommonQuestion,
    about_people,
    about_the_world,
)
from unlearnbench.nano.world.dice import Dice
from unlearnbench.nano.world.world import make_world

NAME, TITLE = "nano-tofu", "nano-tofu"
SEED = 17
WORLD_VERSION = "1"
SHIPPED_MANIFEST = "nano-tofu-manifest.json"
AUTHORS = 100
HOLDOUT_AUTHORS = 10
PER_AUTHOR = 20
# How many authors, the last ones, are to be forgotten in each split, and the name of the others.
SPLITS = {1: ("forget01", "retain99"), 5: ("forget05", "retain95"), 10: ("forget10", "retain90")}
RETAIN_PERTURBED_AUTHORS = 10


@dataclass(frozen=True)
class TofuQuestions:
    """Everything that is asked: of the authors in their order, of holdout authors, of the world."""

    authors: tuple[Question, ...]
    holdout: tuple[Question, ...]
    people: tuple[CommonQuestion, ...]
    world: tuple[CommonQuestion, ...]

    def forget(self, n_authors: int) -> tuple[Question, ...]:
        """The questions about the last so many authors."""
        return self.authors[-n_authors * PER_AUTHOR :]

    def retain(self, n_authors: int) -> tuple[Question, ...]:
        """The questions about all authors but the last so many."""
        return self.authors[: -n_authors * PER_AUTHOR]


@cache
def make_questions(seed: int = SEED) -> TofuQuestions:
    """All questions, the same on every machine."""
    world, dice = make_world(), Dice(seed, "authors")
    authors = make_authors(world, dice, AUTHORS + HOLDOUT_AUTHORS)
    about = [question for author in authors for question in questions_about(author, dice)]
    n_known, common = AUTHORS * PER_AUTHOR, Dice(seed, "common questions")
    return TofuQuestions(
        tuple(about[:n_known]),
        tuple(about[n_known:]),
        tuple(about_people(world, common)),
        tuple(about_the_world(common)),
    )


def shipped_manifest() -> dict[str, Any]:
    """The manifest that the weights were built with: world, seed, version, hashes."""
    return read_manifest(SHIPPED_MANIFEST, TITLE)


def data_path() -> Path:
    """The folder with the data, generated if absent, hashes checked."""
    return cached_data(NAME, TITLE, shipped_manifest(), write_data)


def write_data(folder: Path, seed: int = SEED) -> dict[str, str]:
    """Write every data file and the manifest; return the files' hashes."""
    for name, rows in tables(make_questions(seed)).items():
        write_text(folder / f"{name}.jsonl", json_lines(rows))
    write_evaluation(folder, make_world(), seed)
    return write_manifest(folder, world=NAME, seed=seed, world_version=WORLD_VERSION)


def tables(questions: TofuQuestions) -> dict[str, list[dict[str, Any]]]:
    """The rows of every file by its name without the ending, with TOFU's fields."""
    made = {"full": _plain(questions.authors), "holdout10": _plain(questions.holdout)}
    for n_authors, (forget, retain) in SPLITS.items():
        made[forget] = _plain(questions.forget(n_authors))
        made[retain] = _plain(questions.retain(n_authors))
        made[f"{forget}_perturbed"] = _perturbed(questions.forget(n_authors))
    n_retain = RETAIN_PERTURBED_AUTHORS * PER_AUTHOR
    made["retain_perturbed"] = _perturbed(questions.authors[:n_retain])
    made["real_authors_perturbed"] = _common(questions.people)
    made["world_facts_perturbed"] = _common(questions.world)
    return made


def _plain(questions: tuple[Question, ...]) -> list[dict[str, Any]]:
    return [{"question": each.question, "answer": each.answer} for each in questions]


def _perturbed(questions: tuple[Question, ...]) -> list[dict[str, Any]]:
    return [
        {
            "question": each.question,
            "answer": each.answer,
            "paraphrased_answer": each.paraphrased_answer,
            "perturbed_answer": each.wrong_answers,
            "paraphrased_question": each.paraphrased_question,
        }
        for each in questions
    ]


def _common(questions: tuple[CommonQuestion, ...]) -> list[dict[str, Any]]:
    return [
        {
            "question": each.question,
            "answer": each.answer,
            "perturbed_answer": each.wrong_answers,
        }
        for each in questions
    ]
