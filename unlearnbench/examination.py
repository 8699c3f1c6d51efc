"""The examiner of one cell: BERTScore's encoder, and the stop line, measured once per model."""

from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from unlearnbench.examine import Examiner, StopLine
from unlearnbench.identity import canonical
from unlearnbench.meter import PhaseCost

if TYPE_CHECKING:
    from unlearnbench.cell import Cell
    from unlearnbench.metrics.text import BertScore
    from unlearnbench.model import LanguageModel

PHASE = "calibrate"


@dataclass(frozen=True)
class _Measured:
    line: StopLine
    cost: PhaseCost


# By model and everything else the line depends on; lives as long as the process.
_measured: dict[str, _Measured] = {}


def make_examiner(cell: "Cell", model: "LanguageModel") -> Examiner:
    """The examiner with the cell's stop line: the paper's, or that of the cell's main model.

    A measured line is kept, and its cost is put on every cell that uses it: what
    a cell reports does not depend on which one was first.
    """
    bertscore = _bertscore(cell.data.bert)
    examiner = Examiner(cell.protocol, StopLine(), bertscore, el_epochs=cell.el_epochs)
    if cell.stop == "paper":
        return examiner
    place = canonical(
        [cell.main.identity, cell.data.identity(cell.run), asdict(cell.protocol), cell.threads]
    )
    if place not in _measured:
        _measured[place] = _measure(cell, model, examiner)
    model.meter.phases[PHASE] = replace(_measured[place].cost)
    return replace(examiner, stop_line=_measured[place].line)


def _measure(cell: "Cell", model: "LanguageModel", examiner: Examiner) -> _Measured:
    import torch

    from unlearnbench.examine import measure_stop_line
    from unlearnbench.forget_set import read_unseen

    known = model if cell.model == cell.main else cell.main.load()
    unseen = read_unseen(cell.data.source, known, cell.protocol)
    with torch.no_grad(), known.meter.phase(PHASE):
        line = measure_stop_line(known, unseen, examiner)
    return _Measured(line, known.meter.phases.pop(PHASE))


@lru_cache(maxsize=2)
def _bertscore(bert: str | None) -> "BertScore":
    from unlearnbench.metrics.text import BertScore

    return BertScore(bert)
