"""Trials of tuning as results, for the tests of budgets."""

import math
from collections.abc import Sequence
from typing import Any

from golden_results import result as golden_result

from unlearnbench.results.record import (
    EpochRecord,
    ForgetSetRecord,
    MethodRecord,
    Result,
    UnlearnTrace,
    key_of,
)
from unlearnbench.results.score import Score, table_i

PPL_BEFORE = 10.0
FORGET_SET = ForgetSetRecord(
    name="nano/forget_tuning", run="tuning", content_sha256="t" * 64, doc_ids=["0", "1"]
)
PERPLEXITIES = [type(m)(**{**vars(m), "task": "perplexity"}) for m in table_i("pile_ppl")]


def before(forget_set: ForgetSetRecord = FORGET_SET) -> Result:
    """The model before unlearning."""
    made = golden_result("NEO (before unlearning)", role="before", scores={})
    return _with(made, forget_set, PPL_BEFORE, ("before",))


def trial(
    method: str,
    kept: float,
    *,
    ma: float = 0.4,
    outcome: str = "forgotten",
    forget_set: ForgetSetRecord = FORGET_SET,
    seed: int = 42,
    **settings: Any,
) -> Result:
    """A trial that keeps that share of utility: its perplexity is the first one's over it."""
    made = golden_result(f"NEO + {method.upper()}", method=method, scores={})
    own = {"learning_rate": 1e-4, "max_epochs": 12, "seed": seed, **settings}
    of_method = MethodRecord(name=method, label=method.upper(), settings=own)
    last = EpochRecord(epoch=1, metrics={"el": 0.0, "ma": ma})
    trace = UnlearnTrace(outcome=outcome, n_epochs=1, epochs=[last])  # type: ignore[arg-type]
    status = "not_forgotten" if outcome == "not_forgotten" else "ok"
    changes = {"method": of_method, "trace": trace, "status": status, "seed": seed}
    made = _with(made, forget_set, PPL_BEFORE / kept, (method, kept, repr(own)))
    return made.model_copy(update=changes)


def sweep(method: str, kept: Sequence[float], **changes: Any) -> list[Result]:
    """Trials of one method with rates of 1e-5, 2e-5 and so on."""
    return [
        trial(method, share, learning_rate=(at + 1) * 1e-5, **changes)
        for at, share in enumerate(kept)
    ]


def _with(made: Result, forget_set: ForgetSetRecord, ppl: float, what: tuple[Any, ...]) -> Result:
    score = Score(value=ppl, n=3, higher_is_better=False, aggregation="exp_mean",
                  documents=dict.fromkeys(("0", "1", "2"), math.log(ppl)))  # fmt: skip
    identity = {"what": [*map(str, what), forget_set.run], "software": {"harness": "x"}}
    fields = {
        "identity": identity,
        "key": key_of(identity),
        "metrics": PERPLEXITIES,
        "scores": {"perplexity": {"pile_ppl": score}},
        "forget_set": forget_set,
    }
    return made.model_copy(update=fields)
