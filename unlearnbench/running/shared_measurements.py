"""What cells share: what is measured of a model nobody has trained."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from unlearnbench.data.forget_set import read_unseen
from unlearnbench.data.row_limit import RowState, row_limit
from unlearnbench.data.stop_line import StopLine
from unlearnbench.metrics.measured_once import measured_once
from unlearnbench.metrics.task import RETRAINED, Measurement
from unlearnbench.models.devices import ranks
from unlearnbench.registry import find
from unlearnbench.results.score import Metric, Score
from unlearnbench.unlearning.examiner import Examiner
from unlearnbench.unlearning.stop_line import stop_line_of, unseen_scores

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.metrics.task import Task
    from unlearnbench.models.devices.meter import Meter
    from unlearnbench.models.language_model import LanguageModel

PHASE = "calibrate"


def make_examiner(cell: "Cell", model: "LanguageModel", is_fresh: bool = True) -> Examiner:
    """The examiner with the cell's stop line: the paper's, or that of the cell's main model.

    A measured line is kept, and its cost is put on every cell that uses it: what
    a cell reports does not depend on which one was first.  The line is of the main
    model as its files hold it: one that is not fresh from them is loaded again if need be.
    """
    from unlearnbench.metrics.bertscore import BertScore

    examiner = Examiner(
        cell.protocol,
        StopLine(),
        BertScore(cell.data.bert),  # of its own: rounding must not depend on earlier cells
        el_epochs=cell.el_epochs,
        budget_text=cell.data.texts.get(cell.model.strategy.schedule.budget_text or "", ()),
        known_as=[cell.model.identity, cell.data.bert, cell.data.bert_sha256, cell.threads],
    )
    if cell.stop == "paper":
        return examiner
    line = _stop_line(cell, model, examiner, is_fresh)
    if line.limit is None:
        return replace(examiner, stop_line=line)
    unseen = read_unseen(cell.data.source, model, cell.protocol)
    return replace(examiner, stop_line=line, unseen=unseen)


def _stop_line(
    cell: "Cell", model: "LanguageModel", examiner: Examiner, is_fresh: bool
) -> StopLine:
    def main() -> "LanguageModel":
        return model if is_fresh and cell.model == cell.main else cell.main.load()

    scores = scores_of_unseen(cell, examiner, model.meter, main)
    line = stop_line_of(scores)
    if cell.stop == "calibrated":
        return line
    limit = row_limit([RowState(el=el, ma=ma) for el, ma in scores], line.el, line.ma)
    return replace(line, source="rows", limit=limit)


def scores_of_unseen(
    cell: "Cell", examiner: Examiner, meter: "Meter", main: "Callable[[], LanguageModel]"
) -> list[tuple[float, float]]:
    """EL and MA of each row that the cell's main model never saw, measured once.

    `main` loads that model where nothing is known yet.  Raises `UserError` without such rows.
    """
    import torch

    def measured() -> list[tuple[float, float]]:
        model = main()
        model.meter = meter
        rows = read_unseen(cell.data.source, model, cell.protocol)
        with torch.no_grad(), meter.phase(PHASE):
            return unseen_scores(model, rows, examiner)

    if ranks.world_size() > 1:  # which could not be sure that all of them find it, or none
        return measured()
    unseen = cell.data.source.unseen
    question = [
        cell.main.identity,
        "" if unseen is None else unseen.sha256(cell.protocol),
        asdict(cell.protocol),
        cell.threads,
    ]
    return [(el, ma) for el, ma in measured_once("unseen_rows", question, meter, measured)]


def is_shared(cell: "Cell", task: "Task") -> bool:
    """Whether runs may share what a task finds of a model that nobody trained.

    The model's own measurements are the same beside every forget set.  A task that says so is kept
    by forget set; what needs a retrained model, only where there is one.
    """
    if RETRAINED in task.needs and cell.retrained is None:
        return task.is_of_model_alone
    return task.is_of_model_alone or task.is_kept_by_forget_set


def scores_of_untouched(
    cell: "Cell", task: str, model: "LanguageModel", measure: Callable[[], Measurement]
) -> Measurement:
    """A task's scores of a model that nobody trained, measured once."""
    if ranks.world_size() > 1:
        return measure()
    named = ["protocol", "tasks", "texts", "sets", "software"]
    if not find("tasks", task).is_of_model_alone:  # type: ignore[attr-defined]
        named += [name for name in ("forget_set", "benchmark") if name in cell.identity]
    question = [
        task,
        cell.model.identity,
        cell.seed,
        cell.threads,
        {name: cell.identity[name] for name in named},
    ]

    def measured() -> dict[str, Any]:
        measurement = measure()
        scores = {name: score.model_dump() for name, score in measurement.scores.items()}
        return {"scores": scores, "metrics": [asdict(metric) for metric in measurement.metrics]}

    found = measured_once("scores", question, model.meter, measured)
    scores = {name: Score(**score) for name, score in found["scores"].items()}
    return Measurement(scores, metrics=tuple(Metric(**each) for each in found["metrics"]))
