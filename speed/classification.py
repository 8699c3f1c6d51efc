"""Cost of the nine classification tasks: through unlearnbench, and through lm-eval alone.

    python speed/classification.py                  # nano models, and the shared real ones
    python speed/classification.py --data FOLDER --model FOLDER --limit 100

All ways ask one model in memory the same questions, taking turns in one process.  Prints for
each the tokens that went through the network, processor seconds of the first turn (tasks are
loaded in it) and of the fastest later one, how often ours go into that, and whether every
document has the same outcome.
"""

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import torch
import yaml
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tabulate import tabulate
from transformers import AutoModelForCausalLM, AutoTokenizer

from unlearnbench.data.evaluation_sets import CLASSIFICATION_SETS, EvaluationSet
from unlearnbench.data.evaluation_sets.reading import read_sets
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.nano import model_path
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find
from unlearnbench.tasks._questions import Style, task_file

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
SHARED = Path(os.environ.get("UNLEARNBENCH_SHARED", Path(__file__).parents[2] / "shared"))
NANO = ("nano-neo", "nano-opt", "nano-llama")
# With documents of each set: lm-eval stops at a PIQA row that babyllama105's context cannot hold.
REAL = {"stories260K": 100, "babyllama105": 20, "pile-neo": 100}
Outcomes = dict[str, dict[str, float]]  # of each set's documents


@dataclass(frozen=True)
class Case:
    """A model and the sets it is asked."""

    model: Path
    data: str  # a folder, or 'nano'
    limit: int | None


@click.command()
@click.option("--data", type=FOLDER, help="folder with the nine sets")
@click.option("--model", type=FOLDER, help="a causal language model")
@click.option("--limit", type=int, help="documents of each set")
@click.option("--style", type=click.Choice(["lm_eval", "plain"]), default="lm_eval")
@click.option("--batch-sizes", default="8,32,64", show_default=True, help="of lm-eval alone")
@click.option("--turns", default=3, show_default=True, help="of each way, the first one included")
@click.option("--threads", default=1, show_default=True)
def main(
    data: Path | None,
    model: Path | None,
    limit: int | None,
    style: Style,
    batch_sizes: str,
    turns: int,
    threads: int,
) -> None:
    """Take turns and print the tables."""
    torch.set_num_threads(threads)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    sizes = [int(size) for size in batch_sizes.split(",")]
    given = [Case(model, str(data), limit)] if model and data else list(cases(limit))
    for case in given:
        measure(case, style, sizes, turns)


def cases(limit: int | None) -> Iterator[Case]:
    """The nano models on their sets, and the shared models on the real ones if they are there."""
    for name in NANO:
        yield Case(model_path(name), "nano", limit)
    for name, real_limit in REAL.items():
        if (folder := SHARED / "models" / name).is_dir():
            yield Case(folder, str(SHARED / "data"), min(limit or real_limit, real_limit))


def measure(case: Case, style: Style, sizes: list[int], turns: int) -> None:
    """All ways to measure one case, and their table."""
    network = AutoModelForCausalLM.from_pretrained(case.model, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(case.model)
    model = LanguageModel(network, tokenizer, ModelSource(case.model.name, "", None, ""))
    sets = read_sets(CLASSIFICATION_SETS, case.data, {}, [])
    title = f"{case.model.name}, {case.limit or 'all'} documents of {len(sets)} sets, {style}"
    with tempfile.TemporaryDirectory() as scratch:
        # Questions that an earlier run has kept would make the first turn cheaper.
        os.environ["UNLEARNBENCH_CACHE"] = scratch
        folder = write_tasks(Path(scratch), sets, style)
        ways: dict[str, Callable[[], Outcomes]] = {
            f"lm-eval alone, {size} at a time": Alone(model, folder, case.limit, size).outcomes
            for size in sizes
        }
        ways["unlearnbench"] = lambda: ours(model, sets, style, case.limit)
        report(title, model, ways, turns)


def ours(
    model: LanguageModel, sets: Mapping[str, EvaluationSet], style: Style, limit: int | None
) -> Outcomes:
    """What the task `classification` finds."""
    protocol = Protocol(task_prompts=style)
    context = TaskContext(None, {}, sets=sets, protocol=protocol, limit=limit)  # no forget set
    scores = find("tasks", "classification")().measure(model, context)
    return {name: scores[name].documents for name in sets if name in scores}


class Alone:
    """lm-eval as a script would use it: tasks from files, evaluated on a model in memory."""

    def __init__(self, model: LanguageModel, tasks: Path, limit: int | None, size: int) -> None:
        self.model, self.folder, self.limit, self.size = model, tasks, limit, size
        self.tasks = None

    def outcomes(self) -> Outcomes:
        """What `evaluate` finds."""
        if self.tasks is None:
            manager = TaskManager(include_path=str(self.folder), include_defaults=False)
            self.tasks = manager.load([path.stem for path in sorted(self.folder.glob("*.yaml"))])
        scorer = HFLM(
            pretrained=self.model.network, tokenizer=self.model.tokenizer, batch_size=self.size
        )
        # Without bootstrap, as unlearnbench: it would only cost time.
        found = evaluate(scorer, self.tasks, limit=self.limit, bootstrap_iters=0)
        return {
            name: {str(sample["doc_id"]): float(sample["acc"]) for sample in samples}
            for name, samples in found["samples"].items()
        }


def write_tasks(folder: Path, sets: Mapping[str, EvaluationSet], style: Style) -> Path:
    """Task files that take the same prompts and the same rows from disk."""
    for name, found in sets.items():
        data = folder / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in found.rows))
        config = {
            "include": str(task_file(name, style)),
            "task": name,
            "tag": None,
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": str(folder)},
            "training_split": None,
            "validation_split": None,
            "test_split": "test",
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


def report(
    title: str, model: LanguageModel, ways: Mapping[str, Callable[[], Outcomes]], turns: int
) -> None:
    """Run the ways in turn and print what each took."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    tokens: dict[str, int] = {}
    found: dict[str, Outcomes] = {}
    for _ in range(turns):
        for name, measured in ways.items():
            model.meter.phases.clear()
            started = time.process_time()
            found[name] = measured()
            spent[name].append(time.process_time() - started)
            tokens[name] = model.meter.phases["other"].forward_tokens
    own, own_seconds = tokens["unlearnbench"], min(spent["unlearnbench"][1:])
    rows = [
        (
            name,
            tokens[name],
            tokens[name] / own,
            seconds[0],
            min(seconds[1:]),
            min(seconds[1:]) / own_seconds,
            "yes" if found[name] == found["unlearnbench"] else "NO",
        )
        for name, seconds in spent.items()
    ]
    columns = (
        "",
        "forward tokens",
        "x ours",
        "first turn, CPU s",
        "later, CPU s",
        "x ours",
        "same outcomes",
    )
    print(title, tabulate(rows, columns, floatfmt=".2f", intfmt=","), "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
