"""Checks of methods and wrappers: two rows are unlearned, and the weights looked at."""

import math
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.settings import parse_setting, settings_of
from unlearnbench.testing.contract import (
    N_ROWS,
    ContractError,
    check_described,
    process_untouched,
    world,
)

if TYPE_CHECKING:
    from unlearnbench.api import LoadedForgetSet
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.method import Method
    from unlearnbench.unlearning.wrapper import Wrapper

N_EPOCHS = 2


def check_method(method: "type[Method]", **settings: Any) -> "UnlearnTrace":
    """Unlearn two rows with a method and check all that a run relies on; gives its trace.

    `settings` are the method's own; without a `learning_rate` among them the check takes a
    larger one than the default, so that two epochs can be seen in the weights.

    Checked: name, label, first sentence and meaning of each setting; that each published fault
    names a setting and a value of it; that the nano world has what the method needs; the trace;
    finite losses; network, tokenizer and rows as they were but for the values of the weights; the
    same weights for the same seed; a batch in two parts like a batch in one; the process's state
    (generators, working folder, environment, torch's defaults) as it was; and that the rows
    are no better known than before, unless it is a sham.
    """
    check_described(method)
    _check_faults(method)
    model, forget_set = world()
    usual = {"learning_rate": 1e-4, "max_epochs": N_EPOCHS, "batch_size": N_ROWS}
    own = {name: usual[name] for name in usual if name in settings_of(method)}
    instance = method(**{**own, **settings})
    forget_set.cell.data.check_method(instance, forget_set.run, N_ROWS, model, forget_set.protocol)
    trace, unlearned = _unlearned(instance, model, forget_set)
    if trace.outcome == "collapsed":
        raise ContractError(f"{method.name} collapsed on {N_ROWS} rows: {trace.reason}")
    # The first time libraries are imported, and some of them seed or set what is the process's.
    with process_untouched(method.name):
        _, again = _unlearned(instance, model, forget_set)
    if not _are_close(unlearned, again, 0.0):
        raise ContractError(
            f"{method.name} gave other weights for the same seed; draw from batch.random only"
        )
    trace_in_parts, in_parts = _unlearned(instance, model, forget_set, n_parts=N_ROWS)
    # Adam divides by a gradient's own size, so the weights alone would hide a factor.
    if not _are_close(unlearned, in_parts, 1e-3) or not _have_close_losses(trace, trace_in_parts):
        raise ContractError(
            f"{method.name} computed other losses or weights for a batch in {N_ROWS} parts; each "
            "term must be a mean over the rows that it is given, and draws must be for "
            "batch.whole.rows"
        )
    before, after = _mean_nll(model, forget_set), _mean_nll(unlearned, forget_set)
    if after < before and not method.is_sham:
        raise ContractError(
            f"{method.name} made the rows to forget better known: NLL {before:.4f} before, "
            f"{after:.4f} after; is the sign of a term wrong?"
        )
    return trace


def check_wrapper(wrapper: "type[Wrapper]", **settings: Any) -> "UnlearnTrace":
    """Unlearn two rows with ICU inside a wrapper, and check all that `check_method` checks.

    `settings` are the wrapper's own.  ICU, because its loss has terms that forget and that keep.
    """
    from unlearnbench.registry import find
    from unlearnbench.unlearning.wrapper import prefix_of

    check_described(wrapper)
    of_wrapper = {prefix_of(wrapper) + name: value for name, value in settings.items()}
    return check_method(wrapper.of(find("methods", "icu")), **of_wrapper)


def tiny_batch(n_rows: int = N_ROWS) -> "UnlearnBatch":
    """A batch of nano rows, outside a training loop: to compare a loss with its formula."""
    from unlearnbench.unlearning.batch import UnlearnBatch

    model, forget_set = world(n_rows)
    return UnlearnBatch.of(model, forget_set, list(range(n_rows)))


def _check_faults(method: "type[Method]") -> None:
    """That `--protocol released` can give each setting its released value."""
    released: dict[str, Any] = {}
    for fault in method.published_faults:
        if not fault.setting:
            continue
        try:
            parsed = parse_setting(method, method.name, fault.setting, fault.released)
        except UserError as error:
            raise ContractError(f"{method.name}.published_faults: {error}") from error
        if fault.corrected is not None:  # the protocol leaves its setting alone
            continue
        if released.setdefault(fault.setting, parsed) != parsed:
            raise ContractError(
                f"{method.name}.published_faults gives {fault.setting} two released values; "
                "say of one which value is `corrected`, or leave its setting empty"
            )
        if parsed == settings_of(method)[fault.setting].default:
            raise ContractError(
                f"{method.name}.published_faults: the released {fault.setting} is the default; "
                "the default does what the paper says"
            )


def _unlearned(
    method: "Method", model: "LanguageModel", forget_set: "LoadedForgetSet", n_parts: int = 1
) -> "tuple[UnlearnTrace, LanguageModel]":
    """The trace and a copy of the model, unlearned with each batch in so many parts."""
    from unlearnbench.api import make_examiner
    from unlearnbench.models.devices.strategy import Strategy
    from unlearnbench.running.checks import MethodInputs, check_unlearned

    copied = model.copied()
    copied.strategy = Strategy(gradient_accumulation_steps=n_parts)
    examiner = make_examiner(copied, forget_set, stop="paper")
    inputs = MethodInputs.of(copied, forget_set)
    try:
        returned = method.unlearn(copied, forget_set, examiner)
        return check_unlearned(returned, copied, forget_set, inputs), copied
    except UserError as error:  # what a run checks after every method
        raise ContractError(f"{method.name}: {error}") from error


def _have_close_losses(one: "UnlearnTrace", other: "UnlearnTrace") -> bool:
    """Whether the mean losses of the first epoch are equal within rounding."""
    first, second = (trace.epochs[min(1, trace.n_epochs)].losses for trace in (one, other))
    return first.keys() == second.keys() and all(
        math.isclose(first[name], second[name], rel_tol=1e-3, abs_tol=1e-5) for name in first
    )


def _are_close(one: "LanguageModel", other: "LanguageModel", tolerance: float) -> bool:
    """Whether two models have the same weights, relative to the size of each tensor."""
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(
        float((a - b).detach().norm()) <= tolerance * float(a.detach().norm()) for a, b in pairs
    )


def _mean_nll(model: "LanguageModel", forget_set: "ForgetSet") -> float:
    """Mean NLL of the rows to forget, nats."""
    import torch

    from unlearnbench.unlearning.batch import UnlearnBatch

    with torch.no_grad():
        batch = UnlearnBatch.of(model, forget_set, list(range(len(forget_set.rows))))
        return float(batch.target_nll_per_row.mean())
