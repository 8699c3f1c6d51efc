"""What a set asks, in lm-eval's words: made once, kept in the cache."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearnbench.errors import UserError
from unlearnbench.files.cache import cache_root, read_entry, write_entry
from unlearnbench.files.hashing import text_sha256

if TYPE_CHECKING:
    from unlearnbench.data.evaluation_sets import EvaluationSet

Style = Literal["lm_eval", "plain"]

# lm-eval's own definition of each set's task, under its folder `tasks`.
BUILT_IN = {
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
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Question:
    """One document: the pairs of texts that are to be scored, and what is right."""

    row: int  # of the set
    requests: tuple[tuple[str, str], ...]  # context and continuation: one per choice
    # By the choice that is likeliest; without choices: where the continuation is not what the
    # model would write, and where it is.
    is_correct: tuple[bool, ...]


def task_file(name: str, style: Style) -> Path:
    """The task file of a set: lm-eval's own, or that of the released plain prompts."""
    if style == "plain":
        return _HERE / "plain_prompts" / f"{name}.yaml"
    return _lm_eval_tasks() / BUILT_IN[name]


@cache
def _lm_eval_tasks() -> Path:
    spec = find_spec("lm_eval")  # its folder; importing it takes a second
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("no module named 'lm_eval'", name="lm_eval")
    return Path(spec.origin).parent / "tasks"


@cache
def own_task_file(name: str) -> Path:
    """lm-eval's file of one of its tasks, such as 'wmdp_bio'; raises `UserError` for none.

    It is looked for where lm-eval has it, in a file called as the task.
    """
    for path in sorted(_lm_eval_tasks().rglob(f"{name}.yaml")):
        # Another folder's file may have the same name and define a variant.
        text = path.read_text(encoding="utf-8")
        if any(line.replace('"', "").strip() == f"task: {name}" for line in text.splitlines()):
            return path
    raise UserError(
        f"lm-eval has no task '{name}' with a file of its own; see all with: lm_eval ls tasks"
    )


def questions_of(data: "EvaluationSet", style: Style, limit: int | None) -> tuple[Question, ...]:
    """The questions about the first `limit` rows, or all; the same for every model."""
    key = text_sha256(data.name, data.sha256, style, str(limit), _recipe(style))
    return _made_once(key, task_file(data.name, style), data.rows[:limit])


def questions_about(name: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    """What lm-eval's task of that name asks about rows; the same for every model.

    Raises `UserError` for a task that lm-eval has not.
    """
    file = own_task_file(name)
    recipe = [file.read_text(encoding="utf-8"), *_ours(), version("lm_eval")]
    return _made_once(text_sha256(name, json.dumps(rows), *recipe), file, rows)


def _made_once(key: str, file: Path, rows: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    place = cache_root() / "questions" / key
    content = read_entry(place)
    if content is None:
        from ._lm_eval import make_questions  # takes a second that cached questions need not wait

        content = json.dumps(make_questions(file, rows)).encode()
        write_entry(place, content)
    return tuple(
        Question(row, tuple(map(tuple, requests)), tuple(is_correct))
        for row, requests, is_correct in json.loads(content)
    )


@cache
def _recipe(style: Style) -> str:
    """Digest of what turns rows into questions: lm-eval, its task files, and ours."""
    files = [task_file(name, style).read_text(encoding="utf-8") for name in BUILT_IN]
    return text_sha256(version("lm_eval"), *files, *_ours())


def _ours() -> list[str]:
    return [p.read_text(encoding="utf-8") for p in (_HERE / "_lm_eval.py", Path(__file__))]
