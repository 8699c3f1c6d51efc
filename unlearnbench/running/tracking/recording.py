"""What a cell logs to its trackers: its configuration, each epoch when it ends, and its scores."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import unlearnbench
from unlearnbench.files.safe_text import redact, visible, without_folders
from unlearnbench.models.devices import ranks
from unlearnbench.running.progress import logger
from unlearnbench.running.tracking.process import TrackerProcess, process_of
from unlearnbench.unlearning.epochs import listening

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.results.record import EpochRecord, Result
    from unlearnbench.unlearning.epochs import UnlearnProgress

Value = bool | int | float | str
_UNUSABLE = re.compile(r"[^\w./ :-]")  # in a name, for MLflow


@contextmanager
def tracked(cell: "Cell") -> "Iterator[Callable[[Result], Result]]":
    """Around the run of a cell: logs its epochs; call what it gives on the result.

    A tracker is a convenience: where it breaks the log says so once, and the cell goes on.
    """
    if not cell.trackers or not ranks.is_first():
        yield lambda result: result
        return
    runs = [_Run(Path(folder), cell.title) for folder in cell.trackers]
    for run in runs:
        run.begin(cell)

    def listen(now: "UnlearnProgress") -> None:
        if now.record is not None:
            for run in runs:
                run.epoch(now.record)

    def end(result: "Result") -> "Result":
        for run in runs:
            run.end(result)
        for run in runs:
            run.wait()
        return result

    with listening(listen):
        yield end


class _Run:
    """One tracker's run of a cell, as long as nothing has broken."""

    def __init__(self, folder: Path, title: str) -> None:
        self._folder, self._title = folder, title
        self._process: TrackerProcess | None = None
        self._last = -1  # the last epoch that was logged

    def begin(self, cell: "Cell") -> None:
        def start() -> None:
            process = process_of(self._folder.name)
            process.problems()  # an earlier cell's
            if process.is_stuck:
                raise TimeoutError("it is still busy with an earlier cell")
            self._process = process
            process.send(
                "begin",
                tracker=self._folder.name,
                folder=str(self._folder),
                title=cell.title,
                name=run_name(cell),
                group=cell.group,
                config=configuration(cell),
            )

        self._try(start)

    def epoch(self, record: "EpochRecord") -> None:
        """An epoch has ended."""
        self._last = max(self._last, record.epoch)
        self._send("log", lambda: {"values": epoch_values(record), "step": record.epoch})

    def end(self, result: "Result") -> None:
        """The cell has ended, well or not."""
        epochs = result.trace.epochs if result.trace else []
        # A run that collapses, or a method with a loop of its own, has reported none of them.
        for record in [record for record in epochs if record.epoch > self._last]:
            self.epoch(record)
        step = max(self._last, 0)
        self._send(
            "end",
            lambda: {"values": final_values(result), "words": final_words(result), "step": step},
        )

    def wait(self) -> None:
        """Until all is sent, or it takes too long."""
        if (process := self._process) is None:
            return
        process.wait()
        self._look()
        if self._process is not None and not process.is_done:
            logger.warning(
                "%s: %s has not taken all of it yet; what is left is sent while the next cells run",
                self._title,
                self._folder.name,
            )

    def _send(self, do: str, content: Callable[[], Mapping[str, Any]]) -> None:
        if (process := self._process) is not None:
            self._try(lambda: process.send(do, **content()))
            self._look()

    def _look(self) -> None:
        """Give the run up where the tracker has said that it is broken."""
        if self._process is not None and (problems := self._process.problems()):
            self._give_up(problems[0])

    def _try(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # of a plugin's values, or there are no processes left
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        self._process = None
        shown = redact(visible(" ".join(reason.split())))[:300]
        logger.warning("%s is not tracked by %s: %s", self._title, self._folder.name, shown)


def run_name(cell: "Cell") -> str:
    """A folder of its own for a run, under that of its model: 'nano-neo/ICU, … (1a2b)'."""
    title = cell.title.removeprefix(f"{cell.group}: ")
    group, title = (re.sub(r"[^\w.,()+ =-]", "_", part) for part in (cell.group, title))
    return f"{group}/{title} ({cell.key[:8]})"


def configuration(cell: "Cell") -> dict[str, Value]:
    """What the cell is, by name: texts, numbers and truths; no path and no text of a row."""
    benchmark = cell.data.benchmark
    values = {
        "cell": cell.title,
        "key": cell.key,
        "role": cell.role,
        "model": cell.model.source.name,
        "main model": cell.main.source.name,
        "method": cell.method,
        "settings": cell.settings,
        "forget set": cell.run,
        "forget set of": cell.data.source.title(cell.run),
        "rows": len(cell.data.doc_ids(cell.run, cell.limit)),
        "benchmark": benchmark.name if benchmark else None,
        "protocol": cell.protocol_name,
        "stop": cell.stop,
        "seed": cell.seed if cell.is_trained else None,
        "tasks": list(cell.tasks),
        "task limit": cell.task_limit,
        "training": cell.model.strategy.identity,
        "attack": cell.attack.name if cell.attack else None,
        "attack settings": cell.attack.settings if cell.attack else {},
        "noise": cell.noise.settings if cell.noise else {},
        "request": cell.request,
        "after": cell.after.run if cell.after else None,
        "variant": cell.variant or None,
        "unlearnbench": unlearnbench.__version__,
    }
    return flat(without_folders(values))


def epoch_values(record: "EpochRecord") -> dict[str, float]:
    """An epoch's losses and the means over its rows; what was not measured is left out."""
    means = {name: value for name, value in record.metrics.items() if not math.isnan(value)}
    return {
        **{_name(f"loss/{name}"): float(value) for name, value in record.losses.items()},
        **{_name(f"rows/{name}"): float(value) for name, value in means.items()},
        "rows/active": float(record.n_active),
    }


def final_values(result: "Result") -> dict[str, float]:
    """Every score by task and metric, as stored, and what the cell cost."""
    scores = {
        _name(f"{task}/{metric}"): float(score.value)
        for task, of_task in result.scores.items()
        for metric, score in of_task.items()
    }
    costs = {
        _name(f"cost/{phase}/{what}"): float(getattr(cost, what))
        for phase, cost in result.costs.items()
        for what in ("seconds", "forward_tokens", "generated_tokens")
    }
    return {
        **scores,
        **costs,
        "cost/seconds": result.seconds,
        "cost/forward_tokens": float(sum(c.forward_tokens for c in result.costs.values())),
        **({"epochs": float(result.trace.n_epochs)} if result.trace else {}),
    }


def final_words(result: "Result") -> dict[str, str]:
    """How the cell ended: its status, and why it failed or stopped."""
    trace = result.trace
    words = {
        "status": result.status,
        "error": result.error,
        "outcome": trace.outcome if trace else None,
        "reason": trace.reason if trace else None,
    }
    return {name: word for name, word in words.items() if word}


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Value]:
    """Values of a nested mapping under dotted names; None is left out, a list is one text."""
    named: dict[str, Value] = {}
    for name, value in values.items():
        place = f"{before}{_name(str(name))}"
        if isinstance(value, Mapping):
            named |= flat(value, f"{place}.")
        elif isinstance(value, (bool, int, float, str)):
            named[place] = value
        elif isinstance(value, Sequence):
            named[place] = ", ".join(map(str, value))
        elif value is not None:
            named[place] = str(value)
    return named


def _name(text: str) -> str:
    return _UNUSABLE.sub("_", text)
