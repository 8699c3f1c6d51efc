"""What a cell will take at most, told from its model's configuration alone."""

from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from unlearnbench.models.devices.deepspeed import configuration
from unlearnbench.registry import find
from unlearnbench.running.memory.files import bert_bytes, folder_of, mapped_bytes
from unlearnbench.running.memory.need import (
    FILES,
    GRADIENTS,
    KEPT,
    LIBRARIES,
    OPTIMISER,
    PASSING,
    SCORER,
    WEIGHTS,
    MemoryNeed,
    PhaseNeed,
)
from unlearnbench.running.memory.passes import (
    CachedPass,
    count_pass,
    examination,
    likelihoods,
    longest_text,
    prefill_rows,
    replies,
    windows,
)
from unlearnbench.running.memory.process import libraries_bytes, returns_large_blocks
from unlearnbench.running.memory.step import StepCount, StepSize, count_step
from unlearnbench.running.memory.tokens import n_rows, row_length

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.models.devices.strategy import Strategy


def predict(cell: "Cell", strategy: "Strategy | None" = None, dtype: str = "") -> MemoryNeed:
    """The memory one process of a cell takes at its peak, phase by phase.

    `strategy` and `dtype` ask how it would be trained another way.  No weights are
    loaded: the network is built from its configuration without memory, and what its
    passes would allocate is counted.  On a GPU the allocator's bytes are told, without
    the CUDA context; on the CPU, the process's resident bytes, libraries included.
    """
    model = cell.model
    how = strategy or model.strategy
    precision = dtype or model.dtype
    on_gpu = not model.device.startswith("cpu")
    common = {SCORER: bert_bytes(cell)}
    if not on_gpu:
        common[LIBRARIES] = libraries_bytes(*(["trl"] if cell.method == "dpo" else []))
    phases = [_loading(model, precision)]
    held = {WEIGHTS: phases[0].parts[WEIGHTS]}
    if cell.role == "method":
        counted = _step_of(cell, how, precision)
        phases.append(PhaseNeed("unlearn", _sharded(counted.at_peak, how)))
        held = _sharded(counted.held, how)
    phases.append(PhaseNeed("examine", _added(held, _examining(cell, precision))))
    phases.append(PhaseNeed("measure", {WEIGHTS: held[WEIGHTS], **_measuring(cell, precision)}))
    if not on_gpu and not returns_large_blocks(model.n_parameters):
        phases = [phases[0], *_keeping(phases[1:])]
    told = [replace(phase, parts=_added(phase.parts, common)) for phase in phases]
    return MemoryNeed(tuple(told), on_gpu)


def _keeping(phases: list[PhaseNeed]) -> list[PhaseNeed]:
    """Phases that alternate, each with what the process still holds of the largest other one.

    What it lets go is kept by the C library, and lies between other blocks, so that it
    serves the next phase badly.
    """
    passing = [sum(phase.parts.get(name, 0) for name in PASSING) for phase in phases]
    return [
        replace(
            phase, parts={**phase.parts, KEPT: max(passing[:at] + passing[at + 1 :], default=0)}
        )
        for at, phase in enumerate(phases)
    ]


def _loading(model: "ModelChoice", dtype: str) -> PhaseNeed:
    """The weights, and beside them the mapped file where they are widened or narrowed."""
    size = {"float32": 4, "float16": 2, "bfloat16": 2}[dtype]
    parts = {WEIGHTS: size * model.n_parameters, FILES: mapped_bytes(model, dtype)}
    return PhaseNeed("load", parts)


def _step_of(cell: "Cell", strategy: "Strategy", dtype: str) -> StepCount:
    method = find("methods", cell.method)(**cell.settings)
    size = StepSize(
        n_rows(cell), row_length(cell), int(cell.settings["batch_size"]), cell.model.vocabulary
    )
    key = repr((cell.method, sorted(cell.settings.items()), asdict(cell.protocol)))
    return _counted_step(cell.model, dtype, _Unkeyed(method, cell.protocol, key), strategy, size)


