"""Where a number comes from: the runs behind each row, what a result records, what is absent."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unlearnbench.analysis.conditions import differing_protocol_settings, format_value
from unlearnbench.analysis.footnotes import listed, runs
from unlearnbench.analysis.table import EPOCHS, SCORE_NAMES, Column, Group, Table
from unlearnbench.reporting.document import Document
from unlearnbench.results.record import Environment, Result

from .sections import Line
from .texts import Pool


def row_facts(
    group: Group, line: Line, columns: Sequence[Column], by_key: Mapping[str, Result]
) -> dict[str, Any]:
    """A row's runs and all its cells."""
    row = line.row
    results = [by_key.get(run.key) for run in row.runs]
    return {
        "group": group.title,
        "label": row.label,
        "key": line.key,
        "compared": row.compared,
        "runs": [
            {"set": run.forget_set, "seed": run.seed, "key": run.key if result else None}
            for run, result in zip(row.runs, results, strict=True)
        ],
        "failures": [
            f"forget set {run.forget_set}, seed {run.seed}: {reason}"
            for run, reason in zip(row.failed_runs, row.failures, strict=True)
        ],
        "scored": list(group.scored),
        "cells": {c.name: _cell(line, c, results) for c in columns if c.name in row.cells},
    }


def _cell(line: Line, column: Column, results: Sequence[Result | None]) -> dict[str, Any]:
    number = line.numbers[column.name]
    return {
        "text": number.text,
        "spread": number.spread,
        "interval": number.interval,
        "hints": list(number.hints),
        "by_run": [_of_run(result, column) for result in results],
    }


def _of_run(result: Result | None, column: Column) -> list[Any] | None:
    """The value as printed, uncapped, the number of documents and the standard error."""
    if result is None:
        return None
    if column.name == EPOCHS.name:
        return [str(result.trace.n_epochs), None, ""] if result.trace else None
    score = column.score(result)
    if score is None:
        return None
    error = "" if score.stderr is None else column.text(score.stderr * column.scale)
    return [column.text(score.value * column.scale), score.n, error]


def record(result: Result, pool: Pool) -> dict[str, Any]:
    """The result without its scores; parts that many results share are numbers in the pool."""
    forget_set, method, trace = result.forget_set, result.method, result.trace
    model, environment = result.model, result.environment
    revision = model.revision or "none (not from the hub)"
    commit = environment.git_commit or "none (not a checkout)"
    outcome = "not unlearned: a reference row"
    if trace is not None:
        outcome = f"{trace.outcome.replace('_', ' ')}: {trace.reason}".rstrip(": ")
    shared = {
        "forget_set": {
            "name": forget_set.name,
            "run": forget_set.run,
            "content_sha256": forget_set.content_sha256,
            "rows": len(forget_set.doc_ids),
        },
        "settings": [
            [name, format_value(value), method.origins.get(name, "default or given")]
            for name, value in method.settings.items()
        ],
        "protocol": {"name": result.protocol_name, **result.protocol},
        "stop": result.stop.model_dump(),
        "model": {**model.model_dump(), "revision": revision},
        "sets": {name: one.model_dump() for name, one in result.sets.items()},
        "environment": {**environment.model_dump(exclude={"packages"}), "git_commit": commit},
        "packages": environment.packages,
    }
    return {
        "status": result.status.replace("_", " "),
        "error": result.error,
        "seed": result.seed,
        "started": result.started_at,
        "seconds": format_value(round(result.seconds, 1)),
        "key": result.key,
        "file": f"{result.key}.json",
        **{name: pool.number(part) for name, part in shared.items()},
        "trace": outcome,
    }


Facts = tuple[tuple[str, str], ...]  # names and values


def protocols(table: Table) -> dict[str, Facts]:
    """Every protocol setting by group; those that depart from the named protocol are marked."""
    made: dict[str, Facts] = {}
    for group in (group for group in table.groups if group.protocol):
        own = differing_protocol_settings(group.protocol_name, dict(group.protocol))
        settings = (
            (name, format_value(value) + (" (set for this run)" if name in own else ""))
            for name, value in group.protocol.items()
        )
        made[group.title] = (("protocol", group.protocol_name), *settings)
    return made


def software(results: Sequence[Result]) -> Facts:
    """What ran where and when; of versions that differ, how many results each has."""
    environments = [result.environment for result in results]
    names = dict.fromkeys(name for e in environments for name in e.packages)
    started = sorted(result.started_at for result in results)
    versions = ((name, _counted(e.packages.get(name, "absent") for e in environments))
                for name in names)  # fmt: skip
    return (
        ("Results", str(len(results))),
        ("Started", listed(dict.fromkeys((started[0], started[-1])), " to ") if started else ""),
        ("Device", _counted(result.model.device for result in results)),
        ("Platform", _counted(e.platform for e in environments)),
        ("Threads", _counted(str(e.n_threads) for e in environments)),
        ("Git commit", _counted(map(_commit, environments))),
        ("Python", _counted(e.python for e in environments)),
        *versions,
    )


def absent(document: Document) -> tuple[str, ...]:
    """Sentences on what one would look for in vain."""
    table = document.findings.table
    sentences = [sentence for group in table.groups for sentence in _absent(group, table)]
    return (*sentences, *(note.text for note in document.notes))


def _absent(group: Group, table: Table) -> Iterable[str]:
    for row in group.rows:
        total = len(row.failures) + len(row.runs)
        for reason, n in Counter(row.failures).items():
            yield f"{group.title}, {row.label}: {n} of {runs(total)} left out: {reason}"
    skipped = (EPOCHS.name, *SCORE_NAMES)
    for column in table.columns:
        without = [r.label for r in group.rows if r.runs and column.name not in r.cells]
        if column.name not in skipped and without:
            whose = listed(without) if len(without) < len(group.rows) else "any row"
            yield f"{group.title}: {column.label} was not measured for {whose}."


def _commit(environment: Environment) -> str:
    if environment.git_commit is None:
        return "none: not run from a checkout"
    return environment.git_commit + (" with uncommitted changes" if environment.git_dirty else "")


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return listed((f"{value} ({runs(n)})" for value, n in counts.most_common()), "; ")
