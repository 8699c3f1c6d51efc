"""What models show under attack as records: one a row, attack, point and metric."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unlearnbench.analysis.attacks.panel import Attacked, Panel
from unlearnbench.analysis.attacks.recovery import Estimate
from unlearnbench.analysis.attacks.robustness import (
    quantisation_robustness,
    relearning_robustness,
    symmetric_quantisation_robustness,
    symmetric_relearning_robustness,
)

if TYPE_CHECKING:
    from pandas import DataFrame


def attacks_frame(panels: Sequence[Panel]) -> "DataFrame":
    """One row a row of the table, attack, point and metric, in stored units.

    What an attack says of itself is in columns `facts.NAME`.
    """
    import pandas as pd

    rows = []
    for panel in panels:
        for line in panel.lines:
            record = attack_record(panel, line, 1.0 / line.column.scale)
            rows.append({**record, **{f"facts.{name}": of for name, of in line.facts.items()}})
    return pd.DataFrame(rows)


def attack_record(panel: Panel, line: Attacked, factor: float = 1.0) -> dict[str, Any]:
    """Values in printed units times a factor, recoveries as shares; None for what there is not."""
    references = {"original": line.original, "retrained": line.retrained}
    return {
        "group": panel.group.title,
        "row": line.row.label,
        "role": line.row.role,
        "attack": line.attack.name,
        "attack_label": line.attack.label,
        "point": line.point.name,
        "position": line.point.position,
        "task": line.column.task,
        "metric": line.column.metric,
        **_ends("value", line.value, factor),
        **_ends("change", line.change, factor),
        **{role: None if of is None else of * factor for role, of in references.items()},
        **_ends("recovery", line.recovery),
        **_robustness(panel, line),
        "lacks": line.lacks,
        "n_items": line.n_items,
        **_counts(line),
    }


def _robustness(panel: Panel, line: Attacked) -> dict[str, float | None]:
    """Whether the metric can be trusted under this attack, in the published forms."""
    names = ("relearning_robustness", "symmetric_relearning_robustness",
             "quantisation_robustness", "symmetric_quantisation_robustness")  # fmt: skip
    gains = [
        other.change.value
        for other in panel.of(line.attack, line.column)
        if other.row.role == "retrained" and other.point is line.point and other.change
    ]
    if line.row.role != "method" or line.change is None:
        return dict.fromkeys(names)
    gain, after = line.change.value, line.value.value
    levels = after - gain, after
    values: list[float | None] = [None, None]
    if gains:
        pair = gain, gains[0]
        values = [relearning_robustness(*pair), symmetric_relearning_robustness(*pair)]
    values += [quantisation_robustness(*levels), symmetric_quantisation_robustness(*levels)]
    return dict(zip(names, values, strict=True))


def _counts(line: Attacked) -> dict[str, int]:
    claim = line.claim
    return {"n_runs": claim.n_runs if claim else 0, "n_seeds": claim.n_seeds if claim else 0}


def _ends(name: str, estimate: Estimate | None, factor: float = 1.0) -> dict[str, float | None]:
    value, low, high = estimate.scaled(factor) if estimate else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
