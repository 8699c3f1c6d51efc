"""The values printed in the paper: shipped with the package, scored and ranked by our own code."""

from unlearnbench.reporting.published.printed import (
    PrintedRow,
    PrintedTable,
    as_table,
    printed_table,
    printed_tables,
)

__all__ = ["PrintedRow", "PrintedTable", "as_table", "printed_table", "printed_tables"]
