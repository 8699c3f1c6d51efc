"""Models that know their forget set well, or by half: a few steps down or up its loss."""

from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from speed.comparison.cases import Case, planned

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

KNOWN, HALF = 0.75, 0.52  # MA
_ASCENT_RATE, _DESCENT_RATE, _MOST_STEPS = 5e-5, 5e-4, 300


def states_of(case: Case, scratch: Path, memorise: bool) -> list[Case]:
    """The case as it comes, then known by half; one with random weights is taught its rows first.

    Without `memorise` a model with random weights is left as it is.
    """
    model, rows, protocol = _loaded(case)
    name = f"{case.model}-{case.protocol}"
    if memorisation(model, rows, protocol) >= HALF:
        steps = _move(model, rows, protocol, up=True, until=lambda ma: ma <= HALF)
        return [case, case.of_model(_saved(model, scratch / name), f"{steps} steps up its loss")]
    if not memorise:
        return [case]
    half = _move(model, rows, protocol, up=False, until=lambda ma: ma >= 0.5)
    first = case.of_model(_saved(model, scratch / f"{name}-half"), f"{half} steps of learning")
    whole = half + _move(model, rows, protocol, up=False, until=lambda ma: ma >= KNOWN)
    second = case.of_model(_saved(model, scratch / name), f"{whole} steps of learning")
    return [second, first]


def memorisation(model: "LanguageModel", rows: "Sequences", protocol: "Protocol") -> float:
    """The rows' mean MA."""
    import torch

    from unlearnbench.metrics.extraction import memorisation_accuracy

    with torch.no_grad():
        return fmean(memorisation_accuracy(model, rows, protocol))


def _move(
    model: "LanguageModel",
    rows: "Sequences",
    protocol: "Protocol",
    up: bool,
    until: Callable[[float], bool],
) -> int:
    """Adam on the rows' loss, eight at a time, until their MA is such; how many steps it took."""
    import torch

    rate = _ASCENT_RATE if up else _DESCENT_RATE
    adam = torch.optim.Adam(model.network.parameters(), lr=rate, betas=(0.9, 0.98))
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0)).split(8)
    with model.training():
        for step in range(_MOST_STEPS):
            if until(memorisation(model, rows, protocol)):
                return step
            ids = rows.input_ids[order[step % len(order)]].to(model.device)
            loss = model.network(input_ids=ids, labels=ids, use_cache=False).loss
            adam.zero_grad()
            (-loss if up else loss).backward()
            adam.step()
    raise RuntimeError(f"MA did not get there in {_MOST_STEPS} steps")


def _loaded(case: Case) -> "tuple[LanguageModel, Sequences, Protocol]":
    import torch

    torch.set_num_threads(case.threads)
    cell = planned(case.options)
    model = cell.model.load()
    forget_set = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)
    return model, forget_set.rows, cell.protocol


def _saved(model: "LanguageModel", folder: Path) -> Path:
    model.network.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder
