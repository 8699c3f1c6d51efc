"""`unlearnbench attack`: what was unlearned is sought in the models of a results folder."""

from pathlib import Path
from typing import Any

import click

from unlearnbench.cli.carrying_out import carry_out
from unlearnbench.cli.options import explicit, options_of
from unlearnbench.experiments.experiment import Experiment

_OPTIONS = ("attacks", "attack_tasks", "settings", "model", "methods", "runs", "seeds", "plugin",
            "track", "launcher", "jobs", "shard", "cell_timeout", "retries", "ray_address",
            "gpus_per_cell")  # fmt: skip

_WORDS = {
    "attacks": "attacks to make; all: every one  [default: those of 'list attacks' that say so]",
    "settings": "ATTACK.NAME=VALUE or TASK.NAME=VALUE",
    "model": "only models of these names  [default: all that were run]",
    "methods": "only these methods, beside the references  [default: all that were run]",
    "runs": "only these forget sets  [default: all that were run]",
    "seeds": "only these seeds of unlearning  [default: all that were run]",
    "plugin": "a .py file with attacks, beside those that the run had",
    "attack_tasks": "tasks to measure with  [default: the run's that look at the forget set]",
}


@click.command()
@click.argument("folder", default="results", type=click.Path(path_type=Path), metavar="[DIR]")
@options_of(Experiment, only=_OPTIONS, words=_WORDS)
@click.option("--dry-run", is_flag=True, help="print the grid and what it costs; run nothing")
def attack(folder: Path, dry_run: bool, **options: Any) -> int:
    """Attack the models whose results lie in DIR (default: results), and print what came back.

    The unlearned models are those that `run --save-models` kept; one that was not kept is
    unlearned again from the record of its run, and kept.  The model before unlearning and the
    retrained one are attacked alike.  --model, --methods, --runs and --seeds choose some of what
    was run; without --attacks all are made that `unlearnbench list attacks` calls default.
    Attacks that have a result in DIR already are not made again.
    """
    from unlearnbench.running.launching.requested import RequestedRun

    requested = RequestedRun.under_attack(folder, explicit(options), download=not dry_run)
    return carry_out(requested, dry_run, ("attacks",))
