"""The losses as pure functions, with the equation numbers of the paper's later version.

Scores come flat: one row of `logits` [N, V] per counted token, row after row of
the batch, so that the output head is only ever applied where a loss looks.

Reductions (`protocol.loss_reduction`): 'sum' adds up a term's tokens and divides
by the number of rows in the batch; 'mean' divides by the number of those tokens.
Either way every term is divided by its own count and a ratio such as ICU's alpha
weighs one average against another: it means the same whatever the batch size,
and for 'mean' whatever the lengths of targets and neighbours.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.models.scoring import predictors_of, span_mask, widened

if TYPE_CHECKING:
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

Terms = dict[str, Tensor]  # weighted terms by name; their sum is minimised


def kl_divergence(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """[N] nats: KL[P_0 || P] at each position, P_0 the frozen model's distribution (eq. 4)."""
    p, q = widened(reference_logits).log_softmax(-1), widened(logits).log_softmax(-1)
    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def reference_cross_entropy(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """[N] nats: -sum p_0 log p, what the released code calls KL; same gradient, other value.

    The released code adds 1e-12 inside the logarithm; a log-softmax needs no such guard.
    """
    p, q = widened(reference_logits).softmax(-1), widened(logits).log_softmax(-1)
    return -(p * q).sum(-1)


def kl_of_raw_logits(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """[N] what MUSE's baselines call KL: sum of e^(z_0) (z_0 - z), of logits never normalised."""
    return F.kl_div(logits, reference_logits, reduction="none", log_target=True).sum(-1)


def kumpr_loss(target_nll: Tensor) -> Terms:
    """Gradient ascent on the targets (Jang et al. 2023, eq. 1): -NLL(x_tgt)."""
    return {"target": -target_nll}


def kl_loss(target_nll: Tensor, pair_kl: Tensor) -> Terms:
    """TOFU's KL baseline: -NLL(x_tgt) + KL[P_0 || P](x_lrn)."""
    return {"target": -target_nll, "kl": pair_kl}


def icu_loss(
    target_nll: Tensor, pair_nll: Tensor | None, pair_kl: Tensor | None, alpha: float, beta: float
) -> Terms:
    """L_tgt + alpha L_lrn + beta L_kl (eq. 6; its terms are eqs. 1, 3 and 4).

    A term that is None is left out: the ablations 'without L_lrn' and 'without L_kl'.
    """
    terms = {"target": -target_nll}
    if pair_nll is not None:
        terms["learn"] = alpha * pair_nll
    if pair_kl is not None:
        terms["kl"] = beta * pair_kl
    return terms


def llmu_loss(
    target_nll: Tensor, mismatch_nll: Tensor, pair_kl: Tensor, weights: tuple[float, float, float]
) -> Terms:
    """-e1 NLL(x_tgt) + e2 NLL(other completion) + e3 KL[P_0 || P](x_lrn) (Yao et al. 2023)."""
    e1, e2, e3 = weights
    return {"target": -e1 * target_nll, "mismatch": e2 * mismatch_nll, "kl": e3 * pair_kl}


def dpo_loss(
    chosen_logp: Tensor,
    rejected_logp: Tensor,
    reference_chosen_logp: Tensor,
    reference_rejected_logp: Tensor,
    beta: float,
) -> Tensor:
    """-log sigmoid(beta [dlogp(alternative) - dlogp(x_tgt)]), mean over the pairs.

    All four are [B] log-probabilities summed over a completion's tokens, d against
    the reference model (Rafailov et al. 2023, eq. 7).  Training goes through trl;
    this is the formula it is tested against.
    """
    margin = (chosen_logp - reference_chosen_logp) - (rejected_logp - reference_rejected_logp)
    return -F.logsigmoid(beta * margin).mean()


def npo_losses(nll: Tensor, reference_nll: Tensor, beta: float) -> Tensor:
    """[B] NPO of items by their summed NLL under the model and the original: -(2/beta) log
    sigmoid(beta (S - S_0)) (Zhang et al. 2024, eq. 3)."""
    return -2 / beta * F.logsigmoid(beta * (nll - reference_nll))


def simnpo_losses(mean_nll: Tensor, beta: float, delta: float) -> Tensor:
    """[B] SimNPO of items by their mean NLL per token: -(2/beta) log sigmoid(beta (M - delta))
    (Fan et al. 2024, eq. 4)."""
    return -2 / beta * F.logsigmoid(beta * (mean_nll - delta))


def negated_task_vector(theta: Tensor, finetuned: Tensor, alpha: float) -> Tensor:
    """theta - alpha (theta_ft - theta) (Ilharco et al. 2023): away from what was learned."""
    return theta - alpha * (finetuned - theta)


def dpo_released_loss(neighbour_label_nll: Tensor, pair_nll: Tensor) -> Terms:
    """The released 'DPO': NLL of the neighbour's tokens given the target's, plus NLL(x_lrn)."""
    return {"neighbour_labels": neighbour_label_nll, "learn": pair_nll}


def kl_positions(pairs: "Sequences", protocol: "Protocol") -> Tensor:
    """[B, L] bool, where the KL term compares: what predicts the loss span, or everywhere."""
    if protocol.kl_term == "cross_entropy":
        return torch.ones_like(pairs.input_ids, dtype=torch.bool)
    return predictors_of(span_mask(pairs, protocol))
