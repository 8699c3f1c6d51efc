"""What every default attack on the models of a results folder costs, attack by attack.

    unlearnbench run --runs 0 --tasks forgetting --save-models --out results
    python speed/panel.py results            # of attacks that were made already
    python speed/panel.py                    # makes both first: the five methods, one forget set

Prints seconds of the cells (wall time of a process, two side by side by default) and tokens that
went through the network, by attack and phase.  The aim is 15 minutes for the nano panel on two
cores: the wall time of the command, and half of what the cells took one by one.
"""

import tempfile
import time
from collections import defaultdict
from pathlib import Path

import click
from tabulate import tabulate

import unlearnbench as ub
from unlearnbench.results.record import Result

AIM = 15.0  # minutes
MEASURING = ("extraction", "continuations", "bertscore", "examine", "forgetting")


@click.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False))
@click.option("--jobs", default=2, show_default=True, help="cells at a time")
def main(folder: str | None, jobs: int) -> None:
    """Attack, unless that is done, and count.  Prints seconds and tokens by attack."""
    with tempfile.TemporaryDirectory(prefix="speed-") as scratch:
        out = folder or scratch
        if folder is None:
            ub.run(runs=["0"], tasks=["forgetting"], save_models=True, jobs=jobs, out=out)
        began = time.perf_counter()
        attacked = ub.attack(Path(out), jobs=jobs).attacked
        seconds = time.perf_counter() - began
    print(tabulate(lines(attacked), ("attack", "cells", "points", "seconds", "of them measuring",
                                     "forward tokens", "generated tokens"),
                   intfmt=",", floatfmt=".1f"))  # fmt: skip
    in_cells = sum(result.seconds for result in attacked) / 60
    print(f"\n{len(attacked)} cells, {in_cells:.1f} minutes one by one; this command took ", end="")
    print(f"{seconds / 60:.1f}; the aim of {AIM:.0f} is ", end="")
    print("met" if max(in_cells / jobs, seconds / 60) < AIM else "NOT met")


def lines(attacked: "list[Result] | tuple[Result, ...]") -> list[tuple[object, ...]]:
    """One line an attack, the longest first."""
    by_attack: dict[str, list[Result]] = defaultdict(list)
    for result in attacked:
        if result.attack is not None:
            by_attack[result.attack.name].append(result)
    found = []
    for name, results in by_attack.items():
        costs = [cost for result in results for cost in result.costs.items()]
        found.append((
            name,
            len(results),
            sum(len(r.attack.points) for r in results if r.attack),
            sum(result.seconds for result in results),
            sum(cost.seconds for phase, cost in costs if phase in MEASURING),
            sum(cost.forward_tokens for _, cost in costs),
            sum(cost.generated_tokens for _, cost in costs),
        ))  # fmt: skip
    return sorted(found, key=lambda line: -line[3])


if __name__ == "__main__":
    main()
