"""What a cell asks of a Ray cluster, and how many such cells it has room for."""

from collections.abc import Mapping
from dataclasses import dataclass

from unlearnbench.experiments.cell import Cell
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
        from unlearnbench.running.memory.prediction import in_words

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
    from unlearnbench.running.memory.prediction import predict

    try:
        return predict(cell).total
    except Exception as error:  # a third party's method may raise anything; the cell will tell
        logger.debug("%s: its memory cannot be predicted: %s", cell.title, error)
        return 0


def machines() -> list[Resources]:
    """The resources of each machine of the cluster that is alive, used or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def room_for(request: Request) -> int:
    """How many such cells all machines could run at a time."""
    return sum(request.fits_in(machine) for machine in machines())
