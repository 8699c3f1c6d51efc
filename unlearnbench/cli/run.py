"""`unlearnbench run`: from flags and a configuration file to stored results and a table."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.options import given, options_of
from unlearnbench.cli.plan import print_plan
from unlearnbench.experiments.experiment import Experiment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.named import Named
    from unlearnbench.experiments.planner import Plan
    from unlearnbench.experiments.recorded import PlannedCell
    from unlearnbench.results.record import Result
    from unlearnbench.results.store import Store
    from unlearnbench.running.launching.grid_run import Outcome

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
    values = {**(Experiment.from_toml(config) if config else {}), **given(options)}
    asked = (
        _plan_of(values, download=not dry_run) if name is None else _named(name, values, dry_run)
    )
    _tell(asked, dry_run)
    return 0 if dry_run else _run(asked)


@dataclass(frozen=True)
class _Asked:
    """What is to be run: one experiment, or the variants of a named one as one grid."""

    experiments: tuple[Experiment, ...]
    plan: "Plan"
    named: "Named | None" = None
    cells: "tuple[PlannedCell, ...]" = ()

    @property
    def store(self) -> "Store":
        from unlearnbench.results.store import Store

        return Store(Path(self.experiments[0].out))

    @property
    def share(self) -> "tuple[Cell, ...]":
        """The cells of the grid that this run is to see to."""
        from unlearnbench.running.launching.choosing import share_of

        return share_of(self.plan.cells, self.experiments[0].shard)

    @property
    def is_part(self) -> bool:
        """Whether other runs see to the rest."""
        return self.experiments[0].shard is not None


def _tell(asked: _Asked, dry_run: bool) -> None:
    """Print the warnings, and the grid of a dry run; of a launcher's processes, one talks."""
    from unlearnbench.models.devices import ranks

    if not ranks.is_first():
        return
    for warning in asked.plan.warnings:
        click.echo(f"unlearnbench: {warning}", err=True)
    if dry_run:
        print_plan(asked.plan, asked.store)


def _plan_of(values: dict[str, Any], download: bool) -> _Asked:
    from unlearnbench.experiments.planner import make_plan

    experiment = Experiment.parse(values)
    return _Asked((experiment,), make_plan(experiment, download))


def _named(name: str, flags: dict[str, Any], dry_run: bool) -> _Asked:
    from unlearnbench.experiments.named import find_experiment
    from unlearnbench.experiments.recorded import plan_experiment
    from unlearnbench.reporting.sections import section

    named = find_experiment(name)
    for one in named.definition.sections:
        section(one)  # an unknown one is told now, not when all is measured
    planned = plan_experiment(named, flags, download=not dry_run)
    return _Asked(planned.experiments, planned.plan, named, planned.cells)


def _run(asked: _Asked) -> int:
    from unlearnbench.models.devices import ranks
    from unlearnbench.running.launching.choosing import run_grid
    from unlearnbench.running.launching.how_to_run import HowToRun
    from unlearnbench.running.launching.in_process import follow, leading

    store = asked.store
    if not ranks.is_first():  # under `accelerate launch` the first one writes and talks
        from unlearnbench.running.cell_run import run_cell

        follow({cell.key: cell for cell in asked.share}, run_cell)
        return 0
    plugins = tuple(file for e in asked.experiments for file in e.plugin)
    with store.writing():
        _keep(asked)
        try:
            with _terminating_as_interrupt(), leading():
                how = HowToRun.of(asked.experiments[0], asked.plan.jobs, plugins)
                outcome = run_grid(asked.share, store, how)
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


def _keep(asked: _Asked) -> None:
    """Keep what was asked beside the results, before the first of them is there."""
    for experiment in asked.experiments:
        asked.store.save_experiment(experiment.to_toml())
    if asked.named is not None:
        from unlearnbench.experiments.recorded import record

        record(asked.store.folder, asked.named, asked.cells)


def _interrupted(asked: _Asked) -> int:
    done, cells = _n_done(asked.share, asked.store), len(asked.share)
    click.echo(
        f"unlearnbench: interrupted; {done} of {cells} cells are done, "
        "run the same command to go on",
        err=True,
    )
    return INTERRUPTED


def _n_done(cells: "Sequence[Cell]", store: "Store") -> int:
    from unlearnbench.running.launching.grid_run import is_finished

    finished = {result.key for result in store.load_all()[0] if is_finished(result)}
    return sum(cell.key in finished for cell in cells)


def _finish(asked: _Asked, outcome: "Outcome") -> int:
    # A result from before keeps the place its method had then; the order asked for is this run's.
    results = [
        outcome.results[c.key].model_copy(update={"position": c.position})
        for c in asked.share
        if c.key in outcome.results
    ]
    if asked.is_part:
        done, cells = _n_done(asked.plan.cells, asked.store), len(asked.plan.cells)
        hint = (
            f"see: unlearnbench report {asked.store.folder}"
            if done == cells
            else "the rest is other shards'"
        )
        click.echo(f"unlearnbench: {done} of {cells} cells of the grid are done; {hint}", err=True)
    elif any(result.status != "failed" for result in results):
        click.echo(_shown(asked, results).rstrip("\n"))
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


def _shown(asked: _Asked, results: "list[Result]") -> str:
    from unlearnbench.cli.reading import NONE, shown_in
    from unlearnbench.registry import find
    from unlearnbench.results.store import newest

    name = asked.named.name if asked.named else None
    if name is not None:  # earlier runs of the experiment are part of it
        results = newest(asked.store.load_all()[0])[0]
    # Judges and studies are chosen in a report; here is no place to ask which.
    shown = shown_in(asked.store.folder, results, name, NONE, NONE)
    text: str = find("reports", "plain")().render(shown.document())
    return text