class _Unkeyed:
    """A method and protocol that compare by what they were made of."""

    def __init__(self, method: Any, protocol: Any, key: str) -> None:
        self.method, self.protocol, self.key = method, protocol, key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Unkeyed) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=256)
def _counted_step(
    model: "ModelChoice", dtype: str, what: _Unkeyed, strategy: "Strategy", size: StepSize
) -> StepCount:
    from unlearnbench.running.memory.stand_in import network_of

    network = network_of(_configuration(model), dtype, model.trust_remote_code)
    return count_step(network, what.method, what.protocol, strategy, size)


def _sharded(parts: dict[str, int], strategy: "Strategy") -> dict[str, int]:
    """A process's part of what ZeRO shares out: in stage 1 states, 2 gradients, 3 weights too.

    DeepSpeed keeps a flat copy of its share of the weights beside Adam's states.
    """
    if strategy.deepspeed is None:
        return parts
    stage = configuration(strategy.deepspeed)["zero_optimization"]["stage"]
    n, shared = strategy.n_processes, (OPTIMISER, GRADIENTS, WEIGHTS)[:stage]
    found = {name: n_bytes // n if name in shared else n_bytes for name, n_bytes in parts.items()}
    found[OPTIMISER] = found.get(OPTIMISER, 0) + parts[WEIGHTS] // n
    return found


def _examining(cell: "Cell", dtype: str) -> dict[str, int]:
    length, vocabulary = row_length(cell), cell.model.vocabulary
    counted = _counted_pass(cell.model, dtype, prefill_rows(length, vocabulary), length)
    return examination(counted, length, vocabulary, cell.protocol)


def _measuring(cell: "Cell", dtype: str) -> dict[str, int]:
    """The task that takes most; lengths of its texts are estimated from their characters."""
    tasks = [find("tasks", name)(**settings) for name, settings in cell.tasks.items()]
    needs = [_examining(cell, dtype), *(_task(cell, task, dtype) for task in tasks)]
    return max(needs, key=lambda parts: sum(parts.values()))


def _task(cell: "Cell", task: Any, dtype: str) -> dict[str, int]:
    vocabulary = cell.model.vocabulary
    sets = [cell.data.sets[name] for name in task.needs if name in cell.data.sets]
    window = int(getattr(task, "window", 0)) or longest_text(sets)
    length = min(window, _context(cell.model))
    if not length:
        return {}
    batch = int(getattr(task, "batch_size", 8))
    counted = _counted_pass(cell.model, dtype, 1, length)
    if hasattr(task, "new_tokens"):
        return replies(counted, batch, length, vocabulary)
    if hasattr(task, "window"):
        on_gpu = not cell.model.device.startswith("cpu")
        return windows(counted, batch, length, vocabulary, on_gpu)
    return likelihoods(counted, batch, sum(len(s.rows) for s in sets), length, vocabulary)


@lru_cache(maxsize=256)
def _counted_pass(model: "ModelChoice", dtype: str, n_rows: int, length: int) -> CachedPass:
    from unlearnbench.running.memory.stand_in import network_of

    network = network_of(_configuration(model), dtype, model.trust_remote_code)
    return count_pass(network, n_rows, length, model.vocabulary)


@lru_cache(maxsize=32)
def _configuration(model: "ModelChoice") -> "PretrainedConfig":
    from unlearnbench.models.loading import read_configuration

    return read_configuration(folder_of(model), model.trust_remote_code)


def _context(model: "ModelChoice") -> int:
    return int(getattr(_configuration(model), "max_position_embeddings", 1 << 30))


def _added(first: Any, second: Any) -> dict[str, int]:
    return {
        name: first.get(name, 0) + second.get(name, 0) for name in dict.fromkeys((*first, *second))
    }
