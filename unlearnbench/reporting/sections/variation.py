"""How much a number varies over items, seeds of unlearning and trainings; what holds in each."""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.paired import ALL_PAIRS_UP_TO
from unlearnbench.analysis.table import ABSENT, S_M, S_Z, Column
from unlearnbench.analysis.variance.components import (
    ALL,
    ITEM,
    ITEMS,
    REST,
    SEED,
    SEEDS,
    TRAINING,
    TRAINING_ITEM,
    TRAININGS,
)
from unlearnbench.analysis.variance.estimates import Estimate, difference, estimate, in_scores
from unlearnbench.analysis.variance.families import Family, families_of, measured_otherwise
from unlearnbench.analysis.variance.statements import Firsts, firsts_of, rankings_of
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Data, Findings, Listing

COMPONENTS = {
    TRAINING: "Training", SEED: "Seed", ITEM: "Items", TRAINING_ITEM: "Training × item",
    REST: "Rest",
}  # fmt: skip
OVER = {ITEMS: "Over items", SEEDS: "Over seeds", TRAININGS: "Over trainings", ALL: "Over both"}
_INTERVALS = (
    "95%, Student's, each over what its column says and nothing else. Over items: other rows, "
    "questions or windows, these models held fixed. Over seeds: these originals unlearned again, "
    "items held fixed. Over trainings: original and retrained model trained again and unlearned "
    "anew, items held fixed; so the seeds' variation is in it. Over both: other items and other "
    "models, the errors added in squares. The forget sets are held fixed in all of them."
)
_DIFFERENCES = (
    "Difference: first minus second over the items, seeds and trainings that both have, in printed "
    "units; of a perplexity first divided by second."
)


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
        pairs = list(_pairs(family, table.metric_columns, findings))
        if pairs:
            yield _differences(family, pairs)
        yield from _firsts(family, table.metric_columns, findings)
        yield _data(family, [*every, *pairs])


def _pairs(family: Family, columns: Sequence[Column], findings: Findings) -> Iterator[Estimate]:
    lines = family.compared
    if len(lines) > ALL_PAIRS_UP_TO:
        return
    compared = [column for column in columns if column.higher_is_better is not None]
    for column in compared:
        for pair in combinations(lines, 2):
            made = difference(*pair, column, findings.by_key)
            if made is not None:
                yield made
    if any(column.in_score for column in columns):
        for column in (S_Z, S_M):
            yield from filter(None, (in_scores(*pair, column) for pair in combinations(lines, 2)))


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
            ("left_out", _left_out(values)),
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


def _differing_settings(family: Family) -> str:
    differing = [f"{x.label} ({listed(x.differing)})" for x in family.lines if x.differing]
    if not differing:
        return ""
    return f"Settings that are not the same in all trainings: {listed(differing, '; ')}."


def _left_out(values: Sequence[Estimate]) -> str:
    by_runs: dict[int, list[str]] = {}
    for value in values:
        if value.n_left_out:
            labels = by_runs.setdefault(value.n_left_out, [])
            labels += [name for name in (" and ".join(value.labels),) if name not in labels]
    return " ".join(
        f"{listed(labels)}: {n} runs that not every training has as many of are left out."
        for n, labels in sorted(by_runs.items())
    )


def _intervals(family: Family, values: Sequence[Estimate]) -> Listing:
    names = _available(values)
    return Listing(
        printing.anchor("variation-intervals", family.title),
        f"Intervals, each over one thing: {family.title}",
        ("Metric", "Row", "Mean", *(OVER[n] for n in names)),
        tuple(
            (printing.header(v.column), *v.labels, _mean(v), *(_interval(v, n) for n in names))
            for v in values
        ),
        n_labels=2,
        notes=printing.notes(("intervals", _INTERVALS), ("fixed", _held_fixed(values))),
    )


def _available(values: Sequence[Estimate]) -> list[str]:
    return [n for n in OVER if any(v.squares.reach(n) is not None for v in values)]


def _interval(value: Estimate, over: str) -> str:
    ends = value.ends(over)
    if ends is None:
        return ABSENT
    low, high = (value.column.text(end) for end in ends)
    return f"[{low}, {high}]"


