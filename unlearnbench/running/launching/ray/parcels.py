"""A cell on its way to a Ray worker: what it asks for; packed here, unpacked and run there."""

import os
import pickle
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.running.launching.identity_check import (
    check_cell,
    check_paths,
    check_software,
    paths_of,
)
from unlearnbench.running.launching.worker import BEGAN, BROKEN, DONE, listened_to
from unlearnbench.running.memory.prediction import in_words, predict
from unlearnbench.running.progress import logger

LIBRARIES_BYTES = 4_000_000_000  # Python, torch and CUDA's libraries, per process
Resources = Mapping[str, float]  # 'CPU', 'GPU', 'memory' in bytes


@dataclass(frozen=True)
class Request:
    """The share of one machine that a cell takes."""

    n_cpus: int
    n_gpus: float
    n_bytes: int  # of main memory

    @classmethod
    def of(cls, cell: Cell, gpus_per_cell: float | None) -> "Request":
        """That of a cell; `gpus_per_cell` instead of one GPU for a model that is to be on one."""
        on_gpu = cell.model.device.startswith("cuda")
        n_gpus = float(on_gpu) if gpus_per_cell is None else gpus_per_cell
        return cls(max(1, cell.threads), n_gpus, main_memory(cell))

    def within(self, machine: Resources) -> "Request":
        """At most all CPUs and all memory of a machine: a larger cell has it for itself."""
        n_cpus = min(self.n_cpus, int(machine.get("CPU", 0)))
        return Request(n_cpus, self.n_gpus, min(self.n_bytes, int(machine.get("memory", 0))))

    def fits_in(self, machine: Resources) -> int:
        """How many such cells a machine has room for when it is empty."""
        named = {"CPU": self.n_cpus, "GPU": self.n_gpus, "memory": self.n_bytes}
        return int(min(machine.get(name, 0) // n for name, n in named.items() if n > 0))

    def __str__(self) -> str:
        gpus = f", {self.n_gpus:g} GPUs" if self.n_gpus else ""
        return f"{self.n_cpus} CPUs{gpus} and {in_words(self.n_bytes)} of memory"


def main_memory(cell: Cell) -> int:
    """Bytes of main memory that a cell is predicted to take, its process included.

    On a GPU main memory holds the weights only while they are loaded.  0, no request,
    where it cannot be predicted.
    """
    model = cell.model
    if model.device.startswith("cuda"):
        return LIBRARIES_BYTES + model.n_parameters * (4 if model.dtype == "float32" else 2)
    try:
        return predict(cell).total
    except Exception as error:  # a third party's method may raise anything; the cell will tell
        logger.debug("%s: its memory cannot be predicted: %s", cell.title, error)
        return 0


@dataclass(frozen=True)
class PluginFile:
    """A plugin as it travels: its path may mean nothing, or something else, elsewhere."""

    path: str
    source: bytes


@dataclass(frozen=True)
class Parcel:
    """What a worker needs to run a cell, besides the data that cells share."""

    key: str
    software: Mapping[str, Any]  # of the cell's identity
    cell: bytes  # pickled; without its data, which is megabytes and the same for many
    folder: str  # where the command runs: paths may be relative to it
    paths: Sequence[str]  # that must exist
    plugins: Sequence[PluginFile]


class Sender:
    """Sends cells with the plugins they need; data that many of them share is sent once."""

    def __init__(self, plugins: Sequence[str]) -> None:
        paths = (Path(file).expanduser() for file in plugins)
        self._plugins = [PluginFile(str(path), path.read_bytes()) for path in paths]
        self._data: dict[int, tuple[Any, Any]] = {}  # held, so that no other one gets its id

    def send(self, cell: Cell, request: Request, hub: Any) -> Any:
        """The reference of what `run_parcel` is going to return; `hub` is told meanwhile."""
        import ray

        task: Any = ray.remote(run_parcel)
        sized = task.options(
            num_cpus=request.n_cpus,
            num_gpus=request.n_gpus,
            memory=request.n_bytes,
            max_retries=0,
            name=cell.title,
        )
        data = cell.data
        if id(data) not in self._data:
            self._data[id(data)] = (data, ray.put(pickle.dumps(data)))
        alone: Any = replace(cell, data=None)  # type: ignore[arg-type]  # it travels apart
        parcel = Parcel(
            key=cell.key,
            software=cell.identity["software"],
            cell=pickle.dumps(alone),
            folder=str(Path.cwd()),
            paths=paths_of(cell),
            plugins=self._plugins,
        )
        return sized.remote(parcel, self._data[id(data)][1], hub)


def run_parcel(parcel: Parcel, data: bytes, hub: Any) -> tuple[str, bytes]:
    """Run one cell in this worker; (DONE, pickled result) or (BROKEN, why).

    BEGAN and log records go to `hub` while it runs.
    """
    import ray
    from ray.exceptions import RayError

    from unlearnbench.running.cell_run import run_cell

    machine = f"node {ray.util.get_node_ip_address()}"
    try:
        cell = _unpacked(parcel, data)
    except UserError as error:
        return BROKEN, f"{machine}: {error}".encode()
    hub.put.remote(parcel.key, BEGAN)
    logger.propagate = False
    with listened_to(lambda record: hub.put.remote(parcel.key, record)):
        result = run_cell(cell)
    try:
        content = pickle.dumps(result)
    except Exception as error:  # what a plugin put into its result need not be picklable
        return BROKEN, f"its result cannot be sent: {type(error).__name__}: {error}".encode()
    with suppress(RayError):  # the last words arrive before the result does
        ray.get(hub.put.remote(parcel.key), timeout=5)
    return DONE, content


def _unpacked(parcel: Parcel, data: bytes) -> Any:
    """The cell, ready to run here; raises `UserError` where this machine is not fit for it."""
    check_software(parcel.software)
    with suppress(OSError):  # where there is no such folder, relative paths are told as missing
        os.chdir(parcel.folder)
    check_paths(parcel.paths)
    for plugin in parcel.plugins:
        load_plugin(plugin)
    cell = replace(pickle.loads(parcel.cell), data=pickle.loads(data))
    if cell.model.device.startswith("cuda:"):  # Ray shows a worker its own GPU alone
        cell = replace(cell, model=replace(cell.model, device="cuda"))
    check_cell(cell)
    return cell


@cache
def load_plugin(plugin: PluginFile) -> None:
    """Register a plugin in this process, once: from its own path if the same file is there."""
    from unlearnbench.registry import load_plugin_file

    path = Path(plugin.path)
    try:
        is_here = path.read_bytes() == plugin.source
    except OSError:
        is_here = False
    if not is_here:  # in a file of its own name, which is needed as long as this process lives
        path = _own_folder() / path.name
        path.write_bytes(plugin.source)
    load_plugin_file(path)


def _own_folder() -> Path:
    """A new folder within Ray's session, which is cleared away even if this process is killed."""
    import ray

    context = ray.get_runtime_context()
    session = Path(context.get_temp_dir()) / context.get_session_name()
    return Path(tempfile.mkdtemp(prefix="plugin-", dir=session if session.is_dir() else None))
