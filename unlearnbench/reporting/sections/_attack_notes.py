"""What the section on attacks says in words: what recovery is, and over what intervals are."""

from collections.abc import Sequence

from unlearnbench.analysis.attacks.kinds import AttackKind
from unlearnbench.analysis.attacks.panel import Attacked, Panel
from unlearnbench.analysis.attacks.recovery import LEAST_APART
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import ABSENT, Column, Note
from unlearnbench.reporting import printing

_MEANING = (
    "Recovery = (unlearned − retrained) / (original − retrained), all three models under the same "
    "attack and over the same items: 0 is what the retrained model shows, so was taught by the "
    "attack; 1 is what the model before unlearning shows. Each cell is the attack's point of the "
    "largest, of those where the original's lead over the retrained model is a tenth at least of "
    "what it is at the attack's other points."
)
_OUTSIDE = (
    "Above 1 the attacked model shows more than the attacked original, below 0 less than the "
    "attacked retrained model; values are printed as they are."
)
_WORST = (
    "Worst case: the largest recovery over the attacks and points of this listing; its interval "
    "allows for taking the largest of them, and so is wider than a single one's."
)
_CHANGE = (
    "Signed values: without {} there is nothing to set an attack against, and what stands there is "
    "the metric under attack less the metric before it, in its own units: knowledge left and "
    "knowledge taught again alike."
)
_MOST_NAMED = 6


def of_panel(panel: Panel, column: Column | None) -> tuple[Note, ...]:
    """Under the first listing of a group."""
    lines = [line for line in panel.lines if line.row.role == "method"]
    has_recovery = any(line.recovery for line in lines)
    return printing.notes(
        ("recovery", _MEANING if has_recovery else ""),
        ("metric", _metrics(panel, column)),
        ("outside", _OUTSIDE if any(map(_is_outside, lines)) else ""),
        ("worst", _worst(panel) if has_recovery else ""),
        ("intervals", intervals(panel)),
        ("alike", _alike(panel)),
        ("change", _change_note(lines)),
        ("partial", _partial(panel)),
        ("made_again", _made_again(panel)),
        ("failed", _failed(panel)),
    )


def _worst(panel: Panel) -> str:
    left_out = [attack.label for attack in panel.attacks if not attack.counts_in_worst_case]
    no_part = f" {listed(left_out)}, given what is to come back, is no part of it."
    return _WORST + (no_part if left_out else "")


def of_attack(panel: Panel, attack: AttackKind, column: Column) -> tuple[Note, ...]:
    """Under the listing of an attack's points."""
    return printing.notes(
        ("gain", _gain(panel, attack, column)),
        ("facts", _same_facts(panel, attack, column)),
    )


def _is_outside(line: Attacked) -> bool:
    return line.recovery is not None and not 0 <= line.recovery.value <= 1


def _metrics(panel: Panel, column: Column | None) -> str:
    own = [
        f"{attack.label} in its own {printing.name(of)}"
        for attack in panel.attacks
        if (of := panel.column_of(attack)) is not None and of is not column
    ]
    if not own:
        return ""
    if column is None:
        return f"{listed(own)}."
    return f"In {printing.name(column)}; {listed(own)}."


def intervals(panel: Panel) -> str:
    """Over what the intervals of a panel are."""
    claims = [line.claim for line in panel.lines if line.row.role == "method" and line.claim]
    if not claims:
        return ""
    sizes = sorted({claim.n_items for claim in claims})
    n_sets = max(len(claim.strata) for claim in claims)
    n_seeds = max(claim.n_seeds for claim in claims)
    items = f"{sizes[0]} items" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} items"
    of_sets = f" of {n_sets} forget sets" if n_sets > 1 else ""
    seeds = f" and {n_seeds} seeds of unlearning" if n_seeds > 1 else ""
    held = "" if n_seeds > 1 else ", the seed of unlearning held fixed"
    few = "; none for fewer than 10 items" if sizes[0] < 10 else ""
    return f"Intervals: 95% over {items}{of_sets}{seeds}{held}{few}."


def _alike(panel: Panel) -> str:
    """Where the references could not be told apart, by attack."""
    by_attack: dict[str, list[str]] = {}
    for line in panel.lines:
        column = panel.column_of(line.attack)
        is_shown = column is not None and (line.column.task, line.column.metric) == (
            column.task,
            column.metric,
        )
        if line.lacks == "alike" and is_shown:
            points = by_attack.setdefault(line.attack.label, [])
            points += [line.point.label] if line.point.label not in points else []
    if not by_attack:
        return ""
    places = [
        f"{label} ({listed(points[:_MOST_NAMED])}{', …' if len(points) > _MOST_NAMED else ''})"
        for label, points in by_attack.items()
    ]
    return (
        f"No recovery where the attacked original is not at least {LEAST_APART:g} standard errors "
        f"above the attacked retrained model: {listed(places)}."
    )


