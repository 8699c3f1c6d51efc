"""`unlearnbench push`: sends an unlearned model with its card to the Hugging Face hub."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnbench.files.safe_text import visible

if TYPE_CHECKING:
    from unlearnbench.publishing.upload import Upload


@click.command()
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@click.argument("repository", metavar="USER/NAME")
@click.option("--method", metavar="NAME", help="of a results folder the kept model of this method")
@click.option("--private", is_flag=True, help="create the repository as a private one")
@click.option("--dry-run", is_flag=True, help="print the files and the card; send nothing")
def push(folder: Path, repository: str, method: str | None, private: bool, dry_run: bool) -> int:
    """Upload an unlearned model with its model card to the Hugging Face hub, in one commit.

    FOLDER is one that `unlearnbench forget` wrote (its digests are checked first, and private/
    stays here), or a model that `unlearnbench run --save-models` kept: OUT/models/KEY, or OUT with
    --method.  Its card is then made from its result.  Neither card holds a text of a row.
    --dry-run needs no network.  A repository with somebody else's model is left alone; in an own
    one the model's files are replaced.

    The token is that of `hf auth login`, or HF_TOKEN.
    """
    from unlearnbench.publishing.hub import check_name
    from unlearnbench.publishing.hub import push as send

    check_name(repository)
    upload = _upload_of(folder, method)
    if dry_run:
        _print_plan(upload, repository, private)
        return 0
    click.echo(f"{send(upload, repository, private)}")
    return 0


def _upload_of(folder: Path, method: str | None) -> "Upload":
    from unlearnbench.forgetting.certificate import FILE_NAME

    if (folder / FILE_NAME).is_file():
        from unlearnbench.forgetting.handing_out import upload_of

        return upload_of(folder)
    from unlearnbench.publishing.kept_model import kept_model

    return kept_model(folder, method).upload()


def _print_plan(upload: "Upload", repository: str, private: bool) -> None:
    sizes = upload.sizes()
    kind = "private" if private else "public, unless its owner's default is private"
    click.echo(f"{repository}, if it is made now: {kind}")
    width = max(map(len, sizes))
    for name, size in sizes.items():
        click.echo(f"  {visible(name):<{width}}  {_size(size):>9}")
    click.echo(f"{len(sizes)} files, {_size(sum(sizes.values()))}")
    if upload.left_out:
        click.echo(f"not part of the model, so left out: {visible(', '.join(upload.left_out))}")
    click.echo(f"\nREADME.md:\n\n{visible(upload.card).rstrip()}\n")
    click.echo("dry run: nothing was sent; without --dry-run it is")


def _size(n_bytes: int) -> str:
    """Decimal units, as the hub counts them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} B"
