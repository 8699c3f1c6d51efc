"""The losses as pure functions, with the equation numbers of the paper's later version.

Scores come flat: one row of `logits` [N, V] per counted token, row after row of
the batch, so that the output head is only ever applied where a loss looks.

Reductions (`protocol.loss_reduction`): 'sum' adds up a term's tokens and divides
by the number of rows in the batch; 'mean' divides by the number of those tokens.
Either way every term is divided by its own count and a ratio such as ICU's alpha
weighs one average against another: it means the same whatever the batch size,
and for 'mean' whatever the lengths of targets and neighbours.
"""

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.models.scoring import predictors_of, span_mask

if TYPE_CHECKING:
    from unlearnbench.models.sequences import Sequences
    from unlearnbench.protocol import Protocol

Terms = dict[str, Tensor]  # weighted terms by name; their sum is minimised


def kl_divergence(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """[N] nats: KL[P_0 || P] at each position, P_0 the frozen model's distribution (eq. 4)."""
    p, q = reference_logits.float().log_softmax(-1), logits.float().log_softmax(-1)
    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def reference_cross_entropy(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """[N] nats: -sum p_0 log p, what the released code calls KL; same gradient, other value.

    The released code adds 1e-12 inside the logarithm; a log-softmax needs no such guard.
    """
    p, q = reference_logits.float().softmax(-1), logits.float().log_softmax(-1)
    return -(p * q).sum(-1)


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


def preference_scale(scale: Literal["1", "2/beta"], beta: float) -> float:
    """What a preference loss is multiplied by: 1 (Rafailov et al.), or OpenUnlearning's 2/beta.

    Adam does not see a factor of the whole loss, but a factor between it and a retain term it does.
    """
    return 2 / beta if scale == "2/beta" else 1.0


def altpo_loss(preference: Tensor, pair_nll: Tensor | None, scale: float, alpha: float) -> Terms:
    """scale * preference + alpha NLL(x_lrn) (AltPO); a retain term that is None is left out."""
    terms = {"preference": scale * preference}
    if pair_nll is not None:
        terms["learn"] = alpha * pair_nll
    return terms


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
