"""Results of a model trained with several seeds and unlearned with several, of known effects."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from statistics_cases import result as of_documents

from unlearnbench.results.record import Result

TRAININGS = ("nano-neo", "nano-neo-2", "nano-neo-3")
N_ROWS, N_QUESTIONS, N_WINDOWS = 24, 30, 12


def effects(*names: object, size: int = 1) -> np.ndarray:
    """Standard normal draws of what has this name."""
    digest = hashlib.sha256(repr(names).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:4], "big")).normal(size=size)


def results(
    trainings: Sequence[str] = TRAININGS,
    seeds: Sequence[int] = (42, 43),
    runs: Sequence[str] = ("0", "1"),
    **levels: float,
) -> list[Result]:
    """Before, retrained and methods of these levels (default ICU 0.5, KL 0.6) of every training."""
    made = []
    for group in trainings:
        family = group.removeprefix("nano-").upper()
        for run in runs:
            made.append(one(f"{family} (before unlearning)", group, run, 0.95, role="before"))
            made.append(one(f"{family} (retrained)", group, run, 0.45, role="retrained"))
            for place, (method, level) in enumerate((levels or {"ICU": 0.5, "KL": 0.6}).items()):
                made += _seeds(f"{family} + {method}", group, run, level, seeds, place)
    return made


def _seeds(
    label: str, group: str, run: str, level: float, seeds: Sequence[int], place: int
) -> Iterator[Result]:
    for seed in seeds:
        yield one(label, group, run, level, seed=seed, position=place)


def one(label: str, group: str, run: str, level: float, seed: int = 42, **fields: Any) -> Result:
    """A result with MA by row, an average of two question sets and a perplexity."""
    what = (label.partition(" ")[2], group)
    of_run = (*what, run, seed)

    def values(metric: str, items: str, n: int, middle: float) -> np.ndarray:
        return (
            middle
            + 0.02 * effects("training", metric, *what)
            + 0.01 * effects("seed", metric, *of_run)
            + 0.10 * effects("item", metric, items, size=n)
            + 0.03 * effects("rest", metric, *of_run, items, size=n)
        )

    sets = {name: values("cls", name, N_QUESTIONS, 0.5 - level / 10) for name in ("a", "b")}
    model = f"{group} retrained" if fields.get("role") == "retrained" else group
    made: Result = of_documents(
        label, run, ma=values("ma", run, N_ROWS, level), sets=sets,
        nll=values("nll", "pile", N_WINDOWS, 2.0 + level), group=group, seed=seed, **fields,
    )  # fmt: skip
    weights = hashlib.sha256(model.encode()).hexdigest()
    changed = made.model.model_copy(update={"name": model, "weights_sha256": weights})
    return made.model_copy(update={"model": changed})
