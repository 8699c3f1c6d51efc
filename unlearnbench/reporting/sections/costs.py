"""What each row cost: where the time goes, tokens and memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean

from unlearnbench.analysis import footnotes
from unlearnbench.analysis.table import EPOCHS, LEFT_OUT, Group, Note, Row
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.results.record import PhaseRecord, Result, attacked_model_in

# Measured once per model, and its cost put on every cell that uses it: no cost of a row.
_SHARED = "calibrate"
# In the order of a cell; the tasks, each a phase of its own, stand together before the rest.
_TITLES = {
    "load": "Loading",
    "pairs": "Pairs",
    "unlearn": "Unlearning",
    "extraction": "EL and MA",
    "continuations": "Continuations",
    "bertscore": "BERTScore",
    "examine": "Examining",
}
_TASKS, _OTHER = "Tasks", "other"
_ATTACKING = (
    "Tokens attacking: what the attack itself sent through networks, training, asking or finding "
    "how much of an update keeps the utility; measuring what it left, and unlearning again where "
    "the model was not kept, are in the tokens in all."
)
_MEANINGS = (
    "Each phase without those inside it, and its share of all of them. Unlearning: training. "
    "EL and MA, continuations, BERTScore: the forget set's rows after every epoch and in the "
    "tasks; examining: the rest of it. Tasks: what they take besides these. A model is examined "
    "once before it is trained, and each row has the cost of that."
)


def blocks(findings: Findings) -> Iterator[Listing]:
    """Two listings per group whose results say what they cost: in all, and the time by phase.

    A third is of the models under attack, where there are any.
    """
    for group in findings.table.groups:
        rows = [(row, findings.results_of(row)) for row in group.rows if row.runs]
        results = [result for _, of_row in rows for result in of_row]
        if not any(_own(result) for result in results):
            continue
        columns = _columns(results)
        left_out = ("left_out", footnotes.left_out(group), LEFT_OUT)
        yield Listing(
            printing.anchor("costs", group.title),
            f"Costs, means over runs: {group.title}",
            ("Row", "Runs", "Epochs", "Whole cell (s)", *_TOKENS, "Peak memory (MiB)"),
            tuple(_line(group, row, of_row) for row, of_row in rows),
            notes=_notes(results, left_out),
        )
        yield Listing(
            printing.anchor("costs", "time", group.title),
            f"Where the time goes, seconds, means over runs: {group.title}",
            ("Row", *(title for title, _ in columns)),
            tuple(_times(row, of_row, columns) for row, of_row in rows),
            notes=printing.notes(("phases", _MEANINGS), left_out),
        )
        yield from _attacks(findings, group)


def _attacks(findings: Findings, group: Group) -> Iterator[Listing]:
    """What attacks on the group's models cost, by row and attack."""
    by_model: dict[str, list[Result]] = {}
    for result in findings.attacked:
        if result.attack is not None:
            by_model.setdefault(result.attack.model, []).append(result)
    lines = []
    for row in group.rows:
        models = {attacked_model_in(r.identity) for r in findings.results_of(row)}
        attacked = [result for model in sorted(models) for result in by_model.get(model, [])]
        labels = sorted({r.attack.label for r in attacked if r.attack is not None})
        for label in labels:
            of_attack = [r for r in attacked if r.attack is not None and r.attack.label == label]
            lines.append((row.label, label, *_attack_line(of_attack)))
    if lines:
        headers = ("Row", "Attack", "Runs", "Whole cell (s)", "Tokens attacking", "Tokens in all")
        yield Listing(
            printing.anchor("costs", "attacks", group.title),
            f"Costs of attacks, means over runs: {group.title}",
            headers,
            tuple(lines),
            2,
            printing.notes(("attacks", _ATTACKING)),
        )


def _attack_line(results: Sequence[Result]) -> tuple[str, ...]:
    tasks = {place.rpartition("/")[2] for r in results for place in r.scores}
    present = {phase for r in results for phase in _own(r)}
    attacking = sorted(present - tasks - {*_TITLES, _OTHER})
    return (
        str(len(results)),
        printing.seconds(fmean(result.seconds for result in results)),
        printing.count(_mean(results, "forward_tokens", attacking)),
        printing.count(_mean(results, "forward_tokens")),
    )


