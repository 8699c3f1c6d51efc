"""A sham: the training goes on with rows that may stay known, and nothing is told to forget."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.unlearning.gradient_method import GradientMethod
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class RetainOnly(GradientMethod):
    """Continued training on retain rows alone: no unlearning, and no metric should take it for any.

    A step looks at as many retain rows as a method's, and it goes on for as many epochs as
    methods may (`max_epochs`), so it has as many steps as any of them at most.
    """

    name: ClassVar[str] = "retain_only"
    label: ClassVar[str] = "retain only"
    is_sham: ClassVar[bool] = True
    source: ClassVar[str] = "Golatkar et al. 2020, their baseline of fine-tuning on retained data"
    citation: ClassVar[str] = """@inproceedings{golatkar2020eternal,
  title = {Eternal Sunshine of the Spotless Net: Selective Forgetting in Deep Networks},
  author = {Golatkar, Aditya and Achille, Alessandro and Soatto, Stefano},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2020}
}"""
    formula: ClassVar[str] = "NLL(retain), of the item that stands beside each row to forget"
    needs: ClassVar[tuple[Need, ...]] = ("retain items",)
    sequences_per_row: ClassVar[int] = 1
    keeps_reference: ClassVar[bool] = False

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """NLL(x_lrn)."""
        return {"retain": batch.pair_nll}
