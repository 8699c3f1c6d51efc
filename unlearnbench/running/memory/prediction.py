"""What a cell will take at most, phase by phase, from its model's configuration alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.registry import find
from unlearnbench.running.memory import formulas
from unlearnbench.running.memory.formulas import WEIGHTS, Parts, Shape, Step
from unlearnbench.running.token_bounds import n_rows, row_length

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.models.devices.strategy import Strategy

SCORER = "BERTScore's network"
FILES = "weight files"
LIBRARIES = "libraries"
# Resident bytes of a process that has imported torch, transformers, trl and the scorers and has
# taken one step; measured with torch 2.13 for CPUs on Linux.
LIBRARIES_BYTES = 600 * 10**6

_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class PhaseNeed:
    """The most that one phase of a cell takes, in bytes by what it is for."""

    phase: str  # load, examine, unlearn, measure
    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class MemoryNeed:
    """What a cell takes at most in one process: of the GPU's memory, or of the machine's."""

    phases: tuple[PhaseNeed, ...]

    @property
    def peak(self) -> PhaseNeed:
        """The phase that takes most; the first of equal ones."""
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def total(self) -> int:
        """Bytes at the peak."""
        return self.peak.total

    def of(self, phase: str) -> int:
        """Bytes of one phase; 0 if there is none of that name."""
        return next((p.total for p in self.phases if p.phase == phase), 0)


def in_words(n_bytes: float) -> str:
    """Bytes as a person says them: '3.2 GB'."""
    value, units = float(n_bytes), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.3g} {units[0]}"


def predict(cell: "Cell", strategy: "Strategy | None" = None, dtype: str = "") -> MemoryNeed:
    """The memory one process of a cell takes at its peak, phase by phase.

    `strategy` and `dtype` ask how it would be trained another way.  On a GPU the allocator's bytes
    are predicted, without the CUDA context; on the CPU, the process's resident bytes, libraries
    included.  Raises `UserError` where the model or BERTScore's network is not here, and
    `AttributeError` where a configuration does not name its dimensions as transformers does.
    """
    strategy, dtype = strategy or cell.model.strategy, dtype or cell.model.dtype
    on_gpu = not cell.model.device.startswith("cpu")
    shape = _shape(cell.model)
    common = {SCORER: _scorer_bytes(cell), LIBRARIES: 0 if on_gpu else LIBRARIES_BYTES}
    weights = formulas.BYTES[dtype] * shape.n_parameters
    phases = {"load": {WEIGHTS: weights, FILES: mapped_bytes(cell.model, weights)}}
    kept: Parts = {WEIGHTS: weights}
    if cell.role == "method":
        step = _step(cell)
        trained = formulas.training(shape, step, strategy, dtype, on_gpu)
        phases["unlearn"] = _sharded(trained, strategy)
        kept = _sharded(formulas.held(shape, step, dtype), strategy)
    examined = formulas.examination(shape, row_length(cell), dtype)
    phases["examine"] = formulas.added(kept, examined)
    needs = [examined, *_tasks(cell, shape, dtype)]
    largest = max(needs, key=lambda parts: sum(parts.values()))
    phases["measure"] = formulas.added({WEIGHTS: kept[WEIGHTS]}, largest)
    return MemoryNeed(
        tuple(PhaseNeed(name, formulas.added(own, common)) for name, own in phases.items())
    )


def _step(cell: "Cell") -> Step:
    """The benchmark's rows: the last 50 tokens are the suffix."""
    method: Any = find("methods", cell.method)
    protocol, length = cell.protocol, row_length(cell)
    n_scored = 50 if protocol.loss_span == "suffix" else length - 1
    compared = length if protocol.kl_term == "cross_entropy" else n_scored
    return Step(
        n_rows(cell),
        length,
        n_scored,
        compared if method.keeps_reference else 0,
        int(cell.settings["batch_size"]),
        method.sequences_per_row,
    )


def _sharded(parts: Parts, strategy: "Strategy") -> Parts:
    from unlearnbench.models.devices.deepspeed import configuration

    if strategy.deepspeed is None:
        return parts
    stage = configuration(strategy.deepspeed)["zero_optimization"]["stage"]
    return formulas.shared_by_zero(parts, stage, strategy.n_processes)


def _tasks(cell: "Cell", shape: Shape, dtype: str) -> Iterable[Parts]:
    """What each task takes that reads evaluation sets; a token is taken to be four characters.

    The windows of a perplexity are bounded and take less than an examination.
    """
    for name, settings in cell.tasks.items():
        task = find("tasks", name)(**settings)
        sets = [cell.data.sets[needed] for needed in task.needs if needed in cell.data.sets]
        rows = [row for read in sets for row in read.rows]
        length = max(map(_characters, rows), default=0) // _CHARACTERS_PER_TOKEN
        length = min(length, shape.context)
        batch = int(getattr(task, "batch_size", 8))
        writes = hasattr(task, "new_tokens")  # token by token; else answers of half a text at most
        n_kept, n_scored = (batch, 1) if writes else (len(rows), -(-length // 2))
        yield formulas.texts(shape, batch, n_kept, length, n_scored, dtype)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list | tuple) else 0


@lru_cache(maxsize=32)
def _shape(model: "ModelChoice") -> Shape:
    from unlearnbench.models.configuration import read_configuration

    config = read_configuration(_folder(model), model.trust_remote_code)
    return Shape.of(config, model.n_parameters)


def mapped_bytes(model: "ModelChoice", n_bytes: int) -> int:
    """What stays mapped of a model's files while its weights of `n_bytes` are made of them.

    Nothing where the files are as large as the weights: then the weights are the mapped file.
    Raises `UserError` where the model is not here, or pickled and not allowed.
    """
    from unlearnbench.models.weight_files import is_pickled, weight_files

    files = weight_files(_folder(model), model.allow_pickle)
    size = _size(files)
    same_precision = not is_pickled(files) and 0.8 < size / n_bytes < 1.25
    return 0 if same_precision else size


def _folder(model: "ModelChoice") -> Path:
    from unlearnbench.models.source import absent, find_folder

    revision = model.source.revision
    folder = find_folder(model.requested, revision, download=False, allow_pickle=model.allow_pickle)
    if folder is None:
        raise absent(model.requested, revision)
    return folder


def _scorer_bytes(cell: "Cell") -> int:
    """The weights of the BERT that scores a cell's continuations, always as its file has them."""
    from unlearnbench.metrics.bertscore_model import bert_folder
    from unlearnbench.models.weight_files import weight_files

    return _size(weight_files(bert_folder(cell.data.bert)))


def _size(files: Iterable[Path]) -> int:
    return sum(path.stat().st_size for path in files)
