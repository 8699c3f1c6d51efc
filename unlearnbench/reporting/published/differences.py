"""Why one's own numbers need not be the printed ones: a sentence for each difference there is."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from unlearnbench.analysis.columns import EPOCHS, PAPER_COLUMNS, S_M, S_Z
from unlearnbench.analysis.footnotes import listed, span
from unlearnbench.reporting.published import hyper_parameters
from unlearnbench.reporting.published.matching import Beside
from unlearnbench.reporting.published.printed import MEAN
from unlearnbench.reporting.published.protocol_touches import EVERY, Departure, Touch, departures

if TYPE_CHECKING:
    from unlearnbench.reporting.findings import Findings

N_ROWS, N_SETS = 128, 5
STOP = (0.0499, 0.5994)
CAP = 1000.0  # of perplexity in the printed scores
_LABELS = {
    **{c.name: c.label.partition(" (")[0] for c in (*PAPER_COLUMNS, EPOCHS, S_Z, S_M)},
    "cls_avg": "Cls Avg. and its nine tasks",
    "human": "Human",
}


def sentences(beside: Beside, findings: "Findings") -> Iterator[tuple[str, str]]:
    """(kind, sentence), the weightiest first."""
    yield "stand_in", _stand_in(beside)
    yield "printed", _how_printed(beside)
    for one in _departures(beside):
        yield "protocol", _protocol(one, beside)
    yield "stop_line", _stop_line(beside)
    yield "means", _means(beside)
    yield "runs", _runs(beside)
    yield "limit", _limit(beside, findings)
    yield "dtype", _dtype(beside)
    yield "learning_rate", hyper_parameters.learning_rates(beside)
    yield "batch_size", hyper_parameters.batch_sizes(beside)
    yield "weights", hyper_parameters.weights(beside)
    yield "epoch_limit", hyper_parameters.epoch_limit(beside)
    yield "gpt", _judge(beside)


def _stand_in(beside: Beside) -> str:
    if beside.group.is_synthetic:
        return (
            "A synthetic test bench, laid beside the printed values to show the page: the "
            "difference says nothing about the paper."
        )
    if beside.stands_in:
        return f"{beside.group.name} stands in for the paper's {beside.size}: another model."
    return ""


def _how_printed(beside: Beside) -> str:
    departs = any(_departures(beside))
    told = "; this run departs from it in the settings named here" if departs else ""
    return (
        f"Printed: {beside.table.title}. The authors made its values with their own code, which "
        f"the protocol 'released' follows{told}."
    )


def _departures(beside: Beside) -> Iterator[Departure]:
    group = beside.group
    return departures(group.protocol, _printed_cap(beside), group.n_parameters)


def _printed_cap(beside: Beside) -> float | None:
    scored = {"s_z", "s_m"} & set(beside.table.columns)
    # Without printed scores there is nothing that a cap could touch.
    return CAP if scored else beside.group.protocol.get("perplexity_cap")


def _protocol(one: Departure, beside: Beside) -> str:
    touched = _touched(one.touch, beside)
    if not touched and (one.touch.methods or one.touch.columns):
        return ""  # of methods or columns that do not stand here
    told = f"touches {touched}" if touched else "touches no value (the same ranking)"
    return f"{one.setting}: {one.own} here, {one.printed} there; {told}."


def _touched(touch: Touch, beside: Beside) -> str:
    """'EL10, MA of every row and every column of the methods' rows'."""
    columns = [_LABELS[name] for name in touch.columns if name in beside.table.columns]
    parts = [f"{listed(columns)} of every row"] if columns else []
    labels = [row.label for row in hyper_parameters.methods(beside) if row.method in touch.methods]
    if labels and set(touch.methods) >= set(EVERY):
        parts.append("every column of the methods' rows")
    elif labels:
        parts.append(f"every column of {listed(labels)}")
    return " and ".join(parts)


def _stop_line(beside: Beside) -> str:
    lines = [
        s for row in hyper_parameters.methods(beside) for s in row.stops if s.source == "calibrated"
    ]
    if not lines:
        return ""
    el, ma = (span_of(values) for values in ([s.el for s in lines], [s.ma for s in lines]))
    return (
        f"Stop line: calibrated here, EL10 < {el} and MA < {ma}; EL10 < {STOP[0]} and "
        f"MA < {STOP[1]} there; touches every column of the methods' rows."
    )


def span_of(values: Iterable[float]) -> str:
    """'0.0407', or '0.0400 to 0.0412' where they differ."""
    texts = sorted({f"{value:.4f}" for value in values})
    return texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"


def _means(beside: Beside) -> str:
    rows = [line.own for line in beside.matched if line.own]
    sets = {run.content_sha256 for row in rows if row.role == "method" for run in row.runs}
    n_rows, by_run = beside.group.n_forget_rows, _is_by_run(beside)
    if set(n_rows) <= {N_ROWS} and (by_run or len(sets) in (0, N_SETS)):
        return ""
    own, there = f"{span(n_rows)} rows", f"{N_ROWS}"
    if sets and not by_run:
        own, there = f"{len(sets)} of {own}", f"{N_SETS} of {there}"
    return (
        f"Forget sets: {own} here, {there} there; touches the forgetting columns of every row "
        "and every column of the methods' rows."
    )


def _runs(beside: Beside) -> str:
    if not _is_by_run(beside):
        return ""
    return (
        "The paper numbers its runs 1 to 5 and does not say which forget set each was: they are "
        "taken in the order of the sets."
    )


def _is_by_run(beside: Beside) -> bool:
    return any(row.run != MEAN for row in beside.table.rows)


def _limit(beside: Beside, findings: "Findings") -> str:
    rows = [line.own for line in beside.matched if line.own]
    results = [result for row in rows for result in findings.results_of(row)]
    found = [(result.identity.get("tasks") or {}).get("limit") for result in results]
    limits = [limit for limit in found if limit is not None]
    if not limits:
        return ""
    return (
        f"Tasks: the first {span(limits)} documents of each here, all there; touches Cls Avg., "
        "Dia Avg., Pile and WikiText of every row."
    )


def _dtype(beside: Beside) -> str:
    large = beside.size in ("1.3B", "2.7B")
    if not beside.group.dtype or beside.group.dtype == ("bfloat16" if large else "float32"):
        return ""
    there = "bfloat16 under ZeRO-2 there" if large else "the paper names none for this size"
    return f"dtype: {beside.group.dtype} here, {there}; touches every column a little."


def _judge(beside: Beside) -> str:
    judged = any("gpt" in line.own.cells for line in beside.matched if line.own)
    told = "GPT: the printed scores are GPT-4's, these another judge's, or a rule's in its place."
    return told if judged else ""
