"""Synthetic results for the tests of tables and reports: every case that a table must tell apart.

Used by the tests through `runpy`; the numbers mean nothing.
"""

import hashlib
from dataclasses import replace
from typing import Any

from unlearnbench.protocol import Protocol
from unlearnbench.results.record import (
    Environment,
    ForgetSetRecord,
    MethodRecord,
    ModelRecord,
    Result,
    StopRecord,
)
from unlearnbench.results.score import Metric, Score, table_i
from unlearnbench.results.trace import UnlearnTrace


def recorded(task: str, *names: str) -> list[Metric]:
    """Metrics of Table I as the record of a task's measurement has them."""
    return [replace(metric, task=task) for metric in table_i(*names)]


METRICS = [
    *recorded("forgetting", "el10", "ma", "entropy"),
    *recorded("classification", "cls_avg"),
    Metric("lambada", "LAMBADA (ACC)", True, unit="%", scale=100.0, in_score=False,
           task="classification"),
    *recorded("dialogue", "dia_avg"),
    *recorded("perplexity", "pile_ppl"),
]  # fmt: skip


def result(
    label: str = "NEO + ICU",
    *,
    method: str = "icu",
    role: str = "method",
    run: str = "0",
    status: str = "ok",
    scores: dict[str, float] | None = None,
    settings: dict[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """One result; `scores` by metric name in stored units, `changes` for any other field."""
    given = scores if scores is not None else {"el10": 0.04, "cls_avg": 0.5, "pile_ppl": 20.0}
    synthetic = changes.get("group", "nano-neo").startswith("nano-")
    own = {"learning_rate": 5e-6, "max_epochs": 100, "seed": 42, **(settings or {})}
    fields: dict[str, Any] = {
        "identity": {},
        "status": status,
        "role": role,
        "group": "nano-neo",
        "label": label,
        "model": _model("nano-opt" if role == "dedup" else "nano-neo", synthetic),
        "method": MethodRecord(name=method, label=label, settings=own if role == "method" else {}),
        "forget_set": _forget_set(run),
        "protocol_name": "paper",
        "protocol": dict(vars(Protocol())),
        "stop": StopRecord(source="paper", el=0.0499, ma=0.5994),
        "seed": 42,
        "metrics": METRICS,
        "scores": _scores(given),
        "trace": _trace(status, n_epochs=5 + int(run)) if role == "method" else None,
        "costs": {},
        "environment": Environment(python="3.11", platform="test", packages={}, n_threads=1),
        "started_at": "2026-01-01T00:00:00Z",
        "seconds": 1.0,
        **changes,
    }
    name = repr((label, run, fields["seed"], own, sorted(given.items()), fields["started_at"]))
    return Result(key=hashlib.sha256(name.encode()).hexdigest(), **fields)


def golden_results() -> list[Result]:
    """Two forget sets: >1000, a tie, a missing metric, a failed run, two settings of a method."""
    results = []
    for run, shift in (("0", 0.0), ("1", 0.01)):
        results += [
            result("NEO (before unlearning)", method="none", role="before", run=run,
                   scores=_values(0.95, 0.98, 4.5, 0.55, 0.3, 8.0, shift)),
            result("OPT", method="none", role="dedup", run=run,
                   scores=_values(0.02, 0.6, 4.4, 0.56, 0.32, 9.0, shift)),
            result("NEO (retrained)", method="none", role="retrained", run=run,
                   scores=_values(0.01, 0.58, 4.5, 0.55, 0.31, 8.2, shift)),
            _later(1, "NEO + KUMPR", "kumpr", run, settings={"learning_rate": 2e-4},
                   scores=_values(0.0, 0.1, 0.7, 0.33, 0.0, 1900.0 if run == "0" else float("inf"),
                                  shift)),
            _later(2, "NEO + KL", "kl", run, status="ok" if run == "0" else "not_forgotten",
                   settings={"max_epochs": 20},
                   scores=_values(0.03, 0.55, 4.1, 0.5, None, 12.0, shift)),
            _later(4, "NEO + ICU", "icu", run, settings={"alpha": 0.5},
                   scores=_values(0.04, 0.57, 4.6, 0.54, 0.3, 9.5, shift)),
            _later(5, "NEO + ICU", "icu", run, settings={"alpha": 0.1},
                   scores=_values(0.03, 0.56, 4.6, 0.53, 0.29, 9.9, shift)),
        ]  # fmt: skip
    dpo = _later(3, "NEO + DPO", "dpo", "0", settings={"beta": 0.1},
                 scores=_values(0.1, 0.5, 1.6, 0.45, 0.2, 60.0, 0.0))  # fmt: skip
    broken = _failed("NEO + DPO", "dpo", "1", {"beta": 0.1}, "out of memory: 100% of <8> GB_a|b")
    lost = [_failed("NEO + LLMU", "llmu", run, {}, "loss became NaN in epoch 3.") for run in "01"]
    return [*results, dpo, broken, *lost]


def _later(minute: int, label: str, method: str, run: str, **changes: Any) -> Result:
    time = f"2026-01-01T00:0{minute}:00Z"
    return result(label, method=method, run=run, position=minute, started_at=time, **changes)


def _failed(label: str, method: str, run: str, settings: dict[str, Any], error: str) -> Result:
    return _later(3 if method == "dpo" else 6, label, method, run, status="failed", error=error,
                  settings=settings, scores={}, metrics=[], trace=None)  # fmt: skip


def _values(
    el10: float, ma: float, entropy: float, cls: float, dia: float | None, ppl: float, shift: float
) -> dict[str, float]:
    values = {
        "el10": el10 + shift, "ma": ma + shift, "entropy": entropy, "cls_avg": cls - shift,
        "lambada": cls / 2, "pile_ppl": ppl * (1 + shift),
    }  # fmt: skip
    return values if dia is None else {**values, "dia_avg": dia + shift}


def _scores(values: dict[str, float]) -> dict[str, dict[str, Score]]:
    by_task: dict[str, dict[str, Score]] = {}
    for metric in METRICS:
        if metric.name in values:
            score = Score(
                value=values[metric.name], n=128, higher_is_better=metric.higher_is_better
            )
            by_task.setdefault(metric.task, {})[metric.name] = score
    return by_task


def _trace(status: str, n_epochs: int) -> UnlearnTrace:
    outcome = "not_forgotten" if status == "not_forgotten" else "forgotten"
    return UnlearnTrace(outcome=outcome, n_epochs=n_epochs, epochs=[])


def _model(name: str, is_synthetic: bool) -> ModelRecord:
    return ModelRecord(
        name=name, location=name, revision=None, architecture="GPTNeoForCausalLM",
        weights_sha256=hashlib.sha256(name.encode()).hexdigest(), n_parameters=1_220_000,
        dtype="float32", device="cpu", is_synthetic=is_synthetic,
    )  # fmt: skip


def _forget_set(run: str) -> ForgetSetRecord:
    return ForgetSetRecord(
        name=f"nano/{run}", run=run, content_sha256=hashlib.sha256(run.encode()).hexdigest(),
        doc_ids=[f"{run}-{i}" for i in range(128)],
    )  # fmt: skip
