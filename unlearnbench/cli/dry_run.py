"""What `--dry-run` prints: the grid, its cost at most, what it can show, the memory it takes."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.planner import Plan
    from unlearnbench.results.store import Store
    from unlearnbench.running.memory.prediction import MemoryNeed


def print_plan(plan: "Plan", store: "Store", whole: "Sequence[Cell]") -> None:
    """Print every cell with its state and cost at most, what they can show, and their memory.

    `whole` are the cells of the table, of which the plan's may be a share; none for no table.
    """
    from unlearnbench.cli.dry_run_power import power_lines
    from unlearnbench.running.launching.grid import is_finished
    from unlearnbench.running.token_bounds import calibration_tokens, forward_tokens

    done = [is_finished(store.load(cell.key)) for cell in plan.cells]
    for cell, finished in zip(plan.cells, done, strict=True):
        state = "done" if finished else "to do"
        bound = "at most" if cell.data.has_fixed_length(cell.run) else "or so"
        cost = f"  {forward_tokens(cell):.3g} forward tokens {bound}"
        click.echo(
            f"{cell.key[:12]}  {state:<5}  {cell.title}"
            f"{cost if cell.is_trained or cell.attack else ''}"
        )
    at_a_time = f"{plan.jobs} at a time" if plan.jobs else "one after the other in this process"
    click.echo(f"{len(plan.cells)} cells, {sum(done)} done; {at_a_time}")
    click.echo(
        "Tokens are an upper bound: every epoch up to the limit, every EL start decoded on its "
        "own; measuring the tasks comes on top."
    )
    if calibrating := max(map(calibration_tokens, plan.cells), default=0):
        click.echo(
            f"The stop line is calibrated on unseen rows, once for each model: {calibrating:.3g} "
            "forward tokens."
        )
    if any(cell.attack for cell in plan.cells):
        click.echo(
            "Under attack they are those of the attack, of examining the rows at each point "
            "without EL, and of unlearning again, where the unlearned model was not kept."
        )
    if not all(cell.data.has_fixed_length(cell.run) for cell in plan.cells):
        click.echo(
            "'or so': rows of free text are counted as the benchmark's, 100 tokens (200 with "
            "protocol.sequence=all), and may be longer."
        )
    for line in power_lines(whole):
        click.echo(line)
    _print_memory(plan)


def _print_memory(plan: "Plan") -> None:
    """A line per model, method and way to train it, and what to change where it does not fit."""
    from unlearnbench.running.memory.advice import smallest_change
    from unlearnbench.running.memory.prediction import in_words, predict
    from unlearnbench.running.memory.process import available

    kinds = {_kind(cell): cell for cell in plan.cells if cell.is_trained}
    if not kinds:
        return
    click.echo("\nMemory of one process at its peak, predicted:")
    for cell in kinds.values():
        name = f"  {cell.model.source.name} {cell.method}{_way(cell)}"
        try:
            need = predict(cell)
        except Exception as error:  # whatever a foreign configuration lacks; the others go on
            click.echo(f"{name}: cannot be predicted ({type(error).__name__}: {error})")
            continue
        click.echo(f"{name}: {_in_parts(need)}")
        room = available(cell.model.device)
        each = room.n_bytes // max(plan.jobs, 1)
        if need.total > each:
            shared = f" for each of {plan.jobs}" if plan.jobs > 1 else ""
            free = f"{in_words(each)} of {room.of} is free{shared}"
            change = smallest_change(cell, each)
            advice = "no option makes it fit; take a smaller model or another machine"
            if change is not None:
                advice = f"it would with {change[0]} ({in_words(change[1].total)})"
            click.echo(f"    does not fit: {free}; {advice}")
    if any(not cell.model.device.startswith("cpu") for cell in kinds.values()):
        click.echo("  On a GPU its context comes on top, about half a GB.")


def _kind(cell: "Cell") -> tuple[object, ...]:
    """What decides a cell's memory."""
    model, size = cell.model, cell.settings.get("batch_size")
    return (model.source.name, model.dtype, model.device, model.strategy, cell.method, size)


def _way(cell: "Cell") -> str:
    """How it is trained, where that is not the plain way."""
    ways = dict(cell.model.strategy.identity)
    ways |= ways.pop("schedule", {})
    words = [name if value is True else f"{name} {value}" for name, value in ways.items()]
    if cell.model.dtype != "float32":
        words.append(cell.model.dtype)
    return f" ({', '.join(words)})".replace("_", " ") if words else ""


def _in_parts(need: "MemoryNeed") -> str:
    """'4.1 GB, in unlearn: activations 1.75 GB, ...', the largest part first."""
    from unlearnbench.running.memory.prediction import in_words

    parts = sorted(need.parts.items(), key=lambda part: -part[1])
    largest = ", ".join(f"{name} {in_words(n)}" for name, n in parts if n >= need.total / 200)
    return f"{in_words(need.total)}, in {need.peak}: {largest}"
