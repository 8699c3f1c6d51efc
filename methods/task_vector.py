"""Task vector: away from the weights that know the rows to forget better."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.reinforced_method import ReinforcedMethod

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


@register
@dataclass(kw_only=True)
class TaskVector(ReinforcedMethod):
    """Weights moved away from those that fine-tuning on the rows to forget gives.

    theta_u = theta - alpha (theta_ft - theta).
    """

    name: ClassVar[str] = "task_vector"
    label: ClassVar[str] = "Task vector"
    source: ClassVar[str] = "Ilharco et al. 2023; alpha as MUSE (Shi et al. 2024)"
    citation: ClassVar[str] = """@inproceedings{ilharco2023editing,
  title = {Editing Models with Task Arithmetic},
  author = {Ilharco, Gabriel and Ribeiro, Marco Tulio and Wortsman, Mitchell and
            Gururangan, Suchin and Schmidt, Ludwig and Hajishirzi, Hannaneh and Farhadi, Ali},
  booktitle = {International Conference on Learning Representations},
  year = {2023}
}"""

    formula: ClassVar[str] = (
        "theta - alpha (theta_ft - theta); theta_ft: the weights after fine-tuning on the forget "
        "items"
    )

    alpha: float = setting(
        5.0, "how many times the fine-tuning's step is taken back (MUSE: 5)", search="1..10"
    )

    def turn(self, model: "LanguageModel", original: "LanguageModel") -> None:
        """Put theta - alpha (theta_ft - theta) into the model."""
        import torch

        from unlearnbench.unlearning.losses import negated_task_vector

        pairs = zip(model.network.parameters(), original.network.parameters(), strict=True)
        with torch.no_grad():
            for finetuned, theta in pairs:
                finetuned.copy_(negated_task_vector(theta, finetuned, self.alpha))
