"""trl's DPO trainer, fed token ids and reporting to an epoch log; importing this imports trl."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import DPOTrainer

from unlearnbench.unlearning.steps import seeded_generator, shuffled_batches

if TYPE_CHECKING:
    from unlearnbench.unlearning.epochs import EpochLog
    from unlearnbench.unlearning.gradient_method import GradientMethod


class EpochOrder(Sampler[int]):
    """The rows' order of each epoch: the same that the epoch loop would take for this seed."""

    def __init__(self, method: "GradientMethod", n_rows: int) -> None:
        self._batch_size, self._n_rows = method.batch_size, n_rows
        self._random = seeded_generator(method.seed, "order")

    def __iter__(self) -> Iterator[int]:
        for batch in shuffled_batches(range(self._n_rows), self._batch_size, self._random):
            yield from batch

    def __len__(self) -> int:
        return self._n_rows


class Collapsed(Exception):
    """The loss became NaN or infinite: leaves the trainer before the step is taken."""


class ExactTokensTrainer(DPOTrainer):
    """DPO on rows of `prompt_ids`, `chosen_ids`, `rejected_ids`, taken as they are."""

    def __init__(self, *, log: "EpochLog", order: "EpochOrder", **arguments: Any) -> None:
        self._log, self._order = log, order
        super().__init__(**arguments)
        self.add_callback(_EpochEnd(log))

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **options: Any) -> Tensor:
        """trl's loss with dropout off, noted in the log; raises `Collapsed` if it is not finite."""
        model.eval()  # the trainer has just switched training mode on
        loss: Tensor = super().compute_loss(model, inputs, *rest, **options)
        mean = float(self.accelerator.gather(loss.detach()).mean())
        if not self._log.batch_done({"preference": mean}, self._n_batches()):
            raise Collapsed
        return loss

    def _n_batches(self) -> int:
        per_step = self.args.per_device_train_batch_size * self.accelerator.num_processes
        return -(-len(self._order) // per_step)

    def _get_train_sampler(self, *_: Any) -> Sampler[int]:
        return self._order

    def _prepare_dataset(self, dataset: Dataset, *_: Any, **__: Any) -> Dataset:
        return dataset  # the rows are token ids already

    def _precompute_ref_logps(self, dataset: Dataset, _name: str, batch_size: int) -> Dataset:
        """theta_0's log-probabilities, kept in memory; trl's own version writes a cache file."""
        batches = DataLoader(dataset, batch_size=batch_size, collate_fn=self.data_collator)
        scores = [
            self.compute_ref_log_probs(self.model, self._prepare_inputs(batch)) for batch in batches
        ]
        for column, parts in zip(
            ("ref_chosen_logps", "ref_rejected_logps"), zip(*scores, strict=True), strict=True
        ):
            dataset = dataset.add_column(column, torch.cat(parts).float().tolist())
        return dataset

    def _send_telemetry(self) -> None:
        """A benchmark does not report to anybody."""


class _EpochEnd(TrainerCallback):
    def __init__(self, log: "EpochLog") -> None:
        self._log = log

    def on_epoch_end(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> TrainerControl:
        with _own_forward(model):
            self._log.epoch_done()
        control.should_training_stop = self._log.ended
        return control


@contextmanager
def _own_forward(network: Any) -> Iterator[None]:
    """Within, a network computes as its class says, as it does when the run is over."""
    patched = vars(network).pop("forward", None)
    try:
        yield
    finally:
        if patched is not None:
            network.forward = patched
