"""WHP: at decoding, what a model that knows the rows better would rather say is pulled down."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.reinforced_method import ReinforcedMethod

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel


@register
@dataclass(kw_only=True)
class Whp(ReinforcedMethod):
    """Who's Harry Potter, MUSE's form: the original and a reinforced model are decoded as one.

    logits = v - alpha ReLU(v_reinforced - v).  The weights are those of before; the unlearned
    model is the pair, and every task measures the pair.
    """

    name: ClassVar[str] = "whp"
    label: ClassVar[str] = "WHP"
    source: ClassVar[str] = "Eldan and Russinovich 2023, as MUSE (Shi et al. 2024) uses it"
    citation: ClassVar[str] = """@article{eldan2023whos,
  title = {Who's {Harry} {Potter}? Approximate Unlearning in {LLMs}},
  author = {Eldan, Ronen and Russinovich, Mark},
  journal = {arXiv preprint arXiv:2310.02238},
  year = {2023}
}"""

    formula: ClassVar[str] = (
        "logits = v - alpha ReLU(v_ft - v) at decoding; v_ft: of the model fine-tuned on the "
        "forget items"
    )

    alpha: float = setting(
        1.0,
        "weight of what the reinforced model likes better (MUSE: 1)",
        minimum=0,
        search="0.5..20",
    )

    def check_loaded(self, model: "LanguageModel") -> None:
        """Whether the network's logits are its head's reading of its decoder's output."""
        from unlearnbench.models.paired import check_pairable

        check_pairable(model)

    def turn(self, model: "LanguageModel", original: "LanguageModel") -> None:
        """Give the model its weights back, and the fine-tuned ones to the network beside it."""
        import torch

        from unlearnbench.models.paired import decode_as_pair

        pairs = zip(model.network.parameters(), original.network.parameters(), strict=True)
        with torch.no_grad():
            for finetuned, theta in pairs:
                reinforced = finetuned.clone()
                finetuned.copy_(theta)
                theta.copy_(reinforced)
        decode_as_pair(model, original, self.alpha)
