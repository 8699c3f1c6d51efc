"""From measured results to results with derived scores, and what a report says of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from unlearnbench.analysis.build_table import failure_of
from unlearnbench.analysis.derived.measured import (
    DEPTH,
    DISTANCE,
    TASKS,
    Measured,
    closest,
    of_role,
    unlike,
)
from unlearnbench.analysis.derived.score import BEFORE, ORDER, RETRAINED, TASK
from unlearnbench.analysis.table import Note
from unlearnbench.results.record import Result

if TYPE_CHECKING:
    from unlearnbench.analysis.derived.row import Row

NULL = "null"  # the role of a second retrained seed


def with_derived(results: Sequence[Result]) -> list[Result]:
    """The results with every score that their measured ones allow, under the task 'derived'.

    A score relative to a retrained model takes the result of that role of the same group and
    forget set.  A result without anything to derive is left as it is.
    """
    return derive(results)[0]


def derive(results: Sequence[Result]) -> tuple[list[Result], tuple[Note, ...]]:
    """`with_derived`, and notes: what the scores are relative to, and why some are not there."""
    if not any(TASKS & result.scores.keys() for result in results):
        return list(results), ()
    rows = _rows(results)
    derived = [_with_scores(r, rows[r.key]) if r.key in rows else r for r in results]
    return derived, tuple(_notes(rows.values()))


def _with_scores(result: Result, row: "Row") -> Result:
    if not row.scores:
        return result
    known = len(ORDER)
    places = sorted(row.metrics, key=lambda name: ORDER.get(name, -known))
    metrics = [m for m in result.metrics if m.task != TASK]
    update = {
        "metrics": [*metrics, *(row.metrics[name] for name in places)],
        "scores": {**result.scores, TASK: {name: row.scores[name] for name in places}},
    }
    return result.model_copy(update=update)


def _rows(results: Sequence[Result]) -> dict[str, "Row"]:
    """By key, the row of each result that has something to derive."""
    from unlearnbench.analysis.derived import from_answers, from_attacks, from_several
    from unlearnbench.analysis.derived.row import Row

    usable = [r for r in results if failure_of(r) is None and TASKS & r.scores.keys()]
    measured = {r.key: Measured(r) for r in usable}
    rows = {}
    for result in usable:
        reference, reason = _reference(result, usable)
        before, unlike_before = _before(result, usable)
        row = rows[result.key] = Row(
            measured[result.key],
            measured[reference.key] if reference is not None else None,
            measured[before.key] if before is not None else None,
        )
        row.reasons += filter(None, (reason, unlike_before))
        for derivation in (
            from_answers.truth_ratios,
            from_answers.forget_quality,
            from_answers.utilities,
            from_answers.memorisation,
            from_attacks.areas,
            from_attacks.reference_attack,
            from_attacks.closenesses,
            from_several.overall,
            from_several.semeval,
        ):
            row.attempt(derivation)
        if reference is not None and from_several.margins_in(row.own):
            seeds = [measured[r.key] for r in _seeds(result, usable)]
            retrained = [measured[r.key] for r in _retrained(result, usable)]
            row.attempt(lambda row: from_several.margins_apart(row, seeds, retrained))  # noqa: B023
    return rows


def _reference(result: Result, results: Sequence[Result]) -> tuple[Result | None, str]:
    """The retrained result to compare with, and why there is none though some are there."""
    if result.role == RETRAINED:
        return None, ""
    candidates = of_role(RETRAINED, result, results)
    alike = [each for each in candidates if unlike(result, each) is None]
    if candidates and not alike:
        return None, f"not compared with {candidates[0].label}: {unlike(result, candidates[0])}"
    alike = _measured_against(result, alike) or alike
    named = {r.label for r in alike}
    if len(named) == 1 and len({(r.seed, r.model.weights_sha256) for r in alike}) > len(
        {r.seed for r in alike}
    ):
        named = {f"{r.label}, {r.model.name} {r.model.weights_sha256[:8]}" for r in alike}
    if len(named) > 1:
        listed = "; ".join(sorted(named))
        return None, f"which of {listed} is the retrained reference is not clear"
    return closest(result, alike), ""


def _measured_against(result: Result, candidates: Sequence[Result]) -> list[Result]:
    """Those of the retrained model that a task measured the row against, as `distance` does."""
    parts = (result.identity.get(name) or {} for name in ("benchmark", "tasks"))
    retrained = next((part["retrained"] for part in parts if "retrained" in part), None)
    weights = (retrained or {}).get("weights_sha256")
    return [r for r in candidates if r.model.weights_sha256 == weights]


def _before(result: Result, results: Sequence[Result]) -> tuple[Result | None, str]:
    """The result of the model before unlearning, and why there is none though some are there."""
    candidates = of_role(BEFORE, result, results)
    found = closest(result, candidates)
    if found is not None or not candidates:
        return found, ""
    other = candidates[0]
    return None, f"not relative to {other.label}: {unlike(result, other)}"


def _seeds(result: Result, results: Iterable[Result]) -> list[Result]:
    """The latest result of each seed of the same row on the same forget set."""
    own = _without_seed(result)
    same = [r for r in of_role(result.role, result, results) if _without_seed(r) == own]
    return list({r.seed: r for r in sorted(same, key=lambda r: (r.started_at, r.key))}.values())


def _without_seed(result: Result) -> tuple[str, str, list[tuple[str, str]]]:
    settings = {k: repr(v) for k, v in result.method.settings.items() if k != "seed"}
    training = repr(result.identity.get("training"))  # schedule and so on, beside the method's
    return result.label, training, sorted(settings.items())


def _retrained(result: Result, results: Sequence[Result]) -> list[Result]:
    """All retrained models, of both roles, that were measured alike; one of each weights."""
    every = [*of_role(RETRAINED, result, results), *of_role(NULL, result, results)]
    alike = [r for r in every if r.key != result.key and unlike(result, r) is None]
    by_time = sorted(alike, key=lambda r: (r.started_at, r.key))
    return list({(r.role, r.model.weights_sha256, r.seed): r for r in by_time}.values())


# ---- notes


def _notes(rows: Iterable["Row"]) -> Iterator[Note]:
    every = list(rows)
    for role, what in ((RETRAINED, "retrained reference"), (BEFORE, "model before unlearning")):
        labels: dict[str, None] = {}
        references: dict[str, None] = {}
        for row in every:
            of_role = [n for n, score in row.scores.items() if score.relative_to == role]
            labels |= dict.fromkeys(row.metrics[name].label for name in of_role)
            of = row.reference if role == RETRAINED else row.before
            if of_role and of is not None:
                references[of.result.label] = None
        if labels:
            text = f"Relative to the {what} ({', '.join(references)}) of the same forget set"
            yield Note("relative", f"{text}: {', '.join(labels)}.")
    alone = [
        row
        for row in every
        if row.reference is None
        and row.own.result.role != RETRAINED
        # A distance has its retrained model, whether that has a row or not.
        and row.own.result.scores.keys() & (TASKS - {DISTANCE})
    ]
    if any(not row.reasons for row in alone):
        yield Note(
            "no_reference",
            "Without a retrained reference of the same forget set there are no scores relative to "
            "one; they appear as soon as its result lies in the folder.",
        )
    yield from _privacy_note(every)
    yield from _klom_note(every)
    reasons: dict[str, dict[str, None]] = {}
    for row in every:
        for reason in row.reasons:
            reasons.setdefault(reason, {})[row.own.result.label] = None
    if reasons:
        parts = (f"{', '.join(labels)}: {reason}" for reason, labels in reasons.items())
        yield Note("not_derived", f"Not derived: {'; '.join(parts)}.")


def _privacy_note(rows: Sequence["Row"]) -> Iterator[Note]:
    """What privacy is made of, where some row has a depth score."""
    private = [row for row in rows if "privacy" in row.scores]
    without = [row.own.result.label for row in private if not row.own.has(DEPTH, DEPTH)]
    if len(without) == len(private):
        return
    text = "Privacy is the harmonic mean of s_MIA and UDS"
    if without:
        text += f"; without UDS ({', '.join(dict.fromkeys(without))}) it is s_MIA alone"
    yield Note("privacy", f"{text}.")


def _klom_note(rows: Sequence["Row"]) -> Iterator[Note]:
    """How many models KLOM is over, and what is left of it where there is no difference."""
    from unlearnbench.analysis.derived.klom import klom_of_equals

    for own, retrained in sorted({row.n_margins for row in rows if row.n_margins is not None}):
        equals = klom_of_equals(own, retrained)
        yield Note(
            "klom",
            f"KLOM over {own} seeds of a row and {retrained} retrained models: so many of one and "
            f"the same distribution have {equals:.1f} nats on average, and no two have over 11.5.",
        )
