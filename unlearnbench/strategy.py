"""How one model is trained on the hardware at hand: precision, accumulation, devices."""

import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from unlearnbench.experiment import Experiment

MixedPrecision = Literal["no", "bf16"]


@dataclass(frozen=True)
class Strategy:
    """What of the training fits the memory and devices, and changes no more than rounding.

    The effective batch is the method's own whatever stands here: it is shared by the
    processes, and each takes its share in `gradient_accumulation_steps` parts.
    """

    mixed_precision: MixedPrecision = "no"  # bf16: autocast over float32 weights
    gradient_checkpointing: bool = False
    gradient_accumulation_steps: int = 1
    deepspeed: str | None = None  # zero2, zero3, or the path of a DeepSpeed configuration
    deepspeed_sha256: str = ""  # of that configuration file
    n_processes: int = 1  # that train one cell together

    @property
    def identity(self) -> dict[str, Any]:
        """What differs from the plain way; empty for one process, all in one go."""
        plain = asdict(Strategy())
        own = asdict(self)
        if self.deepspeed_sha256:
            own["deepspeed"] = "file"  # where it lies changes nothing
        return {name: value for name, value in own.items() if value != plain[name]}


def n_processes() -> int:
    """How many processes a launcher such as `accelerate launch` has started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def strategy_of(experiment: "Experiment") -> Strategy:
    """How an experiment wants its models trained, under the launcher that started this process."""
    return Strategy(
        mixed_precision=experiment.mixed_precision,
        gradient_checkpointing=experiment.gradient_checkpointing,
        gradient_accumulation_steps=experiment.gradient_accumulation_steps,
        deepspeed=experiment.deepspeed,
        n_processes=n_processes(),
    )
