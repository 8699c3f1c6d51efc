"""Carries out what a command asks to be run: the plan alone, or the cells and what they show."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from unlearnbench.cli.dry_run import print_plan
from unlearnbench.reading import to_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from unlearnbench.experiments.cell import Cell
    from unlearnbench.results.record import Result
    from unlearnbench.results.store import Store
    from unlearnbench.running.launching.grid import Outcome
    from unlearnbench.running.launching.requested import RequestedRun

INTERRUPTED = 130


def carry_out(
    requested: "RequestedRun",
    dry_run: bool,
    sections: tuple[str, ...] = (),
    show: "Callable[[Sequence[Result]], str] | None" = None,
) -> int:
    """Run the cells that have no result yet and print the sections; the exit status.

    With `dry_run` print what would be run; with `show` what it says of the results, instead.
    """
    from unlearnbench.cli.growing import GrowingTable
    from unlearnbench.models.devices import ranks
    from unlearnbench.running.cell_run import run_cell
    from unlearnbench.running.launching.in_process import follow

    if not ranks.is_first():  # under `accelerate launch` the first one writes and talks
        if not dry_run:
            follow({cell.key: cell for cell in requested.share}, run_cell)
        return 0
    for warning in requested.plan.warnings:
        to_stderr(warning)
    if dry_run:
        share = replace(requested.plan, cells=requested.share)
        print_plan(share, requested.store, requested.plan.cells)
        return 0
    try:
        with terminating_as_interrupt():
            outcome = requested.run(preview=GrowingTable() if show is None else None)
    except KeyboardInterrupt:
        done, cells = _n_done(requested.share, requested.store), len(requested.share)
        to_stderr(f"interrupted; {done} of {cells} cells are done, run the same command to go on")
        return INTERRUPTED
    return _finish(requested, outcome, sections, show)


@contextmanager
def terminating_as_interrupt() -> Iterator[None]:
    """A batch system's polite end (SIGTERM) is Ctrl-C's: claims are given back, workers ended."""

    is_interrupted = False

    def interrupt(*_: object) -> None:
        # A second one, sent in impatience, would end the process before it has said anything.
        nonlocal is_interrupted
        if not is_interrupted:
            is_interrupted = True
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        if is_interrupted:  # whatever handler a cell that was left put back
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif signal.getsignal(signal.SIGTERM) is interrupt:
            signal.signal(signal.SIGTERM, before)


def _n_done(cells: "Sequence[Cell]", store: "Store") -> int:
    from unlearnbench.running.launching.grid import is_finished

    finished = {result.key for result in store.load_all(documents=False)[0] if is_finished(result)}
    return sum(cell.key in finished for cell in cells)


def _finish(
    requested: "RequestedRun",
    outcome: "Outcome",
    sections: tuple[str, ...],
    show: "Callable[[Sequence[Result]], str] | None",
) -> int:
    from unlearnbench.reading import results_of_run

    results = requested.results(outcome)
    if requested.is_part:
        done, cells = _n_done(requested.plan.cells, requested.store), len(requested.plan.cells)
        hint = "the rest is other shards'"
        if done == cells:
            hint = f"see: unlearnbench report {requested.store.folder}"
            if show is not None:
                hint = "for the table run the same command once without --shard"
        to_stderr(f"{done} of {cells} cells of the grid are done; {hint}")
    elif show is not None:
        click.echo(show(results).rstrip("\n"))
    elif any(result.status != "failed" for result in results):
        name = requested.named.name if requested.named else None
        printed = results_of_run(requested.store.folder, results, name)
        click.echo(printed.report(*sections).to_text().rstrip("\n"))
    for result in results:
        if result.status == "failed":
            log = requested.store.folder / "logs" / f"{result.key}.log"
            to_stderr(f"failed: {result.label}: {result.error} (log: {log})")
    n_new = len(results) - outcome.n_cached
    to_stderr(f"{n_new} cells run, {outcome.n_cached} from before, {outcome.n_failed} failed")
    if requested.named and (afterwards := requested.named.definition.afterwards):
        to_stderr(afterwards)
    if requested.experiments[0].profile and not n_new:
        to_stderr("nothing was run, so there is no trace; take another --out")
    if requested.experiments[0].track and not n_new:
        to_stderr("nothing was run, so nothing was tracked; take another --out")
    return 1 if outcome.n_failed else 0
