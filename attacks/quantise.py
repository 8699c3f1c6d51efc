"""Quantisation: the unlearned weights rounded to 8 or 4 bits, as a model is served."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from unlearnbench.attacking.attack import Attack, Point, Target
from unlearnbench.errors import UserError
from unlearnbench.registry import register
from unlearnbench.settings import setting

if TYPE_CHECKING:
    from torch import Tensor

    from unlearnbench.attacking.weights import LinearWeights
    from unlearnbench.data.forget_source import ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.models.language_model import LanguageModel

# As `unlearnbench.attacking.quantisers.Scheme`, which is not imported here: it needs torch.
Scheme = Literal["int8", "int4", "nf4", "fp4", "q4_0", "fp32"]
_LABELS = {
    "int8": "8-bit integers",
    "int4": "4-bit integers",
    "nf4": "NF4",
    "fp4": "FP4",
    "q4_0": "GGUF Q4_0",
    "fp32": "not rounded",
}


@register
@dataclass(kw_only=True)
class Quantise(Attack):
    """Rounds the weights of linear layers to a few levels, from the unlearned ones each time.

    An update smaller than the bin that a weight lies in is undone by rounding.  Each point records
    how large the updates are beside their bins and how many weights kept the original's code.
    """

    name = "quantise"
    label = "Quantisation"
    source = "Zhang et al. 2025 (2410.16454)"
    citation = """@inproceedings{zhang2025catastrophic,
  title = {Catastrophic Failure of {LLM} Unlearning via Quantization},
  author = {Zhang, Zhiwei and Wang, Fali and Li, Xiaomin and Wu, Zongyu and Tang, Xianfeng and
            Liu, Hui and He, Qi and Yin, Wenpeng and Wang, Suhang},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
    needs = ("original model",)
    packages = ("bitsandbytes",)

    schemes: tuple[Scheme, ...] = setting(
        ("int8", "int4", "nf4", "fp4", "q4_0"),
        "int8 and int4: absmax by output; nf4, fp4: bitsandbytes' in blocks of 64; q4_0: GGUF's in "
        "blocks of 32; fp32: nothing is rounded",
    )
    compute_dtype: Literal["model", "bfloat16"] = setting(
        "model",
        "what the rounded weights are held in when they multiply: the model's own precision, or "
        "first rounded to bfloat16; activations keep the model's",
    )
    engine: Literal["simulated", "bitsandbytes"] = setting(
        "simulated", "what rounds nf4, fp4 and int8: this program, or bitsandbytes' own functions"
    )

    @property
    def n_points(self) -> int:
        """One for each scheme."""
        return len(self._schemes)

    @property
    def _schemes(self) -> tuple[Scheme, ...]:
        return tuple(dict.fromkeys(self.schemes))

    def check(
        self,
        model: "LanguageModel",
        source: "ForgetSource",  # noqa: ARG002
        run: str,  # noqa: ARG002
        splits: "Sequence[Split]",  # noqa: ARG002
    ) -> None:
        """Raises `UserError` for a network that has nothing to round, and for a missing package."""
        from unlearnbench.attacking.quantisers import BLOCK_Q4_0, fits
        from unlearnbench.attacking.weights import as_matrix, check_linear_layers

        layers = check_linear_layers(self.name, model)
        for scheme in self._schemes:
            if not any(fits(as_matrix(layer), scheme) for layer in layers.values()):
                raise UserError(
                    f"quantise.schemes={scheme} has blocks of {BLOCK_Q4_0} weights, and no linear "
                    f"layer of {model.source.name} has rows of whole blocks; leave it out: "
                    "--set quantise.schemes=int8,int4,nf4,fp4"
                )
        if self.engine == "bitsandbytes":
            self._check_engine()

    def _check_engine(self) -> None:
        from unlearnbench.attacking.quantisers import IN_BITSANDBYTES, has_bitsandbytes

        if other := [scheme for scheme in self._schemes if scheme not in IN_BITSANDBYTES]:
            raise UserError(
                f"quantise.engine=bitsandbytes has no {other[0]}; name those that it has: "
                f"--set quantise.schemes={','.join(IN_BITSANDBYTES)}"
            )
        if not has_bitsandbytes():
            raise UserError(
                "quantise.engine=bitsandbytes needs bitsandbytes: pip install bitsandbytes; or "
                "leave it to the simulation: --set quantise.engine=simulated"
            )

    def apply(self, model: "LanguageModel", target: Target) -> Iterator[Point]:
        """The model in each scheme, changed in place."""
        from unlearnbench.attacking.weights import LinearWeights

        weights = LinearWeights.of(model)
        facts = self._facts(weights, target)
        for scheme in self._schemes:
            for name, matrix in weights.kept.items():
                weights.put(name, self._rounded(matrix, scheme))
            yield Point(scheme, _LABELS[scheme], model, facts=facts[scheme])

    def _facts(self, weights: "LinearWeights", target: Target) -> dict[str, dict[str, float]]:
        """By scheme; found before anything is rounded, so that the original need not be kept."""
        from unlearnbench.attacking.quantisers import update_to_bin

        assert target.load_original is not None
        original = target.load_original()
        return {
            scheme: {}
            if scheme == "fp32"
            else update_to_bin(weights.originals(original), scheme, weights.n_weights)
            for scheme in self._schemes
        }

    def _rounded(self, matrix: "Tensor", scheme: Scheme) -> "Tensor":
        from unlearnbench.attacking.quantisers import by_bitsandbytes, fits, quantise

        if scheme == "fp32" or not fits(matrix, scheme):
            return matrix
        if self.engine == "bitsandbytes":
            values = by_bitsandbytes(matrix, scheme)
        else:
            values = quantise(matrix, scheme).values
        return values.bfloat16() if self.compute_dtype == "bfloat16" else values