def _change_note(lines: Sequence[Attacked]) -> str:
    lacking = {line.lacks for line in lines}
    names = {"retrained": "a retrained model", "original": "the original model"}
    missing = [text for role, text in names.items() if role in lacking]
    return _CHANGE.format(listed(missing)) if missing else ""


def _partial(panel: Panel) -> str:
    """Rows that were not attacked in every run that the table has."""
    fewer = []
    for row in panel.methods:
        for attack in panel.attacks:
            column = panel.column_of(attack)
            lines = panel.of(attack, column, row) if column else []
            n = max((line.claim.n_runs for line in lines if line.claim), default=0)
            if 0 < n < len(row.runs):
                fewer.append(f"{row.label} under {attack.label} ({n} of {len(row.runs)})")
            elif n == 0 and column is not None:
                fewer.append(f"{row.label} under {attack.label} (none)")
    return f"Attacked in fewer runs than the table has: {listed(fewer)}." if fewer else ""


def _made_again(panel: Panel) -> str:
    if not panel.made_again:
        return ""
    return (
        f"Unlearned again for the attack, as the model was not kept: {listed(panel.made_again)} "
        "(--save-models keeps them)."
    )


def _failed(panel: Panel) -> str:
    if not panel.failed:
        return ""
    of = [f"{f.label} under {f.attack}, forget set {f.run} ({f.error})" for f in panel.failed]
    more = f" and {len(of) - _MOST_NAMED} more" if len(of) > _MOST_NAMED else ""
    return f"Failed: {'; '.join(of[:_MOST_NAMED])}{more}."


def _gain(panel: Panel, attack: AttackKind, column: Column) -> str:
    """By how much a curve's last point is above the model before it, beside the retrained one."""
    if not attack.curve or not attack.points:
        return ""
    last = attack.points[-1]
    lines = [line for line in panel.of(attack, column) if line.point.name == last.name]
    gains = {line.row.label: line.change.value for line in lines if line.change is not None}
    of_retrained = [line.row.label for line in lines if line.row.role == "retrained"]
    taught = next((gains[label] for label in of_retrained if label in gains), None)
    if taught is None:
        return ""

    def text(value: float) -> str:
        return printing.difference(column, value, more=0)

    def beside(value: float) -> str:
        return f"{text(abs(value - taught)).lstrip('+')} {'more' if value >= taught else 'less'}"

    each = [
        f"{row.label} {text(gains[row.label])}, {beside(gains[row.label])}"
        for row in panel.methods
        if row.label in gains
    ]
    if not each:
        return ""
    return (
        f"Gain in {printing.name(column)} at {last.label}, from the same model before the attack: "
        f"the retrained model {text(taught)}; {'; '.join(each)} than the retrained model."
    )


# ---- what attacks say of themselves


def varying_facts(panel: Panel, attack: AttackKind, column: Column) -> list[str]:
    """Those stated at several points, or of an attack of one point, that are not all the same."""
    points, values = _by_name(panel, attack, column)
    alone = len(attack.points) == 1
    return [n for n in points if (len(points[n]) > 1 or alone) and len(values[n]) > 1]


def facts_of_one_point(panel: Panel, attack: AttackKind, column: Column) -> list[str]:
    """Those stated at one of several points."""
    points, values = _by_name(panel, attack, column)
    if len(attack.points) == 1:
        return []
    return [name for name, at in points.items() if len(at) == 1 and len(values[name]) > 1]


def _same_facts(panel: Panel, attack: AttackKind, column: Column) -> str:
    _, values = _by_name(panel, attack, column)
    same = [f"{fact_name(n)} {fact(min(of))}" for n, of in values.items() if len(of) == 1]
    return f"For all rows and points: {', '.join(same)}." if same else ""


def _by_name(
    panel: Panel, attack: AttackKind, column: Column
) -> tuple[dict[str, set[str]], dict[str, set[float]]]:
    """By name the points that state a fact, and its values."""
    points: dict[str, set[str]] = {}
    values: dict[str, set[float]] = {}
    for line in panel.of(attack, column):
        for name, value in line.facts.items():
            points.setdefault(name, set()).add(line.point.name)
            values.setdefault(name, set()).add(value)
    return points, values


def fact_name(name: str) -> str:
    """'update to bin median'."""
    return name.replace("_", " ")


def fact(value: float | None) -> str:
    """To four digits; counts whole."""
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def share(value: float) -> str:
    """A recovery: '0.42'."""
    return f"{value:z.2f}"
