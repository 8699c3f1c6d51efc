"""What models show under attack as records: one a row, attack, point and metric."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unlearnbench.analysis.attacks.panel import Attacked, Panel
from unlearnbench.analysis.attacks.recovery import Estimate

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
        "lacks": line.lacks,
        "n_items": line.n_items,
        **_counts(line),
    }


def _counts(line: Attacked) -> dict[str, int]:
    claim = line.claim
    return {"n_runs": claim.n_runs if claim else 0, "n_seeds": claim.n_seeds if claim else 0}


def _ends(name: str, estimate: Estimate | None, factor: float = 1.0) -> dict[str, float | None]:
    value, low, high = estimate.scaled(factor) if estimate else (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
