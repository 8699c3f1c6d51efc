"""What a set asks, in lm-eval's words: made once, kept in the cache."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

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
    spec = find_spec("lm_eval")  # its folder; importing it takes a second
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("no module named 'lm_eval'", name="lm_eval")
    return Path(spec.origin).parent / "tasks" / BUILT_IN[name]


def questions_of(data: "EvaluationSet", style: Style, limit: int | None) -> tuple[Question, ...]:
    """The questions about the first `limit` rows, or all; the same for every model."""
    key = text_sha256(data.name, data.sha256, style, str(limit), _recipe(style))
    place = cache_root() / "questions" / key
    content = read_entry(place)
    if content is None:
        from ._lm_eval import make_questions  # takes a second that cached questions need not wait

        made = make_questions(task_file(data.name, style), data.rows[:limit])
        content = json.dumps(made).encode()
        write_entry(place, content)
    return tuple(
        Question(row, tuple(map(tuple, requests)), tuple(is_correct))
        for row, requests, is_correct in json.loads(content)
    )


@cache
def _recipe(style: Style) -> str:
    """Digest of what turns rows into questions: lm-eval, its task files, and ours."""
    files = [*(task_file(name, style) for name in BUILT_IN)]
    files += [_HERE / "_lm_eval.py", Path(__file__)]
    return text_sha256(version("lm_eval"), *(path.read_text(encoding="utf-8") for path in files))
