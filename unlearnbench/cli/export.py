"""`unlearnbench export`: a results folder in the forms that other tools read."""

from pathlib import Path

import click

from unlearnbench.errors import UserError
from unlearnbench.reading import load_results, to_stderr


@click.command()
@click.argument("folder", default="results", type=click.Path(path_type=Path), metavar="[DIR]")
@click.option(
    "--as",
    "form",
    type=click.Choice(["parquet", "lm-eval"]),
    default="parquet",
    show_default=True,
    help="parquet: a data set that datasets.load_dataset loads; lm-eval: results_*.json and "
    "samples_*.jsonl as lm-eval writes them, a folder for each cell",
)
@click.option(
    "-o", "output", metavar="FOLDER", type=click.Path(path_type=Path), help="a new folder"
)
@click.option("--experiment", metavar="NAME", help="of the results those of this experiment")
@click.option("--benchmark", metavar="NAME", help="of the results those of this benchmark, or none")
@click.option(
    "--texts",
    is_flag=True,
    help="also what the models wrote, which may be what was to be forgotten",
)
def export(
    folder: Path,
    form: str,
    output: Path | None,
    experiment: str | None,
    benchmark: str | None,
    texts: bool,
) -> int:
    """Write the results in DIR (default: results) for other tools.

    Values are as they are stored: shares of 0.123, not 12.3 per cent.  Scores that are derived
    from stored ones, as `report` derives them, are among them.
    """
    if output is None:
        raise UserError("say where to write: -o FOLDER")
    results = load_results(folder, experiment=experiment, benchmark=benchmark)
    written = results.export(output, form, texts)
    to_stderr(f"written to {output}: {len(written)} files")
    return 1 if results.n_damaged else 0
