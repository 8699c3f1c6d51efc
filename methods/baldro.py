"""BalDRO-G: distributionally robust unlearning, by the hardest half of each batch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import Need

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.unlearning.batch import UnlearnBatch


@register
@dataclass(kw_only=True)
class BalDro(ForgetAndRetain):
    """NPO or SimNPO on the half of each batch that is known best: lowest NLL per token."""

    name: ClassVar[str] = "baldro"
    label: ClassVar[str] = "BalDRO-G"
    source: ClassVar[str] = "Shao et al. 2026 (BalDRO), group variant"
    citation: ClassVar[str] = """@inproceedings{shao2026baldro,
  title = {{BalDRO}: A Distributionally Robust Optimization based Framework for Large Language
           Model Unlearning},
  author = {Shao, Pengyang and Zhai, Naixin and Chen, Lei and Yang, Yonghui and Zhu, Fengbin
            and Yang, Xun and Wang, Meng},
  booktitle = {Proceedings of the ACM Web Conference},
  year = {2026}
}"""
    formula: ClassVar[str] = (
        "gamma times the mean loss of the floor(B/2) items of a batch with the lowest NLL per "
        "token + alpha NLL(retain)"
    )
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items")

    of: Literal["npo", "simnpo"] = setting("npo", "whose loss is taken of the chosen items")
    beta: float = setting(0.1, "of NPO or SimNPO", above=0, source="as NPO's", search="0.05..0.5")

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """The mean over the items of the whole batch that are known best."""
        import torch

        items = batch.forget
        if batch.whole is batch:
            mean_nll = items.nll.means().detach()
        else:
            with torch.no_grad():
                mean_nll = batch.whole.forget.nll.means()
        n_chosen = max(len(mean_nll) // 2, 1)
        chosen = torch.zeros_like(mean_nll, dtype=torch.bool)
        chosen[mean_nll.argsort(stable=True)[:n_chosen]] = True
        losses = self._losses(batch)
        # As this part's share in the batch: means over parts add up.
        own = chosen[batch.own_places]
        return (losses * own).sum() * (len(mean_nll) / (n_chosen * len(losses)))

    def _losses(self, batch: "UnlearnBatch") -> "Tensor":
        from unlearnbench.unlearning.losses import npo_losses, simnpo_losses

        items = batch.forget
        if self.of == "simnpo":
            return simnpo_losses(items.nll.means(), self.beta, 0.0)
        return npo_losses(items.nll.sums(), items.reference_nll.sums(), self.beta)
