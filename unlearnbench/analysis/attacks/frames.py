"""What models show under attack as records: one a row, attack, point and metric."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from unlearnbench.analysis.attacks.panel import Attacked, Panel
from unlearnbench.analysis.attacks.recovery import Estimate

if TYPE_CHECKING:
    from pandas import DataFrame


def attacks_frame(panels: Sequence[Panel]) -> "DataFrame":
    """One row a row of the table, attack, point and metric; what an attack says as `facts.NAME`."""
    import pandas as pd

    rows = []
    for panel in panels:
        for record, line in zip(attack_records(panel), panel.lines, strict=True):
            rows.append({**record, **{f"facts.{name}": of for name, of in line.facts.items()}})
    return pd.DataFrame(rows)


def attack_records(panel: Panel) -> Iterator[dict[str, Any]]:
    """Values in printed units, recoveries as shares; None for what there is not."""
    for line in panel.lines:
        yield {
            "group": panel.group.title,
            "row": line.row.label,
            "role": line.row.role,
            "attack": line.attack.name,
            "attack_label": line.attack.label,
            "point": line.point.name,
            "position": line.point.position,
            "task": line.column.task,
            "metric": line.column.metric,
            **_ends("value", line.value),
            **_ends("change", line.change),
            "original": line.original,
            "retrained": line.retrained,
            **_ends("recovery", line.recovery),
            "lacks": line.lacks,
            "n_items": line.n_items,
            **_counts(line),
        }


def _counts(line: Attacked) -> dict[str, int]:
    claim = line.claim
    return {"n_runs": claim.n_runs if claim else 0, "n_seeds": claim.n_seeds if claim else 0}


def _ends(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    value, low, high = estimate or (None, None, None)
    return {name: value, f"{name}_low": low, f"{name}_high": high}
