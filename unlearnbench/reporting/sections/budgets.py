"""What tuning budgets buy: the expected best of k configurations, crossings, front over trials."""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import Any

from unlearnbench.analysis.budgets.expected import MIN_TRIALS, leads
from unlearnbench.analysis.budgets.searches import differing_words
from unlearnbench.analysis.budgets.trials import BudgetPanel, MethodTrials, Trial
from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import ABSENT, Note
from unlearnbench.registry import find
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Block, Data, Findings, Listing, Picture
from unlearnbench.results.tunings import TuningRecord

FIGURES = ("budget-curves", "budget-front")
_NO_TRIALS = (
    "no method has two configurations on the same forget sets; try some: unlearnbench tune "
    "--random 12"
)
_EXPECTED = (
    "k = 1, 2, …: the mean over all choices of k of a method's trials of the best one's score, "
    "which is what a search of k configurations is expected to find."
)
_INTERVALS = (
    f"95% intervals over configurations, as if trials were drawn independently: of {MIN_TRIALS} "
    "trials or more whose scores are shares of 0 to 1. Of n trials none says how good better ones "
    "would be: from k of about n/5 on the upper end goes towards the best score there is. "
    "Forget set, seed and items are held fixed."
)
_MOST_CROSSINGS = 60


def blocks(findings: Findings) -> Iterator[Block]:
    """Of each group with trials: expected best, crossings, front, figures, all of them."""
    panels = findings.budgets
    if not panels:
        yield Listing("budgets", "Tuning budgets", ("Trials",), ((f"none: {_NO_TRIALS}",),))
        return
    about = tuple(_about_search(findings.tunings.records))
    for panel in panels:
        yield _expected(panel, about)
        if any(own.interval(1) for own in panel.methods):
            yield _intervals(panel)
        yield from _crossings(panel)
        yield from _front(panel)
    for name in FIGURES:
        figure = find("reports", name)()
        yield Picture(name, figure.caption(findings))
    yield _curves_data(panels)
    yield _trials_data(panels)


def _sizes(panel: BudgetPanel) -> list[int]:
    """1, 2, 3, 5, 9, 18, 36 and so on, and the largest number of trials."""
    most = max(len(own.scores) for own in panel.methods)
    sizes = [1, 2, 3, 5, 9]
    while sizes[-1] * 2 < most:
        sizes.append(sizes[-1] * 2)
    return [*(k for k in sizes if k < most), most] if most else []


def _expected(panel: BudgetPanel, about: tuple[Note, ...]) -> Listing:
    sizes, column = _sizes(panel), panel.objective.column
    has_line = any(own.n_reached is not None for own in panel.methods)
    rows = []
    for own in _best_first(panel):
        reached = (ABSENT if own.n_reached is None else str(own.n_reached),) if has_line else ()
        values = (own.curve[k - 1] if k <= len(own.scores) else None for k in sizes)
        counts = (str(len(own.trials)), *reached, str(own.n_failed))
        rows.append((own.method, *counts, *(printing.stored(column, v) for v in values)))
    line = ("Reached the line",) if has_line else ()
    return Listing(
        printing.anchor("budgets", panel.title),
        f"Expected best of k configurations, {printing.header(column)}: {panel.title}",
        ("Method", "Trials", *line, "Failed", *(f"k = {k}" for k in sizes)),
        tuple(rows),
        notes=(
            *printing.notes(
                ("leaders", _leaders(panel)),
                ("expected", f"{_EXPECTED} Score: {panel.objective.in_words}. {_failed(panel)}"),
            ),
            *about,
        ),
    )


def _failed(panel: BudgetPanel) -> str:
    n = sum(own.n_failed for own in panel.methods)
    n_unknown = sum(
        trial.score is None and not trial.failed for own in panel.methods for trial in own.trials
    )
    worst = panel.objective.worst([s for own in panel.methods for s in own.scores])
    value = printing.stored(panel.objective.column, worst)
    parts = [f"A trial that failed or collapsed counts as {value}." if n else ""]
    parts += [f"Without a score, and left out: {n_unknown} trials." if n_unknown else ""]
    return " ".join(filter(None, parts))


def _best_first(panel: BudgetPanel) -> list[MethodTrials]:
    """The methods by the best of all their trials."""
    up = panel.objective.higher_is_better
    scored = [own for own in panel.methods if own.scores]
    ranked = sorted(scored, key=lambda own: own.curve[-1], reverse=up)
    return [*ranked, *(own for own in panel.methods if not own.scores)]


