"""Runs one cell: load the model, make it forget, measure, and give the whole record back."""

import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import redact, visible
from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.meter import OTHER, Meter, advancing
from unlearnbench.results.files import fault_in
from unlearnbench.results.record import Result
from unlearnbench.running.cell_record import CellState, result_of
from unlearnbench.running.environment import fix_randomness
from unlearnbench.running.measuring import measure_model, splits_of
from unlearnbench.running.memory.advice import out_of_memory_advice
from unlearnbench.running.memory.process import keep_small
from unlearnbench.running.noise import put_noise
from unlearnbench.running.progress import PhaseProgress, logger
from unlearnbench.running.sequence import model_before, requested_rows
from unlearnbench.running.shared_measurements import make_examiner
from unlearnbench.running.tracing import recording
from unlearnbench.running.tracking.recording import tracked
from unlearnbench.running.under_attack import attack_and_measure
from unlearnbench.running.unlearned import one_at_a_time, unlearn_and_keep

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell


def run_cell(cell: "Cell") -> Result:
    """Run one cell from a fresh model; depends on nothing that ran before in this process.

    Whatever goes wrong inside becomes a failed result, and so does what a plugin put into the
    result if it could not be read again; only an interrupt passes.
    """
    with tracked(cell) as ended:
        return ended(_result(cell))


def _result(cell: "Cell") -> Result:
    started_at, started = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    state, error = CellState(), None
    fix_randomness(cell.seed, cell.threads)
    keep_small(cell)
    try:
        with recording(cell), ranks.together(), advancing(PhaseProgress(cell.title)):
            _unlearn_and_measure(cell, state)
            if state.model is not None:
                state.model.meter.sum_over_processes()
    except KeyboardInterrupt:
        raise
    except BaseException as problem:  # a third party's method may even exit; the others go on
        error = _harmless(out_of_memory_advice(problem, cell) or _in_one_line(problem))
        logger.debug("%s failed:\n%s", cell.title, redact(traceback.format_exc()).rstrip())
    seconds = time.perf_counter() - started
    try:
        result = result_of(cell, state, error, started_at, seconds)
        if (wrong := fault_in(result)) is None:
            return result
    except Exception as problem:  # of pydantic, or of what the plugin did to the forget set
        wrong = _in_one_line(problem)
    message = error or f"its result cannot be stored: {wrong}"
    return result_of(cell, CellState(), message, started_at, seconds)


def lost_result(cell: "Cell", reason: str) -> Result:
    """The result of a cell whose process is gone: failed, with what is known from outside."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return result_of(cell, CellState(), _harmless(reason), now, 0.0)


def _unlearn_and_measure(cell: "Cell", state: CellState) -> None:
    meter = Meter()
    with meter.phase(OTHER):
        if cell.attack is not None:
            attack_and_measure(cell, state, meter)
            return
        with meter.phase("load"):
            state.model = model = model_before(cell)
            model.meter = meter
        examiner = make_examiner(cell, model, is_fresh=cell.after is None)
        forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)
        splits = splits_of(cell)  # before anything is trained
        state.forget_set, state.stop_line = forget_set, examiner.stop_line
        if cell.noise is not None:
            state.model = model = put_noise(cell, model, forget_set, examiner)
        elif cell.is_trained:
            with one_at_a_time(cell):
                unlearned = requested_rows(cell, model) if cell.after else forget_set
                state.trace = unlearn_and_keep(cell, model, unlearned, examiner, cell.key)
            if state.trace.outcome == "collapsed":
                return  # there is nothing left to measure
            if cell.after is not None:
                examiner.forget()  # what it measured of other rows
        measure_model(cell, model, forget_set, splits, examiner, state)


def _in_one_line(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def _harmless(text: str) -> str:
    # A file name that is no text comes with characters that cannot be written.
    writable = text.encode("utf-8", "backslashreplace").decode()
    return redact(visible(" ".join(writable.split())))[:500]
