"""Weights rounded to a few levels: what a quantised model computes with, and how far it rounds.

Every function takes a matrix [outputs, inputs].  What is stored in 4 or 8 bits is never packed: a
network that computes with the values that it stands for is the quantised network.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

Scheme = Literal["int8", "int4", "nf4", "fp4", "q4_0", "fp32"]

BLOCK_4BIT = 64  # weights that share a scale: bitsandbytes' default
BLOCK_Q4_0 = 32  # GGUF's QK4_0

# The sixteen levels of NormalFloat 4 (Dettmers et al. 2023, QLoRA, appendix E): quantiles of the
# normal distribution, as bitsandbytes has them.
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
# bitsandbytes' fp4: a sign, two bits of exponent, one of mantissa, in twelfths of the largest.
# Zero has two codes, which stand for one level.
_FP4_POSITIVE = tuple(n / 12 for n in (0.0, 0.0625, 2, 3, 4, 6, 8, 12))
FP4 = tuple(sorted({-level for level in _FP4_POSITIVE} | set(_FP4_POSITIVE)))


@dataclass(frozen=True)
class Quantised:
    """A matrix after rounding."""

    codes: Tensor  # [outputs, inputs] int64; equal codes of one block stand for one value
    values: Tensor  # [outputs, inputs] float32: what the codes stand for
    # [outputs, inputs] float32: how wide the bin is that the weight fell in, that is the interval
    # of values within the block's largest magnitude that are given the weight's code.
    bin_widths: Tensor


def fits(matrix: Tensor, scheme: Scheme) -> bool:
    """Whether a matrix can be stored so: Q4_0 has whole blocks in each row.

    llama.cpp leaves such a matrix in 16 bits.
    """
    return scheme != "q4_0" or matrix.shape[1] % BLOCK_Q4_0 == 0


def quantise(matrix: Tensor, scheme: Scheme) -> Quantised:
    """A matrix [outputs, inputs] in one of the schemes that round."""
    rounded = _ROUNDING[scheme](matrix.detach().float())
    return Quantised(*(part.reshape(matrix.shape) for part in rounded))


def integers(matrix: Tensor, largest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Absmax rounding to -largest..largest by row, that is by output: code = round(w n / max |w|).

    Halves go to the even integer.  In double precision, rounded once at the end, so that the
    largest weight stays what it is and a second rounding finds the same scale.
    """
    weights = matrix.double()
    absmax = weights.abs().amax(1, keepdim=True)
    scaled = weights * largest / absmax.where(absmax > 0, 1.0)
    codes = scaled.round()
    values = codes * absmax / largest
    at_the_end = codes.abs() == largest
    widths = (absmax / largest).expand_as(codes) * torch.where(at_the_end, 0.5, 1.0)
    return codes.long(), values.float(), widths.float()


