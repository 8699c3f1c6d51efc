"""The command: unlearnbench beside the released algorithm, counts first."""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import click

from speed.comparison.cases import SIZES, Case, World
from speed.comparison.lines import (
    Difference,
    Line,
    Told,
    crossed_lines,
    training_differences,
    training_lines,
    validation_differences,
    validation_lines,
)
from speed.comparison.processes import in_a_process
from speed.comparison.tables import report

# Validated on a CPU: one row of the 125M shape takes the released algorithm minutes.
CPU_ROWS = {"gpt-neo-46m": 4, "gpt-neo-125m": 2, "gpt-neo-1.3b": 1}
PARTS = ("validation", "training")
MAKERS = {
    "validation": (validation_lines, validation_differences),
    "training": (training_lines, training_differences),
}


@click.command(epilog=f"Sizes: {', '.join(SIZES)}. The others: python -m speed.memory --help")
@click.option("--sizes", help="models, by comma  [default: nano-neo, and pile-neo with --shared]")
@click.option("--protocols", default="released,paper", show_default=True)
@click.option("--parts", default=",".join(PARTS), show_default=True)
@click.option("--rows", default=8, show_default=True, help="forget rows of each comparison")
@click.option("--memorise", is_flag=True, help="teach models with random weights their rows first")
@click.option(
    "--shared",
    envvar="UNLEARNBENCH_SHARED",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="folder with data/pile_extraction, data/icu and models/pile-neo; without it, random ids",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda")
@click.option("--threads", default=1, show_default=True, help="torch's, of every process")
@click.option("--quick", is_flag=True, help="nano-neo, 2 rows, the released protocol: a minute")
def main(
    sizes: str | None,
    protocols: str,
    parts: str,
    rows: int,
    memorise: bool,
    shared: Path | None,
    device: str,
    threads: int,
    quick: bool,
) -> None:
    """Set unlearnbench beside the straightforward algorithm of the field's released code.

    Prints tables: first counts that no machine changes (tokens forward, backward and generated,
    bytes kept, the largest tensor over the vocabulary), then the ratios of wall and CPU seconds
    and peak memory, each way in a fresh process, each with the aim beside it, then the seconds
    and bytes themselves, and last the largest difference between the two ways' values.

    'validation' is what follows an epoch: EL and MA, and BERTScore, BLEU and entropy of
    continuations, of a model that knows its rows and of the same one when it knows them by half.
    'training' is an epoch of ICU.  A model with random weights knows nothing, which is EL's
    worst case: --memorise teaches it, and on a CPU one or two rows of it are validated.
    """
    chosen = sizes.split(",") if sizes else ["nano-neo", *(["pile-neo"] if shared else [])]
    named = protocols.split(",")
    if quick:
        chosen, named, rows = ["nano-neo"], ["released"], 2
    check(chosen, named, parts.split(","), shared)
    with tempfile.TemporaryDirectory(prefix="speed-") as scratch:
        world = World(Path(scratch), shared, device, threads)
        chosen_cases = cases(world, chosen, named, parts.split(","), rows, memorise)
        print(report(*compared(chosen_cases)))


def compared(chosen: Iterable[tuple[str, Case]]) -> tuple[list[Line], list[Difference]]:
    """Measure every case both ways, one process after the other."""
    lines: list[Line] = []
    differences: list[Difference] = []
    epochs: dict[tuple[str, str], Told] = {}
    for part, case in chosen:
        print(f"{part}: {case.title}, {case.state}", file=sys.stderr, flush=True)
        told = {way: in_a_process(part, way, case) for way in ("ours", "released")}
        of_lines, of_differences = MAKERS[part]
        lines += of_lines(case, **told)
        differences += of_differences(case, **told)
        if part == "training":
            epochs[case.model, case.protocol] = told
    return [*lines, *crossed_lines(epochs)], differences


def cases(
    world: World,
    sizes: list[str],
    protocols: list[str],
    parts: list[str],
    rows: int,
    memorise: bool,
) -> Iterator[tuple[str, Case]]:
    """What is compared, in the order of the tables."""
    from speed.comparison.states import states_of

    for part, size, protocol in product(parts, sizes, protocols):
        if part == "training":
            yield part, world.case(size, protocol, rows)
            continue
        few = rows if world.device != "cpu" else min(rows, CPU_ROWS.get(size, rows))
        for case in states_of(world.case(size, protocol, few), world.scratch, memorise):
            yield part, case


def check(sizes: list[str], protocols: list[str], parts: list[str], shared: Path | None) -> None:
    """Raises click's usage error for a name that is none."""
    for given, known in ((sizes, SIZES), (protocols, ("released", "paper")), (parts, PARTS)):
        if wrong := [name for name in given if name not in known]:
            raise click.UsageError(f"no '{wrong[0]}' here; there are: {', '.join(known)}")
    if "pile-neo" in sizes and shared is None:
        raise click.UsageError("pile-neo is in the folder of real data: --shared FOLDER")


if __name__ == "__main__":
    main(prog_name="python -m speed")
