"""Optimisation steps whose state is divided between processes by DeepSpeed's ZeRO."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from unlearnbench.errors import UserError
from unlearnbench.models.devices import ranks
from unlearnbench.models.devices.deepspeed import check_wrappers, configuration
from unlearnbench.models.devices.schedule import NO_LENGTH, RunLength
from unlearnbench.unlearning.steps import Steps
from unlearnbench.unlearning.wrapped_steps import WrappedSteps

if TYPE_CHECKING:
    from unlearnbench.models.devices.strategy import Strategy
    from unlearnbench.models.language_model import LanguageModel


def deepspeed_steps(
    model: "LanguageModel",
    learning_rate: float,
    length: RunLength = NO_LENGTH,
    is_wrapped: bool = False,
) -> Steps:
    """Steps as the model's strategy configures DeepSpeed; raises `UserError` if it cannot.

    Of steps that are wrapped, whoever asks for them sets the wrappers.
    """
    config = configuration(str(model.strategy.deepspeed))
    shards_weights = config["zero_optimization"]["stage"] == 3
    if is_wrapped:
        check_wrappers(model.strategy.deepspeed)
        return _WrappedSharedState(model, learning_rate, length, config)
    kind = _ShardedWeights if shards_weights else _SharedState
    return kind(model, learning_rate, length, config)


class _SharedState(Steps):
    """ZeRO 1 and 2: whole weights everywhere, gradients and Adam's state in shares."""

    def __init__(
        self,
        model: "LanguageModel",
        learning_rate: float,
        length: RunLength,
        config: dict[str, Any],
    ) -> None:
        super().__init__(model, learning_rate, length)
        with contextlib.redirect_stdout(sys.stderr):  # it prints, and stdout is for answers
            self._engine = _engine(self.model, self._optimizer, config)
        self.network = self._engine

    def take(self) -> None:
        """One step; DeepSpeed has reduced the gradients already, and clips them."""
        self._engine.step()
        self._next_rate()

    def close(self) -> None:
        """Drop the engine, and what it left on the network."""
        self._engine.destroy()
        _plain_again(self.model.network)
        _without_hooks(self.model.network)
        self.network = None
        del self._engine, self._optimizer, self._rates

    def _clear(self) -> None:
        self._engine.zero_grad()

    def _backward(self, loss: Any, is_last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(is_last)
        n = ranks.world_size()
        # It takes the mean over processes, whose parts add up to the batch's loss.
        self._engine.backward(loss * n if n > 1 else loss)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        # The engine's own, but for what a loss does after the network.
        return contextlib.nullcontext()


class _WrappedSharedState(WrappedSteps, _SharedState):
    """ZeRO 1 and 2 with wrappers: gradients go past the engine until the last one is known."""

    def __init__(
        self,
        model: "LanguageModel",
        learning_rate: float,
        length: RunLength,
        config: dict[str, Any],
    ) -> None:
        super().__init__(model, learning_rate, length, config)
        self.network = None  # the plain one: the engine would share out every gradient at once

    def _follow(self, gradient: "Sequence[torch.Tensor | None]") -> None:
        """Hand the engine a loss that has this gradient, and let it take its step."""
        pairs = zip(self._trained, gradient, strict=True)
        surrogate = torch.stack([(p * g).sum() for p, g in pairs if g is not None]).sum()
        self._engine.set_gradient_accumulation_boundary(True)
        self._engine.backward(surrogate)  # the mean over processes, in each of which it is the same
        self._engine.step()
        self._next_rate()

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return Steps._precision(self)


class _ShardedWeights(_SharedState):
    """ZeRO 3: the weights are in shares too; the network that is measured is another, whole one.

    That one waits in the host's memory while the shares are trained, so that the
    devices hold whole weights only while nothing is trained.
    """

    def __init__(
        self,
        model: "LanguageModel",
        learning_rate: float,
        length: RunLength,
        config: dict[str, Any],
    ) -> None:
        self._home, self._device = model, model.device
        super().__init__(model.copied(), learning_rate, length, config)

    def take(self) -> None:
        """One step; the whole network is put aside, now that theta_0 is no longer needed."""
        if self._home.device.type != "cpu":
            self._home.network.to("cpu")  # type: ignore[arg-type]  # its decorator hides this
        super().take()

    def bring_home(self) -> None:
        """Gather every process's shares of the weights into the whole network."""
        import deepspeed

        here = self._home.network
        here.to(self._device)  # type: ignore[arg-type]
        for shared, whole in zip(self.model.network.parameters(), here.parameters(), strict=True):
            with deepspeed.zero.GatheredParameters([shared]), torch.no_grad():
                whole.copy_(shared)

    def close(self) -> None:
        """Leave the whole network with the last weights, where it was."""
        if sys.exc_info()[0] is None:  # else the others may not be there to gather from
            self.bring_home()
        else:
            self._home.network.to(self._device)  # type: ignore[arg-type]
        self._engine.destroy()
        self.network = None
        del self._engine, self._optimizer, self._rates


def _engine(
    model: "LanguageModel", optimizer: torch.optim.Optimizer, config: dict[str, Any]
) -> Any:
    on_cpu = model.device.type == "cpu"
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    ranks.start()
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    if (deepspeed.get_accelerator().device_name() == "cpu") is not on_cpu:
        raise UserError(
            f"DeepSpeed was set up for {deepspeed.get_accelerator().device_name()} in this "
            f"process; set DS_ACCELERATOR={model.device.type} in the environment"
        )
    with _local_rank():
        engine, *_ = deepspeed.initialize(
            model=model.network,
            optimizer=optimizer,
            config=_completed(config, model.strategy),
            dist_init_required=False,
        )
    engine.eval()
    return engine


@contextlib.contextmanager
def _local_rank() -> Iterator[None]:
    """DeepSpeed wants to be told, also where there is no launcher to do so."""
    was_set = "LOCAL_RANK" in os.environ
    os.environ.setdefault("LOCAL_RANK", "0")
    try:
        yield
    finally:
        if not was_set:
            del os.environ["LOCAL_RANK"]


def _completed(config: dict[str, Any], strategy: "Strategy") -> dict[str, Any]:
    """The configuration with what is ours to say: batches, precision, the optimizer, clipping."""
    return {
        "steps_per_print": sys.maxsize,
        **config,
        # Of no consequence: rows are counted and losses weighed by the steps.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": strategy.schedule.max_grad_norm or 0.0,  # its default is 1
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "torch_autocast": {
            "enabled": strategy.mixed_precision == "bf16",
            "dtype": "bfloat16",
        },
    }


def _plain_again(network: torch.nn.Module) -> None:
    """Replace parameters that carry DeepSpeed's marks and buffers by plain ones, ties kept."""
    plain: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for module in network.modules():
        for name, old in module._parameters.items():
            if old is not None:
                if old not in plain:
                    plain[old] = torch.nn.Parameter(old.detach().clone(), old.requires_grad)
                module._parameters[name] = plain[old]


def _without_hooks(network: torch.nn.Module) -> None:
    """Take off DeepSpeed's hooks, each of which holds the engine and all that it allocated."""
    for module in network.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key, hook in list(hooks.items()):
                if (getattr(hook, "__module__", None) or "").startswith("deepspeed."):
                    del hooks[key]
