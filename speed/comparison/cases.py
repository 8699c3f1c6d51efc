"""What is compared: models, their data, and how much of it a machine can take."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from speed.shapes import SHAPES, write_arrays, write_model

FULL_SET = 128  # rows of a published forget set


@dataclass(frozen=True)
class Case:
    """One comparison; both ways take the same model, rows and protocol."""

    model: str  # its name in the table
    options: dict[str, Any]  # of unlearnbench's experiment
    threads: int
    state: str = "as it comes"

    @property
    def protocol(self) -> str:
        """paper or released."""
        return str(self.options["protocol"])

    @property
    def title(self) -> str:
        """What the table calls it."""
        return f"{self.model}, {self.protocol}"

    def of_model(self, folder: Path, state: str) -> "Case":
        """The same with other weights."""
        return replace(self, options={**self.options, "model": [str(folder)]}, state=state)


@dataclass
class World:
    """Where models and data of the cases are; what must be made is made in `scratch`."""

    scratch: Path
    shared: Path | None
    device: str = "cpu"
    threads: int = 1
    _arrays: Path | None = field(default=None, repr=False)

    def case(self, size: str, protocol: str, n_rows: int) -> Case:
        """A model with its own forget set: the nano world's, real rows, or random ids."""
        options = {
            **self._model_and_rows(size, n_rows),
            "methods": ["icu"],
            "references": ["none"],
            "tasks": ["forgetting"],
            "encoder": "nano",
            "bert": "nano",
            "stop": "paper",
            "protocol": protocol,
            "device": self.device,
            "runs": ["0"],
            "limit": n_rows,
        }
        return Case(size, options, self.threads)

    def _model_and_rows(self, size: str, n_rows: int) -> dict[str, Any]:
        if size.startswith("nano-"):
            return {"model": [size], "forget_set": "nano"}
        if size == "pile-neo":
            return self._pile_neo()
        data = None if self.shared is None else self.shared / "data" / "pile_extraction"
        if self._arrays is None:
            self._arrays = write_arrays(self.scratch / "rows", data, max(n_rows, FULL_SET))
        return {
            "model": [str(write_model(self.scratch, size))],
            "forget_set": str(self._arrays / "exp" / "rows_0.csv"),
            "rows": str(self._arrays),
        }

    def _pile_neo(self) -> dict[str, Any]:
        if self.shared is None:
            raise ValueError("pile-neo is in the folder of real data: --shared FOLDER")
        return {
            "model": [str(self.shared / "models" / "pile-neo")],
            "forget_set": str(self.shared / "data" / "icu" / "exp"),
            "rows": str(self.shared / "data" / "pile_extraction"),
        }


SIZES = (*(name for name in SHAPES if name != "nano-llama"), "pile-neo")


def planned(options: dict[str, Any]) -> Any:
    """The cell of such an experiment; nothing is loaded."""
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.planner import make_plan

    return make_plan(Experiment.parse(options), download=False).cells[0]
