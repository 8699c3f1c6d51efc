"""`unlearnbench upgrade`: the results of an older version as this one writes them."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import visible
from unlearnbench.reading import to_stderr

if TYPE_CHECKING:
    from unlearnbench.results.store import Store

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
    from unlearnbench.results.store import Store

    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of results; see: unlearnbench upgrade --help")
    store = Store(folder)
    if dry_run or not store.cells.is_dir():  # a folder of something else stays as it is
        return _upgrade(store, write=False)
    with store.alone():
        return _upgrade(store, write=True)


def _upgrade(store: "Store", write: bool) -> int:
    from unlearnbench.results.files import Damage
    from unlearnbench.results.record import Result
    from unlearnbench.results.upgrades import with_todays_software

    n_current = n_kept = n_damaged = 0
    for path in store.older():
        result = store.load(path.stem)
        if not isinstance(result, Result):
            if isinstance(result, Damage):
                n_damaged += 1
                to_stderr(f"left as it is: {visible(f'{path}: {result.reason}')}")
            continue
        todays = with_todays_software(result)
        n_current += todays is not None
        n_kept += todays is None
        if write:
            store.replace_older(path, todays or result)
    _report(store.folder, n_current, n_kept, write)
    return SOME_DAMAGED if n_damaged else 0


def _report(folder: Path, n_current: int, n_kept: int, write: bool) -> None:
    if not n_current + n_kept:
        click.echo(f"nothing to upgrade in {folder}")
        return
    would = "" if write else "that would be "
    click.echo(f"results {would}upgraded: {n_current + n_kept}")
    click.echo(f"  {n_current} measured by code that gives this version's numbers: not run again")
    click.echo(f"  {n_kept} by other code: reported, and run again when they are asked for")
    if write:
        click.echo(f"the files as they were: {folder / 'before-upgrade'}")
