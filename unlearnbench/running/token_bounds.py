"""How many tokens a cell sends through its network at most, computed before anything runs."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell


def row_length(cell: "Cell") -> int:
    """T, tokens per sequence: the benchmark's spans; rows of free text may be longer."""
    return 200 if cell.protocol.sequence == "all" else 100


def n_rows(cell: "Cell") -> int:
    """M, sequences to forget."""
    return len(cell.data.doc_ids(cell.run, cell.limit))


def training_tokens(n_rows: int, length: int, max_epochs: int) -> int:
    """Upper bound of forward tokens spent on optimisation.

    Each epoch shows at most three sequences of T tokens per row: the target, its
    pair, and another completion; rows that sit out and epochs saved by the stop
    rule make it less.
    """
    return 3 * n_rows * length * max_epochs


def examination_tokens(n_rows: int, length: int, max_epochs: int) -> int:
    """Upper bound of forward tokens spent on deciding what is forgotten.

    One teacher-forced pass (T), one continuation (at most T), and for EL at most
    one continuation per start position (1 + 2 + ... + T), once per epoch and once
    before the first.  A model that knows its rows costs a fraction: every start
    before the same miss shares one continuation.
    """
    per_row = 2 * length + length * (length + 1) // 2
    return n_rows * per_row * (max_epochs + 1)


def forward_tokens(cell: "Cell") -> int:
    """Upper bound of both together; measuring the tasks comes on top."""
    size = (n_rows(cell), row_length(cell), int(cell.settings.get("max_epochs", 0)))
    return training_tokens(*size) + examination_tokens(*size)
