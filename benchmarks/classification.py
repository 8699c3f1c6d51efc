"""Wall time of the nine classification tasks: through unlearnbench, and through lm-eval alone.

    python benchmarks/classification.py --data FOLDER --model FOLDER --limit 100

Both ways ask one model in memory the same questions in the same batches, taking turns in one
process.  The first turn of each loads its tasks, later ones have them.  Prints seconds and
processor seconds of each, their ratios, and whether every accuracy is the same.
"""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

import click
import torch
import yaml
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tabulate import tabulate
from transformers import AutoModelForCausalLM, AutoTokenizer

from unlearnbench.evaluation_sets import CLASSIFICATION_SETS, EvaluationSet, read_sets
from unlearnbench.model import LanguageModel, ModelSource
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find
from unlearnbench.task import TaskContext
from unlearnbench.tasks._lm_eval import Style, task_file

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
Accuracies = dict[str, float]


@click.command()
@click.option("--data", type=FOLDER, required=True, help="folder with the nine sets")
@click.option("--model", "folder", type=FOLDER, required=True, help="a causal language model")
@click.option("--limit", default=100, show_default=True, help="documents of each set")
@click.option("--style", type=click.Choice(["lm_eval", "plain"]), default="lm_eval")
@click.option("--batch-size", default=8, show_default=True)
@click.option("--turns", default=4, show_default=True, help="of each way, the first one included")
@click.option("--threads", default=1, show_default=True)
def main(
    data: Path, folder: Path, limit: int, style: Style, batch_size: int, turns: int, threads: int
) -> None:
    """Take turns and print the table."""
    torch.set_num_threads(threads)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = LanguageModel(network, tokenizer, ModelSource(folder.name, "", None, ""))
    sets = read_sets(CLASSIFICATION_SETS, str(data), {}, [])
    context = TaskContext(
        None, {}, sets=sets, protocol=Protocol(task_prompts=style), limit=limit
    )  # the forget set is not looked at
    task = find("tasks", "classification")(batch_size=batch_size)
    with tempfile.TemporaryDirectory() as scratch:
        alone = Alone(model, write_tasks(Path(scratch), sets, style), limit, batch_size)
        ways = {
            "lm-eval alone": alone.measure,
            "unlearnbench": lambda: {n: s.value for n, s in task.measure(model, context).items()},
        }
        report(ways, turns, f"{folder.name}, {limit} documents of {len(sets)} sets, {style}")


class Alone:
    """lm-eval as a script would use it: tasks from files, evaluated on a model in memory."""

    def __init__(self, model: LanguageModel, tasks: Path, limit: int, batch_size: int) -> None:
        self.model, self.limit, self.batch_size = model, limit, batch_size
        self.folder = tasks
        self.tasks = None

    def measure(self) -> Accuracies:
        """Accuracy by set."""
        if self.tasks is None:
            manager = TaskManager(include_path=str(self.folder), include_defaults=False)
            self.tasks = manager.load([path.stem for path in sorted(self.folder.glob("*.yaml"))])
        scorer = HFLM(
            pretrained=self.model.network,
            tokenizer=self.model.tokenizer,
            batch_size=self.batch_size,
        )
        # Without bootstrap, as unlearnbench: it would only cost time.
        found = evaluate(scorer, self.tasks, limit=self.limit, bootstrap_iters=0)
        return {name: scores["acc,none"] for name, scores in found["results"].items()}


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


def report(ways: Mapping[str, Callable[[], Accuracies]], turns: int, title: str) -> None:
    """Run the ways in turn and print what each took."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    found: dict[str, Accuracies] = {}
    for _ in range(turns):
        for name, measure in ways.items():
            wall, processor = time.perf_counter(), time.process_time()
            found[name] = measure()
            spent = (time.perf_counter() - wall, time.process_time() - processor)
            seconds[name].append(spent)
    alone, ours = (summary(seconds[name]) for name in ways)
    ratios = [b / a for a, b in zip(alone, ours, strict=True)]
    columns = ("", "first turn, s", "later turns, s", "first turn, CPU s", "later turns, CPU s")
    rows = [("lm-eval alone", *alone), ("unlearnbench", *ours), ("ratio", *ratios)]
    print(title, tabulate(rows, columns, floatfmt=".2f"), sep="\n")
    first, second = found.values()
    print("accuracies equal:", all(second[name] == value for name, value in first.items()))


def summary(spent: list[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Wall and processor seconds of the first turn, and the median of the later ones."""
    wall, processor = zip(*spent, strict=True)
    return wall[0], median(wall[1:]), processor[0], median(processor[1:])


if __name__ == "__main__":
    main()
