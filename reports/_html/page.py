"""The page put together: template, style, script and data in one file that asks for nothing."""

import base64
import hashlib
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unlearnbench.reporting.document import Document

from . import making
from .comparison import column_facts, row_facts
from .provenance import record
from .reading import PAGE_LIMIT, reading, with_traces
from .sections import Section, banners, page_sections, tables_of
from .texts import Pool, embedded_json, visible

STYLES = ("page.css", "tables.css", "texts.css", "print.css")
SCRIPTS = (
    "page.js", "sorting.js", "provenance.js", "record.js", "words.js", "reading.js", "chart.js",
    "epochs.js", "start.js",
)  # fmt: skip


def render(document: Document) -> str:
    """The whole page."""
    content = page_sections(document)
    style, script = _joined(STYLES), _joined(SCRIPTS)
    parts = {
        "title": document.title or _title(document),
        "document": document,
        "sections": content,
        "banners": banners(document),
        "protocols": making.protocols(document.findings.table),
        "sentences": making.sentences(document.findings.table),
        "software": making.software(document.findings.results),
        "absent": making.absent(document),
        "policy": _policy(style, script),
        "style": style,
        "script": script,
    }
    template = _environment().get_template("page.html")
    bare = template.render(data=Markup("{}"), **parts)
    data = _data(document, content, room=PAGE_LIMIT - len(bare.encode()))
    page = template.render(data=Markup(data), **parts)
    return page.rstrip() + "\n"


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("unlearnbench.reports", "_html"),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )


def _shown(value: Any) -> Any:
    """Every text of the page with its unseen signs content, what is HTML already as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _joined(names: tuple[str, ...]) -> Markup:
    """Files of this folder one after another; they are ours, so nothing is escaped."""
    folder = files(__package__)
    text = "\n".join(folder.joinpath(name).read_text(encoding="utf-8") for name in names)
    return Markup(text)


def _policy(style: str, script: str) -> str:
    """The page may run its own script, use its own style, and fetch nothing."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode()


def _data(document: Document, content: tuple[Section, ...], room: int) -> str:
    """What the script shows on demand, as JSON; within the room, if epochs can be left out."""
    findings, pool, texts = document.findings, Pool(), Pool()
    rows = [facts for table in tables_of(content) for facts in row_facts(table, findings.by_key)]
    keys = dict.fromkeys(run["key"] for row in rows for run in row["runs"] if run["key"])
    columns = {n: c for table in tables_of(content) for n, c in column_facts(table).items()}
    data: dict[str, Any] = {
        "columns": columns,
        "rows": rows,
        "results": {key: record(findings.by_key[key], pool) for key in keys},
        "pool": pool.values,
        "reading": reading(findings, _row_numbers(document, content), texts),
    }
    left = room - len(embedded_json({**data, "texts": texts.values}).encode())
    data["reading"] = with_traces(data["reading"], findings.by_key, texts, left)
    return embedded_json({**data, "texts": texts.values})


def _row_numbers(document: Document, content: tuple[Section, ...]) -> dict[str, int]:
    """By result key: the number on the page of the comparison table's row."""
    number = 0
    for table in tables_of(content):
        rows = [row for group in table.groups for row in group.rows]
        if table == document.findings.table:
            return {run.key: number + i for i, row in enumerate(rows) for run in row.runs}
        number += len(rows)
    return {}


def _title(document: Document) -> str:
    names = dict.fromkeys(group.name for group in document.findings.table.groups)
    return "Unlearning compared: " + ", ".join(names)
