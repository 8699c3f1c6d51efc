"""What differences a plan can show, before anything is measured: the power block of --dry-run."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from math import comb
from typing import TYPE_CHECKING, Any

from unlearnbench.analysis.derived.from_attacks import FORGET, HOLDOUT
from unlearnbench.analysis.derived.measured import MEMBERSHIP
from unlearnbench.analysis.statistics import power
from unlearnbench.analysis.statistics.two_samples import DISTANCE, TwoSamples
from unlearnbench.registry import find

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

_HEAD = (
    f"\nSmallest differences that these cells can show, with {power.POWER:.0%} power at the "
    f"{power.LEVEL:.0%} level:"
)
_ASSUMED = (
    "  Assumed, as nothing is measured yet: points where rows are right or wrong and two methods "
    f"differ on {power.DISCORDANT:.0%} of them; sd of everything else, the standard deviation of a "
    "document's difference between two methods. In brackets: with Holm's strictest level. What "
    "was shown: unlearnbench report --sections power"
)
_DISTANCES = ("forget_quality", DISTANCE)  # columns that compare two models' distributions


def power_lines(cells: "Sequence[Cell]") -> list[str]:
    """The block's lines; none for a plan that compares nothing."""
    measured = [cell for cell in cells if cell.attack is None]
    methods = [cell for cell in measured if cell.role == "method"]
    if not methods:
        return []
    compared = {_row(cell) for cell in measured if cell.role in ("method", "dedup")}
    n_pairs = comb(max(Counter(group for group, *_ in compared).values()), 2)
    kinds = _one_of_each_group(methods)
    lines = dict.fromkeys(line for cell in kinds for line in _of_documents(cell, methods, n_pairs))
    return [_HEAD, *(f"  {line}" for line in lines), f"  {_seeds(methods, n_pairs)}", _ASSUMED]


def _row(cell: "Cell") -> tuple[str, str, str]:
    """What makes cells one row of a table: all but forget set and seed."""
    settings = {name: value for name, value in cell.settings.items() if name != "seed"}
    return cell.group, cell.label, repr(sorted(settings.items()))


def _one_of_each_group(methods: "Sequence[Cell]") -> "list[Cell]":
    """A cell for each group of rows that a table compares: of a benchmark one a forget split."""
    kinds = {(cell.group, cell.run if cell.data.benchmark else ""): cell for cell in methods}
    return list(kinds.values())


def _of_documents(cell: "Cell", methods: "Sequence[Cell]", n_pairs: int) -> Iterator[str]:
    """A line for each number of documents that metrics have."""
    yield from _rows(cell, methods, n_pairs)
    for name in cell.tasks:
        task = _task(name)
        sets = [cell.data.sets[name] for name in task.needs if name in cell.data.sets]
        sizes = [_first(len(read.rows), cell) for read in sets]
        if sizes:
            n, total = power.effective_documents(sizes), sum(sizes)
            what = f"{name}, {total:,} items of {len(sizes)} set{'s' if len(sizes) > 1 else ''}"
            yield f"{what}: {_differences(round(n), n_pairs)}"
        elif "texts" in task.needs and cell.data.texts:
            yield f"{name}: windows of {', '.join(cell.data.texts)} are counted when they are read"
    if cell.data.benchmark is not None:
        several = len({each.run for each in methods if each.group == cell.group}) > 1
        for line in _splits(cell, n_pairs):
            yield f"{cell.run}: {line}" if several else line


def _rows(cell: "Cell", methods: "Sequence[Cell]", n_pairs: int) -> Iterator[str]:
    """Metrics of the forget sets' own rows; not of tasks that measure a benchmark's splits."""
    splits = [] if cell.data.benchmark is None else cell.data.splits(cell.run, cell.limit)
    names = [
        name for name in cell.tasks
        if any(metric.documents == "rows" for metric in _task(name).metrics)
        and not any(split.asks(*_task(name).measures) for split in splits)
    ]  # fmt: skip
    runs = dict.fromkeys(c.run for c in methods if c.group == cell.group)
    if cell.data.benchmark is not None:
        runs = {cell.run: None}
    sizes = [_first(len(cell.data.doc_ids(run, cell.limit)), cell) for run in runs]
    if names and sizes:
        rows = f"{min(sizes)}" if len(set(sizes)) == 1 else f"{min(sizes)} to {max(sizes)}"
        sets = f"{len(sizes)} forget set{'s' if len(sizes) > 1 else ''} of {rows} rows"
        yield f"{', '.join(names)}, {sets}: {_differences(sum(sizes), n_pairs)}"


