"""What to say of a cell that ran out of memory: what ran out, what it needs, what to change."""

import re
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.running.memory.need import MemoryNeed, in_words

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell

# How allocators say it; torch's CPU allocator has no error type of its own.
_SAYINGS = (
    "can't allocate memory",
    "cannot allocate memory",
    "DefaultCPUAllocator",
    "not enough memory",
    "out of memory",
    "std::bad_alloc",
)
_ASKED = re.compile(r"allocate (\d+) bytes")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised from, is an allocation that failed."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or type(seen).__name__ == "OutOfMemoryError":
            return True
        named = isinstance(seen, RuntimeError | OSError | UserError)
        if named and any(saying.lower() in str(seen).lower() for saying in _SAYINGS):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def out_of_memory_advice(error: BaseException | None, cell: "Cell") -> str | None:
    """One line of what to change; None if it was not memory that ran out.

    `error` is what the cell raised; None stands for a process that the system killed
    (signal 9), as it does where memory runs out.
    """
    if error is not None and not is_out_of_memory(error):
        return None
    on_gpu = not cell.model.device.startswith("cpu")
    what = "GPU memory" if on_gpu else "memory"
    happened = (
        f"out of {what}{_asked(error)}"
        if error is not None
        else (f"killed by signal 9, as the system does when {what} runs out")
    )
    return f"{happened}; {_needed(cell)}; {_change(cell)}"


def _asked(error: BaseException | None) -> str:
    found = _ASKED.search(str(error))
    return f" while asking for {in_words(int(found.group(1)))}" if found else ""


def _needed(cell: "Cell") -> str:
    need = _prediction(cell)
    if need is None:
        return "what it needs cannot be told here"
    largest = max(need.peak.parts.items(), key=lambda part: part[1])
    return (
        f"it needs about {in_words(need.total)} ({need.peak.phase}; "
        f"most of it {largest[0]}, {in_words(largest[1])})"
    )


def _prediction(cell: "Cell") -> MemoryNeed | None:
    """What the cell needs; None where even telling it takes more memory than there is."""
    from unlearnbench.running.memory.prediction import predict

    try:
        return predict(cell)
    except Exception:  # a third party's loss may raise anything; the advice stands without it
        return None


def _change(cell: "Cell") -> str:
    """Options that are not taken yet, the smallest change first."""
    how, batch = cell.model.strategy, int(cell.settings.get("batch_size", 1))
    if cell.role != "method":
        return "take a smaller model, or --device with more memory"
    options = []
    if (parts := 2 * how.gradient_accumulation_steps) <= batch:
        options.append(f"--gradient-accumulation-steps {parts}")
    if not how.gradient_checkpointing:
        options.append("--gradient-checkpointing")
    if how.mixed_precision == "no" and cell.model.dtype == "float32":
        options.append("--dtype bfloat16")
    options.append("--deepspeed zero3" if how.deepspeed == "zero2" else "--deepspeed zero2")
    return f"try {', '.join(options)}, or fewer cells at a time (--jobs 1); see --dry-run"