def _leaders(panel: BudgetPanel) -> str:
    """'With 1 to 6 configurations NPO is ahead of all, with 7 to 18 AltPO.'"""
    spans: list[tuple[str, int, int]] = []
    fewest = min((len(own.scores) for own in panel.methods if own.scores), default=0)
    for k in range(1, fewest + 1):
        best = (max if panel.objective.higher_is_better else min)(
            own.curve[k - 1] for own in panel.methods if own.scores
        )
        name = listed(
            (o.method for o in panel.methods if o.scores and o.curve[k - 1] == best), " and "
        )
        if spans and spans[-1][0] == name:
            spans[-1] = (name, spans[-1][1], k)
        else:
            spans.append((name, k, k))
    words = [f"with {_range(low, high)} {name}" for name, low, high in spans]
    return f"Ahead of all: {listed(words)}." if words else ""


def _range(low: int, high: int) -> str:
    if low == high:
        return f"{low} configuration{'' if low == 1 else 's'}"
    return f"{low} to {high} configurations"


def _intervals(panel: BudgetPanel) -> Listing:
    sizes, column = _sizes(panel), panel.objective.column

    def text(own: MethodTrials, k: int) -> str:
        ends = own.interval(k) if k <= len(own.scores) else None
        if ends is None:
            return ABSENT
        low, high = (printing.stored(column, end) for end in ends)
        return f"{low} to {high}"

    rows = tuple((own.method, *(text(own, k) for k in sizes)) for own in _best_first(panel))
    return Listing(
        printing.anchor("budget-intervals", panel.title),
        f"95% intervals of the expected best of k, {printing.header(column)}: {panel.title}",
        ("Method", *(f"k = {k}" for k in sizes)),
        rows,
        notes=printing.notes(("intervals", _INTERVALS)),
    )


def _crossings(panel: BudgetPanel) -> Iterator[Listing]:
    """The pairs of methods of which one is ahead with few configurations, the other with more."""
    rows = []
    for first, second in combinations([own for own in panel.methods if own.scores], 2):
        changes = leads(first.curve, second.curve, panel.objective.higher_is_better)
        for before, after in pairwise(changes):
            names = (first.method, second.method)
            ahead, overtakes = names if before.is_first else names[::-1]
            rows.append((after.k, ahead, overtakes))
    if rows:
        shown = sorted(rows)[:_MOST_CROSSINGS]
        left = f"{len(rows) - len(shown)} more are left out." if len(rows) > len(shown) else ""
        yield Listing(
            printing.anchor("budget-crossings", panel.title),
            f"Who overtakes whom with more configurations: {panel.title}",
            ("Ahead with fewer", "Overtaken by", "From k on"),
            tuple((ahead, overtakes, str(k)) for k, ahead, overtakes in shown),
            n_labels=2,
            notes=printing.notes(("crossings", _about_crossings(panel) + left)),
        )


def _about_crossings(panel: BudgetPanel) -> str:
    sizes = {len(own.trials) for own in panel.methods}
    text = "From k on: the first number of configurations with which the other is expected to win. "
    if len(sizes) > 1:
        text += "Compared up to the smaller number of the two methods' trials. "
    return text


def _front(panel: BudgetPanel) -> Iterator[Listing]:
    if panel.plane is None or panel.hypervolume is None:
        return
    across, up = panel.plane.forgetting, panel.plane.utility
    yield Listing(
        printing.anchor("budget-hypervolume", panel.title),
        f"Hyper-volume of each method's trials: {panel.title}",
        ("Method", "Trials in the plane", "On the front of all", "Hyper-volume"),
        (
            *(
                (
                    own.method,
                    str(sum(t.point is not None for t in own.trials)),
                    str(sum(t.is_on_front for t in own.trials)),
                    _area(own.hypervolume),
                )
                for own in sorted(panel.methods, key=lambda own: -(own.hypervolume or 0.0))
            ),
            ("all", *(str(n) for n in _of_all(panel)), _area(panel.hypervolume)),
        ),
        notes=printing.notes(("hypervolume", _about_area(panel))),
    )
    on_front = [t for own in panel.methods for t in own.trials if t.is_on_front and t.point]
    yield Listing(
        printing.anchor("budget-front", panel.title),
        f"The front over all trials: {panel.title}",
        ("Method", "Settings", printing.header(across), printing.header(up)),
        tuple(
            (t.method, _differing(t, panel), printing.stored(across, t.point[0]),
             printing.stored(up, t.point[1]))
            for t in sorted(on_front, key=lambda t: t.point or (0.0, 0.0)) if t.point
        ),
        n_labels=2,
        notes=printing.notes(("front", "No trial is as good in both and better in one.")),
    )  # fmt: skip


