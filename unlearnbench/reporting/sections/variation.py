"""How much a number varies over items, seeds of unlearning and trainings; what holds in each."""

import math
from collections.abc import Iterable, Iterator, Sequence

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.paired import LEVEL
from unlearnbench.analysis.table import ABSENT
from unlearnbench.analysis.variance.components import (
    ITEM,
    REST,
    SEED,
    TRAINING,
    TRAINING_ITEM,
)
from unlearnbench.analysis.variance.estimates import Estimate, estimate
from unlearnbench.analysis.variance.families import Family, families_of, measured_otherwise
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Data, Findings, Listing
from unlearnbench.reporting.sections._intervals_over import (
    OVER,
    about_intervals,
    available,
    held_fixed,
    left_out,
)
from unlearnbench.reporting.sections._variation_orders import (
    differences,
    firsts,
    pairs_of,
    told_apart,
)

COMPONENTS = {
    TRAINING: "Training", SEED: "Seed", ITEM: "Items", TRAINING_ITEM: "Training × item",
    REST: "Rest",
}  # fmt: skip


def blocks(findings: Findings) -> Iterator[Listing]:
    """Per model with its trainings: components, intervals, differences, and who is first."""
    table = findings.table
    families = families_of(table.groups, findings.by_key, findings.trainings)
    apart = measured_otherwise(families, findings.by_key, findings.trainings)
    for family in families:
        every = [
            made
            for column in (*table.metric_columns, *table.other_columns)
            for line in family.lines
            if (made := estimate(line, column, findings.by_key)) is not None
        ]
        if not every:
            continue
        shown = [e for e in every if e.column in table.metric_columns] or every
        yield _components(family, shown, apart)
        yield _intervals(family, shown)
        pairs = list(pairs_of(family, table.metric_columns, findings))
        if pairs:
            yield differences(family, pairs)
        yield from firsts(family, table.metric_columns, findings)
        yield from told_apart(family, table.metric_columns, findings)
        yield _data(family, [*every, *pairs])


# ---- single rows


def _components(family: Family, values: Sequence[Estimate], apart: str) -> Listing:
    names = [n for n in COMPONENTS if any(n in v.squares.components for v in values)]
    return Listing(
        printing.anchor("variation", family.title),
        f"What a number varies with: {family.title}",
        ("Metric", "Row", "Mean", *(COMPONENTS[n] for n in names), "Trainings", "Seeds"),
        tuple(
            (printing.header(v.column), *v.labels, _mean(v), *_spreads(v, names), *_sizes(v))
            for v in values
        ),
        n_labels=2,
        notes=printing.notes(
            ("components", _about_components(values, names)),
            ("trainings", _about_trainings(family)),
            ("apart", apart),
            ("settings", _differing_settings(family)),
            ("seeds", _about_seeds(values)),
            ("left_out", left_out(values)),
        ),
    )


def _mean(value: Estimate) -> str:
    return value.column.text(value.printed(value.sample.mean))


def _sizes(value: Estimate) -> tuple[str, str]:
    return str(value.squares.n_trainings), str(value.squares.n_seeds)


def _spreads(value: Estimate, names: Iterable[str]) -> Iterator[str]:
    """'0.52 (62%)': the deviation in printed units and its share of the variance."""
    components = value.squares.components
    total = math.fsum(components.values())
    # The deviation of a logarithm is relative to the value.
    factor = value.printed(value.sample.mean) if value.is_log else 1.0
    for name in names:
        if name not in components:
            yield ABSENT
            continue
        text = printing.difference(value.column, factor * math.sqrt(components[name]))
        share = f" ({printing.share(components[name] / total)})" if total > 0.0 else ""
        yield text.lstrip("+") + share


