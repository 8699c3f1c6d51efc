"""What differences these documents and seeds could have shown, and which pairs stay untold."""

import math
from collections.abc import Iterator, Sequence

from unlearnbench.analysis.statistics import power
from unlearnbench.analysis.statistics.detectable import ColumnPower, PairPower, power_of
from unlearnbench.analysis.statistics.two_samples import TwoSamples, two_samples_of
from unlearnbench.analysis.table import ABSENT, Group, Note
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import MANY, Block, Findings, Listing

_WHAT = (
    "Smallest shown: the difference between two rows that these documents would have shown with "
    f"{power.POWER:.0%} power at the {power.LEVEL:.0%} level, two-sided; from the standard error "
    "of the paired differences (the pairs' median), not from how large they are. Corrected: with "
    "Holm's strictest level for the pairs of the metric. Other runs are another matter."
)
_NEEDED = (
    "Documents and seeds needed: so many would show, corrected, a difference as large as that of "
    "best and second, if it is the true one and varies as here, which a small sample does not say."
)
_ONE_SEED = "Seeds needed: – as the two rows have one seed in common, which tells no spread."
_TOO_FEW = (
    "Smallest shown: – where so few documents, or so few that differ at all, can give no p-value "
    "under the level."
)
_LOG = "Perplexities: differences are ratios, as they are tested by their logarithms."
_UNTOLD = (
    "Not told apart: corrected p at least 5%. That is no sign that the rows are alike: a "
    "difference below the smallest that is shown would have gone unnoticed."
)


def blocks(findings: Findings) -> Iterator[Block]:
    """Per group what each metric could show, the pairs not told apart, and scores of two samples.

    Nothing for more than 2,000 results, as there are no intervals and tests of them either.
    """
    for group in findings.table.groups if len(findings.results) <= MANY else ():
        every = [power_of(group, c, findings.by_key) for c in findings.table.metric_columns]
        of_columns = [each for each in every if each is not None]
        if of_columns:
            yield _listing(group, of_columns)
            yield from _untold(group, of_columns)
        if sides := two_samples_of(group, findings.by_key):
            yield _of_samples(group, sides)


def _listing(group: Group, of_columns: Sequence[ColumnPower]) -> Listing:
    headers = (
        "Metric", "Documents", "Standard error", "Smallest shown", "Corrected", "Pairs told apart",
        "Best and second differ by", "Documents needed", "Seeds needed",
    )  # fmt: skip
    too_few = any(math.isnan(of.smallest(of.n_pairs)) for of in of_columns)
    one_seed = any(of.seeds is not None and of.seeds.n_seeds < 2 for of in of_columns)
    return Listing(
        printing.anchor("power", group.title),
        f"What differences could be shown: {group.title}",
        headers,
        tuple(map(_line, of_columns)),
        notes=printing.notes(
            ("what", _WHAT),
            ("needed", _NEEDED),
            ("one_seed", _ONE_SEED if one_seed else ""),
            ("too_few", _TOO_FEW if too_few else ""),
            ("log", _LOG if any(of.is_log for of in of_columns) else ""),
        ),
    )


def _line(of: ColumnPower) -> tuple[str, ...]:
    n_apart = sum(pair.is_told_apart for pair in of.pairs)
    needed: list[int | None] = [None, None]
    if of.best is not None:
        needed[0] = of.best.documents_needed(of.n_pairs)
        needed[1] = of.seeds.needed(of.best.difference, of.n_pairs) if of.seeds else None
    return (
        printing.header(of.column),
        printing.count(of.n_documents),
        _size(of, of.error),
        _size(of, of.smallest()),
        _size(of, of.smallest(of.n_pairs)),
        f"{n_apart} of {len(of.pairs)}",
        ABSENT if of.best is None else _size(of, abs(of.best.difference)),
        *map(printing.count, needed),
    )


def _size(of: ColumnPower, value: float) -> str:
    return printing.size(of.column, value, of.is_log)


def _untold(group: Group, of_columns: Sequence[ColumnPower]) -> Iterator[Listing]:
    lines = [
        _untold_line(of, pair) for of in of_columns for pair in of.pairs if not pair.is_told_apart
    ]
    if lines:
        yield Listing(
            printing.anchor("power", "untold", group.title),
            f"Pairs that these documents do not tell apart: {group.title}",
            ("Metric", "First", "Second", "They differ by", "Smallest shown, corrected",
             "p, corrected", "Documents", "Documents needed"),
            tuple(lines),
            n_labels=3,
            notes=(Note("untold", _UNTOLD),),
        )  # fmt: skip


def _untold_line(of: ColumnPower, pair: PairPower) -> tuple[str, ...]:
    return (
        printing.header(of.column),
        pair.first,
        pair.second,
        _size(of, abs(pair.difference)),
        _size(of, pair.smallest(of.n_pairs)),
        printing.p_value(pair.p_corrected),
        printing.count(pair.n_documents),
        printing.count(pair.documents_needed(of.n_pairs)),
    )


# ---- scores of two samples, which are no mean of documents

_SAMPLES = (
    "KS distance: the least D that is significant, the true D that is found with 80% power where "
    "two distributions differ by a shift, and the one that is found whatever they are. AUC: how "
    "far from 0.5, and from another model's of 0.5 on the same texts (correlation 0.5 assumed), "
    "it must be. TPR: the least that forget texts can tell from the false positive rate; "
    "fewer holdout texts than 1 / FPR set no threshold."
)


def _of_samples(group: Group, every: Sequence[TwoSamples]) -> Listing:
    return Listing(
        printing.anchor("power", "samples", group.title),
        f"What scores of two samples could show: {group.title}",
        ("Score", "Items", "Question", "Smallest shown"),
        tuple(line for sides in every for line in _sides_lines(sides)),
        n_labels=3,
        notes=(Note("samples", _SAMPLES),),
    )


def _sides_lines(sides: TwoSamples) -> Iterator[tuple[str, ...]]:
    for question, value in sides.questions():
        shown = ABSENT if math.isnan(value) else f"{value:.3f}"
        yield sides.label, f"{sides.n:,} and {sides.m:,}", question, shown
