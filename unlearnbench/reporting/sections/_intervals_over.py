"""Intervals over items, seeds, trainings and both, and what is said of them."""

from collections.abc import Sequence

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.variance.components import ALL, ITEMS, SEEDS, TRAININGS
from unlearnbench.analysis.variance.estimates import Estimate

OVER = {ITEMS: "Over items", SEEDS: "Over seeds", TRAININGS: "Over trainings", ALL: "Over both"}
INTERVALS = (
    "95%, Student's, each over what its column says and nothing else. Over items: other rows, "
    "questions or windows, these models held fixed. Over seeds: these originals unlearned again, "
    "items held fixed. Over trainings: original and retrained model trained again and unlearned "
    "anew, items held fixed; so the seeds' variation is in it. Over both: other items and other "
    "models, the errors added in squares. The forget sets are held fixed in all of them."
)


def available(values: Sequence[Estimate]) -> list[str]:
    """Over what any of them has an interval."""
    return [n for n in OVER if any(v.squares.reach(n) is not None for v in values)]


def left_out(values: Sequence[Estimate]) -> str:
    """Which runs are in none of the numbers, so that they are balanced."""
    by_runs: dict[int, list[str]] = {}
    for value in values:
        if value.n_left_out:
            labels = by_runs.setdefault(value.n_left_out, [])
            labels += [name for name in (" and ".join(value.labels),) if name not in labels]
    return " ".join(
        f"{listed(labels)}: {n} runs that not every training has as many of are left out."
        for n, labels in sorted(by_runs.items())
    )


def held_fixed(values: Sequence[Estimate]) -> str:
    """What has no interval, as there is only one of it."""
    texts = []
    several = any(v.squares.trainings for v in values)
    if not several:
        texts.append("One training: it is held fixed, and over both is over items and seeds.")
    if all(v.squares.seeds is None for v in values):
        where = ", but over trainings, where it cannot be told from them" if several else ""
        texts.append(f"One seed of unlearning: it is held fixed{where}.")
    if any(v.squares.items is None for v in values):
        texts.append("A score without outcomes by item has no interval over items.")
    return " ".join(texts)
