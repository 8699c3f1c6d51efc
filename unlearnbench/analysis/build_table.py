"""From results, or from given means, to the ranked and scored table."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median, pstdev, stdev
from typing import Any, NamedTuple, TypeVar

from unlearnbench.analysis.conditions import conditions_of, format_value
from unlearnbench.analysis.footnotes import mark, notes_of
from unlearnbench.analysis.table import (
    EPOCHS,
    P_VALUE,
    PAPER_COLUMNS,
    S_M,
    S_Z,
    Cell,
    Column,
    Group,
    Row,
    Run,
    Table,
    columns_of,
)
from unlearnbench.errors import UserError
from unlearnbench.results.record import TRAINED, Result, StopRecord


def build_table(results: Sequence[Result]) -> Table:
    """The table of a set of results: one group per model and way of measuring.

    Failed and collapsed cells are no part of a mean; they are counted in a footnote.
    Raises `UserError` for no results, and if results disagree on what a metric is.
    """
    if not results:
        raise UserError("no results to report; make some with: unlearnbench run")
    columns, other = columns_of(results)
    return _finished(groups_of(results, (*columns, *other)), columns, other)


def table_of_means(groups: Sequence[Group]) -> Table:
    """The table of rows with given cells over the paper's columns, ranked and scored."""
    return _finished(groups, PAPER_COLUMNS, ())


def _finished(
    groups: Sequence[Group], columns: tuple[Column, ...], other: tuple[Column, ...]
) -> Table:
    compared = tuple(mark(compare(group, columns), columns) for group in groups)
    return Table(columns, compared, other, notes_of(compared, columns, other))


ROLES = ("before", "dedup", "retrained", "null", "sham", "method")
K = TypeVar("K", bound=Hashable)


def groups_of(results: Sequence[Result], columns: Sequence[Column]) -> list[Group]:
    """One group per model and way of measuring (`conditions_of`); smallest model first.

    Numbers made in different ways are never averaged; the variant names the difference.
    """
    groups = []
    for same_name in _split(results, lambda r: r.group).values():
        parts = list(_split(same_name, lambda r: _frozen(conditions_of(r))).values())
        # Of a benchmark, splits are told apart by their names: what is measured of them differs.
        for alike in _split(parts, lambda part: conditions_of(part[0]).get("benchmark")).values():
            differing = _differing([conditions_of(part[0]) for part in alike])
            groups += [_group(part, differing, columns) for part in alike]
    return sorted(groups, key=lambda g: (g.n_parameters or 0, g.title))


def comparable(result: Result) -> tuple[str, str, str]:
    """What a row and its reference have in common: group, forget set, way of measuring."""
    return result.group, result.forget_set.content_sha256, _frozen(conditions_of(result))


def _group(results: list[Result], differing: list[str], columns: Sequence[Column]) -> Group:
    first = results[0]
    sizes = [r.model.n_parameters for r in results if r.role != "dedup"]
    return Group(
        name=first.group,
        rows=tuple(_rows(results, columns)),
        n_parameters=sizes[0] if sizes else None,
        cap=first.protocol.get("perplexity_cap"),
        variant=_variant(first, differing),
        protocol_name=first.protocol_name,
        protocol=first.protocol,
        dtype=first.model.dtype,
        stops=_distinct_stops(results),
        n_forget_rows=tuple(sorted({len(r.forget_set.doc_ids) for r in results})),
        is_synthetic=any(r.model.is_synthetic for r in results),
        benchmark=f"{first.benchmark.name} {first.benchmark.split}" if first.benchmark else "",
    )


def _variant(first: Result, differing: Sequence[str]) -> str:
    """What tells a group from others of its model; of a benchmark's always which split it is of."""
    conditions = conditions_of(first)
    if first.benchmark is None:
        return ", ".join(conditions[name] for name in differing)
    rest = [conditions[name] for name in differing]
    return ", ".join([f"{first.benchmark.title} {first.benchmark.split}", *rest])


def _distinct_stops(results: Iterable[Result]) -> tuple[StopRecord, ...]:
    # NaN: the cell failed before its line was known.
    stops = {
        (r.stop.el, r.stop.ma, r.stop.rule, r.stop.n_unseen): r.stop
        for r in results
        if not math.isnan(r.stop.el + r.stop.ma)
    }
    return tuple(stops[key] for key in sorted(stops))


