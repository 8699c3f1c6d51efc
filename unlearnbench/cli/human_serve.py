"""`unlearnbench human serve`: the page that a sheet is rated on."""

from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from unlearnbench.ratings.human.server import AnnotationStudy

PORT = 8765


@click.command()
@click.argument("sheet", type=click.Path(path_type=Path))
@click.option("--annotator", help="whose ratings these are  [default: your login name]")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="on this machine's loopback address; 0: any free one",
)
@click.option("--open", "open_browser", is_flag=True, help="open the page in the browser")
def serve(sheet: Path, annotator: str | None, port: int, open_browser: bool) -> int:
    """Rate SHEET (or the sheet in a folder) on a page in the browser.

    Every score is saved at once to ratings-ANNOTATOR.csv beside the sheet; the same
    command again goes on at the first text without a score.  The page can be reached
    from this machine only, at the address that is printed, a new one each time.
    Ctrl-C ends it.
    """
    from unlearnbench.ratings.human.server import AnnotationStudy, address_of, make_server

    study = AnnotationStudy.open(sheet, annotator)
    server = make_server(study, port, token_urlsafe(16))
    try:
        click.echo(address_of(server))
        click.echo(f"unlearnbench: rating as {study.annotator}; Ctrl-C ends", err=True)
        if open_browser:
            click.launch(address_of(server))
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("", err=True)  # the terminal has printed ^C
    finally:
        server.server_close()
    _say_what_is_next(study)
    return 0


def _say_what_is_next(study: "AnnotationStudy") -> None:
    click.echo(
        f"unlearnbench: {study.n_rated()} of {len(study.items)} rated, in {study.ratings}; "
        f"next: unlearnbench human score KEY {study.ratings}",
        err=True,
    )
