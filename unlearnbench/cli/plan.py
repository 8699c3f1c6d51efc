"""What `--dry-run` prints: the grid, what is done, and what the rest costs."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from unlearnbench.grid import Plan
    from unlearnbench.store import Store


def print_plan(plan: "Plan", store: "Store") -> None:
    """Print every cell with its state and an upper bound of its cost."""
    from unlearnbench.estimate import examination_tokens, in_words, training_memory, training_tokens
    from unlearnbench.launching.grid_run import is_finished

    for cell in plan.cells:
        state = "done" if is_finished(store.load(cell.key)) else "to do"
        size = plan.size(cell)
        bound = "at most" if cell.data.has_fixed_length(cell.run) else "or so"
        tokens = training_tokens(size) + examination_tokens(size)
        cost = f"{tokens:.3g} forward tokens {bound}"
        memory = f"{in_words(training_memory(size))} and activations"
        trained = f"  {cost}  {memory}" if cell.role == "method" else ""
        click.echo(f"{cell.key[:12]}  {state:<5}  {cell.title}{trained}")
    done = sum(is_finished(store.load(cell.key)) for cell in plan.cells)
    click.echo(f"{len(plan.cells)} cells, {done} done; {plan.jobs} at a time")
    click.echo(
        "Tokens are an upper bound: every epoch up to the limit, every EL start decoded on its "
        "own; measuring the tasks comes on top."
    )
    if not all(cell.data.has_fixed_length(cell.run) for cell in plan.cells):
        click.echo(
            "'or so': rows of free text are counted as the benchmark's, 100 tokens (200 with "
            "protocol.sequence=all), and may be longer."
        )
