"""How well a model knows rows, one by one: EL, MA and the NLL of what was to be forgotten."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from unlearnbench.data.row_limit import RowState

if TYPE_CHECKING:
    from unlearnbench.data.forget_source import Rows
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.unlearning.examiner import Examiner

_KIND = "rows_known"


def measure_rows(
    cell: "Cell", model: "ModelChoice", sets: "dict[str, Rows]"
) -> dict[str, dict[str, RowState]]:
    """By set and doc_id how well that model knows rows, measured as the cell's examiner does.

    Rows longer than the model's context are left out.  What was measured before is not measured
    again.  The process's generators and threads are left as they were.
    """
    from unlearnbench.metrics.measured_once import measured_once
    from unlearnbench.models.devices.meter import Meter
    from unlearnbench.running.environment import fix_randomness, randomness_put_back

    loaded: list[LanguageModel] = []

    def measure(rows: "Rows") -> dict[str, dict[str, Any]]:
        if not loaded:
            loaded.append(model.load())
        encoded = rows.encode(loaded[0], cell.protocol, only_fitting=True)
        return {n: s.model_dump() for n, s in _states(cell, loaded[0], encoded).items()}

    states: dict[str, dict[str, RowState]] = {}
    with randomness_put_back():
        fix_randomness(cell.seed, cell.threads)
        for name, rows in sets.items():
            what = [
                model.identity,
                rows.sha256(cell.protocol),
                list(rows.doc_ids),
                asdict(cell.protocol),
                cell.threads,
            ]
            measured = measured_once(_KIND, what, Meter(), lambda rows=rows: measure(rows))  # type: ignore[misc]
            states[name] = {doc_id: RowState(**state) for doc_id, state in measured.items()}
    return states


def measure_unseen(cell: "Cell") -> list[RowState]:
    """How well the cell's main model seems to know rows that it never saw, row by row.

    EL and MA were measured for the stop line, and are not measured again.
    """
    from unlearnbench.models.devices.meter import Meter
    from unlearnbench.running.environment import fix_randomness, randomness_put_back
    from unlearnbench.running.shared_measurements import scores_of_unseen

    with randomness_put_back():
        fix_randomness(cell.seed, cell.threads)
        scores = scores_of_unseen(cell, _examiner(cell), Meter(), cell.main.load)
    nll = unseen_nll(cell, cell.main)
    return [RowState(el=e, ma=m, nll=n) for (e, m), n in zip(scores, nll, strict=True)]


def unseen_nll(cell: "Cell", model: "ModelChoice") -> list[float]:
    """Nats per token of the suffix of each row that was never seen, under that model."""
    from unlearnbench.data.forget_set import read_unseen
    from unlearnbench.metrics.measured_once import measured_once
    from unlearnbench.models.devices.meter import Meter
    from unlearnbench.models.suffix_nll import suffix_nll
    from unlearnbench.running.environment import fix_randomness, randomness_put_back

    source = cell.data.source
    assert source.unseen is not None

    def measure() -> list[float]:
        loaded = model.load()
        rows = read_unseen(source, loaded, cell.protocol)
        assert rows is not None
        return suffix_nll(loaded, rows)

    what = [model.identity, source.unseen.sha256(cell.protocol), cell.threads]
    with randomness_put_back():
        fix_randomness(cell.seed, cell.threads)
        measured: list[float] = measured_once("unseen_nll", what, Meter(), measure)
    return measured


def _examiner(cell: "Cell") -> "Examiner":
    from unlearnbench.data.stop_line import StopLine
    from unlearnbench.metrics.bertscore import BertScore
    from unlearnbench.metrics.bertscore_model import NO_BERT
    from unlearnbench.unlearning.examiner import Examiner

    return Examiner(cell.protocol, StopLine(), BertScore(NO_BERT))


def _states(cell: "Cell", model: "LanguageModel", rows: "Sequences") -> dict[str, RowState]:
    from unlearnbench.models.suffix_nll import suffix_nll

    if not len(rows):
        return {}
    records = _examiner(cell).examine(model, rows)
    return {
        record.doc_id: RowState(el=record.el, ma=record.ma, nll=nll)
        for record, nll in zip(records, suffix_nll(model, rows), strict=True)
    }
