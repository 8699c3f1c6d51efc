"""Which model of the paper one's own results are of, or stand in for."""

from typing import TYPE_CHECKING

from unlearnbench.analysis.table import Group

if TYPE_CHECKING:
    from unlearnbench.reporting.findings import Findings

_ARCHITECTURES = {"GPTNeo": "neo", "Llama": "tinyllama"}
_SIZES = {
    ("neo", "125M"): 125_198_592,
    ("neo", "1.3B"): 1_315_575_808,
    ("neo", "2.7B"): 2_651_307_008,
    ("tinyllama", "1.1B"): 1_100_048_384,
}


# The paper's models by the names that a result may give them.
_PRINTED = {
    name: ("neo", size)
    for size in ("125M", "1.3B", "2.7B")
    for name in (f"neo-{size.lower()}", f"EleutherAI/gpt-neo-{size.replace('125M', '125m')}")
} | dict.fromkeys(
    ("tinyllama", "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T"), ("tinyllama", "1.1B")
)


def printed_model(group: Group, findings: "Findings") -> tuple[str, str, bool] | None:
    """Model and size of the paper that a group is about, and whether it only stands in for it."""
    if group.name in _PRINTED:
        return (*_PRINTED[group.name], False)
    architecture, count = _built(group, findings)
    if group.is_synthetic:
        if architecture == "tinyllama":
            return "tinyllama", "1.1B", True
        return "neo", findings.published.get("params", "125M"), True
    for (model, size), n_parameters in _SIZES.items():
        if architecture == model and abs(count - n_parameters) < 0.02 * n_parameters:
            return model, size, False
    asked = findings.published.get("params")
    return ("neo" if asked != "1.1B" else "tinyllama", asked, True) if asked else None


def _built(group: Group, findings: "Findings") -> tuple[str, int]:
    rows = [row for row in group.rows if row.role != "dedup" and row.runs]
    models = [result.model for row in rows for result in findings.results_of(row)]
    if not models:
        return "", 0
    family = (m for start, m in _ARCHITECTURES.items() if models[0].architecture.startswith(start))
    return next(family, ""), models[0].n_parameters
