"""What to change so that a cell fits, and what to say of one that ran out of memory."""

import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.running.memory.prediction import MemoryNeed, in_words, predict

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.models.devices.strategy import Strategy

_COUNTS = (2, 4, 8)  # of parts of a batch, and of processes

# How allocators say it; torch's CPU allocator has no error type of its own.
_MESSAGES = (
    "can't allocate memory",
    "cannot allocate memory",
    "DefaultCPUAllocator",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
)
_REQUESTED = re.compile(r"allocate (\d+) bytes")


def smallest_change(cell: "Cell", room: int) -> tuple[str, MemoryNeed] | None:
    """The flags of the smallest change after which a process takes at most `room` bytes.

    With what it takes then; None if no change is enough.
    """
    for flags, strategy, dtype in changes(cell):
        if (need := predict(cell, strategy, dtype)).total <= room:
            return flags, need
    return None


def changes(cell: "Cell") -> "Iterator[tuple[str, Strategy, str]]":
    """Flags, and the strategy and precision they mean, from the smallest change to the largest.

    What changes no number comes before what changes the precision, and that before what needs
    more devices.
    """
    own, dtype = cell.model.strategy, cell.model.dtype
    batch_size, taken = int(cell.settings.get("batch_size", 1)), own.gradient_accumulation_steps
    parts = [n for n in _COUNTS if taken < n <= batch_size]
    ways = [replace(own, gradient_accumulation_steps=n) for n in parts]
    if not own.gradient_checkpointing:
        again = replace(own, gradient_checkpointing=True)
        ways += [again, *(replace(again, gradient_accumulation_steps=n) for n in parts)]
    yield from ((_flags(own, way), way, dtype) for way in ways)
    smallest = ways[-1] if ways else own
    if own.mixed_precision == "no" and dtype == "float32":
        autocast = replace(smallest, mixed_precision="bf16")
        yield _flags(own, autocast), autocast, dtype
        yield f"{_flags(own, smallest)} --dtype bfloat16".lstrip(), smallest, "bfloat16"
    for stage in ("zero2", "zero3"):
        for n in _COUNTS:
            if n > own.n_processes:
                shared = replace(smallest, deepspeed=stage, n_processes=n)
                yield f"{_flags(own, shared)} on {n} devices", shared, dtype


def _flags(own: "Strategy", other: "Strategy") -> str:
    """The options that turn one strategy into another; the number of processes is none of them."""
    before, after = asdict(own), asdict(other)
    changed = {
        f"--{name.replace('_', '-')}": after[name]
        for name in after
        if after[name] != before[name] and name != "n_processes"
    }
    return " ".join(flag if value is True else f"{flag} {value}" for flag, value in changed.items())


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is an allocation that failed."""
    current: BaseException | None = error
    while current is not None:
        if isinstance(current, MemoryError) or type(current).__name__ == "OutOfMemoryError":
            return True
        may_be = isinstance(current, RuntimeError | OSError | UserError)
        if may_be and any(message.lower() in str(current).lower() for message in _MESSAGES):
            return True
        current = current.__cause__ or current.__context__
    return False


def out_of_memory_advice(error: BaseException | None, cell: "Cell") -> str | None:
    """One line of what to change; None if it was not memory that ran out.

    `error` is what the cell raised; None stands for a process that the system killed
    (signal 9), as it does where memory runs out.
    """
    what = "memory" if cell.model.device.startswith("cpu") else "GPU memory"
    if error is None:
        event = f"killed by signal 9, as the system does when {what} runs out"
    elif is_out_of_memory(error):
        requested = _REQUESTED.search(str(error))
        event = f"out of {what}"
        event += f" while asking for {in_words(int(requested.group(1)))}" if requested else ""
    else:
        return None
    return f"{event}; {_need(cell)}; {_options(cell)}"


def _need(cell: "Cell") -> str:
    try:
        need = predict(cell)
    except Exception:  # whatever a foreign configuration lacks: the advice stands without it
        return "what it needs cannot be predicted here"
    name, n_bytes = max(need.parts.items(), key=lambda part: part[1])
    most = f"{need.peak}; most of it {name}, {in_words(n_bytes)}"
    return f"it needs about {in_words(need.total)} ({most})"


def _options(cell: "Cell") -> str:
    """Options that are not taken yet, the smallest change first."""
    own, batch_size = cell.model.strategy, int(cell.settings.get("batch_size", 1))
    if not cell.is_trained:
        return "take a smaller model, or --device with more memory"
    options = []
    if (parts := 2 * own.gradient_accumulation_steps) <= batch_size:
        options.append(f"--gradient-accumulation-steps {parts}")
    if not own.gradient_checkpointing:
        options.append("--gradient-checkpointing")
    if own.mixed_precision == "no" and cell.model.dtype == "float32":
        options.append("--dtype bfloat16")
    options.append("--deepspeed zero3" if own.deepspeed == "zero2" else "--deepspeed zero2")
    return f"try {', '.join(options)}, or fewer cells at a time (--jobs 1); see --dry-run"
