"""The command's side of a parcel: packs a cell and hands it to Ray as one task."""

import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearnbench.experiments.cell import Cell
from unlearnbench.running.launching.ray.requests import Request
from unlearnbench.running.launching.ray.worker import Parcel, PluginFile, run_parcel
from unlearnbench.running.launching.same_here import paths_of


class Sender:
    """Sends cells with the plugins they need; data that many of them share is sent once."""

    def __init__(self, plugins: Sequence[str]) -> None:
        self._plugins = [PluginFile.read(str(Path(file).expanduser())) for file in plugins]
        self._data: dict[int, tuple[Any, Any]] = {}  # held, so that no other one gets its id

    def send(self, cell: Cell, request: Request, hub: Any) -> Any:
        """The reference of what `run_parcel` is going to return; `hub` is told meanwhile."""
        import ray

        task: Any = ray.remote(run_parcel)
        asked = task.options(
            num_cpus=request.n_cpus,
            num_gpus=request.n_gpus,
            memory=request.n_bytes,
            max_retries=0,
            name=cell.title,
        )
        return asked.remote(self._parcel(cell), self._shared(cell.data), hub)

    def _parcel(self, cell: Cell) -> Parcel:
        alone: Any = replace(cell, data=None)  # type: ignore[arg-type]  # it travels apart
        return Parcel(
            key=cell.key,
            software=cell.identity["software"],
            cell=pickle.dumps(alone),
            folder=str(Path.cwd()),
            paths=paths_of(cell),
            plugins=self._plugins,
        )

    def _shared(self, data: Any) -> Any:
        """A reference to data in Ray's store, on the driver's machine."""
        import ray

        if id(data) not in self._data:
            self._data[id(data)] = (data, ray.put(pickle.dumps(data)))
        return self._data[id(data)][1]
