"""From results, or from given means, to the ranked and scored table."""

from collections.abc import Sequence

from unlearnbench.analysis.columns import PAPER_COLUMNS, Column, columns_of
from unlearnbench.analysis.footnotes import mark
from unlearnbench.analysis.notes import notes_of
from unlearnbench.analysis.ranking import compare
from unlearnbench.analysis.rows import groups_of
from unlearnbench.analysis.table import Group, Table
from unlearnbench.errors import UserError
from unlearnbench.results.record import Result


def build_table(results: Sequence[Result]) -> Table:
    """The table of a set of results: one group per model and way of measuring.

    Failed and collapsed cells are no part of a mean; they are counted in a footnote.
    Raises `UserError` for no results, and if results disagree on what a metric is.
    """
    if not results:
        raise UserError("no results to report; make some with: unlearnbench run")
    columns, other = columns_of(results)
    return _finished(groups_of(results, (*columns, *other)), columns, other)


def table_of_means(groups: Sequence[Group]) -> Table:
    """The table of rows with given cells over the paper's columns, ranked and scored."""
    return _finished(groups, PAPER_COLUMNS, ())


def _finished(
    groups: Sequence[Group], columns: tuple[Column, ...], other: tuple[Column, ...]
) -> Table:
    compared = tuple(mark(compare(group, columns)) for group in groups)
    return Table(columns, compared, other, notes_of(compared, columns, other))