def _task(name: str) -> Any:
    return find("tasks", name)


def _first(n: int, cell: "Cell") -> int:
    return n if cell.task_limit is None else min(n, cell.task_limit)


def _differences(n: int, n_pairs: int) -> str:
    """'9.3 points (12.1 over 10 pairs), 0.20 sd (0.27 over 10 pairs)'."""
    if math.isnan(power.mean_difference(n)):
        return "none: so few can show no difference of any size"
    points = [100 * power.share_difference(n, n_pairs=pairs) for pairs in (1, n_pairs)]
    deviations = [power.mean_difference(n, n_pairs=pairs) for pairs in (1, n_pairs)]
    over = f" over {n_pairs} pairs" if n_pairs > 1 else ""
    return f"{_both(points, 'points', 1, over)}, {_both(deviations, 'sd', 2, over)}"


def _both(smallest: Sequence[float], unit: str, decimals: int, over: str) -> str:
    """A smallest difference, and that with the correction for all pairs."""
    one, corrected = smallest
    if math.isnan(one):
        return f"none in {unit}"
    more = "none" if math.isnan(corrected) else f"{corrected:.{decimals}f}"
    return f"{one:.{decimals}f} {unit}" + (f" ({more}{over})" if over else "")


# ---- splits of a benchmark


def _splits(cell: "Cell", n_pairs: int) -> Iterator[str]:
    """Splits of one size together, then scores of two samples."""
    # Membership scores are compared with those of other texts, not from row to row.
    requested = [m for name in cell.tasks if name != MEMBERSHIP for m in _task(name).measures]
    splits = cell.data.splits(cell.run, cell.limit)
    by_size: dict[int, list[str]] = {}
    for split in (split for split in splits if split.asks(*requested)):
        by_size.setdefault(_first(len(split), cell), []).append(split.name)
    for n, names in by_size.items():
        yield f"{', '.join(names)}, {n:,} items each: {_differences(n, n_pairs)}"
    sizes = {split.name: _first(len(split), cell) for split in splits}
    for samples in _samples(cell, sizes):
        yield _of_samples(samples)


def _samples(cell: "Cell", sizes: dict[str, int]) -> Iterator[TwoSamples]:
    """What the benchmark's columns and the tasks compare beside means."""
    benchmark = cell.data.benchmark
    forget, holdout = sizes.get(FORGET), sizes.get(HOLDOUT)
    if benchmark is None or forget is None:
        return
    if set(_DISTANCES) & set(benchmark.definition.columns):
        yield TwoSamples("distance", forget, forget)
    if MEMBERSHIP in cell.tasks and holdout is not None:
        yield TwoSamples("area", forget, holdout)


def _of_samples(samples: TwoSamples) -> str:
    shown = ", ".join(
        f"{question} {'none' if math.isnan(value) else format(value, '.3f')}"
        for question, value in samples.questions()
    )
    return f"{samples.label}, {samples.n:,} and {samples.m:,} items: {shown}"


def _seeds(methods: "Sequence[Cell]", n_pairs: int) -> str:
    n = len({cell.seed for cell in methods})
    if n < 2:
        return "one seed: nothing is said of other seeds"
    one, corrected = (power.seeds_difference(n, n_pairs=pairs) for pairs in (1, n_pairs))
    over = f" ({corrected:.1f} over {n_pairs} pairs)" if n_pairs > 1 else ""
    return f"{n} seeds: {one:.1f} standard deviations of a method over seeds{over}"