def _rows(results: list[Result], columns: Sequence[Column]) -> list[Row]:
    """References first, then methods in the order in which they were asked for."""
    variants = _split(results, lambda r: (r.role, r.label, _frozen(_facets(r)))).values()
    rows = []
    for family in _split(variants, lambda v: (v[0].role, v[0].label)).values():
        # What tells rows apart that would otherwise have the same label: weights if nothing else.
        differing = _differing([_facets(variant[0]) for variant in family])
        named = [n for n in differing if n != "weights"] or differing
        for variant in family:
            facets = _facets(variant[0])
            settings = ", ".join(f"{n}={format_value(facets[n])}" for n in named if n in facets)
            label = variant[0].label + (f" ({settings})" if settings else "")
            rows.append((_position(variant), _row(variant, label, columns)))
    return [row for _, row in sorted(rows, key=lambda item: item[0])]


def _position(variant: list[Result]) -> tuple[int, int, str, str]:
    # Not by time: several workers, or a run that was taken up again, must print the same table.
    first, position = variant[0], min(r.position for r in variant)
    return ROLES.index(first.role), position, first.label, _frozen(_facets(first))


def _facets(result: Result) -> dict[str, Any]:
    """What makes a row another row: every setting but the seed, and the weights."""
    settings = {k: v for k, v in result.method.settings.items() if k != "seed"}
    facets = {**settings, "model": result.model.name, "weights": result.model.weights_sha256[:8]}
    if result.role in TRAINED:  # the encoder that finds pairs; reference rows have none
        facets["pairs"] = (result.identity.get("encoders") or {}).get("pairs", "")[:8]
    noise = {f"noise {n}": v for n, v in (result.identity.get("noise") or {}).items()}
    return {**facets, **_schedule(result), **noise}


def _schedule(result: Result) -> dict[str, Any]:
    """How its run was trained and ended, where that is not the plain way."""
    training = result.identity.get("training") or {}
    return dict(training.get("schedule") or {})


