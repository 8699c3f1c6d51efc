"""`unlearnbench run`: from flags and a configuration file to stored results and a table."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.options import given, options_of
from unlearnbench.cli.plan import print_plan
from unlearnbench.experiments.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unlearnbench.experiments.cell import Cell
    from unlearnbench.results.store import Store
    from unlearnbench.running.launching.grid import Outcome
    from unlearnbench.running.launching.requested import RequestedRun

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
    from unlearnbench.running.launching.requested import RequestedRun

    values = {**(Experiment.from_toml(config) if config else {}), **given(options)}
    asked = RequestedRun.of(values, name, download=not dry_run)
    _tell(asked, dry_run)
    return 0 if dry_run else _run(asked)


def _tell(asked: "RequestedRun", dry_run: bool) -> None:
    """Print the warnings, and the grid of a dry run; of a launcher's processes, one talks."""
    from unlearnbench.models.devices import ranks

    if not ranks.is_first():
        return
    for warning in asked.plan.warnings:
        click.echo(f"unlearnbench: {warning}", err=True)
    if dry_run:
        print_plan(asked.plan, asked.store)


def _run(asked: "RequestedRun") -> int:
    from unlearnbench.models.devices import ranks

    if not ranks.is_first():  # under `accelerate launch` the first one writes and talks
        from unlearnbench.running.cell_run import run_cell
        from unlearnbench.running.launching.in_process import follow

        follow({cell.key: cell for cell in asked.share}, run_cell)
        return 0
    try:
        with _terminating_as_interrupt():
            outcome = asked.run()
    except KeyboardInterrupt:
        return _interrupted(asked)
    return _finish(asked, outcome)


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


def _interrupted(asked: "RequestedRun") -> int:
    done, cells = _n_done(asked.share, asked.store), len(asked.share)
    click.echo(
        f"unlearnbench: interrupted; {done} of {cells} cells are done, "
        "run the same command to go on",
        err=True,
    )
    return INTERRUPTED


def _n_done(cells: "Sequence[Cell]", store: "Store") -> int:
    from unlearnbench.running.launching.grid import is_finished

    finished = {result.key for result in store.load_all(documents=False)[0] if is_finished(result)}
    return sum(cell.key in finished for cell in cells)


def _finish(asked: "RequestedRun", outcome: "Outcome") -> int:
    from unlearnbench.reading import results_of_run

    results = asked.results(outcome)
    if asked.is_part:
        done, cells = _n_done(asked.plan.cells, asked.store), len(asked.plan.cells)
        hint = (
            f"see: unlearnbench report {asked.store.folder}"
            if done == cells
            else "the rest is other shards'"
        )
        click.echo(f"unlearnbench: {done} of {cells} cells of the grid are done; {hint}", err=True)
    elif any(result.status != "failed" for result in results):
        name = asked.named.name if asked.named else None
        shown = results_of_run(asked.store.folder, results, name)
        click.echo(shown.report().to_text().rstrip("\n"))
    for result in results:
        if result.status == "failed":
            log = asked.store.folder / "logs" / f"{result.key}.log"
            told = f"unlearnbench: failed: {result.label}: {result.error} (log: {log})"
            click.echo(told, err=True)
    n_new = len(results) - outcome.n_cached
    click.echo(
        f"unlearnbench: {n_new} cells run, {outcome.n_cached} from before, "
        f"{outcome.n_failed} failed",
        err=True,
    )
    if asked.experiments[0].profile and not n_new:
        told = "nothing was run, so there is no trace; take another --out"
        click.echo(f"unlearnbench: {told}", err=True)
    return 1 if outcome.n_failed else 0
