"""The comparison table: Table I's columns, one group of rows per model."""

from unlearnbench.reporting.document import Block
from unlearnbench.reporting.findings import Findings


def blocks(findings: Findings) -> tuple[Block, ...]:
    """The findings' table as it is."""
    return (findings.table,)