def _row(results: list[Result], label: str, columns: Sequence[Column]) -> Row:
    first, latest = results[0], _latest(results)
    used = [r for r in latest if failure_of(r) is None]
    failed = [r for r in latest if failure_of(r) is not None]
    return Row(
        label=label,
        role=first.role,
        cells=_cells(used, columns),
        method=first.method.name,
        model=first.model.name,
        settings={k: v for k, v in first.method.settings.items() if k != "seed"},
        origins=first.method.origins,
        schedule=_schedule(first),
        stops=_distinct_stops(results),
        runs=tuple(_run(r) for r in used),
        # That a sham has not forgotten is as it should be.
        n_not_forgotten=sum(r.status == "not_forgotten" for r in used if r.role != "sham"),
        failed_runs=tuple(_run(r) for r in failed),
        failures=tuple(failure_of(r) or "" for r in failed),
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
    of_source = (result.identity.get("forget_set") or {}).get("sha256")
    content = of_source or result.forget_set.content_sha256
    return Run(result.forget_set.run, content, result.seed, result.key)


def failure_of(result: Result) -> str | None:
    """Why a result is no part of a mean; None if it is."""
    if result.status == "failed":
        return result.error or "failed"
    if result.trace is not None and result.trace.outcome == "collapsed":
        return result.trace.reason or "collapsed"
    return None


def _cells(results: Sequence[Result], columns: Sequence[Column]) -> dict[str, Cell]:
    cells = {}
    for column in columns:
        measured = (column.score(result) for result in results)
        # NaN says that a value could not be computed: it is missing, not a number to average.
        scores = [s for s in measured if s is not None and not math.isnan(s.value)]
        if scores:
            values = [s.value * column.scale for s in scores]
            cells[column.name] = replace(
                # A mean of p-values is no p-value.
                Cell(median(values), n=len(values)) if column.unit == P_VALUE else _cell(values),
                n_documents=tuple(sorted({s.n for s in scores})),
                n_degenerate=sum(s.degenerate for s in scores),
            )
    epochs = [float(r.trace.n_epochs) for r in results if r.trace is not None]
    return {**cells, EPOCHS.name: _cell(epochs)} if epochs else cells


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


class NormalizedScores(NamedTuple):
    """Both scores of every row, and what they are made of."""

    s_z: list[float]
    s_m: list[float]
    metrics: tuple[str, ...]  # summed over
    left_out: tuple[str, ...]  # missing or not finite in at least one row


def compare(group: Group, columns: Sequence[Column]) -> Group:
    """The group with s_z, s_m and ranks over its compared rows (eq. 11)."""
    compared = group.compared
    scores = scores_of(compared, columns, group.cap)
    cells = [dict(row.cells) for row in compared]
    # Over one row, or no metric, there is nothing to normalise by.
    scored = scores.metrics if len(compared) > 1 else ()
    if scored:
        for of_row, row, s_z, s_m in zip(cells, compared, scores.s_z, scores.s_m, strict=True):
            n = len(row.runs) or 1
            of_row |= {S_Z.name: Cell(s_z, n=n), S_M.name: Cell(s_m, n=n)}
    for column in (*columns, S_Z, S_M):
        means = [of[column.name].mean if column.name in of else None for of in cells]
        for of_row, rank in zip(cells, _ranks(column, means, group.cap), strict=True):
            if rank is not None:
                of_row[column.name] = replace(of_row[column.name], rank=rank)
    ranked = iter(cells)
    return replace(
        group,
        rows=tuple(replace(r, cells=next(ranked)) if r.compared else r for r in group.rows),
        scored=scored,
        not_scored=scores.left_out if scored else tuple(c.name for c in columns if c.in_score),
    )


def _ranks(column: Column, values: Sequence[float | None], cap: float | None) -> list[int | None]:
    """1 for the best and 2 for the second best value; equal as printed is equal in rank."""
    printed = [as_printed(column, value, cap) for value in values]
    measured = [v for v in printed if v is not None]
    if len(measured) < 2 or column.higher_is_better is None:
        return [None] * len(values)
    first_two = sorted(set(measured), reverse=bool(column.higher_is_better))[:2]
    return [first_two.index(v) + 1 if v in first_two else None for v in printed]


def as_printed(column: Column, value: float | None, cap: float | None) -> float | None:
    """A value rounded as a table prints it, infinite above the cap; None for none."""
    if value is None or value != value:
        return None
    if column.is_over_cap(value, cap):
        return float("inf")
    return float(column.text(value)) if column.unit == P_VALUE else round(value, column.decimals)


def scores_of(
    rows: Sequence[Row], columns: Sequence[Column], cap: float | None
) -> NormalizedScores:
    """The rows' s_z and s_m (eq. 11) over those of the columns that count in them."""
    counted = [column for column in columns if column.in_score]
    return normalized_scores(
        {c.name: [row.mean(c.name) for row in rows] for c in counted},
        {c.name: bool(c.higher_is_better) for c in counted},
        # The cap is applied to the mean, not run by run: only so do Table I's '>1000' follow from
        # the published runs (GPT-Neo 2.7B + KUMPR: four of five below 250).
        {c.name: cap if c.capped else None for c in counted},
    )


def normalized_scores(
    columns: Mapping[str, Sequence[float | None]],
    higher_is_better: Mapping[str, bool],
    caps: Mapping[str, float | None] | None = None,
) -> NormalizedScores:
    """s_z and s_m: the sums over metrics of z-scores and of min-max scores (eq. 11).

    `columns` holds one value per compared row for each metric, None where it was not
    measured; `caps` the value above which a metric counts as that value (perplexity: 1000),
    applied first.  A metric that is missing or not finite in any row is left out for all.
    Raises `ValueError` if the columns differ in length.
    """
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {sorted(lengths)}")
    used: dict[str, list[float]] = {}
    for name, values in columns.items():
        cap = (caps or {}).get(name)
        limit = math.inf if cap is None else cap
        # NaN is no large number: `min` would turn it into the cap.
        capped = [limit if v is not None and v > limit else v for v in values]
        finite = [v for v in capped if v is not None and math.isfinite(v)]
        if finite and len(finite) == len(values):
            used[name] = finite
    z = [z_scores(values, higher_is_better[name]) for name, values in used.items()]
    m = [min_max(values, higher_is_better[name]) for name, values in used.items()]
    n_rows = lengths.pop() if lengths else 0
    s_z, s_m = ([math.fsum(of[i] for of in parts) for i in range(n_rows)] for parts in (z, m))
    return NormalizedScores(s_z, s_m, tuple(used), tuple(n for n in columns if n not in used))


def z_scores(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """Signed distance from the rows' mean in population standard deviations; higher is better.

    A metric that is the same in every row tells the rows apart in no way: 0 for all.
    """
    spread = 0.0 if _is_constant(values) else pstdev(values)
    if spread == 0.0:  # also where they differ by less than a float can square
        return [0.0] * len(values)
    mean, sign = fmean(values), 1.0 if higher_is_better else -1.0
    return [sign * (v - mean) / spread for v in values]


def min_max(values: Sequence[float], higher_is_better: bool) -> list[float]:
    """Position between the rows' least (0) and greatest (1) value, negated if lower is better.

    A metric that is the same in every row gives 0 for all, as in `z_scores`.
    """
    if _is_constant(values):
        return [0.0] * len(values)
    low, high, sign = min(values), max(values), 1.0 if higher_is_better else -1.0
    return [sign * (v - low) / (high - low) for v in values]


def _is_constant(values: Sequence[float]) -> bool:
    # Means of equal numbers may differ in the last bits; dividing by that would invent a ranking.
    return max(values) - min(values) <= 1e-12 * max(map(abs, values))
