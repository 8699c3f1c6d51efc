"""Has a method change a cell's model, and keeps it; or has the one that was kept."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.models.devices import ranks
from unlearnbench.registry import find
from unlearnbench.running.checks import MethodInputs, check_unlearned
from unlearnbench.running.environment import put_back_after
from unlearnbench.running.progress import logger

if TYPE_CHECKING:
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.epochs import UnlearnProgress
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.method import Method


def unlearn_and_keep(
    cell: "Cell",
    model: "LanguageModel",
    forget_set: "ForgetSet",
    examiner: "Examiner",
    key: str,
) -> "UnlearnTrace":
    """Have the cell's method change the model; keep it under that key where the cell says so."""
    model.strategy = cell.model.strategy
    method = find("methods", cell.method)(**cell.settings)
    trace = unlearn(method, model, forget_set, examiner, cell.title)
    if cell.models is not None and trace.outcome != "collapsed":
        from unlearnbench.models.saving import save_model

        save_model(model, Path(cell.models) / key)
    return trace


def kept_model(cell: "Cell") -> Path | None:
    """The folder with the unlearned model that a cell takes; None where none was kept."""
    if cell.models is None or cell.model_key == cell.key:
        return None
    folder = Path(cell.models) / cell.model_key
    return folder if folder.is_dir() else None


def load_kept(cell: "Cell", folder: Path) -> "LanguageModel":
    """The kept model, as a cell's own is loaded; its source stays the model before unlearning."""
    from unlearnbench.models.paired import load_pair

    def load(place: Path) -> "LanguageModel":
        return replace(cell.model, requested=str(place)).load()

    model = load_pair(folder, load) or load(folder)
    model.source = cell.model.source
    return model


@contextmanager
def one_at_a_time(cell: "Cell") -> Iterator[None]:
    """Of the runs that want one unlearned model only the first makes it, the others wait.

    Processes that train one cell together are one run, and the first holds the lock for all.
    """
    from filelock import FileLock

    if cell.models is None or not cell.is_trained or not ranks.is_first():
        yield
        return
    key = cell.model_key
    folder = Path(cell.models).parent / "claims"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{key}.model")
        lock.acquire()
    except OSError as error:
        raise UserError(
            f"cannot write to {folder}: {error.strerror}; choose another --out"
        ) from error
    try:
        yield
    finally:
        lock.release()


def unlearn(
    method: "Method",
    model: "LanguageModel",
    forget_set: "ForgetSet",
    examiner: "Examiner",
    title: str,
) -> "UnlearnTrace":
    """Have the method change the model, and check that it left all else as it was given.

    Where the training stands is logged under `title`.  Raises `UserError` for what a plugin did
    wrong.
    """
    from unlearnbench.unlearning.epochs import listening

    inputs = MethodInputs.of(model, forget_set)
    with put_back_after(), listening(_narrator(title)):
        returned = method.unlearn(model, forget_set, examiner)
    # Where several processes train the cell, all of them must know if one has come off badly.
    traces = ranks.gathered(lambda: check_unlearned(returned, model, forget_set, inputs))
    trace = traces[ranks.rank()]
    model.network.eval()
    ranks.same_weights(model.network)
    return trace


def _narrator(title: str, every: float = 20.0) -> "Callable[[UnlearnProgress], None]":
    """Logs where an unlearning run stands; shows it at most once in so many seconds."""
    last = time.monotonic()

    def log_epoch(now: "UnlearnProgress") -> None:
        nonlocal last
        if now.record is None:
            return
        is_due = time.monotonic() - last >= every
        if is_due:
            last = time.monotonic()
        means = ", ".join(
            f"{name} {'not measured' if math.isnan(value) else f'{value:.3f}'}"
            for name, value in now.record.metrics.items()
        )
        level = logging.INFO if is_due else logging.DEBUG
        logger.log(level, "  %s: epoch %d of %d: %s", title, now.epoch, now.max_epochs, means)

    return log_epoch
