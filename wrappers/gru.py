"""GRU: no forgetting against the retain gradient."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.wrapper import Gradients, Wrapper, inner_product

if TYPE_CHECKING:
    from collections.abc import Callable

    from transformers import PreTrainedModel

    from unlearnbench.unlearning.wrapper import Gradient


@register
@dataclass(kw_only=True)
class Gru(Wrapper):
    """Gradient rectified unlearning: what of the forget gradient raises the retain loss is cut.

    Where the forget gradient points against a running mean of the retain gradients, its part
    along that mean is taken away.  The released code then follows the forget gradient alone
    (`--set gru.follow_retain=false`); here the step goes along the method's retain gradient too.
    """

    name: ClassVar[str] = "gru"
    label: ClassVar[str] = "GRU"
    source: ClassVar[str] = "Wang et al. 2025 (GRU), open-unlearning pull request 83"
    citation: ClassVar[str] = """@inproceedings{wang2025gru,
  title = {{GRU}: Mitigating the Trade-off between Unlearning and Retention for {LLMs}},
  author = {Wang, Yue and Wang, Qizhou and Liu, Feng and Huang, Wei and Du, Yali and Du, Xiaojiang
            and Han, Bo},
  booktitle = {Proceedings of ICML},
  year = {2025}
}"""
    n_copies: ClassVar[int] = 3  # gradients of both sides, the running mean

    gamma: float = setting(
        0.8,
        "weight of the present retain gradient in the running mean; 1: no earlier ones",
        above=0,
        maximum=1,
        search="even:0.5..1",
    )
    follow_retain: bool = setting(True, "whether the step goes along the retain gradient too")

    def check(self, method: Any, network: "Callable[[], PreTrainedModel]") -> None:  # noqa: ARG002
        """It needs terms that keep."""
        if not method.has_retain_terms:
            with_these = " with these settings" if method.retain_terms else ""
            raise _nothing_to_keep(method.name.partition("+")[0] + with_these)

    def wrap(self, gradients: Gradients) -> Gradients:
        """g_f, without its part along the running mean of g_r where they point apart."""
        if not gradients.has_retain:
            raise _nothing_to_keep("its method with these settings")
        retain = gradients.retain()
        self._mean: Gradient = running_mean(getattr(self, "_mean", None), retain, self.gamma)
        changed = replace(gradients, forget=lambda: rectified(gradients.forget(), self._mean))
        if self.follow_retain:
            return changed
        return replace(changed, retain=lambda: [r * 0.0 for r in retain])


def _nothing_to_keep(what: str) -> UserError:
    return UserError(
        f"GRU projects off the gradient of a loss's retain terms, and {what} has none; "
        "take a method that has: --methods icu+gru"
    )


def running_mean(mean: "Gradient | None", new: "Gradient", gamma: float) -> "Gradient":
    """gamma new + (1 - gamma) mean, from 0; one tensor per parameter."""
    if mean is None:
        return [gamma * n for n in new]
    return [gamma * n + (1 - gamma) * m for n, m in zip(new, mean, strict=True)]


def rectified(forget: "Gradient", retain: "Gradient") -> "Gradient":
    """g_f - (<g_f, g_r> / ||g_r||^2) g_r where <g_f, g_r> < 0, over all parameters; else g_f."""
    product, squared = inner_product(forget, retain), inner_product(retain, retain)
    if product >= 0 or squared == 0:
        return forget
    return [f - (product / squared) * r for f, r in zip(forget, retain, strict=True)]
