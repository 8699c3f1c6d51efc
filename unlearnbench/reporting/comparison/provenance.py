"""What differs in how two sets of results were made: software, data, models, settings."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from unlearnbench.analysis.columns import ABSENT
from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.table import Row
from unlearnbench.reporting.comparison.rows import Matched
from unlearnbench.results.record import Result

Fact = tuple[str, str, str]  # what, in the first, in the second


def differing_facts(first: Sequence[Result], second: Sequence[Result]) -> list[Fact]:
    """What is not the same in all results of both, in the order in which one would ask."""
    ours, theirs = _facts(first), _facts(second)
    names = dict.fromkeys((*ours, *theirs))
    facts = ((name, _text(ours.get(name)), _text(theirs.get(name))) for name in names)
    return [fact for fact in facts if fact[1] != fact[2]]


def differing_settings(matched: Matched) -> Iterator[Fact]:
    """The hyper-parameters and stop lines that are not the same in two rows."""
    for a, b in matched.rows:
        ours, theirs = _settings(a), _settings(b)
        for name in dict.fromkeys((*ours, *theirs)):
            texts = ours.get(name, ABSENT), theirs.get(name, ABSENT)
            if texts[0] != texts[1]:
                yield f"{a.label}: {name}", *texts


def _settings(row: Row) -> dict[str, str]:
    settings = {name: _written(value) for name, value in row.settings.items()}
    if row.role == "method" and row.stops:
        lines = (f"EL10 < {s.el:.4f} {s.rule} MA < {s.ma:.4f}" for s in row.stops)
        settings["stop line"] = "; ".join(lines)
    return settings


def _facts(results: Iterable[Result]) -> dict[str, set[str]]:
    """Every fact with the values that it has among the results."""
    facts: dict[str, set[str]] = {}
    for result in results:
        for name, value in _of_result(result):
            facts.setdefault(name, set()).add(value)
    return facts


def _of_result(result: Result) -> Iterator[tuple[str, str]]:
    yield "protocol", result.protocol_name
    for name, value in result.protocol.items():
        yield f"protocol: {name}", _written(value)
    yield "stop line", result.stop.source
    model = result.model
    yield f"model of the {_role(result)}", f"{model.name}, weights {_short(model.weights_sha256)}"
    yield "dtype", model.dtype
    yield "device", model.device
    given = result.forget_set
    digest = _short(given.content_sha256)
    if result.role != "dedup":  # whose tokenizer may be another
        yield f"forget set {given.run}", f"{given.name}, {len(given.doc_ids)} rows, {digest}"
    if result.role == "method":
        yield "seeds", str(result.seed)
    yield from _of_identity(result.identity)
    yield from _of_environment(result)


def _of_identity(identity: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tasks = identity.get("tasks") or {}
    yield "documents per task", _written(tasks.get("limit") or "all")
    for task, settings in (tasks.get("settings") or {}).items():
        told = ", ".join(f"{n}={_written(v)}" for n, v in settings.items())
        yield f"task {task}", told or "as by default"
    for kind in ("texts", "sets"):
        for name, digest in (identity.get(kind) or {}).items():
            yield f"{kind[:-1]} {name}", _short(digest)
    for name, digest in (identity.get("encoders") or {}).items():
        if digest:
            yield f"encoder ({name})", _short(digest)
    yield (
        "EL measured after",
        {"all": "every epoch"}.get(identity.get("el_epochs", ""), "epochs that it can decide"),
    )
    software = identity.get("software") or {}
    yield "source of unlearnbench", _short(software.get("harness", ""))
    for name, digest in (software.get("plugins") or {}).items():
        yield f"source of {name}", _short(digest)


def _of_environment(result: Result) -> Iterator[tuple[str, str]]:
    made = result.environment
    dirty = " with uncommitted changes" if made.git_dirty else ""
    yield "git commit", f"{made.git_commit[:10]}{dirty}" if made.git_commit else "no checkout"
    yield "Python", made.python
    yield "platform", made.platform
    yield "threads", str(made.n_threads)
    yield from made.packages.items()


def _role(result: Result) -> str:
    return {"method": "methods", "before": "methods"}.get(result.role, f"{result.role} row")


def _text(values: set[str] | None) -> str:
    return ABSENT if not values else "; ".join(sorted(values))


def _written(value: Any) -> str:
    return "none" if value is None else format_value(value)


def _short(digest: str) -> str:
    return digest[:10] or ABSENT
