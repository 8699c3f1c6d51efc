"""Intervals over items, seeds, trainings and both, and what is said of them."""

from collections.abc import Sequence

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.statistics.bootstrap import MIN_DOCUMENTS
from unlearnbench.analysis.variance.components import ALL, ITEMS, SEEDS, TRAININGS
from unlearnbench.analysis.variance.estimates import Estimate

OVER = {ITEMS: "Over items", SEEDS: "Over seeds", TRAININGS: "Over trainings", ALL: "Over both"}
_MEANING = {
    ITEMS: "Over items: other rows, questions or windows, these models held fixed.",
    SEEDS: "Over seeds: these originals unlearned again, items held fixed.",
    TRAININGS: "Over trainings: original and retrained model trained again and unlearned anew, "
    "items held fixed; so the seeds' variation is in it.",
    ALL: "Over both: other items and other models, the errors added in squares.",
}


def about_intervals(names: Sequence[str]) -> str:
    """What each of these columns is over."""
    meaning = " ".join(_MEANING[name] for name in names)
    return (
        "95%, Student's, each over what its column says and nothing else. "
        f"{meaning} The forget sets are held fixed."
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


_ENOUGH = 6  # degrees of freedom


def _rests_on(values: Sequence[Estimate]) -> str:
    """On how little the intervals over seeds and trainings rest."""
    of_seeds = [v.squares.seeds.df for v in values if v.squares.seeds and v.squares.seeds.value]
    of_trainings = [v.squares.trainings.df for v in values if v.squares.trainings]
    parts = [
        f"over {name} on {min(df):.0f}" + (f" to {max(df):.0f}" if max(df) - min(df) > 0.5 else "")
        for name, df in ((SEEDS, of_seeds), (TRAININGS, of_trainings))
        if df and min(df) < _ENOUGH
    ]
    if not parts:
        return ""
    return (
        f"The intervals rest on few degrees of freedom, {listed(parts)}: most are wide, and one "
        "that is narrow may be so by luck."
    )


def held_fixed(values: Sequence[Estimate]) -> str:
    """What has no interval, as there is only one of it, and on how little others rest."""
    texts = []
    several = any(v.squares.trainings for v in values)
    if not several:
        texts.append("One training: it is held fixed, and over both is over items and seeds.")
    if all(v.squares.seeds is None for v in values):
        where = ", but over trainings, where it cannot be told from them" if several else ""
        texts.append(f"One seed of unlearning: it is held fixed{where}.")
    if any(v.squares.reach(ITEMS) is None for v in values):
        texts.append(
            f"A score without outcomes by item, or of fewer than {MIN_DOCUMENTS} items, has no "
            "interval over items."
        )
    return " ".join(filter(None, [*texts, _rests_on(values)]))
