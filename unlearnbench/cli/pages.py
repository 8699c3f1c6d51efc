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
        "Two files per cell in `OUT/cells`:\n\n"
        "- `<key>.json`, the header: JSON of some kilobytes with all that a table needs.\n"
        "- `<key>.<digest>.documents.jsonl.gz`, the documents: compressed JSON lines with what\n"
        "  belongs to single documents.\n\n"
        "The key is the sha256 of the field `identity`: whatever can change a number is in it, so\n"
        "a changed setting, datum, model file or package version is another file.  Of our own\n"
        "software it holds digests of the code that measures (the packages `data`, `metrics`,\n"
        "`models` and `unlearning`, the protocol, and the file of each plugin): an edited formula\n"
        "is another cell; an edited comment, docstring or error message is not.\n\n"
        "A file is written whole or not at all, the documents before the header, so a header that\n"
        "is there has its documents.  A header begins with two fields that are no part of the\n"
        "schema: `header_sha256`, of the lines below it (`tail -n +3 KEY.json | sha256sum`), and\n"
        "`documents_sha256`, of the other file, which has its first twelve digits in its name.\n"
        "What is damaged, half-written, edited, renamed or of a newer version is named with the\n"
        "reason and left out by `unlearnbench report`, whose exit status is then 1.\n"
        "`NaN` and `Infinity` stand for themselves, as Python's `json` writes them.\n\n"
        "Lines of the documents file:\n\n"
        "1. every score's `documents`: task -> metric -> doc_id -> outcome;\n"
        "2. all texts: `prefixes` and `suffixes` of the forget set, `continuations`, and every\n"
        "   score's `outputs`: task -> metric -> doc_id -> text;\n"
        "3. from here on one line per epoch of the trace: its `rows`.\n\n"
        "## Older versions\n\n"
        "Every release reads the results of every release before it.  Version 1 (0.1.0) was one\n"
        "file per cell.  `unlearnbench report` shows both versions side by side;\n"
        "`unlearnbench upgrade OUT` writes a folder's older results as this version does and\n"
        "keeps the old files in `OUT/before-upgrade`.  Where the release's code measures the same\n"
        "numbers as this version's, a result gets the key that this version has for the same\n"
        "question, so that the same `run` measures nothing again.\n\n"
        "## Fields\n\n"
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
