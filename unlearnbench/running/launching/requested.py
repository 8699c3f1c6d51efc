"""What is asked of a run, from options to results: the command line's way and Python's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnbench.experiments.attack_plan import plan_attacks
from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.named import Named, find_experiment
from unlearnbench.experiments.planner import Plan, make_plan
from unlearnbench.experiments.recorded import PlannedCell, plan_experiment, record
from unlearnbench.reporting.sections import section
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store
from unlearnbench.results.tunings import record_requested
from unlearnbench.running.launching.grid import Outcome, run_grid, share_of
from unlearnbench.running.launching.in_process import call_others
from unlearnbench.running.launching.launcher import HowToRun
from unlearnbench.running.progress import Preview

FIRST = "nano-first"  # the experiment of who asks for none
#: Options that say how and where to run, and nothing of what.
_HOW = frozenset(
    [
        "device",
        "threads",
        "save_models",
        "profile",
        "track",
        "out",
        "launcher",
        "jobs",
        "shard",
        "cell_timeout",
        "retries",
        "ray_address",
        "gpus_per_cell",
    ]
)


@dataclass(frozen=True)
class RequestedRun:
    """What is to be run: one experiment, or the variants of a named one as one grid."""

    experiments: tuple[Experiment, ...]
    plan: Plan
    named: Named | None = None
    cells: tuple[PlannedCell, ...] = ()

    @classmethod
    def of(
        cls,
        options: Mapping[str, Any],
        name: str | None = None,
        download: bool = True,
        spelling: str = "--{}",
    ) -> "RequestedRun":
        """The run of options by field name of `Experiment`, or of a named experiment with them.

        Where no option says what to compare it is the experiment `nano-first`.
        Raises `UserError` for an option, a value or a thing that cannot be had, before any weights
        are loaded; `spelling` is how it calls an option.
        """
        if name is None and set(options) <= _HOW:
            name = FIRST
        if name is None:
            experiment = Experiment.parse(options, spelling)
            return cls((experiment,), make_plan(experiment, download))
        named = find_experiment(name)
        for one in named.definition.sections:
            section(one)  # an unknown one is told now, not when all is measured
        experiments = named.definition.experiments(options)
        plan, cells = plan_experiment(named.definition, experiments, download)
        return cls(tuple(experiments), plan, named, cells)

    @classmethod
    def under_attack(
        cls, folder: Path, options: Mapping[str, Any], download: bool = True
    ) -> "RequestedRun":
        """The attacks of options, by field name of `Experiment`, on a folder's models.

        Raises `UserError` as `plan_attacks` does.
        """
        planned = plan_attacks(folder, options, download)
        return cls(planned.experiments, planned.plan)

    @property
    def store(self) -> Store:
        """The folder of the results."""
        return Store(Path(self.experiments[0].out))

    @property
    def share(self) -> tuple[Cell, ...]:
        """The cells of the grid that this run is to see to."""
        return share_of(self.plan.cells, self.experiments[0].shard)

    @property
    def is_part(self) -> bool:
        """Whether other runs see to the rest."""
        return self.experiments[0].shard is not None

    def run(self, show_progress: bool = True, preview: Preview | None = None) -> Outcome:
        """Run the cells that have no result yet; every result is on disk as soon as it is there.

        A terminal shows what `preview` makes of the results so far.
        Raises `UserError` where nothing can be launched, or results cannot be written.
        """
        plugins = tuple(file for e in self.experiments for file in e.plugin)
        with self.store.writing():
            # What was asked lies beside the results before the first of them is there.
            for experiment in self.experiments:
                self.store.save_experiment(experiment.to_toml())
            if self.named is not None:
                record(self.store.folder, self.named, self.cells)
            record_requested(self.store.folder, (cell.identity for cell in self.plan.cells))
            how = HowToRun.of(self.experiments[0], self.plan.jobs, plugins)
            outcome = run_grid(self.share, self.store, how, show_progress, preview)
            call_others(None)
            return outcome

    def results(self, outcome: Outcome) -> list[Result]:
        """The results of this run's cells, in the order that was asked for now."""
        # A result from before keeps the place its method had then.
        return [
            outcome.results[cell.key].model_copy(update={"position": cell.position})
            for cell in self.share
            if cell.key in outcome.results
        ]
