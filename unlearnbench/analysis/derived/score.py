"""A derived score, and the metrics that are derived."""

from pydantic import Field
from pydantic.dataclasses import dataclass

from unlearnbench.analysis.table import P_VALUE
from unlearnbench.results.score import Documents, Judges, Metric, Score

TASK = "derived"
RETRAINED, BEFORE = "retrained", "before"  # the roles that a score can be relative to


@dataclass(frozen=True)
class DerivedMetric(Metric):
    """A metric that no task measures."""

    higher_is_better: bool | None  # type: ignore[assignment]  # None: best is a value between
    in_score: bool = False
    task: str = TASK


class Derived(Score):
    """A score computed from measured ones; it is never stored."""

    higher_is_better: bool | None  # type: ignore[assignment]
    low: float | None = Field(default=None, description="95% interval over items")
    high: float | None = None
    relative_to: str = Field(default="", description="the role of the model it compares with")


ATTACKS = {
    "loss": "loss",
    "zlib": "zlib",
    "min_k": "Min-K",
    "min_k_plus_plus": "Min-K++",
    "gradient_norm": "gradient norm",
}
FOUR_ATTACKS = ("loss", "zlib", "min_k", "min_k_plus_plus")  # of MIA


def _share(
    name: str,
    label: str,
    higher_is_better: bool | None,
    documents: Documents = "sets",
    judges: Judges = "forgetting",
) -> DerivedMetric:
    return DerivedMetric(
        name, label, higher_is_better, decimals=3, documents=documents, judges=judges
    )


def _utility(name: str, label: str) -> DerivedMetric:
    return _share(name, label, True, judges="utility")


def _rate(name: str, label: str) -> DerivedMetric:
    return DerivedMetric(name, label, False, "%", 100.0, judges="forgetting")


def _of_attack(attack: str, label: str) -> tuple[DerivedMetric, ...]:
    area = "membership_reference" if attack == "reference" else f"auc_{attack}"
    return (
        _share(area, f"AUC {label}", None),
        _rate(f"tpr_at_1_{attack}", f"TPR@1% {label} (%)"),
        _rate(f"tpr_at_01_{attack}", f"TPR@0.1% {label} (%)"),
    )


_FIXED = (
    _share("forget_truth_ratio_prob_mean", "Truth ratio forget (prob_mean)", False, "rows"),
    DerivedMetric(
        "forget_quality", "Forget quality (p)", True, P_VALUE, decimals=3, judges="forgetting"
    ),
    _share("ks_distance", "KS distance (D)", False),
    DerivedMetric("ks_floor", "KS floor (p)", None, P_VALUE, decimals=3),
    _share("ks_detectable", "KS detectable (D)", None),
    _utility("model_utility", "Model utility"),
    _utility("model_utility_arithmetic", "Model utility (arithmetic)"),
    *(metric for of in ATTACKS.items() for metric in _of_attack(*of)),
    *_of_attack("reference", "reference"),
    *(_share(f"s_mia_{a}", f"s_MIA {name}", True) for a, name in ATTACKS.items()),
    DerivedMetric("privacy_leakage", "PrivLeak (%)", None, "%"),
    _share("mia", "s_MIA", True),
    _share("memorisation", "Memorisation", True),
    _share("privacy", "Privacy", True),
    _utility("utility", "Utility"),
    _utility("relative_utility", "Relative utility"),
    _share("overall", "Overall", True),
    _share("task_aggregate", "Task aggregate", True),
    _share("membership_score", "MIA score", True),
    _share("semeval_score", "SemEval score", True),
    DerivedMetric(
        "klom_mean", "KLOM mean (nats)", False, decimals=3, leads=True, judges="forgetting"
    ),
    _share("klom_95", "KLOM 95% (nats)", False),
)
METRICS = {metric.name: metric for metric in _FIXED}
ORDER = {name: place for place, name in enumerate(METRICS)}


def truth_ratio_metric(split: str, is_forget: bool) -> DerivedMetric:
    """The truth ratio of a split: closer to 1 of a forget set, true better of any other."""
    label = f"Truth ratio {split.replace('_', ' ')}"
    name = f"{split}_truth_ratio"
    return _share(name, label, True, "rows") if is_forget else _utility(name, label)
