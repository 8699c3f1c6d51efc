"""Synthetic results of a small panel of attacks: curves, unordered points, samples, half the rows.

The numbers mean nothing, but unlearned models lie between the retrained one and the original.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from golden_results import result as golden_result

from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import (
    AttackRecord,
    ForgetSetRecord,
    PointRecord,
    Result,
    attacked_model_in,
)
from unlearnbench.results.score import Metric, Score, table_i

METRICS = tuple(replace(metric, task="forgetting") for metric in table_i("el10", "ma", "entropy"))
LEAK = Metric("leak", "Leak@k (%)", False, unit="%", scale=100.0, in_score=False,
              documents="rows", task="sample")  # fmt: skip
BOUND = Metric("leak_bound", "leak at most (%)", False, unit="%", scale=100.0, in_score=False,
               documents="rows", task="sample")  # fmt: skip
BEFORE, RETRAINED = "NEO (before unlearning)", "NEO (retrained)"
ROLES = {BEFORE: "before", RETRAINED: "retrained"}
LEVELS = {BEFORE: 0.96, RETRAINED: 0.5, "NEO + ICU": 0.52, "NEO + KUMPR": 0.7}
N_ROWS = 24


def numbers(label: str, run: str, seed: int, n: int = N_ROWS) -> np.random.Generator:
    """Draws of a model's own."""
    digest = hashlib.sha256(f"{label} {run} {seed} {n}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:4], "big"))


def model(label: str, run: str = "0", seed: int = 42, **changes: Any) -> Result:
    """A result of the model itself, without its scores."""
    identity = {"model": label, "forget_set": {"sha256": run}, "seed": seed}
    role = ROLES.get(label, "method")
    sha = hashlib.sha256(run.encode()).hexdigest()
    rows = [f"{run}-{i}" for i in range(N_ROWS)]
    forget_set = ForgetSetRecord(name=f"nano/{run}", run=run, content_sha256=sha, doc_ids=rows)
    given: dict[str, Any] = {
        "role": role, "run": run, "seed": seed, "scores": {},
        "method": label.lower().removeprefix("neo + ") if role == "method" else "none",
    }  # fmt: skip
    made: Result = golden_result(label, **{**given, **changes})
    key = hashlib.sha256(repr((label, run, seed)).encode()).hexdigest()
    update = {"identity": identity, "forget_set": forget_set, "key": key, "metrics": [*METRICS]}
    return made.model_copy(update=update)


def scores(values: Mapping[str, float]) -> dict[str, Score]:
    """MA of these values by row, EL10 of what is above 0.8, entropy of any."""
    el = {row: max(0.0, value - 0.8) for row, value in values.items()}
    entropy = {row: 4.0 + value for row, value in values.items()}
    return {
        "el10": Score.of(el, higher_is_better=False),
        "ma": Score.of(values, higher_is_better=False),
        "entropy": Score.of(entropy, higher_is_better=True),
    }


def values(of: Result, gain: float = 0.0, rows: Sequence[str] | None = None) -> dict[str, float]:
    """MA by row, so much nearer to 1 than the unattacked model's."""
    rng = numbers(of.label, of.forget_set.run, of.seed)
    level = LEVELS[of.label] + (1 - LEVELS[of.label]) * gain
    drawn = np.clip(level + 0.06 * rng.normal(size=N_ROWS), 0, 1)
    every = dict(zip(of.forget_set.doc_ids, map(float, drawn), strict=True))
    return {row: every[row] for row in (rows or every)}


def unattacked(of: Result) -> Result:
    """The model with its scores."""
    return of.model_copy(update={"scores": {"forgetting": scores(values(of))}})


def attacked(
    of: Result,
    name: str,
    points: Sequence[tuple[str, float | None, Mapping[str, Score] | None, Mapping[str, float]]],
    *,
    label: str = "",
    curve: str = "",
    metrics: Sequence[Metric] = METRICS,
    **changes: Any,
) -> Result:
    """The model under an attack; each point has a name, a position, scores and facts."""
    task = metrics[0].task
    record = AttackRecord(
        name=name, label=label or name.capitalize(), settings={"seed": 42},
        model=attacked_model_in(of.identity), made_again=False, curve=curve, describes_model=False,
        points=[PointRecord(name=n, label=n.replace("=", " "), position=p, facts=dict(facts))
                for n, p, _, facts in points],
    )  # fmt: skip
    measured = {f"{n}/{task}": dict(s) for n, _, s, _ in points if s is not None}
    key = hashlib.sha256(repr((of.key, name, sorted(changes))).encode()).hexdigest()
    fields = {"attack": record, "scores": measured, "metrics": [*metrics], "key": key}
    return of.model_copy(update={**fields, **changes})


def relearned(of: Result, steps: Sequence[int] = (0, 5, 20)) -> Result:
    """A curve over steps, all rows scored."""
    points = [(f"steps={n}", float(n), scores(values(of, n / 40)), {"rows": 24.0}) for n in steps]
    return attacked(of, "relearn", points, label="Relearning", curve="optimisation steps")


def split(of: Result) -> Result:
    """Trained on one half, the other half is scored."""
    half = of.forget_set.doc_ids[N_ROWS // 2 :]
    points = [("steps=20", 20.0, scores(values(of, 0.3, half)), {})]
    return attacked(of, "split", points, label="T/V split", curve="optimisation steps")


def quantised(of: Result) -> Result:
    """Points without an order, each with a fact of its own."""
    points = [
        (scheme, None, scores(values(of, gain)), {"update_to_bin": gain / 10})
        for scheme, gain in (("int8", 0.01), ("nf4", 0.15))
    ]
    return attacked(of, "quantise", points, label="Quantisation")


def sampled(of: Result) -> Result:
    """The attack's own score at several k; a bound at k = 1 alone."""
    points = []
    for k in (1, 2, 4, 8):
        leak = {row: 1 - (1 - value**8) ** k for row, value in values(of).items()}
        own = {"leak": Score.of(leak, higher_is_better=False)}
        if k == 1:
            bound = {row: min(1.0, value + 0.1) for row, value in leak.items()}
            own["leak_bound"] = Score.of(bound, higher_is_better=False)
        facts = {"samples": 8.0, **({"leaks": float(len(of.label))} if k == 1 else {})}
        points.append((f"k={k}", float(k), own, facts))
    return attacked(of, "sample", points, label="Sampling", curve="samples", metrics=(LEAK, BOUND))


def panel(
    runs: Sequence[str] = ("0",), seeds: Sequence[int] = (42,), leave_out: Sequence[str] = ()
) -> Findings:
    """Two methods with their references under four attacks."""
    bases = [one for one in _models(runs, seeds) if one.label not in leave_out]
    kinds = (relearned, split, quantised, sampled)
    return Findings(
        tuple(map(unattacked, bases)),
        attacked=tuple(attack(base) for base in bases for attack in kinds),
    )


def _models(runs: Sequence[str], seeds: Sequence[int]) -> Iterator[Result]:
    for run in runs:
        yield model(BEFORE, run)
        yield model(RETRAINED, run)
        for position, label in enumerate(("NEO + ICU", "NEO + KUMPR")):
            for seed in seeds:
                yield model(label, run, seed, position=position)
