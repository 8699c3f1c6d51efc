"""`unlearnbench run`: from flags and a configuration file to stored results and a table."""

from pathlib import Path
from typing import Any

import click

from unlearnbench.cli.carrying_out import carry_out
from unlearnbench.cli.options import explicit, options_of
from unlearnbench.experiments.experiment import Experiment


@click.command()
@options_of(Experiment)
@click.option("--config", type=click.Path(path_type=Path), help="a TOML file of options; flags win")
@click.option(
    "--experiment",
    "name",
    metavar="NAME",
    help="a table or figure of the paper, or a .toml file of one's own; flags win",
)
@click.option(
    "--dry-run", is_flag=True, help="print the grid, its cost and what it can show; run nothing"
)
def run(config: Path | None, name: str | None, dry_run: bool, **options: Any) -> int:
    """Make models forget, measure what they forgot and what they still can, print the table.

    Without an option that says what to compare it is a first look: five methods on one
    small forget set of the nano world, in two minutes.

    Cells that have a result in --out already are not run again.  With --experiment the
    grid is that of `unlearnbench list experiments`, and `unlearnbench report
    --experiment NAME` prints what it is for.
    """
    from unlearnbench.running.launching.requested import RequestedRun

    values = {**(Experiment.from_toml(config) if config else {}), **explicit(options)}
    requested = RequestedRun.of(values, name, download=not dry_run)
    return carry_out(requested, dry_run)
