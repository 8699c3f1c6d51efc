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
        "Every cell has two files in `OUT/cells`:\n\n"
        "- `<key>.json`, the header: some kilobytes of JSON with everything that a table needs.\n"
        "- `<key>.<digest>.documents.jsonl.gz`, the documents: compressed JSON lines with the\n"
        "  outcomes and texts of single documents and epochs.\n\n"
        "The key is the sha256 of the field `identity`, which holds everything that can change a\n"
        "number. So a changed setting, data file, model file or package version makes another\n"
        "file. For unlearnbench itself the identity holds digests of the code that measures (the\n"
        "packages `data`, `metrics`, `models` and `unlearning`, the protocol, and the file of\n"
        "each plugin). An edited formula makes another cell; an edited comment, docstring or\n"
        "error message does not.\n\n"
        "A file is written whole or not at all, and the documents are written before the header,\n"
        "so every header has its documents. A header begins with two fields that are\n"
        "not part of the schema. `header_sha256` is the digest of the lines below it\n"
        "(`tail -n +3 KEY.json | sha256sum`). `documents_sha256` is the digest of the documents\n"
        "file, whose name has its first twelve digits. `unlearnbench report` leaves out a file\n"
        "that is damaged, half-written, edited, renamed or of a newer version, names it with the\n"
        "reason, and exits with status 1. The header may contain `NaN` and `Infinity`, as\n"
        "Python's `json` writes them.\n\n"
        "The documents file has these lines:\n\n"
        "1. every score's `documents`: task -> metric -> doc_id -> outcome;\n"
        "2. all texts: `prefixes` and `suffixes` of the forget set, `continuations`, and every\n"
        "   score's `outputs`: task -> metric -> doc_id -> text;\n"
        "3. from here on, one line per epoch of the trace with its `rows`.\n\n"
        "## Older versions\n\n"
        "Every release reads the results of every release before it. Version 1 (0.1.0) had one\n"
        "file per cell. `unlearnbench report` shows both versions side by side.\n"
        "`unlearnbench upgrade OUT` rewrites a folder's older results in this version's layout\n"
        "and keeps the old files in `OUT/before-upgrade`. Where the old code measured the same\n"
        "numbers as this version, the result gets the key that this version gives to the same\n"
        "cell. The same `run` then finds it and measures nothing again.\n\n"
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
