"""Quantisers against their definitions, the packages that have them, and networks."""

import sys
from fractions import Fraction
from types import SimpleNamespace

import gguf
import numpy as np
import pytest
import torch
from scipy.stats import norm
from weight_attacks import (
    linear_names,
    model_of,
    pair_of,
    same_bits,
    shifted,
    target_of,
    weights_at,
)

from unlearnbench.attacking.quantisers import (
    FP4,
    NF4,
    by_bitsandbytes,
    fits,
    has_bitsandbytes,
    quantise,
    update_to_bin,
)
from unlearnbench.attacking.weights import LinearWeights
from unlearnbench.attacks.quantise import Quantise
from unlearnbench.errors import UserError

SCHEMES = ("int8", "int4", "nf4", "fp4", "q4_0")


def weights(n_rows=6, n_columns=96, seed=0):
    """Rows of very different sizes, one of zeros."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.logspace(-4, 1, n_rows)[:, None]
    drawn = sizes * torch.randn(n_rows, n_columns, generator=generator)
    drawn[n_rows // 2] = 0
    return drawn


# Definitions.


@pytest.mark.parametrize(("scheme", "largest"), [("int8", 127), ("int4", 7)])
def test_integers_are_exact_fractions_rounded_half_to_even(scheme, largest):
    drawn = weights().half().float()  # of few bits, so that there are ties
    drawn[1] = torch.arange(96) / 4 * largest / 23.75
    rounded = quantise(drawn, scheme)
    for row, codes, values in zip(drawn, rounded.codes, rounded.values, strict=True):
        absmax = max(abs(Fraction(w)) for w in row.tolist())
        expected = [round(Fraction(w) * largest / absmax) if absmax else 0 for w in row.tolist()]
        assert codes.tolist() == expected
        assert values.tolist() == [float(np.float32(float(c * absmax / largest))) for c in expected]


def test_ties_of_integers_go_to_the_even_one():
    row = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5, 126.5, -126.5]])
    assert quantise(row, "int8").codes.tolist() == [[127, 0, 2, 2, 0, -2, 126, -126]]
    row = torch.tensor([[-7.0, 0.5, 1.5, 6.5, -2.5]])
    assert quantise(row, "int4").codes.tolist() == [[-7, 0, 2, 6, -2]]


def test_the_levels_of_nf4_are_quantiles_of_the_normal_distribution():
    offset = 0.9677083  # QLoRA's: between the last two quantiles of 1/32 and 1/30
    above = norm.ppf(np.linspace(offset, 0.5, 9)[:-1])
    below = -norm.ppf(np.linspace(offset, 0.5, 8)[:-1])
    levels = np.sort([*above, 0, *below]) / max(above)
    np.testing.assert_allclose(NF4, levels, rtol=0, atol=2e-7)


def test_the_levels_of_fp4_are_a_float_of_four_bits():
    normal = {(1 + mantissa / 2) * 2**exponent for exponent in (1, 2, 3) for mantissa in (0, 1)}
    positive = {0.0, 1 / 16, *normal}
    assert list(FP4) == sorted({x / 12 for x in positive} | {-x / 12 for x in positive})


@pytest.mark.parametrize(("scheme", "levels"), [("nf4", NF4), ("fp4", FP4)])
def test_each_weight_takes_the_nearest_level_of_its_block_of_64(scheme, levels):
    drawn = weights(5, 90)  # blocks go on in the next row, and the last one is not whole
    flat, made = drawn.flatten().double().numpy(), quantise(drawn, scheme)
    for place, code in enumerate(made.codes.flatten().tolist()):
        block = flat[place // 64 * 64 : place // 64 * 64 + 64]
        distances = np.abs(np.array(levels) * np.abs(block).max() - flat[place])
        assert distances[code] <= distances.min() + 1e-7 * np.abs(block).max()
        value = made.values.flatten()[place].item()
        assert value == pytest.approx(levels[code] * np.abs(block).max(), rel=1e-6)


@pytest.mark.parametrize(
    ("scheme", "levels", "lower"), [("nf4", NF4, lambda _: 0), ("fp4", FP4, lambda x: int(x < 0))]
)
def test_a_weight_between_two_levels(scheme, levels, lower):
    """NF4: the lower one; fp4: the one nearer to zero, as on a GPU."""
    own = torch.tensor(levels)
    between = (own[1:] + own[:-1]) / 2
    block = torch.zeros(1, 64)
    block[0, : len(between)], block[0, -1] = between, 1
    codes = quantise(block, scheme).codes[0, : len(between)].tolist()
    assert codes == [place + lower(x) for place, x in enumerate(between.tolist())]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_bin_is_as_wide_as_the_values_that_share_its_code(scheme):
    n, size = 6001, 0.75
    swept = torch.linspace(-size, size, n)
    block = torch.zeros(n, 64)
    block[:, 0], block[:, 1] = -size, swept
    made = quantise(block, scheme)
    codes, widths = made.codes[:, 1], made.bin_widths[:, 1]
    for code in codes.unique():
        measured = int((codes == code).sum()) * 2 * size / (n - 1)
        assert widths[codes == code].unique().item() == pytest.approx(measured, abs=1e-3)


# Packages.


@pytest.mark.parametrize("seed", range(3))
def test_q4_0_is_gguf_s_own(seed):
    drawn = weights(8, 64, seed)
    drawn[0, :3] = torch.tensor([-3.0, 3.0, 3.0])  # the first of equally large ones decides
    drawn[1, :3] = torch.tensor([3.0, -3.0, 1.5])
    drawn[2] *= 1e-7  # a scale that float16 has few bits for
    drawn[3] *= 1e-30  # and one that it has none for
    kind = gguf.GGMLQuantizationType.Q4_0
    stored = gguf.quants.quantize(drawn.numpy(), kind)
    made = quantise(drawn, "q4_0")
    np.testing.assert_array_equal(made.values.numpy(), gguf.quants.dequantize(stored, kind))
    blocks = stored.reshape(-1, 18)
    codes = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], axis=1)
    has_codes = blocks[:, :2].view(np.float16)[:, 0] != 0
    np.testing.assert_array_equal(made.codes.reshape(-1, 32).numpy()[has_codes], codes[has_codes])


def test_the_layout_of_a_q4_0_block():
    block = torch.arange(-16, 16, dtype=torch.float32)[None]
    made = quantise(block, "q4_0")  # d = 2
    assert made.codes[0].tolist() == [min(15, int(w / 2 + 8.5)) for w in range(-16, 16)]
    stored = gguf.quants.quantize(block.numpy(), gguf.GGMLQuantizationType.Q4_0)[0]
    assert bytes(stored[:2]) == np.float16(2).tobytes()
    low, high = made.codes[0, :16].numpy(), made.codes[0, 16:].numpy()
    assert stored[2:].tolist() == (low | high << 4).tolist()


@pytest.mark.skipif(not has_bitsandbytes(), reason="bitsandbytes is not installed")
@pytest.mark.parametrize("scheme", ["nf4", "fp4", "int8"])
def test_bitsandbytes_rounds_likewise(scheme):
    drawn = weights(32, 128).half().float()
    own, theirs = quantise(drawn, scheme).values, by_bitsandbytes(drawn, scheme)
    if scheme != "int8":
        assert own.equal(theirs)
        return
    # Its scale is a float32: another last bit, and another neighbour where a weight is a tie.
    step = drawn.abs().amax(1, keepdim=True) / 127
    assert ((own - theirs).abs() <= 1.001 * step).all()
    assert ((own - theirs).abs() <= 1e-5 * step).float().mean() > 0.999


# What holds of all of them.


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_quantising_twice_changes_nothing(scheme, dtype):
    drawn = weights(40, 128, seed=1)[10:].to(dtype)
    once = quantise(drawn, scheme)
    again = quantise(once.values.to(dtype), scheme)
    assert again.codes.equal(once.codes)
    assert again.values.to(dtype).equal(once.values.to(dtype))


def test_updates_beside_bins():
    before = torch.tensor([[7.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0]])  # bins of 1, the first 0.5
    after = torch.tensor([[7.0, 1.25, 2.75, 2.0], [0.0, 0.0, 0.0, 1.0]])
    facts = update_to_bin([(after, before)], "int4", 8)
    assert facts["update_to_bin_mean"] == pytest.approx((0 + 0.25 + 0.75 + 1) / 4)
    assert facts["update_to_bin_median"] == pytest.approx(0.25)  # the lower of the middle two
    assert facts["same_code_share"] == pytest.approx(5 / 8)
    sampled = update_to_bin([(after, before)], "int4", 8, most=4)  # 0 and 0.75
    assert sampled == facts | {"update_to_bin_median": 0}
    unchanged = {"update_to_bin_median": 0, "update_to_bin_mean": 0, "same_code_share": 1}
    assert update_to_bin([(before, before)], "int4", 8) == unchanged
    assert update_to_bin([(after, torch.zeros(2, 4))], "int4", 8) == {}


def test_only_rows_of_whole_blocks_fit_q4_0():
    assert fits(torch.zeros(2, 64), "q4_0")
    assert not fits(torch.zeros(2, 48), "q4_0")
    assert fits(torch.zeros(2, 48), "nf4")


# Networks.


def rounded_by_output(weight, scheme, is_transposed):
    """A layer's weight after rounding, laid out as it was; gpt2's mlp.c_proj has rows of 48."""
    matrix = weight.T if is_transposed else weight
    rounded = quantise(matrix, scheme).values if fits(matrix, scheme) else matrix
    return rounded.T if is_transposed else rounded


@pytest.mark.parametrize("architecture", ["gpt2", "gpt-neo", "llama"])
def test_each_point_rounds_the_unlearned_weights_of_linear_layers(architecture):
    original = model_of(architecture)
    unlearned = shifted(original)
    before = {name: value.clone() for name, value in unlearned.network.state_dict().items()}
    linear = linear_names(unlearned)
    assert not any("head" in name or "wte" in name or "embed" in name for name in linear)
    attack = Quantise(schemes=("int8", "q4_0", "fp32", "nf4"))
    states = weights_at(attack, unlearned, target_of(original))
    assert list(states) == list(attack.schemes)
    assert attack.n_points == 4
    assert same_bits(states["fp32"][1], before)
    for scheme in ("int8", "q4_0", "nf4"):
        point, state = states[scheme]
        for name, value in state.items():
            expected = before[name]
            if name in linear:
                expected = rounded_by_output(expected, scheme, architecture == "gpt2")
                is_left = not fits(before[name].T, scheme) and architecture == "gpt2"
                assert value.equal(before[name]) == is_left
            assert value.equal(expected), name
        assert 0 < point.facts["same_code_share"] < 1
        assert point.facts["update_to_bin_median"] > 0
    assert states["fp32"][0].facts == {}


def test_the_model_before_unlearning_has_no_update():
    original = model_of("llama")
    states = weights_at(Quantise(), original.copied(), target_of(original))
    for point, _ in states.values():
        assert point.facts["update_to_bin_mean"] == 0
        assert point.facts["same_code_share"] == 1


def test_weights_keep_the_model_s_precision():
    original = model_of("llama")
    original.network.bfloat16()
    states = weights_at(Quantise(schemes=("nf4",)), original.copied(), target_of(original))
    assert {v.dtype for n, v in states["nf4"][1].items() if n.endswith("proj.weight")} == {
        torch.bfloat16
    }


def test_a_compute_dtype_rounds_once_more():
    original = model_of("llama")
    name = "model.layers.0.mlp.up_proj.weight"
    exact, rounded = (
        weights_at(attack, original.copied(), target_of(original))["nf4"][1][name]
        for attack in (
            Quantise(schemes=("nf4",)),
            Quantise(schemes=("nf4",), compute_dtype="bfloat16"),
        )
    )
    assert not rounded.equal(exact)
    assert rounded.equal(exact.bfloat16().float())


def test_both_networks_of_a_pair_are_rounded():
    original = model_of("llama")
    pair = pair_of(original)
    found = LinearWeights.of(pair)
    assert len(found.layers) == 2 * len(LinearWeights.of(original).layers)
    next(Quantise(schemes=("int4",)).apply(pair, target_of(original)))
    for name, layer in found.layers.items():
        assert layer.weight.equal(quantise(found.kept[name], "int4").values)
        assert layer.weight.unique(dim=None).numel() < found.kept[name].numel()


# Mistakes.


def check(attack, model):
    attack.check(model, source=None, run="0", splits=())


def test_what_cannot_be_rounded_is_said_before_a_run(monkeypatch):
    model = model_of("gpt-neo")
    check(Quantise(), model)

    def with_layers(*layers):
        embeddings = dict.fromkeys(("get_output_embeddings", "get_input_embeddings"), lambda: None)
        network = SimpleNamespace(named_modules=lambda: list(enumerate(layers)), **embeddings)
        return SimpleNamespace(network=network, source=model.source)

    with pytest.raises(UserError, match=r"changes linear layers, and SimpleNamespace \(tiny\)"):
        check(Quantise(), with_layers(torch.nn.LayerNorm(4)))
    with pytest.raises(UserError, match="q4_0 has blocks of 32 weights"):
        check(Quantise(), with_layers(torch.nn.Linear(48, 9)))
    with pytest.raises(UserError, match="engine=bitsandbytes has no int4"):
        check(Quantise(engine="bitsandbytes"), model)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    has_bitsandbytes.cache_clear()
    try:
        with pytest.raises(UserError, match="pip install bitsandbytes"):
            check(Quantise(engine="bitsandbytes", schemes=("nf4",)), model)
    finally:
        has_bitsandbytes.cache_clear()


def test_another_architecture_is_no_original():
    with pytest.raises(UserError, match="has no layer transformer"):
        list(Quantise().apply(model_of("gpt-neo"), target_of(model_of("llama"))))
