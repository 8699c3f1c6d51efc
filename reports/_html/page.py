"""The page put together: template, style, script and data in one file that asks for nothing."""

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unlearnbench.reporting.document import Document

from . import heat, provenance
from .reading import PAGE_LIMIT, reading, with_traces
from .sections import MAKING, Section, page_sections, tables_of
from .texts import Pool, embedded_json, visible

STYLES = ("page.css", "tables.css", "choosing.css", "texts.css", "print.css")
SCRIPTS = (
    "page.js", "contents.js", "address.js", "sorting.js", "choosing.js", "provenance.js",
    "hints.js", "record.js", "words.js", "reading.js", "chart.js", "epochs.js", "start.js",
)  # fmt: skip


def render(document: Document) -> str:
    """The whole page."""
    content = page_sections(document)
    style, script = _joined(STYLES) + Markup(heat.style()), _joined(SCRIPTS)
    table = document.findings.table
    names = dict.fromkeys(group.name for group in table.groups)
    parts = {
        "title": document.title or f"Unlearning compared: {', '.join(names)}",
        "document": document,
        "sections": content,
        # Where all is of one model its name behind every title says nothing.
        "common": f": {table.groups[0].title}" if len(table.groups) == 1 else "",
        "heat_steps": range(heat.STEPS + 1),
        # What a reader must not miss: what the numbers are no claim about.
        "banners": [note for note in table.notes if note.kind == "synthetic"],
        "protocols": provenance.protocols(table),
        "sentences": [note.text for note in table.notes if note.kind in MAKING],
        "software": provenance.software(document.findings.results),
        "absent": provenance.absent(document),
        "policy": _policy(style, script),
        "style": style,
        "script": script,
    }
    environment = Environment(
        loader=PackageLoader("unlearnbench.reports", "_html"),
        autoescape=True,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    template = environment.get_template("page.html")
    bare = template.render(data=Markup("{}"), **parts)
    data = _data(document, content, room=PAGE_LIMIT - len(bare.encode()))
    page = template.render(data=Markup(data), **parts)
    return page.rstrip() + "\n"


def _visible(value: Any) -> Any:
    """Every text of the page with its unseen signs content, what is HTML already as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _joined(names: tuple[str, ...]) -> Markup:
    """Files of this folder one after another; they are ours, so nothing is escaped."""
    folder = files(__package__)
    text = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return Markup(text)


def _policy(style: str, script: str) -> str:
    """The page may run its own script, use its own style, and fetch nothing."""
    own = [b64encode(sha256(text.encode()).digest()).decode() for text in (script, style)]
    return (
        f"default-src 'none'; script-src 'sha256-{own[0]}'; style-src 'sha256-{own[1]}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _data(document: Document, content: tuple[Section, ...], room: int) -> str:
    """What the script shows on demand, as JSON; within the room, if epochs can be left out."""
    findings, pool, texts = document.findings, Pool(), Pool()
    tables = tables_of(content)
    rows = [
        provenance.row_facts(group, line, table.columns, findings.by_key)
        for table in tables
        for group, lines in table.groups
        for line in lines
    ]
    keys = dict.fromkeys(run["key"] for row in rows for run in row["runs"] if run["key"])
    numbers = {  # by result key, of the comparison table's rows
        run.key: line.number
        for table in tables
        if table.table == findings.table
        for _, lines in table.groups
        for line in lines
        for run in line.row.runs
    }
    data: dict[str, Any] = {
        "columns": {
            c.name: {"label": c.label, "higher": c.higher_is_better}
            for table in tables
            for c in table.columns
        },
        "rows": rows,
        "results": {key: provenance.record(findings.by_key[key], pool) for key in keys},
        "pool": pool.values,
        "reading": reading(findings, numbers, texts),
    }
    left = room - len(embedded_json({**data, "texts": texts.values}).encode())
    data["reading"] = with_traces(data["reading"], findings.by_key, texts, left)
    return embedded_json({**data, "texts": texts.values})