def _about_components(values: Sequence[Estimate], names: Sequence[str]) -> str:
    text = (
        "Standard deviation, in printed units, that each source adds to a number of one training, "
        "unlearned with one seed, on as many items; in brackets its share of the variance. By "
        "analysis of variance; what would be negative is 0."
    )
    if any(v.squares.trainings and not v.squares.seeds for v in values):
        text += " With one seed the seed's part is in the training's."
    if TRAINING not in names:
        text += " With one training how trainings differ cannot be seen."
    if any(v.is_log for v in values):
        text += " Perplexities are taken as logarithms: means are geometric ones."
    return text


def _about_trainings(family: Family) -> str:
    n = len(family.groups)
    if n == 1:
        return (
            "One training: the original and the retrained model are held fixed, and nothing here "
            "says what another training would give (report --trainings A,B,C names models that "
            "are one model trained with several seeds)."
        )
    few = " A deviation from so few is rough." if n < _ENOUGH else ""
    return f"Trainings of one model: {family.names}, each with its own references.{few}"


_ENOUGH = 6


def _about_seeds(values: Sequence[Estimate]) -> str:
    tested = [p for p in (value.seeds_alike for value in values) if p is not None]
    if not tested:
        return ""
    return (
        "A seed is taken as another draw in each training. In "
        f"{sum(p < LEVEL for p in tested)} of {len(tested)} rows of this table the seeds act alike "
        "in all trainings (F test, 5% level): many more than 1 in 20 would mean that intervals "
        "over trainings are too narrow."
    )


def _differing_settings(family: Family) -> str:
    differing = [f"{x.label} ({listed(x.differing)})" for x in family.lines if x.differing]
    if not differing:
        return ""
    return f"Settings that are not the same in all trainings: {listed(differing, '; ')}."


def _intervals(family: Family, values: Sequence[Estimate]) -> Listing:
    names = available(values)
    return Listing(
        printing.anchor("variation-intervals", family.title),
        f"Intervals, each over one thing: {family.title}",
        ("Metric", "Row", "Mean", *(OVER[n] for n in names)),
        tuple(
            (printing.header(v.column), *v.labels, _mean(v), *(_interval(v, n) for n in names))
            for v in values
        ),
        n_labels=2,
        notes=printing.notes(("intervals", about_intervals(names)), ("fixed", held_fixed(values))),
    )


def _interval(value: Estimate, over: str) -> str:
    ends = value.ends(over)
    if ends is None:
        return ABSENT
    low, high = (value.column.text(end) for end in ends)
    return f"[{low}, {high}]"


# ---- for programs

_DATA = (
    "metric", "row", "minus", "trainings", "seeds", "forget_sets", "items", "log", "mean",
    *(f"variance_{name.replace(' ', '_')}" for name in COMPONENTS),
    *(f"{end}_over_{name}" for name in OVER for end in ("low", "high")),
    "better", "worse", "next_better",
)  # fmt: skip


def _data(family: Family, values: Sequence[Estimate]) -> Data:
    """Everything unrounded; of a perplexity in logarithms, so that all adds up."""
    return Data(
        printing.anchor("variation-data", family.title),
        f"Components and intervals: {family.title}",
        _DATA,
        tuple(tuple(_raw(v)) for v in values),
        n_labels=3,
    )


def _raw(value: Estimate) -> Iterator[str]:
    sample, squares = value.sample, value.squares
    yield value.column.name
    yield value.labels[0]
    yield value.labels[1] if len(value.labels) > 1 else ""
    sizes = (squares.n_trainings, squares.n_seeds, sample.n_forget_sets, sample.n_items)
    yield from map(str, sizes)
    yield str(value.is_log).lower()
    yield f"{sample.mean:.10g}"
    for name in COMPONENTS:
        yield f"{squares.components[name]:.10g}" if name in squares.components else ""
    for name in OVER:
        reach = squares.reach(name)
        for sign in (-1.0, 1.0):
            yield "" if reach is None else f"{sample.mean + sign * reach:.10g}"
    order = value.order
    yield "" if order is None else str(order.n_better)
    yield "" if order is None else str(order.n_worse)
    yield "" if order is None or order.next_better is None else f"{order.next_better:.10g}"
