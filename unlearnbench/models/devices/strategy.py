"""How one model is trained on the hardware at hand: precision, accumulation, devices."""

import os
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any, Literal

from unlearnbench.errors import UserError
from unlearnbench.models.devices.schedule import Schedule

MixedPrecision = Literal["no", "bf16"]


@dataclass(frozen=True)
class Strategy:
    """How one model is trained, beside its method's own settings.

    All but the schedule fits the training to memory and devices and changes no more than
    rounding.  The effective batch is the method's own whatever stands here: it is shared by the
    processes, and each takes its share in `gradient_accumulation_steps` parts.
    """

    mixed_precision: MixedPrecision = "no"  # bf16: autocast over float32 weights
    gradient_checkpointing: bool = False
    gradient_accumulation_steps: int = 1
    deepspeed: str | None = None  # zero2, zero3, or the path of a DeepSpeed configuration
    deepspeed_sha256: str = ""  # of that configuration file
    n_processes: int = 1  # that train one cell together
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def identity(self) -> dict[str, Any]:
        """What differs from the plain way; empty for one process, all in one go."""
        plain = {**asdict(Strategy()), "schedule": {}}
        own = {**asdict(self), "schedule": self.schedule.identity}
        if self.deepspeed_sha256:
            own["deepspeed"] = "file"  # where it lies changes nothing
        if self.deepspeed is not None:
            own["deepspeed_version"] = version("deepspeed")
        return {name: value for name, value in own.items() if value != plain.get(name)}


def n_processes() -> int:
    """How many processes a launcher such as `accelerate launch` has started; 1 without one.

    Raises `UserError` for an environment that says half of it, as some job templates do.
    """
    declared = os.environ.get("WORLD_SIZE", "1")
    if declared == "1":
        return 1
    if not (declared.isdecimal() and os.environ.get("RANK", "").isdecimal()):
        raise UserError(
            f"WORLD_SIZE is {declared!r} in the environment, and RANK is "
            f"{os.environ.get('RANK', 'not there')}; unset both, or start the command with torchrun"
        )
    return int(declared)
