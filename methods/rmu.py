"""RMU: representation misdirection for unlearning."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unlearnbench.registry import register
from unlearnbench.settings import setting
from unlearnbench.unlearning.forget_and_retain import ForgetAndRetain
from unlearnbench.unlearning.method import Need, PublishedFault

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.items import Items

_LAYER = 7


@register
@dataclass(kw_only=True)
class Rmu(ForgetAndRetain):
    """A layer's states on forget items are pushed to a fixed random direction, kept on retain ones.

    The direction is drawn once, from the uniform distribution over [0, 1) in each dimension, so
    that it is nowhere negative, and scaled to length `coefficient`.
    """

    name: ClassVar[str] = "rmu"
    label: ClassVar[str] = "RMU"
    source: ClassVar[str] = "Li et al. 2024 (WMDP), section 4"
    citation: ClassVar[str] = """@inproceedings{li2024wmdp,
  title = {The {WMDP} Benchmark: Measuring and Reducing Malicious Use With Unlearning},
  author = {Li, Nathaniel and Pan, Alexander and Gopal, Anjali and others},
  booktitle = {International Conference on Machine Learning},
  year = {2024}
}"""
    formula: ClassVar[str] = (
        "gamma |h - c u|^2 on forget items + alpha |h - h_0|^2 on retain items, mean over the "
        "layer's dimensions, an item's labelled tokens, the items"
    )
    needs: ClassVar[tuple[Need, ...]] = ("original model", "retain items", "hidden states")
    keeps_reference: ClassVar[bool] = True
    published_faults: ClassVar[tuple[PublishedFault, ...]] = (
        PublishedFault(
            setting="mean_over",
            released="broadcast",
            code="items' sums [b] are divided by lengths [b, 1], which gives [b, b]: the mean of "
            "the sums times the mean of 1/length",
            paper="the mean over items of each item's mean",
            source="OpenUnlearning, RMU.compute_activation_loss; its issues 66, 80, 166",
        ),
    )

    layer: int | None = setting(
        None,
        "whose output is looked at, from 0; none: 7, or the middle one of a network of fewer",
        minimum=0,
        source="Li et al. 2024: 7",
    )
    coefficient: float = setting(
        2.0,
        "c: length of the direction",
        source="OpenUnlearning's configuration (its class: 20; WMDP: 6.5 for zephyr)",
        search="1..50",
    )
    retain: Literal["embed_diff", "nll", "kl"] = setting(  # type: ignore[assignment]
        "embed_diff",
        "retain term: the distance of the layer's states to the original's, or as other methods'",
        source="Li et al. 2024; OpenUnlearning",
    )
    trained: str | None = setting(
        None,
        "only parameters whose name holds this regular expression are trained, as in "
        "'down_proj'; none: all",
        source="WMDP: down_proj of layers 5-7; OpenUnlearning's configuration: all",
    )
    mean_over: Literal["items", "broadcast"] = setting(
        "items", "items, each by its own length, or as released"
    )

    def check(self, model: "LanguageModel", source: "ForgetSource", run: str) -> None:  # noqa: ARG002
        """Raises `UserError` for a layer that the network has not, and for untrained networks."""
        from unlearnbench.errors import UserError
        from unlearnbench.models.scoring import decoder_layers

        try:
            re.compile(self.trained or "")
        except re.error as error:
            raise UserError(
                f"rmu.trained={self.trained} is no regular expression ({error}); e.g. --set "
                "rmu.trained=down_proj"
            ) from error
        n_layers = len(decoder_layers(model))
        if self.layer is not None and self.layer >= n_layers:
            raise UserError(
                f"rmu.layer={self.layer}: {model.source.name} has {n_layers} layers, 0 to "
                f"{n_layers - 1}; e.g. --set rmu.layer={n_layers // 2}"
            )
        self.check_trained(model)

    def trains(self, parameter: str) -> bool:
        """Whether its name holds `trained`."""
        return self.trained is None or bool(re.search(self.trained, parameter))

    def prepare(self, model: "LanguageModel", forget_set: "ForgetSet") -> None:  # noqa: ARG002
        """Draw the direction."""
        import torch

        from unlearnbench.models.scoring import decoder_layers
        from unlearnbench.unlearning.steps import seeded_generator

        n_layers = len(decoder_layers(model))
        default = _LAYER if n_layers > _LAYER else n_layers // 2
        self._layer = default if self.layer is None else self.layer
        width = model.network.config.get_text_config().hidden_size
        drawn = torch.rand(width, generator=seeded_generator(self.seed, "direction"))
        self._direction = (drawn / drawn.norm() * self.coefficient).to(model.device)

    def loss(self, batch: "UnlearnBatch") -> "dict[str, Tensor]":
        """gamma |h - c u|^2 + alpha |h - h_0|^2."""
        if self.retain != "embed_diff":
            return super().loss(batch)
        terms = {"forget": self.gamma * self.forget_loss(batch)}
        if self.alpha:
            retain, layer = batch.retain, self._layer
            kept = squared_distances(retain.hidden(layer), retain.reference_hidden(layer))
            terms["retain"] = self.alpha * self._mean(retain, kept)
        return terms

    def forget_loss(self, batch: "UnlearnBatch") -> "Tensor":
        """|h - c u|^2."""
        states = batch.forget.hidden(self._layer)
        return self._mean(batch.forget, squared_distances(states, self._direction))

    def _mean(self, items: "Items", values: "Tensor") -> "Tensor":
        of_tokens = items.token_values(values)
        if self.mean_over == "items":
            return of_tokens.means().mean()
        return broadcast_mean(of_tokens.sums(), items.whole_counts)


def squared_distances(states: "Tensor", aim: "Tensor") -> "Tensor":
    """[N] mean over the dimensions of (h - aim)^2; `states` [N, d], `aim` [N, d] or [d]."""
    return (states - aim).square().mean(-1)


def broadcast_mean(sums: "Tensor", lengths: "tuple[int, ...]") -> "Tensor":
    """mean(S) mean(1/N) of items' sums S [B] and of the lengths N of all the batch's items."""
    return sums.mean() * (sum(1 / n for n in lengths) / len(lengths))
