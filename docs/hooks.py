"""What the site adds to the pages: those that lie outside docs/, and what a command needs.

A mark `<!-- needs: hub (--benchmark tofu) -->` above a block of commands is printed below it, and
excuses the commands that hold one of the words in brackets (without brackets, all of them) from
being run by tests/test_docs_commands.py.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md",
           "SECURITY.md": "security.md"}  # fmt: skip
NOTEBOOK = "examples/python_door.ipynb"

NEEDS = {
    "hub": "the hub, or files of it in a folder",
    "GPU": "a GPU",
    "long": "a long time",
    "files": "files of your own",
    "library": "a library of an extra",
    "server": "a server, a cluster or people",
}
_MARK = r"<!-- needs: (\w+)(?: \(([^)]*)\))? -->\n"
_BLOCK = re.compile(rf"^(?:{_MARK})?```(\w*)\n(.*?)^```$", re.M | re.S)
_PROGRAM = re.compile(
    r"^(?:\$ )?(?:[A-Z_]+=\S+ )*((?:unlearnbench|python3?|pip|torchrun|accelerate|mkdocs|twine) .*)"
)


class Command(NamedTuple):
    """A command of a page, and what it needs beyond the installed package; '' for nothing."""

    text: str
    needs: str


def commands(page: str) -> list[Command]:
    """Every command in a page's blocks, in order; of a line with && each alone."""
    found = []
    for needs, words, language, block in _BLOCK.findall(page):
        if language not in ("", "sh", "console", "text"):
            continue
        for line in re.sub(r" *\\\n\s*", " ", block).splitlines():
            for part in line.split("&&"):
                if program := _PROGRAM.match(part.strip()):
                    text = program[1]
                    excused = not words or any(word in text for word in words.split(", "))
                    found.append(Command(text, needs if excused else ""))
    return found


def with_needs(page: str) -> str:
    """The page with each mark as a sentence below its block."""

    def printed(match: re.Match[str]) -> str:
        block = re.sub(_MARK, "", match[0])
        if not match[1]:
            return block
        which = ", ".join(f"`{word}`" for word in (match[2] or "").split(", ") if word)
        who = f"With {which} this" if which else "This"
        return f'{block}\n\n<p class="needs" markdown>{who} needs {NEEDS[match[1]]}.</p>\n'

    return _BLOCK.sub(printed, page)


def from_outside(page: str) -> str:
    """The page with links to what lies outside docs/ as links of the site, else as plain code."""

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match.groups()
        if target.startswith("docs/"):
            return f"[{words}]({target.removeprefix('docs/')}{anchor or ''})"
        if target in OUTSIDE:
            return f"[{words}]({OUTSIDE[target]}{anchor or ''})"
        return f"[{words}]({target})" if target == NOTEBOOK else words

    return re.sub(r"\[([^\]]+)\]\((?!\w+:)(?:\.\./)?([^)#]+)(#[^)]*)?\)", link, page)


def on_files(files: Any, config: Any) -> Any:
    """mkdocs: the pages from outside docs/, and the notebook to take home."""
    from mkdocs.structure.files import File

    for source, name in OUTSIDE.items():
        text = from_outside((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, name, content=text))
    files.append(File.generated(config, NOTEBOOK, abs_src_path=str(ROOT / NOTEBOOK)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """mkdocs: what a command needs, in words."""
    if "](../" in markdown and page.file.src_uri.count("/") == 0:
        markdown = from_outside(markdown)
    return with_needs(markdown)
