"""The documentation's reference pages, made by `python -m unlearnbench.cli.pages docs`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

WIDTH = 100


def pages() -> dict[str, str]:
    """The text of each page by file name."""
    return {"cli.md": cli_page(), "results.md": results_page()}


def cli_page() -> str:
    """Every command with its `--help`."""
    from unlearnbench.cli import cli

    parts = ["# Command line\n", "Made from `--help`; a test compares them.\n"]
    for path, command in _commands(cli, "unlearnbench"):
        context = click.Context(
            command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH
        )
        context.help_option_names = ["-h", "--help"]
        parts.append(f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def results_page() -> str:
    """Every field of a result file."""
    from unlearnbench.cli.describe import result_schema

    return (
        "# Result files\n\n"
        "One JSON file per cell, `OUT/cells/<key>.json`.  The key is the sha256 of the field\n"
        "`identity`: whatever can change a number is in it, so a changed setting, datum, model\n"
        "file or package version is another file.  A file is written whole or not at all; one\n"
        "that is damaged, half-written, edited or of another schema version is named with the\n"
        "reason and left out by `unlearnbench report`, whose exit status is then 1.\n"
        "`NaN` and `Infinity` stand for themselves, as Python's `json` writes them.\n\n"
        "Of many results `unlearnbench report` keeps a summary, `OUT/summary/cells.txt`, so that\n"
        "the next table is quick.  An entry counts only while its file is unchanged; the summary\n"
        "can be deleted at any time.\n\n"
        "Made from the schema (`unlearnbench show result`); a test compares them.\n\n"
        f"```text\n{result_schema()}\n```\n"
    )


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _commands(inner, f"{path} {name}")


if __name__ == "__main__":
    for file_name, text in pages().items():
        (Path(sys.argv[1]) / file_name).write_text(text, encoding="utf-8")
