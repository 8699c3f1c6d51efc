"""The documentation's reference pages, made by `python -m unlearnbench.cli.pages docs`."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

WIDTH = 100


def pages(docs: Path) -> dict[str, str]:
    """The text of each page by file name, as it should be in that folder."""
    return {"cli.md": cli_page(), "results.md": results_page(docs / "results.md")}


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


def results_page(path: Path) -> str:
    """The page as it is, its last block made anew: every field of a result file."""
    from unlearnbench.cli.catalogue import result_schema

    prose = path.read_text(encoding="utf-8").partition("```text\n")[0]
    return f"{prose}```text\n{result_schema()}\n```\n"


def _commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _commands(inner, f"{path} {name}")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for file_name, text in pages(folder).items():
        (folder / file_name).write_text(text, encoding="utf-8")
