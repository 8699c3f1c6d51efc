"""Unlearning by preference: trl's DPO trainer behind the same interface as the epoch loop.

The trainer is fed exact token ids, so nothing is tokenised twice and no
end-of-sequence token is appended to the completions.  What it changes around
itself (the network's forward, configuration, global generators) is put back.
"""

import copy
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from unlearnbench.models.devices.device import make_current
from unlearnbench.unlearning.preferences import Preference, preferences_of
from unlearnbench.unlearning.steps import ADAM_BETAS, seeded_generator, shuffled_batches

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from trl import DPOConfig

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.trace import UnlearnTrace
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
    from unlearnbench.unlearning.epochs import EpochLog

    # Importing trl takes seconds, which are not this method's, and seeds the generators.
    with _global_generators_kept():
        from unlearnbench.unlearning import dpo_trainer as preference_trainer  # noqa: F401

    log = EpochLog(method, model, forget_set, examiner)
    log.before()
    if not log.ended:
        preferences = preferences_of(model, forget_set, method.seed)
        with (
            model.meter.phase("unlearn"),
            model.training(),
            _left_as_found(model.network),
            _global_generators_kept(),
            _quiet(),
        ):
            _train(method, model, preferences, log, beta)
    return log.trace


def _train(
    method: "GradientMethod",
    model: "LanguageModel",
    preferences: list[Preference],
    log: Any,
    beta: float,
) -> None:
    import torch
    from datasets import Dataset
    from transformers import PrinterCallback
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from unlearnbench.unlearning.dpo_trainer import Collapsed, ExactTokensTrainer

    adam = torch.optim.Adam(
        model.network.parameters(), lr=method.learning_rate, betas=ADAM_BETAS, weight_decay=0.0
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = ExactTokensTrainer(
            model=model.network,
            args=_arguments(method, model, folder, beta),
            train_dataset=Dataset.from_list(preferences),
            processing_class=copy.deepcopy(model.tokenizer),
            data_collator=DataCollatorForPreference(pad_token_id=model.pad_token_id),
            optimizers=(adam, None),
            log=log,
            order=_Order(method, len(preferences)),
        )
        trainer.remove_callback(PrinterCallback)  # it prints to stdout, which is for answers
        with suppress(Collapsed):  # the log has the outcome and the reason
            trainer.train()


class _Order:
    """The rows' order of each epoch: the same that the epoch loop would take for this seed."""

    def __init__(self, method: "GradientMethod", n_rows: int) -> None:
        self._batch_size, self._n_rows = method.batch_size, n_rows
        self._random = seeded_generator(method.seed, "order")

    def __iter__(self) -> Iterator[int]:
        for batch in shuffled_batches(range(self._n_rows), self._batch_size, self._random):
            yield from batch

    def __len__(self) -> int:
        return self._n_rows


def _arguments(
    method: "GradientMethod", model: "LanguageModel", folder: str, beta: float
) -> "DPOConfig":
    from trl import DPOConfig

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


def _keep_to_one_device(arguments: "DPOConfig", device: "torch.device") -> None:
    """Train where the model is: not on the first GPU, and not on every visible one at once."""
    from transformers.training_args import ParallelMode

    if arguments.parallel_mode is ParallelMode.DISTRIBUTED:
        return  # each process has its own GPU, chosen by the launcher
    arguments._n_gpu = min(arguments.n_gpu, 1)
    if device.type == "cuda":
        vars(arguments)["_setup_devices"] = device  # the cached property behind `device`
        make_current(device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the trainers' notes on settings to come and on token ids they take over."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)


@contextmanager
def _left_as_found(network: "PreTrainedModel") -> Iterator[None]:
    """Undo what trl and the Hugging Face trainer change on the network itself, weights apart."""
    before = dict(vars(network))
    configs = [c for c in (network.config, network.generation_config) if c is not None]
    settings = [copy.deepcopy(vars(config)) for config in configs]
    try:
        yield
    finally:
        # trl patches `forward` on the instance and adds tags and marks of its own.
        for name in set(vars(network)) - set(before):
            delattr(network, name)
        vars(network).update(before)
        for config, values in zip(configs, settings, strict=True):
            vars(config).clear()
            vars(config).update(values)


@contextmanager
def _global_generators_kept() -> Iterator[None]:
    """The trainers seed Python's, NumPy's and torch's generators; nobody outside may notice."""
    import numpy
    import torch

    python, np_state = random.getstate(), numpy.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        numpy.random.set_state(np_state)
