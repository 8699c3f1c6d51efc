"""`unlearnbench run`: from flags and a configuration file to stored results and a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.options import given, options_of
from unlearnbench.experiment import Experiment

if TYPE_CHECKING:
    from unlearnbench.grid import Plan
    from unlearnbench.runner import Outcome
    from unlearnbench.store import Store

INTERRUPTED = 130


@click.command()
@options_of(Experiment)
@click.option("--config", type=click.Path(path_type=Path), help="a TOML file of options; flags win")
@click.option("--dry-run", is_flag=True, help="print the grid and what it costs; run nothing")
def run(config: Path | None, dry_run: bool, **options: Any) -> int:
    """Make models forget, measure what they forgot and what they still can, print the table.

    Cells that have a result in --out already are not run again.
    """
    values = Experiment.from_toml(config) if config else {}
    experiment = Experiment.parse({**values, **given(options)})
    from unlearnbench.grid import make_plan
    from unlearnbench.store import Store

    store = Store(Path(experiment.out))
    plan = make_plan(experiment, download=not dry_run)
    for warning in plan.warnings:
        click.echo(f"unlearnbench: {warning}", err=True)
    if dry_run:
        _print_plan(plan, store)
        return 0
    return _run(experiment, plan, store)


def _run(experiment: Experiment, plan: "Plan", store: "Store") -> int:
    from unlearnbench.runner import is_first_process, run_beside, run_grid

    if not is_first_process():  # under `accelerate launch` the first one writes and talks
        run_beside(plan.cells, store)
        return 0
    with store.lock():
        store.save_experiment(experiment.to_toml())
        try:
            outcome = run_grid(plan.cells, store, plan.workers, experiment.plugin)
        except KeyboardInterrupt:
            return _interrupted(plan, store)
    return _finish(plan, outcome)


def _interrupted(plan: "Plan", store: "Store") -> int:
    from unlearnbench.runner import is_finished

    done = sum(is_finished(store.load(cell.key)) for cell in plan.cells)
    click.echo(
        f"unlearnbench: interrupted; {done} of {len(plan.cells)} cells are done, "
        "run the same command to go on",
        err=True,
    )
    return INTERRUPTED


def _finish(plan: "Plan", outcome: "Outcome") -> int:
    from unlearnbench.cli.report import make_document
    from unlearnbench.registry import find

    # A result from before keeps the place its method had then; the order asked for is this run's.
    results = [
        outcome.results[c.key].model_copy(update={"position": c.position})
        for c in plan.cells
        if c.key in outcome.results
    ]
    if any(result.status != "failed" for result in results):
        text = find("reports", "plain")().render(make_document(results))
        click.echo(text.rstrip("\n"))
    for result in results:
        if result.status == "failed":
            click.echo(f"unlearnbench: failed: {result.label}: {result.error}", err=True)
    n_new = len(results) - outcome.n_cached
    click.echo(
        f"unlearnbench: {n_new} cells run, {outcome.n_cached} from before, "
        f"{outcome.n_failed} failed",
        err=True,
    )
    return 1 if outcome.n_failed else 0


def _print_plan(plan: "Plan", store: "Store") -> None:
    from unlearnbench.estimate import examination_tokens, in_words, training_memory, training_tokens
    from unlearnbench.runner import is_finished

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
    click.echo(f"{len(plan.cells)} cells, {done} done; {plan.workers} at a time")
    click.echo(
        "Tokens are an upper bound: every epoch up to the limit, every EL start decoded on its "
        "own; measuring the tasks comes on top."
    )
    if not all(cell.data.has_fixed_length(cell.run) for cell in plan.cells):
        click.echo(
            "'or so': rows of free text are counted as the benchmark's, 100 tokens (200 with "
            "protocol.sequence=all), and may be longer."
        )
