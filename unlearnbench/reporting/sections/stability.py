"""Who is first by s_z and s_m, and how surely: other runs, one metric less, one row less."""

from collections.abc import Iterator, Sequence

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.stability import N_DRAWS, Stability, rank_stability
from unlearnbench.analysis.table import ABSENT, S_M, S_Z, SCORE_NAMES, Column, Group, Row
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Findings, Listing

_ONE_LESS = (
    "A metric less, a row less: in how many of the rankings without one of the metrics, or "
    "without one of the other rows, the row is first; a tie counts for all in it. By the table's "
    "means."
)
_MANY_RUNS = 10


def blocks(findings: Findings) -> Iterator[Listing]:
    """Two listings per group with scores: how often each row is first, and who is without what."""
    columns = findings.table.metric_columns
    for group in findings.table.groups:
        if group.scored:
            stability = rank_stability(group, columns, findings.by_key)
            yield _shares(group, stability)
            yield _one_less(group, stability, columns)


def _shares(group: Group, stability: Stability) -> Listing:
    kinds = ("{}", "{}: runs drawn anew", "{}: a metric less", "{}: a row less")
    return Listing(
        printing.anchor("stability", group.title),
        f"How often each row is first by s_z and s_m: {group.title}",
        ("Row", *(kind.format(score) for kind in kinds for score in SCORE_NAMES)),
        tuple(_line(group, row, at, stability) for at, row in enumerate(group.compared)),
        notes=printing.notes(("shares", _about_runs(stability)), ("one_less", _ONE_LESS)),
    )


def _line(group: Group, row: Row, at: int, stability: Stability) -> tuple[str, ...]:
    shares = (stability.shares.get(score) for score in SCORE_NAMES)
    return (
        row.label,
        *(group.text(row, column) for column in (S_Z, S_M)),
        *(ABSENT if share is None else printing.share(share[at]) for share in shares),
        *(
            _times_first(row.label, [firsts[score] for left, firsts in without.items()
                                     if left != row.label])
            for without in (stability.without_metric, stability.without_row)
            for score in range(len(SCORE_NAMES))
        ),
    )  # fmt: skip


def _times_first(label: str, firsts: Sequence[Sequence[str]]) -> str:
    """'6 of 8'."""
    return f"{sum(label in labels for labels in firsts)} of {len(firsts)}" if firsts else ABSENT


def _about_runs(stability: Stability) -> str:
    if not stability.shares:
        return (
            "Runs drawn anew: – as the rows have fewer than two runs (forget set and seed) in "
            "common; how sure a first place is over runs cannot be said."
        )
    which = "all" if stability.is_exact else f"{N_DRAWS:,} random"
    few = ""
    if stability.n_runs < _MANY_RUNS:
        few = " So few runs can only hint at what others would give."
    return (
        f"Runs drawn anew: the share of {which} resamplings, with replacement, of the "
        f"{stability.n_runs} runs that every row has, in which the row is first, ties shared.{few}"
    )


def _one_less(group: Group, stability: Stability, columns: tuple[Column, ...]) -> Listing:
    labels = {column.name: column.label for column in columns}
    in_table = (
        [row.label for row in group.compared if score in row.cells and row.cells[score].rank == 1]
        for score in SCORE_NAMES
    )
    lines = [
        (ABSENT, "nothing", *map(listed, in_table)),
        *(("metric", labels[left], *map(listed, firsts))
          for left, firsts in stability.without_metric.items()),
        *(("row", left, *map(listed, firsts)) for left, firsts in stability.without_row.items()),
    ]  # fmt: skip
    return Listing(
        printing.anchor("first-without", group.title),
        f"Who is first when one metric, or one row, is left out: {group.title}",
        ("Less a", "Left out", "First by s_z", "First by s_m"),
        tuple(lines),
        n_labels=4,
    )
