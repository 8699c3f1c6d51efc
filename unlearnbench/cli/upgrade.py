"""`unlearnbench upgrade`: the results of an older version as this one writes them."""

from contextlib import nullcontext
from pathlib import Path

import click

from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import visible
from unlearnbench.reading import to_stderr

SOME_DAMAGED = 1


@click.command()
@click.argument("folder", default="results", type=click.Path(path_type=Path), metavar="[DIR]")
@click.option("--dry-run", is_flag=True, help="say what would be upgraded; write nothing")
def upgrade(folder: Path, dry_run: bool) -> int:
    """Write the results of older versions in DIR (default: results) as this version does.

    `unlearnbench report` reads both.  A result whose measuring code gives the same numbers as
    this version's gets the key that this version has for it, so that the same `run` does not
    measure it again; any other keeps its software, and is measured again when it is asked for.
    The old files are moved to DIR/before-upgrade; nothing is deleted.
    """
    from unlearnbench.results.files import Damage
    from unlearnbench.results.record import Result
    from unlearnbench.results.store import Store
    from unlearnbench.results.upgrades import with_todays_software

    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of results; see: unlearnbench upgrade --help")
    store = Store(folder)
    n_current = n_kept = n_damaged = 0
    # A folder of something else stays as it is.
    changes_nothing = dry_run or not store.cells.is_dir()
    with nullcontext() if changes_nothing else store.alone():
        for path in store.older():
            result = store.load(path.stem)
            if isinstance(result, Result):
                todays = with_todays_software(result)
                n_current += todays is not None
                n_kept += todays is None
                if not dry_run:
                    store.replace_older(path, todays or result)
            elif isinstance(result, Damage):
                n_damaged += 1
                to_stderr(f"left as it is: {visible(f'{path}: {result.reason}')}")
    status = SOME_DAMAGED if n_damaged else 0
    if not n_current + n_kept:
        click.echo(f"nothing to upgrade in {folder}")
        return status
    click.echo(f"results {'that would be ' if dry_run else ''}upgraded: {n_current + n_kept}")
    click.echo(f"  {n_current} measured by code that gives this version's numbers: not run again")
    click.echo(f"  {n_kept} by other code: reported, and run again when they are asked for")
    if not dry_run:
        click.echo(f"the files as they were: {folder / 'before-upgrade'}")
    return status
