"""Forgetting at equal utility: methods ranked anew once the same share of utility is back."""

from collections.abc import Iterator, Mapping, Sequence

from unlearnbench.analysis.attacks.panel import Attacked, Panel
from unlearnbench.analysis.attacks.recovery import Estimate
from unlearnbench.analysis.attacks.resampling import intervals
from unlearnbench.analysis.table import ABSENT, Column, Note
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Block, Findings, Listing
from unlearnbench.reporting.sections import _attack_notes as notes_on

# What an attack says of a point at which it gave utility back (`attacks/utility_match.py`).
ALPHA, UTILITY, UNMATCHED = "alpha", "utility", "utility_unmatched"
RISE = "largest_rise_of_utility"
_LEAST_RISE = 0.01  # of the original's utility, to be spoken of
_INTERVAL = "95% interval"


def blocks(findings: Findings) -> Iterator[Block]:
    """Of each group and metric of forgetting a listing; nothing where no attack matched utility."""
    for panel in findings.panels:
        for column in panel.shown:
            matched = [line for line in panel.lines if line.column is column and _is_matched(line)]
            for key in dict.fromkeys(line.attack.key for line in matched):
                lines = [line for line in matched if line.attack.key == key]
                yield _listing(panel, column, lines, is_first=column is panel.shown[0])


def _is_matched(line: Attacked) -> bool:
    return {ALPHA, UTILITY} <= line.facts.keys()


def _listing(panel: Panel, column: Column, lines: Sequence[Attacked], is_first: bool) -> Listing:
    name, header = printing.name(column), printing.header(column)
    attack, point = lines[0].attack, lines[0].point
    before = _unmatched(lines)
    matched, unmatched = _ranks(lines, _matched(lines)), _ranks(lines, before)
    headers = (
        "Row", "α", "Utility", "Utility unmatched",
        f"{header} at equal utility", _INTERVAL, "Rank",
        f"{name} unmatched", _INTERVAL, "Rank", "Change", f"Change {_INTERVAL}",
    )  # fmt: skip
    rows = [
        (
            line.row.label,
            *(_share(line.facts.get(fact)) for fact in (ALPHA, UTILITY, UNMATCHED)),
            column.text(line.value.value),
            _interval(line.value, column),
            matched.get(line.row.label, ABSENT),
            column.text(before[line.row.label].value if line.row.label in before else None),
            _interval(before.get(line.row.label), column),
            unmatched.get(line.row.label, ABSENT),
            *_change(line, column),
        )
        for line in lines
    ]
    return Listing(
        printing.anchor("matched", attack.label, panel.group.title, *([] if is_first else [name])),
        f"{name} at {point.label}: {panel.group.title}",
        headers,
        tuple(rows),
        1,
        _notes(panel, column, lines) if is_first else (),
    )


def _matched(lines: Sequence[Attacked]) -> dict[str, Estimate]:
    """By row, with utility given back."""
    return {line.row.label: line.value for line in lines}


def _unmatched(lines: Sequence[Attacked]) -> dict[str, Estimate]:
    """By row, before anything was mixed in: of the same models and items."""
    claims = {
        line.row.label: line.claim
        for line in lines
        if line.claim is not None and line.claim.has("unattacked")
    }
    estimates = intervals(list(claims.values()), "unattacked")
    scale = lines[0].column.scale
    return {label: of.scaled(scale) for label, of in zip(claims, estimates, strict=True)}


def _ranks(lines: Sequence[Attacked], estimates: Mapping[str, Estimate]) -> dict[str, str]:
    """Of the methods by label, from 1; equal as printed is equal in rank."""
    methods = {line.row.label for line in lines if line.row.role == "method"}
    decimals = lines[0].column.decimals
    printed = {n: round(of.value, decimals) for n, of in estimates.items() if n in methods}
    return {n: str(1 + sum(other < v for other in printed.values())) for n, v in printed.items()}


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def _interval(estimate: Estimate | None, column: Column) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return ABSENT
    return f"[{column.text(estimate.low)}, {column.text(estimate.high)}]"


def _change(line: Attacked, column: Column) -> tuple[str, str]:
    if line.change is None:
        return ABSENT, ABSENT
    value, *ends = (
        ABSENT if end is None else printing.difference(column, end, more=0) for end in line.change
    )
    return value, ABSENT if ABSENT in ends else f"[{', '.join(ends)}]"


def _notes(panel: Panel, column: Column, lines: Sequence[Attacked]) -> tuple[Note, ...]:
    rising = [
        f"{line.row.label} by {line.facts[RISE]:.3f}"
        for line in lines
        if line.facts[ALPHA] < 1 and line.facts.get(RISE, 0.0) > _LEAST_RISE
    ]
    nothing = [line.row.label for line in lines if line.facts[ALPHA] == 0.0]
    return printing.notes(
        (
            "matched",
            "α is the share of the update of the weights that is left: θ = (1 − α) θ_original + α "
            "θ_unlearned, found by bisection. Utility is a share of the original's. A row that "
            "keeps the share unmatched has α = 1 and stays as it is (Wang et al. 2024, UWC).",
        ),
        ("first", _firsts(lines, column)),
        (
            "not_monotone",
            f"Utility rises on the way to the unlearned model: {', '.join(rising)}; a larger α "
            "may keep the share, too."
            if rising
            else "",
        ),
        ("nothing_left", _nothing_left(nothing)),
        ("seeds", _means(panel, lines)),
    )


def _firsts(lines: Sequence[Attacked], column: Column) -> str:
    firsts = [
        ", ".join(label for label, rank in _ranks(lines, of).items() if rank == "1")
        for of in (_matched(lines), _unmatched(lines))
    ]
    if not all(firsts):
        return ""
    return f"First in {printing.name(column)}: {firsts[0]} at equal utility, {firsts[1]} unmatched."


def _nothing_left(labels: Sequence[str]) -> str:
    if not labels:
        return ""
    return f"No share of the update that was tried keeps the utility: {', '.join(labels)}."


def _means(panel: Panel, lines: Sequence[Attacked]) -> str:
    several = any(line.claim is not None and line.claim.n_runs > 1 for line in lines)
    words = "α and utility are means over runs. " if several else ""
    return words + notes_on.intervals(panel)
