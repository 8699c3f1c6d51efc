"""What attacks bring back of what was unlearned, beside the retrained model."""

from collections.abc import Iterable

from unlearnbench.reporting.document import Block, Findings, Listing


def blocks(findings: Findings) -> Iterable[Block]:
    """One listing per attack."""
    rows = []
    for result in findings.attacked:
        attack = result.attack
        if attack is None:
            continue
        for point in attack.points:
            for task, scores in result.at(point.name).items():
                for name, score in scores.items():
                    rows.append(
                        (
                            result.label,
                            attack.label,
                            point.label,
                            f"{task}.{name}",
                            f"{score.value:.3f}",
                        )
                    )
    yield Listing(
        "attacks", "Attacks", ("Model", "Attack", "Point", "Metric", "Value"), tuple(rows), 4
    )
