"""SURE: only the weights that the forget set concerns most are trained."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.wrapper import Gradients, Wrapper

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.wrapper import Gradient


@register
@dataclass(kw_only=True)
class Sure(Wrapper):
    """Saliency masks: only modules or neurons with the largest forget gradients are trained.

    The saliency is the norm of the forget gradient over the whole forget set before the first
    step; the mask stays.  A module is a parameter tensor, a neuron a row of one as it is stored (an
    entry of a bias).  In the released code the mask stands in `optimizer_step`, which transformers'
    Trainer never calls, so that all weights are trained there.
    """

    name: ClassVar[str] = "sure"
    label: ClassVar[str] = "SURE"
    source: ClassVar[str] = "Zhang et al. 2025, section 5"
    citation: ClassVar[str] = """@inproceedings{zhang2025catastrophic,
  title = {Catastrophic Failure of {LLM} Unlearning via Quantization},
  author = {Zhang, Zhiwei and Wang, Fali and Li, Xiaomin and Wu, Zongyu and Tang, Xianfeng
            and Liu, Hui and He, Qi and Yin, Wenpeng and Wang, Suhang},
  booktitle = {Proceedings of ICLR},
  year = {2025}
}"""
    n_copies: ClassVar[int] = 3  # gradients of both sides, what is put back

    percentile: float = setting(
        90.0,
        "of the gradient norms; what is under it is not trained",
        minimum=0,
        maximum=100,
        search="50,75,90,95",
    )
    unit: Literal["module", "neuron"] = setting("module", "what is trained or not as a whole")

    def begin(self, whole: Gradients) -> None:
        """Choose what is trained."""
        self._mask = salient(whole.forget(), self.percentile, self.unit)

    def wrap(self, gradients: Gradients) -> Gradients:
        """The gradients of the chosen weights; the others stay what they are."""
        mask = self._mask
        both = mask
        if gradients.trained is not None:
            both = [a & b for a, b in zip(mask, gradients.trained, strict=True)]
        return replace(
            gradients,
            forget=lambda: _only(gradients.forget(), mask),
            retain=lambda: _only(gradients.retain(), mask),
            trained=both,
        )


def salient(
    gradient: "Gradient", percentile: float, unit: Literal["module", "neuron"]
) -> "list[Tensor]":
    """Per parameter bool, [] or [n, 1, ...]: norms at or above the percentile of all of them.

    The percentile is interpolated linearly between neighbouring norms.
    """
    import numpy
    import torch

    if unit == "module":
        norms = [g.norm().reshape(()) for g in gradient]
    else:
        norms = [
            g.reshape(len(g), -1).norm(dim=1).reshape(-1, *[1] * (g.dim() - 1))
            if g.dim()
            else g.abs()
            for g in gradient
        ]
    # Not torch's quantile, which takes 16 million numbers at most.
    every = torch.cat([n.flatten() for n in norms]).double().cpu().numpy()
    threshold = float(numpy.percentile(every, percentile))
    return [n.double() >= threshold for n in norms]


def _only(gradient: "Gradient", mask: "list[Tensor]") -> "Gradient":
    return [g * m for g, m in zip(gradient, mask, strict=True)]
