"""Random labels: a whole unlearning method in one file.

unlearnbench run --plugin random_labels.py --methods random_labels,icu
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.gradient_method import GradientMethod

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class RandomLabels(GradientMethod):
    """Learn uniformly random tokens in place of the tokens to forget."""

    name: ClassVar[str] = "random_labels"
    label: ClassVar[str] = "Random labels"
    source: ClassVar[str] = "Golatkar et al. 2020, 'random labels' baseline, on tokens"
    retain_terms: ClassVar[frozenset[str]] = frozenset({"keep"})

    keep_weight: float = setting(1.0, "weight of the KL term that holds the neighbours still")

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """NLL(random tokens at the targets' places) + keep_weight KL[P_0 || P](x_lrn)."""
        import torch

        from unlearnbench.models.scoring import reduce_tokens, token_nll

        n_tokens, vocabulary = batch.target_logits.shape
        labels = torch.randint(vocabulary, (n_tokens,), generator=batch.random)
        nll = token_nll(batch.target_logits, labels.to(batch.target_logits.device))
        return {
            "random": reduce_tokens(nll, len(batch.index), batch.protocol.loss_reduction),
            "keep": self.keep_weight * batch.pair_kl,
        }
