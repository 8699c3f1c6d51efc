"""`unlearnbench run`: from flags and a configuration file to stored results and a table."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.options import explicit, options_of
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.reading import to_stderr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.planner import Plan
    from unlearnbench.results.store import Store
    from unlearnbench.running.launching.grid import Outcome
    from unlearnbench.running.launching.requested import RequestedRun
    from unlearnbench.running.memory.prediction import MemoryNeed

INTERRUPTED = 130


@click.command()
@options_of(Experiment)
@click.option("--config", type=click.Path(path_type=Path), help="a TOML file of options; flags win")
@click.option(
    "--experiment",
    "name",
    metavar="NAME",
    help="a table or figure of the paper, or a .toml file of one's own; flags win",
)
@click.option("--dry-run", is_flag=True, help="print the grid and what it costs; run nothing")
def run(config: Path | None, name: str | None, dry_run: bool, **options: Any) -> int:
    """Make models forget, measure what they forgot and what they still can, print the table.

    Cells that have a result in --out already are not run again.  With --experiment the
    grid is that of `unlearnbench list experiments`, and `unlearnbench report
    --experiment NAME` prints what it is for.
    """
    from unlearnbench.models.devices import ranks
    from unlearnbench.running.cell_run import run_cell
    from unlearnbench.running.launching.in_process import follow
    from unlearnbench.running.launching.requested import RequestedRun

    values = {**(Experiment.from_toml(config) if config else {}), **explicit(options)}
    requested = RequestedRun.of(values, name, download=not dry_run)
    if not ranks.is_first():  # under `accelerate launch` the first one writes and talks
        if not dry_run:
            follow({cell.key: cell for cell in requested.share}, run_cell)
        return 0
    for warning in requested.plan.warnings:
        to_stderr(warning)
    if dry_run:
        _print_plan(replace(requested.plan, cells=requested.share), requested.store)
        return 0
    try:
        with _terminating_as_interrupt():
            outcome = requested.run()
    except KeyboardInterrupt:
        done, cells = _n_done(requested.share, requested.store), len(requested.share)
        to_stderr(f"interrupted; {done} of {cells} cells are done, run the same command to go on")
        return INTERRUPTED
    return _finish(requested, outcome)


@contextmanager
def _terminating_as_interrupt() -> Iterator[None]:
    """A batch system's polite end (SIGTERM) is Ctrl-C's: claims are given back, workers ended."""

    def interrupt(*_: object) -> None:
        # A second one, sent in impatience, would end the process before it has said anything.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, before)


def _n_done(cells: "Sequence[Cell]", store: "Store") -> int:
    from unlearnbench.running.launching.grid import is_finished

    finished = {result.key for result in store.load_all(documents=False)[0] if is_finished(result)}
    return sum(cell.key in finished for cell in cells)


def _finish(requested: "RequestedRun", outcome: "Outcome") -> int:
    from unlearnbench.reading import results_of_run

    results = requested.results(outcome)
    if requested.is_part:
        done, cells = _n_done(requested.plan.cells, requested.store), len(requested.plan.cells)
        hint = "the rest is other shards'"
        if done == cells:
            hint = f"see: unlearnbench report {requested.store.folder}"
        to_stderr(f"{done} of {cells} cells of the grid are done; {hint}")
    elif any(result.status != "failed" for result in results):
        name = requested.named.name if requested.named else None
        printed = results_of_run(requested.store.folder, results, name)
        click.echo(printed.report().to_text().rstrip("\n"))
    for result in results:
        if result.status == "failed":
            log = requested.store.folder / "logs" / f"{result.key}.log"
            to_stderr(f"failed: {result.label}: {result.error} (log: {log})")
    n_new = len(results) - outcome.n_cached
    to_stderr(f"{n_new} cells run, {outcome.n_cached} from before, {outcome.n_failed} failed")
    if requested.experiments[0].profile and not n_new:
        to_stderr("nothing was run, so there is no trace; take another --out")
    return 1 if outcome.n_failed else 0


def _print_plan(plan: "Plan", store: "Store") -> None:
    """Print every cell with its state and an upper bound of its cost, and the memory it takes."""
    from unlearnbench.running.launching.grid import is_finished
    from unlearnbench.running.token_bounds import forward_tokens

    done = [is_finished(store.load(cell.key)) for cell in plan.cells]
    for cell, finished in zip(plan.cells, done, strict=True):
        state = "done" if finished else "to do"
        bound = "at most" if cell.data.has_fixed_length(cell.run) else "or so"
        cost = f"  {forward_tokens(cell):.3g} forward tokens {bound}"
        click.echo(
            f"{cell.key[:12]}  {state:<5}  {cell.title}{cost if cell.role == 'method' else ''}"
        )
    at_a_time = f"{plan.jobs} at a time" if plan.jobs else "one after the other in this process"
    click.echo(f"{len(plan.cells)} cells, {sum(done)} done; {at_a_time}")
    click.echo(
        "Tokens are an upper bound: every epoch up to the limit, every EL start decoded on its "
        "own; measuring the tasks comes on top."
    )
    if not all(cell.data.has_fixed_length(cell.run) for cell in plan.cells):
        click.echo(
            "'or so': rows of free text are counted as the benchmark's, 100 tokens (200 with "
            "protocol.sequence=all), and may be longer."
        )
    _print_memory(plan)


def _print_memory(plan: "Plan") -> None:
    """A line per model, method and way to train it, and what to change where it does not fit."""
    from unlearnbench.running.memory.advice import smallest_change
    from unlearnbench.running.memory.prediction import in_words, predict
    from unlearnbench.running.memory.process import available

    kinds = {_kind(cell): cell for cell in plan.cells if cell.role == "method"}
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
