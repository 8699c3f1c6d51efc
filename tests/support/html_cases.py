"""HTML pages and what stands in them."""

import json
from html.parser import HTMLParser

import pytest
from golden_document import Blank
from golden_document import result as make_result
from golden_results import METRICS as GOLDEN_METRICS
from golden_results import recorded

from unlearnbench.registry import find
from unlearnbench.reporting import sections
from unlearnbench.reporting.document import Document, Findings
from unlearnbench.reporting.report import Figure
from unlearnbench.reports._figures.drawing import FOREGROUND
from unlearnbench.results.record import EpochRecord, EvaluationSetRecord, RowRecord, UnlearnTrace
from unlearnbench.results.score import Score

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)><!-- "


ODD = "\u202eturned\u2028line\x00nul &amp; \ud800 " + "W" * 10_000


N_DOCUMENTS = 4


REFERENCE = " the black cat sat down"


METRICS = [
    *recorded("forgetting", "ma", "bertscore_f1"),
    *(metric for metric in GOLDEN_METRICS if metric.task in ("classification", "perplexity")),
]


class Sketch(Figure):
    """A line; what it shows does not matter."""

    name = "sketch"

    def draw(self, findings):
        from matplotlib.figure import Figure as Drawing

        drawing = Drawing(figsize=(3, 2), facecolor="none")
        axes = drawing.subplots()
        axes.set_facecolor("none")
        axes.plot([1, 2], [2, 1], color=FOREGROUND)
        return drawing

    def caption(self, findings):
        return "A line <down> by Cls Avg. (ACC)." + " It goes on for long." * 20


@pytest.fixture(autouse=True)
def one_figure(monkeypatch):
    """One quick figure, and one with nothing to show, instead of all that are registered."""
    kinds = {"sketch": Sketch, "blank": Blank}
    monkeypatch.setattr(sections, "figures", lambda: kinds)


def cell(label, role="method", run="0", ma=0.5, texts=None, n_epochs=3, **changes):
    """A result with a text and an outcome per document, and a method's trace."""
    made = make_result(label, role=role, run=run, method=changes.pop("method", "icu"))
    ids = [f"{run}-{i}" for i in range(N_DOCUMENTS)]
    texts = texts or [f" {label} wrote the cat {i}" for i in range(N_DOCUMENTS)]
    known = made.forget_set.model_copy(update={
        "doc_ids": ids, "prefixes": {d: f"Prefix of {d}:" for d in ids},
        "suffixes": dict.fromkeys(ids, REFERENCE),
    })  # fmt: skip
    fields = {
        "forget_set": known,
        "metrics": METRICS,
        "scores": {
            "forgetting": {"ma": _score(ma, ids), "bertscore_f1": _score(ma, ids)},
            "classification": {"cls_avg": _score(ma / 2, ids), "lambada": _score(ma / 3, ids)},
            "perplexity": {"pile_ppl": _score(5000.0 if "KUMPR" in label else 20 * ma, ids)},
        },
        "continuations": dict(zip(ids, texts, strict=True)),
        "trace": _trace(ids, texts, n_epochs) if role == "method" else None,
        "sets": {"lambada": EvaluationSetRecord(
            source="hub/lambada", split="test", revision="abc123", n=80, sha256="5e7" * 20)},
    }  # fmt: skip
    return made.model_copy(update={**fields, **changes})


def cells(**changes):
    """Two forget sets; a failed run, a row with a missing metric, >1000, references."""
    results = []
    for run, shift in (("0", 0.0), ("1", 0.02)):
        results += [
            cell("NEO (before unlearning)", "before", run, 0.95 + shift, [REFERENCE] * 4),
            cell("NEO (retrained)", "retrained", run, 0.4 + shift),
            cell("NEO + KUMPR", run=run, ma=0.3 + shift, method="kumpr", **changes),
            cell("NEO + ICU", run=run, ma=0.35 + shift, **changes),
        ]
    dpo = cell("NEO + DPO", ma=0.45, method="dpo")
    scores = {task: found for task, found in dpo.scores.items() if task != "perplexity"}
    failed = {
        "status": "failed",
        "error": "out of memory",
        "scores": {},
        "continuations": {},
        "trace": None,
    }
    return [
        *results,
        dpo.model_copy(update={"scores": scores}),
        cell("NEO + DPO", run="1", method="dpo", **failed),
    ]


def document(results=None, *blocks, **more):
    findings = Findings(tuple(results or cells()))
    return Document(more.get("title", ""), blocks or (findings.table,), findings,
                    more.get("notes", ()))  # fmt: skip


def rendered(results=None, *blocks, **more):
    return find("reports", "html")().render(document(results, *blocks, **more))


def _score(value, ids):
    spread = {d: value * (1 + 0.01 * i) for i, d in enumerate(ids)}
    return Score(value=value, n=len(ids), stderr=0.01, higher_is_better=True, documents=spread)


def _trace(ids, texts, n_epochs):
    def row(doc_id, epoch):
        text = texts[ids.index(doc_id)] if epoch == n_epochs else f" the cat in epoch {epoch}"
        return RowRecord(doc_id=doc_id, el=float("nan"), ma=0.9 - 0.1 * epoch, bertscore_f1=0.3,
                         bleu=0.01, entropy=2.5, forgotten=epoch > 1, continuation=text,
                         active=epoch == 1)  # fmt: skip

    epochs = [
        EpochRecord(epoch=e, metrics={"ma": 0.9 - 0.1 * e, "el": float("nan")}, n_active=4 - e,
                    rows=[row(d, e) for d in ids])
        for e in range(n_epochs + 1)
    ]  # fmt: skip
    return UnlearnTrace(outcome="forgotten", reason="under the line", n_epochs=n_epochs,
                        epochs=epochs)  # fmt: skip


class Outline(HTMLParser):
    """Every element of a page with its attributes, and the contents of scripts and styles."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.raw, self._open = [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag
        if tag in ("script", "style"):
            self.raw.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self._open in ("script", "style"):
            self.raw[-1][2] += data

    def handle_endtag(self, tag):
        self._open = None

    def data(self):
        (text,) = (text for _, attributes, text in self.raw if attributes.get("id") == "data")
        return json.loads(text, parse_constant=lambda constant: pytest.fail(constant))

    def all(self, attribute):
        return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]