_TOKENS = ("Tokens unlearning", "Tokens in all", "Tokens generated")
Columns = Sequence[tuple[str, Sequence[str]]]  # a title, and the phases that it is the sum of


def _own(result: Result) -> dict[str, PhaseRecord]:
    return {name: cost for name, cost in result.costs.items() if name != _SHARED}


def _columns(results: Sequence[Result]) -> Columns:
    """The usual phases, then a plugin's, then the rest; the tasks together, and each of several."""
    # A task that could measure nothing has no score, and took its time all the same.
    names = {
        name
        for r in results
        for name in (*r.scores, *r.identity.get("tasks", {}).get("settings", {}))
        if name in _own(r)
    }
    tasks = sorted(names - {*_TITLES})
    present = {name for result in results for name in _own(result)}
    plugins = sorted(present - {*_TITLES, *tasks, _OTHER})
    phases = [*(name for name in _TITLES if name in present), *plugins, *({_OTHER} & present)]
    several = tasks if len(tasks) > 1 else []
    titled = [(_TITLES.get(name, name.capitalize()), [name]) for name in phases]
    return [*titled, (_TASKS, tasks), *((name, [name]) for name in several)]


def _times(row: Row, results: Sequence[Result], columns: Columns) -> tuple[str, ...]:
    whole = fmean(sum(cost.seconds for cost in _own(result).values()) for result in results)

    def text(phases: Sequence[str]) -> str:
        seconds = _mean(results, "seconds", phases)
        share = f" ({printing.share(seconds / whole)})" if whole and seconds is not None else ""
        return printing.seconds(seconds) + share

    return (row.label, *(text(phases) for _, phases in columns))


def _line(group: Group, row: Row, results: Sequence[Result]) -> tuple[str, ...]:
    tokens = (
        _mean(results, "forward_tokens", ["unlearn"]),
        _mean(results, "forward_tokens"),
        _mean(results, "generated_tokens"),
    )
    return (
        row.label,
        str(len(results)),
        group.text(row, EPOCHS),
        printing.seconds(fmean(result.seconds for result in results)),
        *map(printing.count, tokens),
        printing.mebibytes(_mean(results, "peak_memory_bytes", total=max)),
    )


def _mean(
    results: Iterable[Result],
    name: str,
    phases: Sequence[str] | None = None,
    total: Callable[[Iterable[float]], float] = sum,
) -> float | None:
    """Over the runs that have any of the phases, or any at all; None if none has."""
    values = []
    for result in results:
        own = _own(result)
        if costs := [own[phase] for phase in (own if phases is None else phases) if phase in own]:
            values.append(float(total(getattr(cost, name) for cost in costs)))
    return fmean(values) if values else None


def _notes(results: Sequence[Result], left_out: tuple[str, str, str]) -> tuple[Note, ...]:
    return printing.notes(
        ("machine", _machine(results)),
        ("tokens", "Tokens: those that went through the network; they do not depend on a machine."),
        ("calibrate", _calibration(results)),
        left_out,
    )


def _machine(results: Iterable[Result]) -> str:
    places = ((r.model.device, r.environment.n_threads, r.environment.platform) for r in results)
    machines = sorted(
        f"{device}, {n} thread{'' if n == 1 else 's'}, {platform}"
        for device, n, platform in set(places)
    )
    several = " More than one machine: seconds do not compare." if len(machines) > 1 else ""
    return (
        f"Seconds and memory depend on the machine ({'; '.join(machines)}) and on what else ran "
        f"on it; memory on a CPU is the whole process's.{several}"
    )


def _calibration(results: Iterable[Result]) -> str:
    seconds = [r.costs[_SHARED].seconds for r in results if _SHARED in r.costs]
    if not seconds:
        return ""
    return (
        f"Measuring the stop line took {printing.seconds(fmean(seconds))} s and is in no phase "
        "here. It is done once per model: the other cells have it from the cache, report what it "
        "cost, and did not take that time."
    )