def normal_float(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """NF4 in blocks of 64 weights, rows after one another: the nearest level, the lower of two."""
    blocks, absmax = _blocks(matrix, BLOCK_4BIT)
    levels = torch.tensor(NF4, device=matrix.device)
    codes = torch.bucketize(_scaled(blocks, absmax), _between(levels))
    return _of_levels(codes, levels, absmax, matrix.numel())


def float_4(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """bitsandbytes' fp4 in blocks of 64 weights: the nearest level, of two the one nearer to 0."""
    blocks, absmax = _blocks(matrix, BLOCK_4BIT)
    scaled = _scaled(blocks, absmax)
    positive = torch.tensor(_FP4_POSITIVE, device=matrix.device)
    magnitudes = torch.bucketize(scaled.abs(), _between(positive))
    zero = len(_FP4_POSITIVE) - 1
    codes = torch.where(scaled < 0, zero - magnitudes, zero + magnitudes)
    levels = torch.tensor(FP4, device=matrix.device)
    return _of_levels(codes, levels, absmax, matrix.numel())


def q4_0(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """GGUF's Q4_0: in blocks of 32 of a row, d = m / -8 of the weight m of largest magnitude.

    The code is that of ggml's reference: w / d + 8.5, cut to a whole number of at most 15, by the d
    of 32 bits; it stands for d (code - 8), by the d of 16 bits that is stored.
    """
    blocks = matrix.reshape(-1, BLOCK_Q4_0)
    largest = blocks.gather(1, blocks.abs().argmax(1, keepdim=True))
    scale = largest / -8
    inverse = torch.where(scale == 0, 0.0, 1 / scale)
    # A scale so small that its inverse is infinite is stored as 0, whatever the codes.
    codes = (blocks * inverse + 8.5).nan_to_num(8.5).trunc().clamp(0, 15)
    values = (codes - 8) * scale.half().float()
    # Nothing lies beyond -8 and 8: of the first bin half is left, the last one goes on to 8.
    steps = torch.where(codes == 0, 0.5, torch.where(codes == 15, 1.5, 1.0))
    return codes.long(), values, steps * scale.abs()


_ROUNDING: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "int8": lambda matrix: integers(matrix, 127),
    "int4": lambda matrix: integers(matrix, 7),
    "nf4": normal_float,
    "fp4": float_4,
    "q4_0": q4_0,
}


def _blocks(matrix: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """[n, size] the weights row after row, zeros behind the last; [n, 1] largest magnitudes."""
    flat = matrix.reshape(-1)
    padding = flat.new_zeros(-len(flat) % size)
    blocks = torch.cat([flat, padding]).reshape(-1, size)
    return blocks, blocks.abs().amax(1, keepdim=True)


def _scaled(blocks: Tensor, absmax: Tensor) -> Tensor:
    """To -1..1, by the product with the inverse as bitsandbytes takes it."""
    return (blocks * (1 / absmax.clamp(min=1e-38))).clamp(-1, 1)


def _between(levels: Tensor) -> Tensor:
    """Where one level's bin ends and the next one's begins."""
    return (levels[1:] + levels[:-1]) / 2


def _of_levels(
    codes: Tensor, levels: Tensor, absmax: Tensor, n_weights: int
) -> tuple[Tensor, Tensor, Tensor]:
    ends = torch.cat([levels[:1], _between(levels), levels[-1:]])
    values, widths = levels[codes] * absmax, ends.diff()[codes] * absmax
    return tuple(part.reshape(-1)[:n_weights] for part in (codes, values, widths))  # type: ignore[return-value]


def by_bitsandbytes(matrix: Tensor, scheme: Scheme) -> Tensor:
    """[outputs, inputs] what bitsandbytes' own functions make of a matrix: nf4, fp4 or int8."""
    from bitsandbytes import functional

    if scheme == "int8":
        # As transformers hands weights to it.
        rounded, absmax, _ = functional.int8_vectorwise_quant(matrix.detach().half().contiguous())
        return functional.int8_vectorwise_dequant(rounded, absmax).float()
    # In one row: its CPU code (0.50) reads the scales of wrong blocks where a row ends within one.
    weights = matrix.detach().float().reshape(1, -1)
    packed, state = functional.quantize_4bit(weights, blocksize=BLOCK_4BIT, quant_type=scheme)
    values: Tensor = functional.dequantize_4bit(packed, state)
    return values.reshape(matrix.shape)


#: The schemes that bitsandbytes has as well.
IN_BITSANDBYTES: tuple[Scheme, ...] = ("int8", "nf4", "fp4")


@cache
def has_bitsandbytes() -> bool:
    """Whether it is installed."""
    from importlib.util import find_spec

    return find_spec("bitsandbytes") is not None


def update_to_bin(
    pairs: Iterable[tuple[Tensor, Tensor]], scheme: Scheme, n_weights: int, most: int = 2**24
) -> dict[str, float]:
    """How large an update is beside the bins of a scheme, over pairs of a matrix after and before.

    The ratio is |w_after - w_before| / (width of the bin that w_before fell in), its mean and
    median over all `n_weights` (the median, of more than `most`, over about so many evenly spaced
    ones); and the share of weights whose code is the one that they had before.  Weights of rows or
    blocks that were 0 throughout have no bin, and count in the share alone.
    """
    step = math.ceil(n_weights / most)
    total, n_ratios, n_same, n_codes = 0.0, 0, 0, 0
    sampled: list[Tensor] = []
    for after, before in pairs:
        if not fits(before, scheme):
            continue
        new, old = quantise(after, scheme), quantise(before, scheme)
        has_bin = old.bin_widths > 0
        updates = (after.float() - before.float()).abs()
        ratios = updates[has_bin] / old.bin_widths[has_bin]
        total, n_ratios = total + float(ratios.double().sum()), n_ratios + len(ratios)
        n_same, n_codes = n_same + int((new.codes == old.codes).sum()), n_codes + updates.numel()
        sampled.append(ratios[::step].cpu())
    every = torch.cat(sampled) if sampled else torch.zeros(0)
    if not len(every):
        return {}
    return {
        "update_to_bin_median": float(every.median()),
        "update_to_bin_mean": total / n_ratios,
        "same_code_share": n_same / n_codes,
    }
