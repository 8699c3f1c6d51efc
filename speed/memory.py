"""Peak memory of one ICU epoch, predicted and measured, by model shape and way to train it.

python -m speed.memory --data ../shared/data/pile_extraction --rows 32
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from speed.baseline.counts import probability_bytes
from speed.comparison.cases import FULL_SET, planned
from speed.comparison.processes import environment
from speed.shapes import SHAPES, write_arrays, write_model

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "checkpointing": {"gradient_checkpointing": True},
    "accumulation 4": {"gradient_accumulation_steps": 4},
    "checkpointing, accumulation 4": {
        "gradient_checkpointing": True,
        "gradient_accumulation_steps": 4,
    },
    "bf16 autocast": {"mixed_precision": "bf16"},
    "bfloat16": {"dtype": "bfloat16"},
}
HEADER = ("shape", "way", "predicted, GB", "measured, GB", "ratio", "seconds", "largest parts")


@dataclass(frozen=True)
class Run:
    """One line of the table."""

    options: dict[str, Any]  # of the experiment
    threads: int
    as_released: bool = False


@click.command()
@click.option("--shapes", default="nano-neo,nano-llama,gpt-neo-46m,gpt-neo-125m", show_default=True)
@click.option("--ways", default=",".join(WAYS).replace("checkpointing, a", "checkpointing+a"))
@click.option("--data", type=click.Path(path_type=Path), help="folder of the extraction arrays")
@click.option("--rows", default=32, show_default=True, help="sequences to forget")
@click.option("--released-rows", default=0, show_default=True, help="pairs stored; 0: leave it out")
@click.option("--threads", default=1, show_default=True)
@click.option("--child", hidden=True)
def main(
    shapes: str,
    ways: str,
    data: Path | None,
    rows: int,
    released_rows: int,
    threads: int,
    child: str | None,
) -> None:
    """Predict and measure the peak memory of one ICU epoch.

    Prints a table with a line for each shape and way to train it: gigabytes predicted and
    measured, their ratio, seconds, and the largest parts.  Each line is a fresh process that
    loads a model with random weights from files and takes one epoch over the forget set through
    unlearnbench's own code.  Examination is memorisation accuracy alone: a random model misses
    every token, and each miss would be decoded.  With --released-rows comes the released
    algorithm, written again from its description.
    """
    if child:
        from speed.memory_epoch import measured

        print(json.dumps(measured(**json.loads(child))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        arrays = write_arrays(Path(scratch), data, rows)
        found = []
        for shape in shapes.split(","):
            folder = shape if SHAPES[shape] is None else str(write_model(Path(scratch), shape))
            for way in ways.split(","):
                name = way.replace("+", ", ")
                options = {**options_of(folder, arrays, rows), **WAYS[name]}
                found.append(compared(shape, name, Run(options, threads)))
                print(tabulate(found[-1:], tablefmt="plain"), file=sys.stderr, flush=True)
            if released_rows and SHAPES[shape] is not None:
                options = {**options_of(folder, arrays, released_rows), "protocol": "released"}
                found.append(released(shape, Run(options, threads, as_released=True)))
        print(tabulate(found, HEADER, floatfmt=".2f"))


def options_of(model: str, arrays: Path, rows: int) -> dict[str, Any]:
    """The experiment of one line."""
    own = (
        {}
        if model.startswith("nano-")
        else {"forget_set": str(arrays / "exp" / "rows_0.csv"), "rows": str(arrays)}
    )
    return {
        "model": [model],
        "methods": ["icu"],
        "references": ["none"],
        "tasks": ["forgetting"],
        "encoder": "nano",
        "bert": "nano",
        "max_epochs": 1,
        "stop": "paper",
        "device": "cpu",
        "runs": ["0"],
        "limit": rows,
        **own,
    }


def compared(shape: str, way: str, run: Run) -> tuple[Any, ...]:
    """One line of the table."""
    from unlearnbench.running.memory.prediction import in_words, predict
    from unlearnbench.running.memory.process import available

    need = predict(planned(run.options))
    predicted = max(need.of("load"), need.of("unlearn"))
    if (free := available("cpu").n_bytes) < 1.2 * predicted:
        words = f"not run: {in_words(free)} is free"
        return shape, way, predicted / 1e9, "", "", "", words
    told = in_a_process(run)
    phase = max("load", "unlearn", key=need.of)
    parts = sorted(need.phases[phase].items(), key=lambda part: -part[1])[:4]
    words = ", ".join(f"{name} {in_words(n)}" for name, n in parts)
    measured = told["bytes"]
    return shape, way, predicted / 1e9, measured / 1e9, predicted / measured, told["seconds"], words


def released(shape: str, run: Run) -> tuple[Any, ...]:
    """The released algorithm's line: measured with some pairs' probabilities, the rest computed."""
    from unlearnbench.running.memory.prediction import in_words
    from unlearnbench.running.memory.process import available

    title, n_pairs = "released algorithm", run.options["limit"]
    full, stored = (probability_bytes(n, 200, 50257) for n in (FULL_SET, n_pairs))
    # Two models, Adam, and scores at every position: some twelve times the weights.
    weights = 4 * planned(run.options).model.n_parameters
    if available("cpu").n_bytes < 12 * weights + stored + 6e9:
        return shape, title, "", "", "", "", "not run: too little is free"
    told = in_a_process(run)
    whole = told["bytes"] + full - stored
    words = (
        f"measured with {n_pairs} of {FULL_SET} pairs: {told['bytes'] / 1e9:.2f} GB; "
        f"probabilities of all: {in_words(full)}"
    )
    return shape, title, "", whole / 1e9, "", told["seconds"], words


def in_a_process(run: Run) -> dict[str, float]:
    """What a fresh process measured of itself."""
    command = [sys.executable, "-m", "speed.memory", "--child", json.dumps(asdict(run))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if done.returncode:
        raise click.ClickException(done.stderr[-2000:])
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


if __name__ == "__main__":
    main()