def _held_fixed(values: Sequence[Estimate]) -> str:
    texts = []
    if all(v.squares.trainings is None for v in values):
        texts.append("One training: it is held fixed, and “both” are items and seeds.")
    if all(v.squares.seeds is None for v in values):
        texts.append(
            "One seed of unlearning: it is held fixed"
            + (
                ", but over trainings, where it cannot be told from them."
                if any(v.squares.trainings for v in values)
                else "."
            )
        )
    if any(v.squares.items is None for v in values):
        texts.append("A score without outcomes by item has no interval over items.")
    return " ".join(texts)


# ---- differences and orders


def _differences(family: Family, pairs: Sequence[Estimate]) -> Listing:
    names = _available(pairs)
    several = len(family.groups) > 1
    orders = ("First better in", "In a new training") if several else ()
    return Listing(
        printing.anchor("variation-pairs", family.title),
        f"Differences of two rows, and in how many trainings they hold: {family.title}",
        ("Metric", "First", "Second", "Difference", *(OVER[n] for n in names), *orders),
        tuple(
            (
                printing.header(pair.column),
                *pair.labels,
                _difference(pair, pair.sample.mean),
                *(_difference_interval(pair, n) for n in names),
                *(_order(pair) if several else ()),
            )
            for pair in pairs
        ),
        n_labels=3,
        notes=printing.notes(
            ("difference", _DIFFERENCES),
            ("intervals", _INTERVALS),
            ("fixed", _held_fixed(pairs)),
            ("orders", _about_orders(len(family.groups)) if several else ""),
            ("left_out", _left_out(pairs)),
        ),
    )


def _difference(pair: Estimate, value: float) -> str:
    return f"×{math.exp(value):.3f}" if pair.is_log else printing.difference(pair.column, value)


def _difference_interval(pair: Estimate, over: str) -> str:
    reach = pair.squares.reach(over)
    if reach is None:
        return ABSENT
    mean = pair.sample.mean
    return f"{_difference(pair, mean - reach)} to {_difference(pair, mean + reach)}"


def _order(pair: Estimate) -> tuple[str, str]:
    order = pair.order
    if order is None:
        return ABSENT, ABSENT
    chance = ABSENT if order.next_better is None else printing.share(order.next_better)
    return f"{order.n_better} of {order.n_trainings}", chance


def _about_orders(n: int) -> str:
    return (
        "First better in: in how many trainings the first row's own value in the table is the "
        "better one, by the metric's direction. In a new training: the probability that it is, "
        "from Student's predictive distribution of the differences by training, taken as normal. "
        f"Of two equal methods one is better in all {n} trainings in {_by_luck(n)} of cases, and "
        f"from {n} differences the probability is a rough figure."
    )


def _by_luck(n: int) -> str:
    return printing.share(2.0 ** (1 - n))


def _firsts(family: Family, columns: Sequence[Column], findings: Findings) -> Iterator[Listing]:
    """Who is first in how many rankings of one training and seed."""
    rankings = rankings_of(family, columns, findings.by_key)
    if len(rankings) < 2:
        return
    cap = family.groups[0].cap
    found: dict[str, Firsts] = {}
    for column in (*columns, S_Z, S_M):
        firsts = firsts_of(rankings, column, columns, cap)
        if firsts is not None:
            found[printing.header(column)] = firsts
    labels = [line.label for line in family.compared if None not in line.rows]
    if len(labels) > 1 and found:
        yield Listing(
            printing.anchor("variation-firsts", family.title),
            f"First in how many trainings and seeds: {family.title}",
            ("Row", *found),
            tuple((label, *(_times(f, label) for f in found.values())) for label in labels),
            notes=printing.notes(("rankings", _about_rankings(family, len(rankings)))),
        )


def _times(firsts: Firsts, label: str) -> str:
    return f"{firsts.times.get(label, 0)} of {firsts.n_rankings}"


def _about_rankings(family: Family, n: int) -> str:
    text = (
        f"One ranking for each training and seed, {n} in all, over the forget sets' means; a tie "
        "counts for all in it."
    )
    lost = [line.label for line in family.compared if None in line.rows]
    return f"{text} Not ranked, as a training lacks it: {listed(lost)}." if lost else text


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
