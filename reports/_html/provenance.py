"""Where a number comes from: everything a result records of how it was made."""

from typing import Any

from unlearnbench.analysis.footnotes import format_value
from unlearnbench.results.record import Result

from .texts import Pool


def record(result: Result, pool: Pool) -> dict[str, Any]:
    """The result without its scores; parts that many results share are numbers in the pool."""
    return {
        "status": result.status.replace("_", " "),
        "error": result.error,
        "seed": result.seed,
        "started": result.started_at,
        "seconds": format_value(round(result.seconds, 1)),
        "key": result.key,
        "file": f"{result.key}.json",
        "forget_set": pool.number(_forget_set(result)),
        "settings": pool.number(_settings(result)),
        "protocol": pool.number({"name": result.protocol_name, **_printed(result.protocol)}),
        "stop": pool.number(result.stop.model_dump()),
        "model": pool.number(_model(result)),
        "sets": pool.number({name: one.model_dump() for name, one in result.sets.items()}),
        "environment": pool.number(_environment(result)),
        "packages": pool.number(result.environment.packages),
        "trace": _outcome(result),
    }


def _forget_set(result: Result) -> dict[str, Any]:
    forget_set = result.forget_set
    return {
        "name": forget_set.name,
        "run": forget_set.run,
        "content sha256": forget_set.content_sha256,
        "rows": len(forget_set.doc_ids),
    }


def _settings(result: Result) -> list[list[str]]:
    """Name, value, and where the value came from."""
    origins = result.method.origins
    return [
        [name, format_value(value), origins.get(name, "default or given")]
        for name, value in result.method.settings.items()
    ]


def _model(result: Result) -> dict[str, Any]:
    model = result.model
    return {
        "name": model.name,
        "location": model.location,
        "revision": model.revision or "none (not from the hub)",
        "weights sha256": model.weights_sha256,
        "architecture": model.architecture,
        "parameters": f"{model.n_parameters:,}",
        "dtype": model.dtype,
        "device": model.device,
    }


def _environment(result: Result) -> dict[str, Any]:
    environment = result.environment
    dirty = {None: "unknown", True: "yes", False: "no"}[environment.git_dirty]
    return {
        "python": environment.python,
        "platform": environment.platform,
        "threads": environment.n_threads,
        "git commit": environment.git_commit or "none (not a checkout)",
        "uncommitted changes": dirty,
    }


def _outcome(result: Result) -> str:
    if result.trace is None:
        return "not unlearned: a reference row"
    return f"{result.trace.outcome.replace('_', ' ')}: {result.trace.reason}".rstrip(": ")


def _printed(values: dict[str, Any]) -> dict[str, str]:
    return {name: format_value(value) for name, value in values.items()}
