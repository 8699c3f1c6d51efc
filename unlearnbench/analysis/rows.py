"""From results to the rows of a table: which are compared, averaged, and left out."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any, TypeVar

from unlearnbench.analysis.columns import EPOCHS, Column
from unlearnbench.analysis.conditions import conditions_of, format_value
from unlearnbench.analysis.table import Cell, Group, Row, Run
from unlearnbench.results.record import Result, StopRecord

ROLES = ("before", "dedup", "retrained", "method")
K = TypeVar("K", bound=Hashable)


def groups_of(results: Sequence[Result], columns: Sequence[Column]) -> list[Group]:
    """One group per model and way of measuring (`conditions_of`); smallest model first.

    Numbers made in different ways are never averaged; the variant names the difference.
    """
    groups = []
    for same_name in _split(results, lambda r: r.group).values():
        parts = list(_split(same_name, lambda r: _frozen(conditions_of(r))).values())
        differing = _differing([conditions_of(part[0]) for part in parts])
        groups += [_group(part, differing, columns) for part in parts]
    return sorted(groups, key=lambda g: (g.n_parameters or 0, g.title))


def _group(results: list[Result], differing: list[str], columns: Sequence[Column]) -> Group:
    first = results[0]
    sizes = [r.model.n_parameters for r in results if r.role != "dedup"]
    return Group(
        name=first.group,
        rows=tuple(_rows(results, columns)),
        n_parameters=sizes[0] if sizes else None,
        cap=first.protocol.get("perplexity_cap"),
        variant=", ".join(conditions_of(first)[name] for name in differing),
        protocol_name=first.protocol_name,
        protocol=first.protocol,
        dtype=first.model.dtype,
        stops=_distinct_stops(results),
        n_forget_rows=tuple(sorted({len(r.forget_set.doc_ids) for r in results})),
        is_synthetic=any(r.model.is_synthetic for r in results),
    )


def _distinct_stops(results: Iterable[Result]) -> tuple[StopRecord, ...]:
    # NaN: the cell failed before its line was known.
    known = [r.stop for r in results if not math.isnan(r.stop.el + r.stop.ma)]
    stops = {(s.el, s.ma, s.rule, s.n_unseen): s for s in known}
    return tuple(stops[key] for key in sorted(stops))


def _rows(results: list[Result], columns: Sequence[Column]) -> list[Row]:
    """References first, then methods in the order in which they were asked for."""
    variants = list(_split(results, lambda r: (r.role, r.label, _frozen(_facets(r)))).values())
    families = _split(variants, lambda v: (v[0].role, v[0].label))
    differing = {name: _differing_facets(family) for name, family in families.items()}
    return [
        _row(v, _suffix(v[0], differing[v[0].role, v[0].label]), columns)
        for v in sorted(variants, key=_position)
    ]


def _position(variant: list[Result]) -> tuple[int, int, str, str]:
    # Not by time: several workers, or a run that was taken up again, must print the same table.
    first, position = variant[0], min(r.position for r in variant)
    return ROLES.index(first.role), position, first.label, _frozen(_facets(first))


def _facets(result: Result) -> dict[str, Any]:
    """What makes a row another row: every setting but the seed, and the weights."""
    settings = {k: v for k, v in result.method.settings.items() if k != "seed"}
    facets = {**settings, "model": result.model.name, "weights": result.model.weights_sha256[:8]}
    if result.role == "method":  # the encoder that finds pairs; reference rows have none
        facets["pairs"] = (result.identity.get("encoders") or {}).get("pairs", "")[:8]
    return facets


def _differing_facets(family: Sequence[list[Result]]) -> list[str]:
    """What tells rows apart that would otherwise have the same label."""
    differing = _differing([_facets(variant[0]) for variant in family])
    if differing == ["weights"]:
        return differing
    return [name for name in differing if name != "weights"]


def _suffix(result: Result, differing: Sequence[str]) -> str:
    """' (alpha=0.1)'; empty where nothing differs."""
    facets = _facets(result)
    told = ", ".join(f"{n}={format_value(facets[n])}" for n in differing if n in facets)
    return f" ({told})" if told else ""


def _row(results: list[Result], suffix: str, columns: Sequence[Column]) -> Row:
    latest = _latest(results)
    used = [r for r in latest if failure_of(r) is None]
    first = results[0]
    return Row(
        label=first.label + suffix,
        role=first.role,
        cells=_cells(used, columns),
        method=first.method.name,
        model=first.model.name,
        settings={k: v for k, v in first.method.settings.items() if k != "seed"},
        origins=first.method.origins,
        stops=_distinct_stops(results),
        runs=tuple(_run(r) for r in used),
        n_not_forgotten=sum(r.status == "not_forgotten" for r in used),
        failed_runs=tuple(_run(r) for r in latest if failure_of(r) is not None),
        failures=tuple(f for r in latest if (f := failure_of(r)) is not None),
        n_superseded=len(results) - len(latest),
    )


def _latest(results: Iterable[Result]) -> list[Result]:
    """One result per forget set and seed, in that order: a cell measured twice is not two runs."""
    latest: dict[Run, Result] = {}
    for result in sorted(results, key=lambda r: (r.started_at, r.key)):
        latest[_run(result)] = result
    return [latest[run] for run in sorted(latest, key=lambda run: (run.forget_set, run.seed))]


def _run(result: Result) -> Run:
    # By what was asked to be forgotten: the token ids are others under another tokenizer (OPT's).
    asked = (result.identity.get("forget_set") or {}).get("sha256")
    content = asked or result.forget_set.content_sha256
    return Run(result.forget_set.run, content, result.seed, result.key)


def failure_of(result: Result) -> str | None:
    """Why a result is no part of a mean; None if it is."""
    if result.status == "failed":
        return result.error or "failed"
    if result.trace is not None and result.trace.outcome == "collapsed":
        return result.trace.reason or "collapsed"
    return None


def _cells(results: Sequence[Result], columns: Sequence[Column]) -> dict[str, Cell]:
    cells = {c.name: cell for c in columns if (cell := _metric_cell(results, c)) is not None}
    epochs = [float(r.trace.n_epochs) for r in results if r.trace is not None]
    return {**cells, EPOCHS.name: _cell(epochs)} if epochs else cells


def _metric_cell(results: Sequence[Result], column: Column) -> Cell | None:
    found = [r.scores.get(column.task, {}).get(column.metric) for r in results]
    # NaN says that a value could not be computed: it is missing, not a number to average.
    scores = [s for s in found if s is not None and not math.isnan(s.value)]
    if not scores:
        return None
    cell = _cell([s.value * column.scale for s in scores])
    return replace(
        cell,
        n_documents=tuple(sorted({s.n for s in scores})),
        n_degenerate=sum(s.degenerate for s in scores),
    )


def _cell(values: Sequence[float]) -> Cell:
    finite = all(map(math.isfinite, values))
    mean = fmean(values) if finite else sum(values) / len(values)  # inf, or NaN for inf - inf
    return Cell(mean, stdev(values) if finite and len(values) > 1 else None, len(values))


def _split(items: Iterable[Any], key: Callable[[Any], K]) -> dict[K, list[Any]]:
    parts: dict[K, list[Any]] = defaultdict(list)
    for item in items:
        parts[key(item)].append(item)
    return dict(parts)


def _differing(variants: Sequence[dict[str, Any]]) -> list[str]:
    """The names whose values are not the same in all."""
    names = dict.fromkeys(name for variant in variants for name in variant)
    return [n for n in names if len({_frozen(v.get(n)) for v in variants}) > 1]


def _frozen(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
