"""The strategy that a run's options ask for."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.models.devices.strategy import Strategy, n_processes

if TYPE_CHECKING:
    from unlearnbench.experiments.experiment import Experiment


def strategy_of(experiment: "Experiment") -> Strategy:
    """How an experiment wants its models trained, under the launcher that started this process.

    What `accelerate launch` was told, or is configured to, holds where the experiment
    says nothing.  Raises `UserError` for what cannot be had.
    """
    from unlearnbench.models.devices.deepspeed import choose_deepspeed, launchers_deepspeed

    told = _of_accelerate(os.environ)
    deepspeed = experiment.deepspeed or launchers_deepspeed(os.environ)
    strategy = Strategy(
        mixed_precision=told.mixed_precision
        if experiment.mixed_precision == "no"
        else experiment.mixed_precision,
        gradient_checkpointing=experiment.gradient_checkpointing,
        gradient_accumulation_steps=max(
            experiment.gradient_accumulation_steps, told.gradient_accumulation_steps
        ),
        deepspeed=deepspeed,
        deepspeed_sha256=choose_deepspeed(deepspeed),
        n_processes=n_processes(),
    )
    _check_processes(experiment, strategy)
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


def _check_processes(experiment: "Experiment", strategy: Strategy) -> None:
    if strategy.n_processes == 1:
        return
    asked = experiment.device
    if asked.startswith("cuda:"):
        raise UserError(
            f"--device {asked} is one GPU, and the launcher started {strategy.n_processes} "
            "processes that each need one; leave --device out"
        )
    if experiment.launcher != "local":
        raise UserError(
            f"a launcher of processes has started this one; --launcher {experiment.launcher} "
            "starts its own: leave one of them out"
        )
