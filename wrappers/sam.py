"""SAM: the forget gradient is taken where it is hardest to forget nearby."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.wrapper import Gradients, Wrapper, norm_of

if TYPE_CHECKING:
    from unlearnbench.unlearning.wrapper import Gradient


@register
@dataclass(kw_only=True)
class Sam(Wrapper):
    """Sharpness-aware forgetting: the forget gradient after a step of length rho along itself.

    The retain gradient stays that of the weights themselves.  A step costs two passes.
    """

    name: ClassVar[str] = "sam"
    label: ClassVar[str] = "SAM"
    source: ClassVar[str] = "Fan et al. 2025; the step is Foret et al. 2021, eq. 2"
    citation: ClassVar[str] = """@inproceedings{fan2025towards,
  title = {Towards {LLM} Unlearning Resilient to Relearning Attacks: A Sharpness-Aware Minimization
           Perspective and Beyond},
  author = {Fan, Chongyu and Jia, Jinghan and Zhang, Yihua and Ramakrishna, Anil and Hong, Mingyi
            and Liu, Sijia},
  booktitle = {Proceedings of ICML},
  year = {2025}
}"""
    n_copies: ClassVar[int] = 4  # gradients of both sides, the step, the moved weights

    rho: float = setting(
        0.01,
        "length of the step, in weights (authors: 0.01 on MUSE, 0.1 on WMDP)",
        minimum=0,
        search="0.001..0.1",
    )

    @property
    def changes_gradients(self) -> bool:
        """Without a length there is no step."""
        return self.rho > 0

    def wrap(self, gradients: Gradients) -> Gradients:
        """g_f(theta + rho g_f / ||g_f||) beside g_r(theta)."""

        def forget() -> "Gradient":
            here = gradients.forget()
            with gradients.moved(ascent(here, self.rho)):
                return gradients.forget()

        return replace(gradients, forget=forget) if self.rho > 0 else gradients


def ascent(gradient: "Gradient", rho: float) -> "Gradient":
    """The step of length rho along a gradient, over all parameters; no step along zero."""
    norm = norm_of(gradient)
    scale = rho / norm if norm > 0 else 0.0
    return [g * scale for g in gradient]
