"""Certificates of requests that nobody carried out."""

from unlearnbench.data.row_limit import RowLimit, RowState
from unlearnbench.forgetting.certificate import (
    Certificate,
    Previous,
    RowEvidence,
    StopLineEvidence,
    Weights,
)

KNOWN, UNKNOWN = RowState(el=0.9, ma=0.95), RowState(el=0.0, ma=0.3)
LIMIT = RowLimit(el=0.05, ma=0.6, n_unseen=64, how="measured")


def certificate(number: int, before: str, after: str, previous: Previous | None) -> Certificate:
    def weights(digest: str) -> Weights:
        return Weights(name="m", weights_sha256=digest, architecture="A", n_parameters=1)

    rows = [
        RowEvidence(doc_id="a", before=KNOWN, known_before=True, after=UNKNOWN, known_after=False),
        RowEvidence(doc_id="b", before=KNOWN, known_before=True, after=KNOWN, known_after=True),
    ]
    line = StopLineEvidence(el=0.05, ma=0.5, source="calibrated", n_unseen=64, how="measured")
    return Certificate(
        request=number, status="forgotten", statement="", issued_at="now",
        base_model="m", model_before=weights(before), model_after=weights(after), data=[],
        rows_sha256="",
        stop_line=line, row_limit=LIMIT, rows=rows, not_known_before=[], earlier_rows=[],
        utility=[], max_utility_loss=0.05, rule="", method="gd", settings={}, seed=42, tried=[],
        not_tried={}, attacks=[], not_tested=[], software={}, platform="", files={},
        previous=previous,
    )  # fmt: skip
