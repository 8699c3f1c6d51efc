"""A model as a run needs it before any weights are loaded: identity, size, device, strategy."""

import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.models.aliases import ModelAlias, aliases
from unlearnbench.models.devices.device import choose_device, choose_dtype
from unlearnbench.models.devices.schedule import Schedule
from unlearnbench.models.devices.strategy import Strategy, n_processes
from unlearnbench.models.language_model import ModelSource
from unlearnbench.models.quantised import Bits, check_quantisation
from unlearnbench.nano import World

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.models.language_model import LanguageModel


@dataclass(frozen=True)
class ModelChoice:
    """A model that a run will load, once per cell."""

    requested: str  # alias, hub id or path, as `load_model` takes it
    source: ModelSource
    architecture: str
    n_parameters: int
    dtype: str
    device: str
    device_name: str
    trust_remote_code: bool
    allow_pickle: bool = False
    strategy: Strategy = field(default_factory=Strategy)
    quantise_base: Bits = "no"

    @property
    def alias(self) -> ModelAlias | None:
        """The short name's record, if it was asked for by one."""
        return aliases().get(self.requested)

    @property
    def family(self) -> str:
        """How rows of a table call it: 'NEO'; its own name if it is none of the paper's."""
        own = self.source.name.rpartition("/")[2].removesuffix(".gguf")
        own = own.removesuffix("-py3-none-any.whl")
        return self.alias.family if self.alias else own

    @property
    def world(self) -> World | None:
        """The synthetic world that it comes with; None for any other model."""
        return self.alias.world if self.alias else None

    @property
    def identity(self) -> dict[str, Any]:
        """What of the model can change a number; where it was found cannot."""
        return {
            "weights_sha256": self.source.weights_sha256,
            "dtype": self.dtype,
            "device": self.device_name,
            # Only where it is asked for: results of before it could be are still the same.
            **({} if self.quantise_base == "no" else {"quantise_base": self.quantise_base}),
        }

    def with_schedule(self, schedule: Schedule) -> "ModelChoice":
        """The same model, trained by another schedule."""
        return replace(self, strategy=replace(self.strategy, schedule=schedule))

    def load(self) -> "LanguageModel":
        """The model in memory, fresh from its files."""
        from unlearnbench.models.loading import load_model

        dtype: Any = self.dtype
        return load_model(
            self.requested,
            self.source.revision,
            self.device,
            dtype,
            self.trust_remote_code,
            self.allow_pickle,
            self.quantise_base,
        )


def choose_model(experiment: "Experiment", name: str, download: bool = True) -> ModelChoice:
    """Look a model up without loading it; fetch it from the hub if need be.

    Raises `UserError` where it cannot be had.
    """
    from unlearnbench.models.loading import model_facts
    from unlearnbench.models.source import absent

    revision = experiment.revision
    facts = model_facts(
        name, revision, experiment.trust_remote_code, experiment.allow_pickle, download
    )
    if facts is None:
        raise absent(name, revision)
    device, device_name = choose_device(experiment.device)
    check_quantisation(experiment.quantise_base, device)
    if experiment.quantise_base != "no" and experiment.deepspeed:
        raise UserError("--quantise-base and --deepspeed do not go together; leave one of them out")
    if not facts.keeps_columns:
        warnings.warn(
            f"{name}: a {facts.architecture} keeps no keys and values per token, so its "
            "continuations are written one by one: expect the upper bound of tokens that "
            "--dry-run states (docs/models.md)",
            stacklevel=2,
        )
    return ModelChoice(
        requested=name,
        source=facts.source,
        architecture=facts.architecture,
        n_parameters=facts.n_parameters,
        dtype=choose_dtype(experiment.dtype),
        device=device,
        device_name=device_name,
        trust_remote_code=experiment.trust_remote_code,
        allow_pickle=experiment.allow_pickle,
        strategy=strategy_of(experiment),
        quantise_base=experiment.quantise_base,
    )


def strategy_of(experiment: "Experiment") -> Strategy:
    """How an experiment wants its models trained, under the launcher that started this process.

    What `accelerate launch` is given, or is configured to, holds where the experiment says
    nothing.  Raises `UserError` for what cannot be had.
    """
    from unlearnbench.experiments.schedule_choice import choose_schedule
    from unlearnbench.models.devices.deepspeed import choose_deepspeed, launchers_deepspeed

    launched = _of_accelerate(os.environ)
    deepspeed = experiment.deepspeed or launchers_deepspeed(os.environ)
    strategy = Strategy(
        mixed_precision=launched.mixed_precision
        if experiment.mixed_precision == "no"
        else experiment.mixed_precision,
        gradient_checkpointing=experiment.gradient_checkpointing,
        gradient_accumulation_steps=max(
            experiment.gradient_accumulation_steps, launched.gradient_accumulation_steps
        ),
        deepspeed=deepspeed,
        deepspeed_sha256=choose_deepspeed(deepspeed),
        n_processes=n_processes(),
        schedule=choose_schedule(experiment),
    )
    n, device = strategy.n_processes, experiment.device
    if n > 1 and device.startswith("cuda:"):
        raise UserError(
            f"--device {device} is one GPU, and the launcher started {n} processes that each need "
            "one; leave --device out"
        )
    if n > 1 and experiment.launcher != "local":
        raise UserError(
            f"a launcher of processes has started this one; --launcher {experiment.launcher} "
            "starts its own: leave one of them out"
        )
    return strategy


def _of_accelerate(environment: Mapping[str, str]) -> Strategy:
    """What accelerate's launcher or configuration asks for; raises `UserError` if we have none."""
    for name, what in (("FSDP", "FSDP"), ("MEGATRON_LM", "Megatron-LM"), ("TP", "tensor parallel")):
        if environment.get(f"ACCELERATE_USE_{name}", "").lower() in ("1", "true"):
            raise UserError(
                f"accelerate is configured for {what}, which unlearnbench has not; take "
                "--deepspeed zero2 or zero3, or see: accelerate config"
            )
    precision = environment.get("ACCELERATE_MIXED_PRECISION", "no")
    if precision not in ("no", "bf16"):
        raise UserError(
            f"accelerate is configured for mixed precision {precision}; take bf16 or no: "
            "accelerate launch --mixed_precision no ..."
        )
    steps = environment.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    return Strategy(
        mixed_precision="bf16" if precision == "bf16" else "no",
        gradient_accumulation_steps=int(steps) if steps.isdecimal() else 1,
    )


def check_revision(experiment: "Experiment") -> None:
    """A revision names a state of one repository; raises `UserError` where there are more."""
    ours = {name for name, alias in aliases().items() if not alias.hub_id}
    on_hub = [n for n in experiment.model if not Path(n).expanduser().is_dir() and n not in ours]
    if experiment.revision is not None and len(on_hub) > 1:
        raise UserError(
            f"--revision {experiment.revision} is a revision of one model, not of "
            f"{len(on_hub)} ({', '.join(on_hub)}); run them one at a time: --model {on_hub[0]}"
        )