def _of_all(panel: BudgetPanel) -> tuple[int, int]:
    trials = [trial for own in panel.methods for trial in own.trials]
    return sum(t.point is not None for t in trials), sum(t.is_on_front for t in trials)


def _area(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def _about_area(panel: BudgetPanel) -> str:
    assert panel.plane is not None
    names = [printing.name(c) for c in (panel.plane.forgetting, panel.plane.utility)]
    ends = [f"{name} {end:g}" for name, end in zip(names, panel.plane.reference, strict=True)]
    line = ""
    if any(own.n_reached is not None for own in panel.methods):
        line = " Utility kept is here that of every trial, whether it reached the line or not."
    return (
        f"Hyper-volume: the share of the plane of {names[0]} and {names[1]}, both from 0 to 1, in "
        f"which some trial is better; the reference point is the worst corner ({', '.join(ends)}). "
        f"It grows with the number of trials; forgetting more than a retrained model counts as "
        f"better, unless the distance to one is measured.{line}"
    )


def _differing(trial: Trial, panel: BudgetPanel) -> str:
    """The settings in which the trials of its method differ."""
    own = next(m for m in panel.methods if m.method == trial.method).trials
    values: dict[str, set[str]] = {}
    for other in own:
        for name, value in other.settings.items():
            values.setdefault(name, set()).add(repr(value))
    shown = [n for n, v in trial.settings.items() if len(values[n]) > 1]
    return listed(f"{n}={format_value(trial.settings[n])}" for n in shown) or trial.label


def _about_search(records: Sequence[TuningRecord]) -> Iterator[Note]:
    """How the trials were come by, and that every method had as many."""
    of_method: dict[tuple[str, str], list[TuningRecord]] = {}
    for record in records:
        of_method.setdefault((record.method, record.model), []).append(record)
    alike: dict[tuple[Any, ...], list[TuningRecord]] = {}
    for searches in of_method.values():
        for record, words in zip(searches, differing_words(searches), strict=True):
            what = (record.forget_set, record.sampler, record.seed, len(record.trials), words)
            alike.setdefault(what, []).append(record)
    for (forget_set, sampler, seed, n, words), own in alike.items():
        kind = {"grid": "", "random": "random ", "tpe": "TPE "}[sampler]
        drawn = "" if seed is None else f" (seed {seed})"
        some = f"{n} {kind}configuration{'' if n == 1 else 's'}"
        of = f"of {own[0].method}" if len(own) == 1 else f"of each of {len(own)} methods"
        yield Note(
            "search",
            f"Searched on forget set {forget_set}: {some} {of}{drawn}"
            f"{', ' if words else ''}{words}; where: {_spaces(own)}.",
        )


def _spaces(records: Sequence[TuningRecord]) -> str:
    """What all methods have in common first: 'learning_rate 2e-5..1e-3; npo alpha 0.1..5'."""
    spaces = [record.space.items() for record in records]
    common = set.intersection(*map(set, spaces)) if len(spaces) > 1 else set()
    parts = [f"{name} {text}" for name, text in sorted(common)]
    for record in records:
        own = [f"{n} {t}" for n, t in record.space.items() if (n, t) not in common]
        parts += [f"{record.method} {listed(own)}"] if own else []
    return listed(parts, "; ")


def _curves_data(panels: Sequence[BudgetPanel]) -> Data:
    rows = [
        (panel.title, own.method, str(k), _number(own.curve[k - 1]), *_ends(own.interval(k)))
        for panel in panels
        for own in panel.methods
        for k in range(1, len(own.scores) + 1)
    ]
    headers = ("group", "method", "k", "expected_best", "low", "high")
    return Data("budget-curves-data", "Expected best of k", headers, tuple(rows), n_labels=2)


def _trials_data(panels: Sequence[BudgetPanel]) -> Data:
    rows = [
        (
            panel.title,
            trial.method,
            listed(f"{n}={format_value(v)}" for n, v in trial.settings.items()),
            _number(trial.score),
            *(_number(None if trial.point is None else trial.point[at]) for at in (0, 1)),
            "" if trial.reached is None else str(trial.reached).lower(),
            str(trial.failed).lower(),
            str(trial.is_on_front).lower(),
        )
        for panel in panels
        for own in panel.methods
        for trial in own.trials
    ]
    headers = ("group", "method", "settings", "score", "forgetting", "utility", "reached",
               "failed", "on_front")  # fmt: skip
    return Data("trials-data", "All trials", headers, tuple(rows), n_labels=3)


def _ends(ends: tuple[float, float] | None) -> tuple[str, str]:
    return (_number(ends[0]), _number(ends[1])) if ends else ("", "")


def _number(value: Any) -> str:
    return "" if value is None else repr(float(value))
