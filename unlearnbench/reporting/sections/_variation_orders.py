"""Differences of two rows, in how many trainings they hold, who is first, and retrained pairs."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

from unlearnbench.analysis.footnotes import listed, span
from unlearnbench.analysis.statistics.paired import ALL_PAIRS_UP_TO
from unlearnbench.analysis.table import ABSENT, S_M, S_Z, Column
from unlearnbench.analysis.variance.estimates import Estimate, difference, in_scores
from unlearnbench.analysis.variance.families import Family
from unlearnbench.analysis.variance.null_pairs import null_pairs
from unlearnbench.analysis.variance.statements import Firsts, firsts_of, rankings_of
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Findings, Listing
from unlearnbench.reporting.sections._intervals_over import (
    OVER,
    about_intervals,
    available,
    held_fixed,
    left_out,
)

_DIFFERENCES = (
    "Difference: first minus second over the items, seeds and trainings that both have, in printed "
    "units; of a perplexity first divided by second."
)
_NULL = (
    "Every two models that never saw the forget set, tested over items at the 5% level. A test "
    "over items asks whether these two models differ, so it finds 1 pair in 20 only if a seed "
    "moves no mean. Where it finds more, a difference of two methods that it finds may be a seed's "
    "as well, and only an interval over trainings says more."
)


def pairs_of(family: Family, columns: Sequence[Column], findings: Findings) -> Iterator[Estimate]:
    """The differences of every two compared rows, in metrics and in s_z and s_m."""
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


def differences(family: Family, pairs: Sequence[Estimate]) -> Listing:
    """Differences with their intervals; of several trainings in how many the first is better."""
    names = available(pairs)
    several = len(family.groups) > 1
    orders = ("First better in", "In a new training") if several else ()
    holding = ", and in how many trainings they hold" if several else ""
    return Listing(
        printing.anchor("variation-pairs", family.title),
        f"Differences of two rows{holding}: {family.title}",
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
            ("intervals", about_intervals(names)),
            ("fixed", held_fixed(pairs)),
            ("orders", _about_orders(pairs) if several else ""),
            ("left_out", left_out(pairs)),
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


def _about_orders(pairs: Sequence[Estimate]) -> str:
    numbers = sorted({pair.order.n_trainings for pair in pairs if pair.order}, reverse=True)
    if not numbers:
        return ""
    by_luck = listed(f"in all {n} trainings in {_by_luck(n)} of cases" for n in numbers)
    return (
        "First better in: in how many trainings the first row's own value in the table is the "
        "better one, by the metric's direction. In a new training: the probability that it is, "
        "from Student's predictive distribution of the differences by training, taken as normal. "
        f"Of two equal methods one is better {by_luck}, and from {span(numbers)} differences the "
        "probability is a rough figure."
    )


def _by_luck(n: int) -> str:
    return printing.share(2.0 ** (1 - n))


def firsts(family: Family, columns: Sequence[Column], findings: Findings) -> Iterator[Listing]:
    """Who is first in how many rankings of one training and seed."""
    rankings = rankings_of(family, columns, findings.by_key)
    if len(rankings) < 2:
        return
    cap = family.groups[0].cap
    found: dict[str, Firsts] = {}
    for column in (*columns, S_Z, S_M):
        counted = firsts_of(rankings, column, columns, cap)
        if counted is not None:
            found[printing.header(column)] = counted
    labels = [line.label for line in family.compared if None not in line.rows]
    if len(labels) > 1 and found:
        yield Listing(
            printing.anchor("variation-firsts", family.title),
            f"First in how many trainings and seeds: {family.title}",
            ("Row", *found),
            tuple((label, *(_times(f, label) for f in found.values())) for label in labels),
            notes=printing.notes(("rankings", _about_rankings(family, len(rankings)))),
        )


def _times(counted: Firsts, label: str) -> str:
    return f"{counted.times.get(label, 0)} of {counted.n_rankings}"


def _about_rankings(family: Family, n: int) -> str:
    text = (
        f"One ranking for each training and seed, {n} in all, over the forget sets' means; a tie "
        "counts for all in it."
    )
    lost = [line.label for line in family.compared if None in line.rows]
    return f"{text} Not ranked, as a training lacks it: {listed(lost)}." if lost else text


def told_apart(family: Family, columns: Sequence[Column], findings: Findings) -> Iterator[Listing]:
    """How often tests over items find two retrained models to differ."""
    found = null_pairs(family, columns, findings.by_key)
    if found:
        yield Listing(
            printing.anchor("variation-null", family.title),
            f"Retrained models told apart though only their seeds differ: {family.title}",
            ("Metric", "Pairs", "Items", "By the paired test", "By the KS test",
             "Largest difference"),
            tuple(
                (
                    printing.header(of.column),
                    str(of.n_pairs),
                    printing.count(of.n_items),
                    f"{of.n_paired} of {of.n_pairs}",
                    f"{of.n_ks} of {of.n_pairs}",
                    printing.difference(of.column, of.largest).lstrip("+"),
                )
                for of in found
            ),
            notes=printing.notes(("null", _NULL)),
        )  # fmt: skip
