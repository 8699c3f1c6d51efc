"""In a process of its own: one ICU epoch, and the most memory it took."""

import time
from dataclasses import replace
from typing import Any

from speed.comparison.cases import planned

Told = dict[str, float]


def measured(options: dict[str, Any], threads: int, as_released: bool) -> Told:
    """Bytes at the peak, and seconds."""
    import torch

    from unlearnbench.running.memory.process import keep_small

    torch.set_num_threads(threads)
    cell = planned(options)
    keep_small(cell)
    started = time.perf_counter()
    found = (epoch_as_released if as_released else epoch)(cell)
    return {"bytes": found, "seconds": time.perf_counter() - started}


def epoch(cell: Any) -> int:
    """One epoch over the forget set by unlearnbench's own code; bytes at the peak."""
    from unlearnbench.models.devices.meter import peak_memory_bytes

    model, forget_set, examiner = _loaded(cell)
    model.strategy = cell.model.strategy
    _method(cell).unlearn(model, forget_set, examiner)
    return (
        max(cost.peak_memory_bytes for cost in model.meter.phases.values()) or peak_memory_bytes()
    )


def epoch_as_released(cell: Any) -> int:
    """The same by the released algorithm."""
    from speed.baseline.training import unlearn_as_released
    from unlearnbench.models.devices.meter import peak_memory_bytes

    model, loaded, _ = _loaded(cell)
    forget_set = replace(loaded, find_pairs=lambda: list(range(len(loaded.rows))))
    unlearn_as_released(model, forget_set, _method(cell), 1, lambda _losses, _stored: None)
    return peak_memory_bytes()


def _method(cell: Any) -> Any:
    from unlearnbench.registry import find

    return find("methods", cell.method)(**cell.settings)


def _loaded(cell: Any) -> tuple[Any, Any, Any]:
    """Model, forget set, and an examiner that measures memorisation accuracy alone."""
    from unlearnbench.data.stop_line import StopLine
    from unlearnbench.metrics.bertscore import BertScore

    bertscore = BertScore(cell.data.bert)
    bertscore.f1(["a text"], ["another text"])  # as after any examination
    model = cell.model.load()
    examiner = _quick_examiner()(cell.protocol, StopLine(-1.0, -1.0), bertscore)
    forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)
    return model, forget_set, examiner


def _quick_examiner() -> type:
    import torch

    from unlearnbench.metrics.extraction import memorisation_accuracy
    from unlearnbench.results.record import RowRecord
    from unlearnbench.unlearning.examiner import Examiner

    class Quick(Examiner):
        """MA alone, and never under the stop line: a random model's every miss would be decoded."""

        def examine(self, model: Any, rows: Any, ma_line: float | None = None) -> list[Any]:  # noqa: ARG002
            with model.meter.phase("examine"), torch.no_grad():
                ma = memorisation_accuracy(model, rows, self.protocol, self.batch_size)
            rest: dict[str, Any] = {"el": 1, "bertscore_f1": 1, "bleu": 1, "entropy": 1}
            named = zip(rows.doc_ids, ma, strict=True)
            return [
                RowRecord(doc_id=d, ma=m, **rest, forgotten=False, continuation="")
                for d, m in named
            ]

    return Quick
