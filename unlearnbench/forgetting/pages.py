"""The report of a request: its own findings first, then the tables of every report."""

from collections.abc import Iterator

from unlearnbench.analysis.table import Note
from unlearnbench.data.row_limit import RowState
from unlearnbench.forgetting.certificate import Certificate, TextUtility
from unlearnbench.forgetting.trying import Trial, Trying
from unlearnbench.forgetting.words import limits
from unlearnbench.reading import results_of_run
from unlearnbench.registry import find
from unlearnbench.reporting.document import Document, Listing
from unlearnbench.results.numbers import to_hand_out

SECTIONS = ("table", "costs")


def report_page(trying: Trying, best: Trial | None, certificate: Certificate) -> str:
    """The HTML page; raises `UserError` where results cannot be read."""
    newest = {trial.rung.method: trial for trial in trying.trials}
    if best is not None:
        newest[best.rung.method] = best
    results = [trying.before, *(trial.result for trial in newest.values()), *trying.attacks]
    results = [to_hand_out(result) for result in results]
    sections = (*SECTIONS, *(["attacks"] if trying.attacks else []))
    made = results_of_run(trying.prepared.private, results).report(*sections).document
    title = f"Deletion request {certificate.request}: {certificate.status}"
    blocks = (*blocks_of(certificate), *made.blocks)
    page: str = find("reports", "html")().render(Document(title, blocks, made.findings, made.notes))
    return page


def blocks_of(certificate: Certificate) -> Iterator[Listing]:
    """What the certificate says, as tables."""
    yield _summary(certificate)
    if certificate.earlier_rows:
        yield _earlier(certificate)
    yield _rows(certificate)
    yield _tried(certificate)
    if certificate.attacks:
        yield _attacks(certificate)
    yield Listing(
        "not-tested", "Not tested", ("What",), tuple((t,) for t in certificate.not_tested)
    )


def _summary(one: Certificate) -> Listing:
    after = one.model_after.weights_sha256 if one.model_after else "no model is handed out"
    back = [f"{row.doc_id} (request {row.request})" for row in one.came_back]
    rows = [
        ("Status", one.status),
        ("Method", one.method or "–"),
        ("Model before", f"{one.model_before.name}, {one.model_before.weights_sha256}"),
        ("Model after", after),
        ("Stop line", f"EL10 {100 * one.stop_line.el:.1f}%, MA {100 * one.stop_line.ma:.1f}%: "
                      f"{one.stop_line.how}"),
        ("Limit of a row", f"{limits(one.row_limit)}: {one.row_limit.how}"),
        *((f"Utility, {text.text}", _utility(text)) for text in one.utility),
    ]  # fmt: skip
    if one.previous is not None:
        rows.append(("Earlier rows that came back", ", ".join(back) or "none"))
        rows.append(("Certificate before", one.previous.certificate_sha256))
    notes = (Note("statement", one.statement), Note("rule", f"Rule: {one.rule}."))
    return Listing(
        "request", "The request and its outcome", ("What", "Value"), tuple(rows), 2, notes
    )


def _utility(text: TextUtility) -> str:
    before, after = f"{text.before:.3f}", _nats(text.after)
    return f"{before} nats per token before, {after} after ({_share(text.loss)})"


def _rows(one: Certificate) -> Listing:
    rows = tuple(
        (
            row.doc_id,
            *_state(row.before),
            "yes" if row.known_before else "no",
            *_state(row.after),
            "–" if row.known_after is None else "yes" if row.known_after else "no",
        )
        for row in one.rows
    )
    head = ("EL10 (%)", "MA (%)", "NLL", "known")
    heads = ("Row", *(f"{h}, before" for h in head), *(f"{h}, after" for h in head))
    note = Note(
        "known",
        "Known: EL10 or MA over the limit of a row, or the NLL of its suffix or answer (nats per "
        "token) under it.",
    )
    return Listing("rows", "Row by row", heads, rows, 1, (note,))


def _earlier(one: Certificate) -> Listing:
    rows = tuple(
        (
            f"{row.request}",
            row.doc_id,
            *_state(row.then),
            *_state(row.now),
            "came back" if row.came_back else "known then, too" if row.known_now else "no",
        )
        for row in one.earlier_rows
    )
    heads = ("Request", "Row", "EL10 (%), then", "MA (%), then", "NLL, then", "EL10 (%), now",
             "MA (%), now", "NLL, now", "known now")  # fmt: skip
    return Listing("earlier-rows", "Rows of earlier requests, tested again", heads, rows, 2)


def _tried(one: Certificate) -> Listing:
    rows = tuple(
        (
            tried.label,
            f"{tried.settings.get('learning_rate', '–')}",
            tried.origin,
            tried.outcome.replace("_", " "),
            f"{len(tried.rows_left)}",
            _share(tried.utility_loss),
            f"{tried.seconds:.0f}",
            tried.why_not or "qualifies",
        )
        for tried in one.tried
    )
    heads = ("Method", "Rate", "Rate from", "Outcome", "Rows left", "Utility", "Seconds", "Verdict")
    notes = tuple(
        Note(f"not-tried-{name}", f"Not tried: {name}: {why}.")
        for name, why in one.not_tried.items()
    )
    return Listing("tried", "What was tried", heads, rows, 1, notes)


def _attacks(one: Certificate) -> Listing:
    rows = []
    for attack in one.attacks:
        if attack.problem:
            rows.append((attack.label, "failed", attack.problem, *("–",) * 6))
        for point in attack.points:
            interval = "–" if point.low is None else f"[{point.low:z.1f}, {point.high:z.1f}]"
            worst = "–" if point.worst is None else f"{point.worst:z.1f}"
            over = "–" if point.rows_over_limit is None else f"{len(point.rows_over_limit)}"
            unseen = "–" if point.unseen_over_limit is None else f"{point.unseen_over_limit}"
            before = "–" if point.before is None else f"{point.before:.1f}"
            rows.append((attack.label, point.point, point.metric, f"{point.after:z.1f}", interval,
                         worst, before, over, unseen))  # fmt: skip
    heads = (
        "Attack",
        "Point",
        "Metric",
        "After",
        "95% interval",
        "Worst row",
        "Model before",
        "Rows over limit",
        "Unseen rows over limit",
    )
    note = Note(
        "attacks",
        "Both models under the same attack. Intervals: of the mean over rows, of ten or more. "
        "Unseen rows: as many that the model never saw, where the attack trains on the rows.",
    )
    return Listing("attacked-rows", "Under attack", heads, tuple(rows), 3, (note,))


def _state(row: RowState | None) -> tuple[str, str, str]:
    if row is None:
        return "–", "–", "–"
    return f"{100 * row.el:.1f}", f"{100 * row.ma:.1f}", _nats(row.nll)


def _nats(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _share(loss: float | None) -> str:
    """A loss as what became of utility: '-3.2%'."""
    return "–" if loss is None else f"{-100 * loss:+.1f}%"
