"""How many tokens a cell sends through its network at most, computed before anything runs."""

from typing import TYPE_CHECKING, Any

from unlearnbench.registry import find
from unlearnbench.running.unlearned import kept_model
from unlearnbench.unlearning.ending import EVERY, WINDOWS
from unlearnbench.unlearning.method import Method

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

_ALL_ROWS = Method.active_rows


def row_length(cell: "Cell") -> int:
    """T, tokens per sequence: the benchmark's spans; rows of free text may be longer."""
    return 200 if cell.protocol.sequence == "all" else 100


def n_rows(cell: "Cell") -> int:
    """M, sequences to forget."""
    return len(cell.data.doc_ids(cell.run, cell.limit))


def training_tokens(n_rows: int, length: int, max_epochs: int, per_row: int = 3) -> int:
    """Upper bound of forward tokens spent on optimisation.

    Each epoch shows at most three sequences of T tokens per row: the target, its
    pair, and another completion; rows that sit out and epochs saved by the stop
    rule make it less.
    """
    return per_row * n_rows * length * max_epochs


def sequences_per_row(cell: "Cell") -> int:
    """How many sequences per row and epoch go through the network in training at most.

    A wrapper may go through a batch once more.  What is drawn anew in each epoch is shown to the
    original model, too, before the first step.
    """
    method: Any = find("methods", cell.method)
    passes = 1 + len(getattr(method, "wrapper_kinds", None) or ())
    drawn = {"refusals", "alternates"} & set(method.needs)
    return 3 * passes + (2 if drawn or cell.data.request.pairing != "nearest" else 0)


def examination_tokens(n_rows: int, length: int, max_epochs: int) -> int:
    """Upper bound of forward tokens spent on deciding what is forgotten.

    One teacher-forced pass (T), one continuation (at most T), and for EL at most
    one continuation per start position (1 + 2 + ... + T), once per epoch and once
    before the first.  A model that knows its rows costs a fraction: every start
    before the same miss shares one continuation.
    """
    per_row = 2 * length + length * (length + 1) // 2
    return n_rows * per_row * (max_epochs + 1)


def calibration_tokens(cell: "Cell") -> int:
    """Upper bound of forward tokens spent on the stop line: examining the unseen rows once."""
    unseen = cell.data.source.unseen
    if cell.stop == "paper" or unseen is None:
        return 0
    return examination_tokens(len(unseen), row_length(cell), 0)


def nll_tokens(cell: "Cell", max_epochs: int) -> int:
    """Upper bound of forward tokens spent on the NLL of single rows and of unseen ones.

    Once per epoch and once before the first, where the stop line looks at single rows.
    """
    unseen = cell.data.source.unseen
    if cell.stop != "rows" or unseen is None:
        return 0
    return (n_rows(cell) + len(unseen)) * row_length(cell) * (max_epochs + 1)


def budget_tokens(n_steps: int, n_epochs: int, every: int) -> int:
    """Upper bound of forward tokens spent on a utility budget's text.

    16 windows of 512 tokens, before the first step, every so many steps and at each epoch's end.
    """
    return WINDOWS * 512 * (1 + n_steps // every + n_epochs)


def forward_tokens(cell: "Cell") -> int:
    """Upper bound of all of them together; measuring the tasks comes on top.

    Under attack measuring is examining the rows at each point, without EL; to unlearn again comes
    on top where the unlearned model was not kept.
    """
    if cell.attack is None:
        return _unlearning_tokens(cell)
    kind: Any = find("attacks", cell.attack.name)
    attack, rows, length = kind(**cell.attack.settings), n_rows(cell), row_length(cell)
    tokens: int = attack.forward_tokens(rows, length) + attack.n_points * rows * 2 * length
    is_lost = cell.is_trained and kept_model(cell) is None
    return tokens + (_unlearning_tokens(cell) if is_lost else 0)


def _unlearning_tokens(cell: "Cell") -> int:
    schedule, rows, length = cell.model.strategy.schedule, n_rows(cell), row_length(cell)
    if not cell.is_trained or (cell.noise is not None and kept_model(cell) is not None):
        return examination_tokens(rows, length, 0)
    run = (rows, int(cell.settings["batch_size"]), int(cell.settings["max_epochs"]))
    n_epochs, n_steps = schedule.n_epochs(*run), schedule.length(*run).n_steps
    examined, method = n_epochs, find("methods", cell.method)
    if schedule.until == "steps" and getattr(method, "active_rows", None) is not _ALL_ROWS:
        examined = n_steps  # an epoch over the last active row has one step
    tokens = training_tokens(rows, length, n_epochs, sequences_per_row(cell))
    tokens += examination_tokens(rows, length, examined) + nll_tokens(cell, examined)
    if schedule.until != "budget":
        return tokens
    return tokens + budget_tokens(n_steps, n_epochs, schedule.budget_every or EVERY)
