"""How a grid is run: where, and how many cells at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from unlearnbench.experiments.experiment import Experiment


@dataclass(frozen=True)
class HowToRun:
    """What of an experiment says where and how its cells run, and nothing of what they are."""

    launcher: str  # local, ray
    jobs: int  # cells at a time; 0: in this process; with Ray 0 is as many as fit
    plugins: tuple[str, ...]
    timeout: float | None  # seconds
    retries: int
    ray_address: str | None
    gpus_per_cell: float | None

    @classmethod
    def of(cls, experiment: Experiment, jobs: int, plugins: Sequence[str] = ()) -> "HowToRun":
        """That of an experiment whose plan has settled the number of jobs."""
        asked = experiment.cell_timeout
        return cls(
            launcher=experiment.launcher,
            jobs=(experiment.jobs or 0) if experiment.launcher == "ray" else jobs,
            plugins=tuple(dict.fromkeys((*experiment.plugin, *plugins))),
            timeout=None if asked is None else asked * 60,
            retries=experiment.retries,
            ray_address=experiment.ray_address,
            gpus_per_cell=experiment.gpus_per_cell,
        )
