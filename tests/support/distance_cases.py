"""The golden results with a distance to the retrained model, and a second retraining of it."""

from typing import Any

from golden_results import golden_results, result

from unlearnbench.results.record import Result
from unlearnbench.results.score import Metric, Score

KL = Metric(
    "kl_to_retrained", "KL to retrained (nats)", False, unit="nats", decimals=3, in_score=False,
    leads=True, task="distance",
)  # fmt: skip
NATS = {"NEO (before unlearning)": 1.7, "OPT": 0.3, "NEO (retrained)": 0.0, "NEO + KUMPR": 2.5,
        "NEO + KL": 0.5, "NEO + ICU": 0.25, "NEO + DPO": 1.0}  # fmt: skip
NULL = "NEO (retrained, other seed)"


def with_distance(made: Result, nats: float | None) -> Result:
    """The result with a distance, measured last."""
    if nats is None or made.status == "failed":
        return made
    score = Score(value=nats, n=128, higher_is_better=False)
    scores = {**made.scores, "distance": {KL.name: score}}
    return made.model_copy(update={"metrics": [*made.metrics, KL], "scores": scores})


def results(null: float | None = 0.3) -> list[Result]:
    """Of ICU one of the two settings is 0.25 away, the other 0.4; without a null row if None."""
    made = []
    for each in golden_results():
        nats = NATS.get(each.label)
        if each.method.settings.get("alpha") == 0.1:
            nats = 0.4
        made.append(with_distance(each, nats))
    return made + ([with_distance(second(run), null) for run in "01"] if null is not None else [])


def second(run: str, **values: Any) -> Result:
    """A second retraining, measured as the golden rows are."""
    own = {"el10": 0.02, "ma": 0.61, "entropy": 4.5, "cls_avg": 0.55, "pile_ppl": 8.3, **values}
    return result(NULL, method="none", role="null", run=run, scores=own)
