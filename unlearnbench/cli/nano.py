"""`unlearnbench nano`: the synthetic world that needs no network."""

from pathlib import Path

import click


@click.group()
def nano() -> None:
    """The nano world: small models and data made from a seed, for a first look and for tests."""


@nano.command()
@click.argument("models", nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="folder for the weights")
@click.option("--scale", default=1.0, show_default=True, help="share of the training, for a trial")
def build(models: tuple[str, ...], out: Path | None, scale: float) -> None:
    """Train the nano models (all by default) from the seed; about 80 minutes of one core."""
    import unlearnbench.nano as world

    world.build(models or None, out, scale)


@nano.command()
def info() -> None:
    """Print where the nano world's weights and data are; makes the data if it is absent."""
    import unlearnbench.nano as world

    for name, sentence in world.MODELS.items():
        click.echo(f"{name:<15}  {world.model_path(name)}\n{'':<15}  {sentence}")
    click.echo(f"{'encoder':<15}  {world.encoder_path()}")
    click.echo(f"{'data':<15}  {world.data_path()}")
