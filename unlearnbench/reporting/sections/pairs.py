"""Every two compared rows on the same documents: difference, interval and p-value per metric."""

from collections.abc import Iterator, Sequence
from math import comb

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.paired import ALL_PAIRS_UP_TO, LEVEL, Pair, pairwise
from unlearnbench.analysis.table import INDISTINCT, Column, Group, Note
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Findings, Listing

Pairs = Sequence[tuple[Column, Sequence[Pair]]]

_TEST = (
    "Paired sign-flip test, two-sided: whether exchanging both rows' outcomes of a document, all "
    "its runs together, makes as large a difference. Conditional on these runs: it speaks of "
    "other documents, not of other forget sets or seeds."
)
_WHAT = (
    "Difference: first minus second. Documents: rows of the forget sets, questions, conversations, "
    "or windows of a text."
)
_INTERVAL = "Intervals: 95% BCa bootstrap over documents, of each pair alone, not corrected."


def blocks(findings: Findings) -> Iterator[Listing]:
    """One listing per group that has two rows to compare."""
    for group in findings.table.groups:
        columns = [c for c in findings.table.metric_columns if c.in_score]
        pairs_of = [(column, pairwise(group, column, findings.by_key)) for column in columns]
        if any(pairs for _, pairs in pairs_of):
            yield _listing(group, pairs_of)


def _listing(group: Group, pairs_of: Pairs) -> Listing:
    return Listing(
        printing.anchor("pairs", group.title),
        f"Every two rows on the same documents: {group.title}",
        ("Metric", "First", "Second", "Better", "Difference", "95% interval", "p",
         "p, corrected", "Documents"),
        tuple(_line(column, pair) for column, pairs in pairs_of for pair in pairs),
        n_labels=4,
        notes=_notes(group, pairs_of),
    )  # fmt: skip


def _line(column: Column, pair: Pair) -> tuple[str, ...]:
    return (
        printing.header(column),
        pair.first,
        pair.second,
        _better(column, pair),
        printing.difference(column, pair.difference),
        printing.interval(column, pair.low, pair.high),
        printing.p_value(pair.p),
        printing.p_value(pair.p_corrected),
        printing.count(pair.n_documents),
    )


def _better(column: Column, pair: Pair) -> str:
    """The better row, if the corrected p-value tells the two apart."""
    if not pair.p_corrected < LEVEL or pair.difference == 0:
        return INDISTINCT
    return pair.first if (pair.difference > 0) == column.higher_is_better else pair.second


def _notes(group: Group, pairs_of: Pairs) -> tuple[Note, ...]:
    capped = any(column.capped and pairs for column, pairs in pairs_of)
    return printing.notes(
        ("what", _WHAT),
        ("test", _TEST),
        ("correction", _correction(group)),
        ("interval", _INTERVAL),
        ("capped", "Perplexities are compared uncapped, by their logarithms." if capped else ""),
        ("untested", _untested(group, pairs_of)),
    )


def _correction(group: Group) -> str:
    n_pairs = comb(len(group.compared), 2)
    sign = f"{INDISTINCT}: not told apart, corrected p at least {LEVEL:g}."
    if len(group.compared) > ALL_PAIRS_UP_TO:
        return (
            f"Corrected for all {n_pairs} pairs of a metric by Bonferroni's rule; of so many rows "
            f"only the best is compared with the second. {sign}"
        )
    return f"Corrected by Holm's rule for the up to {n_pairs} pairs of a metric. {sign}"


def _untested(group: Group, pairs_of: Pairs) -> str:
    n_pairs = comb(len(group.compared), 2)
    missing = [
        f"{n_pairs - len(pairs)} of {n_pairs} in {column.label}"
        for column, pairs in pairs_of
        if len(pairs) < n_pairs and any(column.name in row.cells for row in group.compared)
    ]
    if not missing or len(group.compared) > ALL_PAIRS_UP_TO:
        return ""
    return f"Pairs without outcomes by document in common are left out: {listed(missing)}."
