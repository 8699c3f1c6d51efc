"""The values printed in the paper: shipped with the package, scored and ranked by our own code."""

from unlearnbench.reporting.published.printed import (
    PrintedRow,
    PrintedTable,
    printed_table,
    printed_tables,
)
from unlearnbench.reporting.published.tables import as_table, table_from_published

__all__ = [
    "PrintedRow",
    "PrintedTable",
    "as_table",
    "printed_table",
    "printed_tables",
    "table_from_published",
]
