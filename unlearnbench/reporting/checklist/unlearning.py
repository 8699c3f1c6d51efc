"""The checklist on unlearning: protocol, when a run ended, settings, tuning budgets, seeds."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unlearnbench.analysis.conditions import differing_protocol_settings, format_value
from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.table import Group, Row
from unlearnbench.nano import WORLDS
from unlearnbench.reporting.checklist.lines import (
    Done,
    Line,
    distinct,
    how_many,
    measured_here,
    methods_of,
    number,
    part_of,
    unsaid,
)
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import Result

# As the origin of a tuned setting says: 'chosen among 12 random configurations'.
_TRIED = re.compile(r"among (\d+)\b[^,;:]* configurations?\b")


def lines(findings: Findings) -> Iterator[Line]:
    """How models were unlearned."""
    results = findings.results
    yield from distinct(map(_protocol, results))
    yield _stop_line(findings.table.groups)
    yield from distinct(map(_ending, methods_of(results)))
    yield from distinct(map(_pairing, methods_of(results)))
    rows = [(group, row) for group in findings.table.groups for row in group.rows
            if row.role == "method"]  # fmt: skip
    several = len(findings.table.groups) > 1
    names = [f"{row.label} ({group.title})" if several else row.label for group, row in rows]
    own: dict[str, Row] = {}
    for name, (_, row) in zip(names, rows, strict=True):
        first = findings.by_key[(row.runs or row.failed_runs)[0].key]
        if first.imported is None:
            own[name] = row
            yield from _of_row(row, name)
        else:
            yield unsaid(f"Reached the stop line: {name}")
            yield _settings(name, first.imported.settings, "imported.settings")
    yield from _origins(own)
    if len(own) < len(rows):
        yield unsaid("Origin of settings")
    yield _budgets(methods_of(results))
    yield from _seeds(results)


def _protocol(result: Result) -> Line:
    if result.imported:
        return unsaid("Protocol")
    differing = differing_protocol_settings(result.protocol_name, result.protocol)
    own = ", ".join(f"{k}={format_value(v)}" for k, v in sorted(differing.items()))
    answer = result.protocol_name + (f" with {own}" if own else "")
    return Line("Protocol", "yes", answer, "protocol")


def _stop_line(groups: Sequence[Group]) -> Line:
    stops = [stop for group in groups for stop in group.stops]
    if not stops:
        return Line("Stop line", "not recorded", "no cell came so far as to know it", "stop")
    words = []
    for stop in dict.fromkeys((s.source, s.el, s.ma, s.rule, s.n_unseen) for s in stops):
        source, el, ma, rule, unseen = stop
        rows = f" of {number(unseen, 'row')} that no model saw" if source != "paper" else ""
        words.append(f"{source}{rows}: EL10 < {el:.4f} {rule} MA < {ma:.4f}")
    return Line("Stop line", "yes", "; ".join(words), "stop")


def _ending(result: Result) -> Line:
    if result.imported:
        return unsaid("End of a run")
    schedule = part_of(result, "training", "schedule")
    until = str(schedule.get("until") or "line")
    ways = {
        "line": "under the stop line, or at the epoch limit",
        "epochs": "after exactly its epochs, whatever the stop line says",
        "steps": f"after exactly {schedule.get('max_steps')} steps",
        "budget": f"when a text's loss exceeded {schedule.get('utility_budget')} times its start",
    }
    return Line("End of a run", "yes", ways.get(until, until), "identity.training")


def _pairing(result: Result) -> Line:
    if result.imported:
        return unsaid("Retain item beside a row")
    pairing = str(part_of(result, "forget_set").get("pairing") or "nearest")
    words = {"nearest": "the nearest row of the pool", "random": "drawn anew at each use"}
    answer = words.get(pairing, pairing)
    return Line("Retain item beside a row", "yes", answer, "identity.forget_set")


# ---- each method


def _of_row(row: Row, name: str) -> Iterator[Line]:
    n, missed = len(row.runs), row.n_not_forgotten
    if row.runs and "until" not in row.schedule:
        reached = f"{n - missed} of {number(n, 'run')}"
        yield Line(f"Reached the stop line: {name}", how_many(n - missed, n), reached, "status")
    yield _settings(name, row.settings, "method.settings")


def _settings(name: str, settings: Mapping[str, Any], where: str) -> Line:
    named = ", ".join(f"{k}={format_value(v)}" for k, v in sorted(settings.items()))
    done: Done = "yes" if named else "not recorded"
    return Line(f"Settings: {name}", done, named or "none", where)


def _origins(rows: Mapping[str, Row]) -> Iterator[Line]:
    """Where settings came from that are no defaults: tuned, a benchmark's, an option's."""
    origins: dict[str, dict[str, list[str]]] = {}  # origin -> setting -> rows
    for name, row in rows.items():
        for setting, origin in sorted(row.origins.items()):
            origins.setdefault(origin, {}).setdefault(setting, []).append(name)
    for origin, settings in origins.items():
        of_rows = "; ".join(f"{setting} of {listed(names)}" for setting, names in settings.items())
        yield Line("Origin of settings", "yes", f"{origin}: {of_rows}", "method.origins")
    if rows:
        yield Line("Origin of settings", "yes", "all else: the methods' defaults", "method.origins")


def _budgets(results: Sequence[Result]) -> Line:
    """Whether all results of every method were tuned with as many configurations."""
    item, where = "Equal tuning budgets", "method.origins, section budgets"
    counts: dict[str, set[int | None]] = {}
    for result in results:
        found = [m for o in result.method.origins.values() if (m := _TRIED.search(o))]
        n = max((int(m[1]) for m in found), default=None)
        counts.setdefault(result.method.label, set()).add(n)
    if not counts:
        return Line(item, "no", "no method was run", where)
    every = set().union(*counts.values())
    if every == {None}:
        return Line(item, "not recorded", "the results name no number of configurations", where)
    each = listed(f"{label} {_tried(of)}" for label, of in counts.items())
    return Line(item, "yes" if len(every) == 1 else "no", f"configurations tried: {each}", where)


def _tried(counts: set[int | None]) -> str:
    """'6 or 12 or not recorded'."""
    known = map(str, sorted(n for n in counts if n is not None))
    return " or ".join([*known, *(["not recorded"] if None in counts else [])])


# ---- seeds


def _seeds(results: Sequence[Result]) -> Iterator[Line]:
    own = measured_here(results)
    seeds = sorted({result.seed for result in methods_of(own)})
    named = ", ".join(map(str, seeds))
    if len(methods_of(own)) < len(methods_of(results)):
        yield unsaid("Seeds of unlearning")
    if len(seeds) > 1:
        yield Line("Seeds of unlearning", "yes", f"{len(seeds)}: {named}", "seed")
    elif seeds or not methods_of(results):
        answer = f"one ({named}): nothing is said of other seeds" if seeds else "no method was run"
        yield Line("Seeds of unlearning", "no", answer, "seed")
    originals: dict[str, set[str]] = {}
    retrained: dict[str, set[str]] = {}
    for result in own:
        name, weights = result.model.name, result.model.weights_sha256
        if result.role == "before":
            originals.setdefault(_first_of(name), set()).add(weights)
        elif result.role in ("retrained", "null"):
            place = f"{_first_of(result.group)} without forget set {result.forget_set.run}"
            retrained.setdefault(place, set()).add(weights)
    yield _trainings("Seeds of training: original model", originals)
    yield _trainings("Seeds of training: retrained model", retrained)
    sets = {result.forget_set.run for result in results}
    done: Done = "yes" if len(sets) > 1 else "no"
    answer = f"{len(sets)}: {', '.join(sorted(sets))}"
    yield Line("Several forget sets", done, answer, "forget_set.run")


def _first_of(name: str) -> str:
    """The model of which one is a retraining with another seed, as worlds know it; else itself."""
    for world in WORLDS.values():
        if name in world.models:
            return world.models[name].retraining_of or name
    return name


def _trainings(item: str, weights: Mapping[str, set[str]]) -> Line:
    """How often each model was trained: other weights are another seed's."""
    where = "model.weights_sha256"
    if not weights:
        return Line(item, "no", "none was measured", where)
    each = listed(f"{len(of)} of {name}" for name, of in sorted(weights.items()))
    several = sum(len(of) > 1 for of in weights.values())
    note = "" if several else "; nothing is said of another training"
    return Line(item, how_many(several, len(weights)), each + note, where)
