"""Grids of cells: run, and attacked."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.api.options import warn, without_none
from unlearnbench.errors import UserError

if TYPE_CHECKING:
    from unlearnbench.analysis.meta.table import MetaTable
    from unlearnbench.reading import Results
    from unlearnbench.running.launching.requested import RequestedRun


def run(*, experiment: str | None = None, progress: bool = False, **options: Any) -> "Results":
    """Run a grid of cells, or a named experiment, and give its results.

    The options are those of `unlearnbench run` (its --help explains them) with underscores:
    methods=["icu"], model="nano-neo", limit=8, out="results"; settings={"icu.alpha": 0.1} is
    its --set.  What has a result in `out` is not run again.  Cells run one after the other in
    this process unless `jobs` says otherwise; a script that gives `jobs` needs
    `if __name__ == "__main__":` around the call.
    A cell that fails is a result with status 'failed'.  Raises `UserError` for what cannot be had
    before any cell is run.
    """
    from unlearnbench.running.launching.requested import RequestedRun

    _check_one_process()
    requested = RequestedRun.of(without_none({"jobs": 0, **options}), experiment, spelling="{}")
    warn(requested.plan.warnings)
    named = requested.named.name if requested.named else None
    return _carried_out(requested, progress, named)


def attack(folder: str | Path = "results", *, progress: bool = False, **options: Any) -> "Results":
    """Attack the models whose results lie in a folder, and give these and those under attack.

    The options are those of `unlearnbench attack` with underscores: attacks=["relearn"],
    methods=["icu"], settings={"relearn.steps": [0, 20]}.  The attacked models' own results are the
    sequence; `.attacked` has them under attack, and `.report("attacks")` what came back.
    Raises `UserError` for what cannot be had before anything is run.
    """
    from unlearnbench.running.launching.requested import RequestedRun

    _check_one_process()
    requested = RequestedRun.under_attack(Path(folder), without_none({"jobs": 0, **options}))
    warn(requested.plan.warnings)
    return _carried_out(requested, progress)


def meta(pools: str | Path, *, progress: bool = False, **options: Any) -> "MetaTable":
    """Test metrics on pools of models with and without the knowledge of a forget set.

    `pools` is a name that `unlearnbench list pools` gives or a .toml file; the options are those of
    `unlearnbench meta` with underscores: tasks=["answers"], limit=8, out="results".  The table is
    also written to OUT/meta.json; `.to_frame()` has one row a metric, `.to_frame("models")` one a
    model with its values, `.to_frame("correlations")` the ranks' correlation of every two metrics.
    Raises `UserError` for what cannot be had before anything is run.
    """
    from unlearnbench.running.environment import randomness_put_back
    from unlearnbench.running.launching.requested_pools import RequestedPools, command_of

    _check_one_process()
    chosen = without_none({"jobs": 0, **options})
    requested = RequestedPools.of(str(pools), chosen, command_of(str(pools), chosen))
    warn(requested.planned.plan.warnings)
    with randomness_put_back():
        outcome = requested.run.run(show_progress=progress)
    table = requested.table(requested.run.results(outcome))
    requested.write(table)
    return table


def _check_one_process() -> None:
    from unlearnbench.models.devices.strategy import n_processes

    if n_processes() > 1:
        raise UserError(
            "ub.run runs in one process; under a launcher of processes use: unlearnbench run"
        )


def _carried_out(
    requested: "RequestedRun", progress: bool, experiment: str | None = None
) -> "Results":
    from unlearnbench.reading import results_of_run
    from unlearnbench.running.environment import randomness_put_back

    with randomness_put_back():
        outcome = requested.run(show_progress=progress)
    return results_of_run(requested.store.folder, requested.results(outcome), experiment)
