"""How results were measured, in words: settings, and what is equal for all of one table."""

from collections.abc import Mapping
from typing import Any

from unlearnbench.protocol import Protocol
from unlearnbench.results.record import Result


def differing_protocol_settings(name: str, protocol: dict[str, Any]) -> dict[str, Any]:
    """The settings in which a recorded protocol departs from the named one."""
    # A result of another version may know a setting that this one does not: it is shown as well.
    named = vars(Protocol.named("released" if name == "released" else "paper"))
    return {k: v for k, v in protocol.items() if k not in named or named[k] != v}


def format_value(value: Any) -> str:
    """A setting's value in a label: 5e-6, 0.1, true."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        digits, _, exponent = f"{value:.6e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def single_settings(name: str, protocol: Mapping[str, Any]) -> str:
    """Those settings in one line: 'steps=3, threshold=0.1'; empty where there are none."""
    differing = differing_protocol_settings(name, dict(protocol))
    return ", ".join(f"{k}={format_value(v)}" for k, v in sorted(differing.items()))


def conditions_of(result: Result) -> dict[str, str]:
    """What must be equal for two results to stand in one table, in words."""
    own = single_settings(result.protocol_name, result.protocol)
    identity = result.identity  # says what the scores were measured with and on
    tasks, texts = identity.get("tasks") or {}, identity.get("texts") or {}
    limit, by_task = tasks.get("limit"), tasks.get("settings") or {}
    changed = ", ".join(
        f"{task}.{name}={format_value(value)}"
        for task, settings in sorted(by_task.items())
        for name, value in sorted(settings.items())
    )
    return {
        **_of_benchmark(result),
        "protocol": f"{result.protocol_name} protocol" + (f" with {own}" if own else ""),
        "dtype": result.model.dtype,
        "stop": f"{result.stop.source} stop line",
        "rows": f"{len(result.forget_set.doc_ids)} rows{_requests(result)}",
        "tasks": f"tasks {', '.join(sorted(by_task))}" if by_task else "no tasks",
        "task settings": changed or "default task settings",
        "task limit": "all documents" if limit is None else f"{limit} documents per task",
        "texts": _with_digests("texts", texts) if texts else "no texts",
        "sets": _with_digests("sets", identity.get("sets") or {}),
        "bert": _with_digests("BERT", {"": (identity.get("encoders") or {}).get("bert", "")}),
    }


def _requests(result: Result) -> str:
    """' of requests 0, 1 one after the other'; empty of a forget set that was asked for alone."""
    requests = (result.identity.get("forget_set") or {}).get("requests") or ()
    if not requests:
        return ""
    how = "one after the other" if "sequence" in result.identity else "at once"
    return f" of requests {', '.join(requests)} {how}"


def _of_benchmark(result: Result) -> dict[str, str]:
    benchmark = result.benchmark
    if benchmark is None:
        return {}
    splits = {name: split.sha256 for name, split in benchmark.splits.items()}
    return {
        "benchmark": f"{benchmark.name} {benchmark.split}",
        "template": f"{benchmark.template} template",
        "splits": _with_digests("splits", splits),
    }


def _with_digests(title: str, digests: Mapping[str, str]) -> str:
    return f"{title} " + ", ".join(f"{n} {d[:8]}".strip() for n, d in sorted(digests.items()))
