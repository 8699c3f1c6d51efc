"""In which hyper-parameters one's own methods departed from the paper's: a sentence each."""

from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.footnotes import listed, span
from unlearnbench.analysis.table import Row
from unlearnbench.reporting.published.matching import Beside, weights_of

LEARNING_RATE = 5e-6  # the paper's for every size; its released code takes 2e-6 above 10^9


def methods(beside: Beside) -> list[Row]:
    """One's own method rows that stand beside a printed one."""
    rows = [line.own for line in beside.matched if line.own and line.own.role == "method"]
    return list({row.label: row for row in rows}.values())  # once each, whatever its runs


def learning_rates(beside: Beside) -> str:
    """The rates that are not the paper's, and whether they were tuned."""
    if "learning_rate" in {name for row in beside.table.rows for name in row.settings}:
        return "Learning rates are laid beside the printed ones by their order." * beside.by_order
    rates: dict[str, list[str]] = {}
    for row in methods(beside):
        rate = row.settings.get("learning_rate")
        if rate is not None and rate != LEARNING_RATE:
            how = "tuned" if row.origins.get("learning_rate", "").startswith("tuned") else ""
            told = f"{format_value(rate)}{f' ({how})' if how else ''}"
            rates.setdefault(told, []).append(row.label)
    if not rates:
        return ""
    own = listed((f"{rate} for {listed(rows)}" for rate, rows in rates.items()), "; ")
    large = " (the released code 2e-6 at this size)" if beside.size in ("1.3B", "2.7B") else ""
    return (
        f"Learning rate: {own} here, {format_value(LEARNING_RATE)} there{large}; touches every "
        "column of those rows."
    )


def batch_sizes(beside: Beside) -> str:
    """Rows per step, where they are not the paper's 8 (125M) or 4."""
    expected = 8 if beside.size == "125M" else 4
    own = {int(row.settings.get("batch_size", expected)) for row in methods(beside)}
    if own <= {expected}:
        return ""
    return (
        f"Batch: {span(own)} rows here, {expected} there; touches every column of the methods' "
        "rows."
    )


def weights(beside: Beside) -> str:
    """ICU's weights where the printed table does not vary them."""
    if beside.table.name == "alpha-beta":
        return ""
    wanted = weights_of(beside.table)
    told = []
    for row in methods(beside):
        own = {n: row.settings[n] for n in wanted if row.method == "icu" and n in row.settings}
        if any(own[name] != wanted[name] for name in own):
            told.append(f"{_named(own)} for {row.label}")
    if not told:
        return ""
    return f"Weights: {listed(told)} here, {_named(wanted)} there; touches all of its columns."


def _named(values: dict[str, float]) -> str:
    return listed(f"{name}={format_value(value)}" for name, value in values.items())


def epoch_limit(beside: Beside) -> str:
    """Methods that may not run for as many epochs as they did in the paper."""
    told = []
    for line in beside.matched:
        own = line.own.settings.get("max_epochs") if line.own else None
        printed = line.printed.values.get("epochs") if line.printed else None
        if own is not None and printed is not None and own < float(printed):
            told.append(f"{own} for {line.label}, which ran {printed} there")
    return f"Epoch limit: {listed(told, '; ')}." if told else ""
