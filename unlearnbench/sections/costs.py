"""What each row cost: seconds, tokens and memory by phase."""

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

from unlearnbench import footnotes
from unlearnbench.columns import ABSENT, EPOCHS
from unlearnbench.document import Block, Listing
from unlearnbench.findings import Findings
from unlearnbench.result import PhaseRecord, Result
from unlearnbench.sections import _printing as printing
from unlearnbench.table import LEFT_OUT, Group, Note, Row

# Measured once per model, and its cost put on every cell that uses it: no cost of a row.
_SHARED = "calibrate"
_TITLES = {"unlearn": "Unlearning", "examine": "Examining", "measure": "Measuring"}
_MEANINGS = (
    "Examining: the forget set's rows after every epoch and at the end. Measuring: the tasks. "
    "Whole cell: these, loading, and the stop line where this cell measured it."
)

Quantity = Callable[[Result], float | None]


def blocks(findings: Findings) -> tuple[Block, ...]:
    """One listing per group whose results say what they cost."""
    made = (_listing(findings, group) for group in findings.table.groups)
    return tuple(listing for listing in made if listing is not None)


def _listing(findings: Findings, group: Group) -> Listing | None:
    rows = [(row, findings.results_of(row)) for row in group.rows if row.runs]
    results = [result for _, of_row in rows for result in of_row]
    phases = _phases(results)
    if not phases:
        return None
    return Listing(
        printing.anchor("costs", group.title),
        f"Costs, means over runs: {group.title}",
        ("Row", *_headers(phases)),
        tuple(_line(group, row, of_row, phases) for row, of_row in rows),
        notes=_notes(group, results),
    )


def _phases(results: Iterable[Result]) -> list[str]:
    """The rows' own phases: the usual ones first, then a plugin's."""
    found = {name for result in results for name in result.costs if name != _SHARED}
    usual = [name for name in _TITLES if name in found]
    return [*usual, *sorted(found - set(usual))]


def _headers(phases: Sequence[str]) -> tuple[str, ...]:
    seconds = (f"{_TITLES.get(phase, phase)} (s)" for phase in phases)
    tokens = ("Tokens unlearning", "Tokens in all", "Tokens generated")
    return ("Runs", "Epochs", *seconds, "Whole cell (s)", *tokens, "Peak memory (MiB)")


def _line(
    group: Group, row: Row, results: Sequence[Result], phases: Sequence[str]
) -> tuple[str, ...]:
    seconds = (_mean(results, _in_phase(phase, "seconds")) for phase in phases)
    whole = fmean(result.seconds for result in results)
    tokens = (
        _mean(results, _in_phase("unlearn", "forward_tokens")),
        _mean(results, _in_all("forward_tokens")),
        _mean(results, _in_all("generated_tokens")),
    )
    return (
        row.label,
        str(len(results)),
        group.text(row, EPOCHS),
        *map(printing.seconds, (*seconds, whole)),
        *map(printing.count, tokens),
        printing.mebibytes(_mean(results, _peak)),
    )


def _mean(results: Iterable[Result], quantity: Quantity) -> float | None:
    """Over the runs that have the phase; None if none has."""
    found = [value for value in map(quantity, results) if value is not None]
    return fmean(found) if found else None


def _in_phase(phase: str, name: str) -> Quantity:
    def quantity(result: Result) -> float | None:
        record = result.costs.get(phase)
        return None if record is None else float(getattr(record, name))

    return quantity


def _in_all(name: str) -> Quantity:
    return lambda result: _over_phases(result, sum, name)


def _peak(result: Result) -> float | None:
    return _over_phases(result, max, "peak_memory_bytes")


def _over_phases(
    result: Result, total: Callable[[Iterable[float]], float], name: str
) -> float | None:
    own: list[PhaseRecord] = [cost for phase, cost in result.costs.items() if phase != _SHARED]
    return float(total(getattr(cost, name) for cost in own)) if own else None


def _notes(group: Group, results: Sequence[Result]) -> tuple[Note, ...]:
    shared = any(_SHARED in result.costs for result in results)
    return printing.notes(
        ("phases", _MEANINGS),
        ("machine", _machine(results)),
        ("tokens", "Tokens: those that went through the network; they do not depend on a machine."),
        ("calibrate", _calibration(results) * shared),
        ("left_out", footnotes.left_out(group), LEFT_OUT),
    )


def _machine(results: Iterable[Result]) -> str:
    machines = sorted({_place(result) for result in results})
    several = " More than one machine: seconds do not compare." if len(machines) > 1 else ""
    return (
        f"Seconds and memory depend on the machine ({'; '.join(machines)}) and on what else ran "
        f"on it; memory on a CPU is the whole process's.{several}"
    )


def _place(result: Result) -> str:
    threads, platform = result.environment.n_threads, result.environment.platform
    return f"{result.model.device}, {threads} thread{'s' * (threads != 1)}, {platform}"


def _calibration(results: Iterable[Result]) -> str:
    seconds = [r.costs[_SHARED].seconds for r in results if _SHARED in r.costs]
    mean = printing.seconds(fmean(seconds)) if seconds else ABSENT
    return f"Measuring the stop line, {mean} s, is done once per model and in no phase here."
