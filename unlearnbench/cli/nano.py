"""`unlearnbench nano`: the synthetic world that needs no network."""

from collections.abc import Sequence
from pathlib import Path

import click

from unlearnbench.nano import WORLDS

_NAMES = ", ".join(name for world in WORLDS.values() for name in world.models)


@click.group()
def nano() -> None:
    """The nano world: small models and data made from a seed, for a first look and for tests."""


@nano.command(epilog=f"Models: {_NAMES}, encoder.")
@click.argument("models", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="folder for the weights")
@click.option("--scale", default=1.0, show_default=True, help="share of the training, for a trial")
def build(models: tuple[str, ...], out: Path | None, scale: float) -> None:
    """Train the nano models (all by default) from the seed; about 95 minutes of one core."""
    from unlearnbench.nano import WEIGHTS

    build_models(models, out or WEIGHTS, scale)


@nano.command()
def info() -> None:
    """Print where weights and data of each world are; makes the data if they are absent."""
    from unlearnbench.nano import NANO

    for world in WORLDS.values():
        for name, model in world.models.items():
            click.echo(f"{name:<20}  {world.model_path(name)}\n{'':<20}  {model.description}")
        click.echo(f"{f'{world.name} data':<20}  {world.data()}")
    click.echo(f"{'encoder':<20}  {NANO.encoder_path()}")


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
