"""Sections: what a document can be made of, each a function from findings to blocks.

One module, one section, but for the table; its name with hyphens is the section's.  An
experiment's file lists its sections; the name of a figure stands for that figure.
"""

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from unlearnbench import registry
from unlearnbench.analysis.table import Note
from unlearnbench.errors import unknown
from unlearnbench.reporting.document import Block, Document, Findings, Picture
from unlearnbench.reporting.report import Figure

Section = Callable[[Findings], Iterable[Block]]
TABLE = "table"
DEFAULT = (TABLE,)


def make_document(
    findings: Findings, sections: Sequence[str] = DEFAULT, notes: Sequence[Note] = ()
) -> Document:
    """The document of those sections; raises `UserError` for one that does not exist."""
    blocks = tuple(block for name in sections for block in section(name)(findings))
    return Document(findings.title, blocks, findings, tuple(notes))


def table(findings: Findings) -> Iterable[Block]:
    """The comparison table: Table I's columns, one group of rows per model."""
    from unlearnbench.analysis.meta.marking import with_untold

    return (with_untold(findings.table, findings.tested),)


def section(name: str) -> Section:
    """The section of that name, or the one that holds just the figure of that name."""
    if name == TABLE:
        return table
    if name in figures():
        return lambda findings: [Picture(name, figures()[name]().caption(findings))]
    if name not in names():
        raise unknown("section", name, [*names(), *figures()], "unlearnbench list sections")
    blocks: Section = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").blocks
    return blocks


def summary(name: str) -> str:
    """The first line about a section, as `unlearnbench list sections` prints it."""
    if name == TABLE:
        return (table.__doc__ or "").strip()
    # Read, not imported: a list must not load what a section computes with.
    path = Path(__path__[0]) / f"{name.replace('-', '_')}.py"
    return (ast.get_docstring(ast.parse(path.read_bytes())) or "").split("\n")[0]


def names() -> list[str]:
    """The sections there are, figures not among them."""
    modules = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted([TABLE, *(m.replace("_", "-") for m in modules if not m.startswith("_"))])


def figures() -> dict[str, type[Figure]]:
    """The registered figures by name."""
    return {name: kind for name, kind in registry.reports().items() if issubclass(kind, Figure)}
