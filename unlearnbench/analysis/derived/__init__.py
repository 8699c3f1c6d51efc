"""Scores that are computed from measured ones alone, without a model; see `docs/metrics.md`.

truth_ratio.py    TOFU's truth ratio, its aggregations, extraction strength as released
ks.py             forget quality: the two-sample Kolmogorov-Smirnov test
membership.py     AUC, TPR at a low FPR, PrivLeak, closeness to the retrained model
aggregates.py     harmonic means: model utility, memorisation, privacy, overall; SemEval's
klom.py           divergence of margins over several seeds
"""

from unlearnbench.analysis.derived.scores import derive, with_derived

__all__ = ["derive", "with_derived"]
