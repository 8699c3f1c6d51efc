"""ICU's training epochs, either way: two are run, as the first one makes the reference too."""

from dataclasses import asdict
from typing import Any

from speed.comparison.cases import Case, planned
from speed.comparison.measuring import Costs, Kept, kept_by, peak_bytes, widest_scores

Told = dict[str, Any]  # what a child process prints as JSON
N_EPOCHS = 2


def measured(case: Case, way: str) -> Told:
    """Costs of the first and the second epoch, losses, and what is kept for the KL term."""
    import torch

    from unlearnbench.registry import find
    from unlearnbench.running.memory.process import keep_small

    torch.set_num_threads(case.threads)
    cell = planned(case.options)
    if way == "ours":
        keep_small(cell)
    model = cell.model.load()
    marks = Marks(model)
    forget_set = _forget_set(cell, model)
    method = find("methods", cell.method)(**{**cell.settings, "max_epochs": N_EPOCHS})
    losses = RUNS[way](model, forget_set, method, cell, marks)
    peak = peak_bytes(model)
    begun, first, second = marks.costs
    return {
        "first": asdict(first - begun),
        "second": asdict(second - first),
        "losses": losses,
        "kept_bytes": marks.kept.total,
        "kept_bytes_per_row": marks.kept.rest / len(forget_set.rows),
        "peak_bytes": peak,
        "widest_bytes": _widest(way, model, cell, method),
        "n_rows": len(forget_set.rows),
        "length": forget_set.rows.input_ids.shape[1],
        "vocabulary": model.network.config.get_text_config().vocab_size,
    }


class Marks:
    """Notes the costs before, and after each epoch, in the place of an examination."""

    def __init__(self, model: Any) -> None:
        self._counting = Costs(model)
        self.costs: list[Any] = []
        self.kept = Kept(0, 0)

    def note(self, model: Any) -> None:
        """One more epoch has ended, or the first one is about to begin."""
        from unlearnbench.unlearning.reference import References

        self.costs.append(self._counting.now())
        self.kept = kept_by(References, model)


def ours(
    model: Any, forget_set: Any, method: Any, cell: Any, marks: Marks
) -> list[dict[str, float]]:
    """The losses of each epoch of the method's own run."""
    trace = method.unlearn(model, forget_set, _examiner(cell, marks))
    return [epoch.losses for epoch in trace.epochs[1:]]


def as_released(
    model: Any, forget_set: Any, method: Any, _cell: Any, marks: Marks
) -> list[dict[str, float]]:
    """The same from the released algorithm."""
    from speed.baseline.training import unlearn_as_released

    losses: list[dict[str, float]] = []

    def seen(told: dict[str, float], stored: Any) -> None:
        marks.note(model)
        marks.kept = Kept(0, stored.numel() * stored.element_size())
        losses.append(told)

    marks.note(model)
    unlearn_as_released(model, forget_set, method, method.max_epochs, seen)
    return losses


RUNS = {"ours": ours, "released": as_released}


def _widest(way: str, model: Any, cell: Any, method: Any) -> int:
    """Bytes of the largest tensor over the vocabulary in one batch's epoch; not timed."""
    from dataclasses import replace

    again = Marks(model)
    one = _forget_set(replace(cell, limit=min(cell.limit, method.batch_size)), model)
    run = RUNS[way]
    with widest_scores(model) as seen:
        run(model, one, replace(method, max_epochs=1), cell, again)
    return seen.n_bytes


def _forget_set(cell: Any, model: Any) -> Any:
    """The rows, each with a row of the pool as its pair: who finds pairs is not compared."""
    from dataclasses import replace

    forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)
    return replace(forget_set, find_pairs=lambda: list(range(len(forget_set.rows))))


def _examiner(cell: Any, marks: Marks) -> Any:
    """Notes the costs in the place of an examination."""
    from unlearnbench.data.stop_line import StopLine
    from unlearnbench.metrics.bertscore import BertScore
    from unlearnbench.results.record import RowRecord
    from unlearnbench.unlearning.examiner import Examiner

    class Noting(Examiner):
        """Looks at the clock, and finds every row known as well as ever."""

        def examine(self, model: Any, rows: Any, ma_line: float | None = None) -> list[Any]:  # noqa: ARG002
            marks.note(model)
            known: dict[str, Any] = {
                name: 1.0 for name in ("el", "ma", "bertscore_f1", "bleu", "entropy")
            }
            return [
                RowRecord(doc_id=doc_id, **known, forgotten=False, continuation="")
                for doc_id in rows.doc_ids
            ]

    return Noting(cell.protocol, StopLine(-1.0, -1.0), BertScore(cell.data.bert))
