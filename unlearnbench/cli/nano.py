"""`unlearnbench nano`: the synthetic world that needs no network."""

from collections.abc import Sequence
from pathlib import Path

import click

from unlearnbench.errors import UserError, unknown
from unlearnbench.nano import WORLDS

POOLS = "pools"
_SHIPPED = [n for world in WORLDS.values() for n, m in world.models.items() if m.is_shipped]
_MADE = [
    name
    for world in WORLDS.values()
    for name, model in world.models.items()
    if not model.is_shipped
]
_RETRAININGS = [name for name in _MADE if "-pool-" not in name]


@click.group()
def nano() -> None:
    """The nano world: small models and data made from a seed, for a first look and for tests."""


@nano.command(
    epilog=f"Models: {', '.join(_SHIPPED)}, encoder.  Made on demand, in the cache: "
    f"{', '.join(_RETRAININGS)}; pools: these and the models that `unlearnbench meta` tests "
    "metrics with, one to two hours of two cores."
)
@click.argument("models", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="folder for the weights")
@click.option("--scale", default=1.0, show_default=True, help="share of the training, for a trial")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="models made on demand at a time  [default: two if there are cores]",
)
def build(models: tuple[str, ...], out: Path | None, scale: float, jobs: int | None) -> None:
    """Train the nano models (all by default) from the seed; about 95 minutes of one core.

    What was made on demand is kept, model by model: the same command goes on where it was.
    """
    from unlearnbench.nano import WEIGHTS
    from unlearnbench.nano.pools import made_folder

    made = [name for name in models if name == POOLS or name in _MADE]
    for name in set(models) - {*made, *_SHIPPED, "encoder"}:
        known = [*_SHIPPED, "encoder", *_MADE, POOLS]
        raise unknown("nano model", name, known, "unlearnbench nano build --help")
    if made and scale != 1 and out is None:
        raise UserError(
            "a trial of models made on demand would take the place of the whole ones; give --out"
        )
    if made:
        build_on_demand(made, out or made_folder(), scale, jobs)
    shipped = [name for name in models if name not in made]
    if shipped or not models:
        build_models(shipped, out or WEIGHTS, scale)


@nano.command()
def info() -> None:
    """Print where weights and data of each world are; makes the data if they are absent."""
    from unlearnbench.nano import NANO

    for world in WORLDS.values():
        for name, model in world.models.items():
            if not model.is_shipped:
                continue
            click.echo(f"{name:<20}  {world.model_path(name)}\n{'':<20}  {model.description}")
        click.echo(f"{f'{world.name} data':<20}  {world.data()}")
    click.echo(f"{'encoder':<20}  {NANO.encoder_path()}")


def build_on_demand(models: Sequence[str], out: Path, scale: float, jobs: int | None) -> None:
    """Make the named models that are not in `out` yet, all if `pools` is among them."""
    from unlearnbench.cli.carrying_out import terminating_as_interrupt
    from unlearnbench.models.devices.device import cores
    from unlearnbench.models.gpt_neo import fuse_operations
    from unlearnbench.nano.builder import pools
    from unlearnbench.reading import to_stderr

    names = [] if POOLS in models else models
    with terminating_as_interrupt():
        pools.build_on_demand(
            names, out, fuse_operations, jobs or min(2, cores()), scale, to_stderr
        )


def build_models(models: Sequence[str], out: Path, scale: float) -> None:
    """Train the named models with the harness's own network and metrics; see `nano.builder`."""
    from unlearnbench.models.gpt_neo import fuse_operations
    from unlearnbench.nano.builder.build import Harness, build

    build(models, out, scale, Harness(fuse_operations, measure))


def measure(
    folder: Path, rows: dict[str, list[tuple[int, ...]]], texts: dict[str, list[str]]
) -> dict[str, float]:
    """EL10 and MA of rows of token ids, in percent, and the perplexity of texts, by their names."""
    from math import exp
    from statistics import fmean

    import torch

    from unlearnbench.metrics.extraction import extraction_scores
    from unlearnbench.metrics.perplexity import window_nll
    from unlearnbench.models.loading import load_model
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

    model = load_model(str(folder), device="cpu")
    figures = {}
    for name, ids in rows.items():
        input_ids = torch.tensor(ids)
        n_rows, length = input_ids.shape
        lengths, n_given = torch.full((n_rows,), length), torch.ones(n_rows, dtype=torch.long)
        sequences = Sequences(input_ids, lengths, n_given, tuple(map(str, range(n_rows))))
        scores = extraction_scores(model, sequences, Protocol())
        figures[f"{name}_ma"] = round(100 * fmean(scores.ma), 2)
        figures[f"{name}_el10"] = round(100 * fmean(scores.el), 2)
    for name, documents in texts.items():
        figures[f"{name}_perplexity"] = round(exp(fmean(window_nll(model, documents))), 2)
    return figures
