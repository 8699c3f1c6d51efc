"""Unlearning by preference: trl's DPO trainer behind the same interface as the epoch loop.

The trainer is fed exact token ids, so nothing is tokenised twice and no
end-of-sequence token is appended to the completions.  What it changes on a network
it changes on a copy with the same weights; the global generators are put back.
Importing this imports trl, which takes seconds and seeds the global generators.
"""

import copy
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from transformers import PrinterCallback, TrainerCallback, TrainerControl
from trl import DPOConfig, DPOTrainer
from trl.trainer.dpo_trainer import DataCollatorForPreference

from unlearnbench.models.devices.device import make_current
from unlearnbench.models.quiet import quiet_transformers
from unlearnbench.unlearning.completions import preferences_of
from unlearnbench.unlearning.epochs import EpochLog
from unlearnbench.unlearning.optimizer import adam
from unlearnbench.unlearning.steps import (
    global_generators_kept,
    seeded_generator,
    shuffled_batches,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.examiner import Examiner
    from unlearnbench.unlearning.gradient_method import GradientMethod


def unlearn_by_preference(
    method: "GradientMethod",
    model: "LanguageModel",
    forget_set: "ForgetSet",
    examiner: "Examiner",
    beta: float,
) -> "UnlearnTrace":
    """Train `model` in place to prefer each row's alternative to its suffix (DPO, sigmoid loss).

    The loss always looks at the suffix alone, whatever `loss_span`: a preference
    compares two continuations of one prompt.
    """
    log = EpochLog(method, model, forget_set, examiner)
    log.before()
    if not log.ended:
        preferences = Dataset.from_list(preferences_of(model, forget_set, method.seed))
        with (
            model.meter.phase("unlearn"),
            model.training(),
            global_generators_kept(),
            quiet_transformers(),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", FutureWarning)  # of settings to come
            _train(method, model, preferences, log, beta)
    return log.trace


def _train(
    method: "GradientMethod",
    model: "LanguageModel",
    preferences: Dataset,
    log: EpochLog,
    beta: float,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trainer = ExactTokensTrainer(
            model=_sharing_weights(model.network),
            args=_arguments(method, model, folder, beta),
            train_dataset=preferences,
            processing_class=copy.deepcopy(model.tokenizer),
            data_collator=DataCollatorForPreference(pad_token_id=model.pad_token_id),
            optimizers=(adam(model, method.learning_rate), None),
            log=log,
            order=_EpochOrder(method, len(preferences)),
        )
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for answers
        with suppress(Collapsed):  # the log has the outcome and the reason
            trainer.train()


def _arguments(
    method: "GradientMethod", model: "LanguageModel", folder: str, beta: float
) -> DPOConfig:
    arguments = DPOConfig(
        output_dir=folder,
        beta=beta,
        loss_type=["sigmoid"],
        per_device_train_batch_size=method.batch_size,
        num_train_epochs=method.max_epochs,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,  # 0 is off; the paper clips nothing
        precompute_ref_log_probs=True,  # otherwise trl loads a second model
        max_length=None,
        disable_dropout=False,  # our trainer stays in eval mode, which every architecture heeds
        use_cpu=model.device.type == "cpu",
        bf16=False,
        fp16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=method.seed,
    )
    _keep_to_one_device(arguments, model.device)
    return arguments


def _keep_to_one_device(arguments: DPOConfig, device: torch.device) -> None:
    """Train where the model is: not on the first GPU, and not on every visible one at once."""
    arguments._n_gpu = min(arguments.n_gpu, 1)
    if device.type == "cuda":
        vars(arguments)["_setup_devices"] = device  # the cached property behind `device`
        make_current(device)


def _sharing_weights(network: "PreTrainedModel") -> "PreTrainedModel":
    """The same modules under an outer one of its own, for the trainers to patch and to mark."""
    outer = copy.copy(network)
    outer.config = copy.deepcopy(network.config)
    outer.generation_config = copy.deepcopy(network.generation_config)
    return outer


class _EpochOrder(Sampler[int]):
    """The rows' order of each epoch: the same that the epoch loop would take for this seed."""

    def __init__(self, method: "GradientMethod", n_rows: int) -> None:
        self._batch_size, self._n_rows = method.batch_size, n_rows
        self._random = seeded_generator(method.seed, "order")

    def __iter__(self) -> Iterator[int]:
        batches = shuffled_batches(range(self._n_rows), self._batch_size, self._random)
        return chain.from_iterable(batches)

    def __len__(self) -> int:
        return self._n_rows


class Collapsed(Exception):
    """The loss became NaN or infinite: leaves the trainer before the step is taken."""


class ExactTokensTrainer(DPOTrainer):
    """DPO on rows of `prompt_ids`, `chosen_ids`, `rejected_ids`, taken as they are."""

    def __init__(self, *, log: EpochLog, order: _EpochOrder, **arguments: Any) -> None:
        self._log, self._order = log, order
        super().__init__(**arguments)
        self.add_callback(_EpochEnd(log))

    def compute_loss(self, model: Any, inputs: Any, *rest: Any, **options: Any) -> Tensor:
        """trl's loss with dropout off, noted in the log; raises `Collapsed` if it is not finite."""
        model.eval()  # the trainer has just switched training mode on
        loss: Tensor = super().compute_loss(model, inputs, *rest, **options)
        n_batches = -(-len(self._order) // self.args.per_device_train_batch_size)
        if not self._log.batch_done({"preference": float(loss.detach())}, n_batches):
            raise Collapsed
        return loss

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
    def __init__(self, log: EpochLog) -> None:
        self._log = log

    def on_epoch_end(
        self, args: Any, state: Any, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        del args, state
        self._log.epoch_done()
        control.should_training_stop = self._log.ended
        return control
