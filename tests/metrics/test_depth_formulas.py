"""UDS from drops by layer: its authors' own log, a plain loop, and what must be 0, 1 or nothing."""

import random

import pytest

from unlearnbench.metrics.depth_formulas import depth_score, knowledge_layers

# Items 0 and 1 of graddiff_lr2e5_a1_ep10 in the authors' runs (gnueaj/unlearning-depth-score,
# Apache-2.0): drops of 16 layers, the knowledge layers and the score that they state.
RETRAINED = [
    0.0078125, 0.01318359375, 0.02197265625, 0.03662109375, 0.04443359375, 0.0537109375, 0.0703125,
    0.099609375, 0.1689453125, 0.30859375, 0.5546875, 0.8984375, 1.67578125, 3.09765625, 4.61328125,
    5.95703125,
]  # fmt: skip
UNLEARNED = [
    0.00390625, 0.00390625, 0.00830078125, 0.021484375, 0.02392578125, 0.04150390625, 0.107421875,
    0.1455078125, 0.546875, 1.04296875, 1.49609375, 2.06640625, 2.72265625, 3.17578125, 3.51953125,
    7.30078125,
]  # fmt: skip
NOT_KNOWN = [
    -0.002197265625, 0.0001220703125, -0.0020751953125, -0.0001220703125, -0.003662109375,
    -0.0030517578125, -0.00244140625, 0.0029296875, 0.01123046875, 0.022216796875, 0.01806640625,
    0.021484375, 0.021240234375, 0.021240234375, 0.0107421875, 0.0107421875,
]  # fmt: skip


def test_the_authors_log() -> None:
    assert knowledge_layers(RETRAINED) == list(range(5, 16))
    assert depth_score(RETRAINED, UNLEARNED) == pytest.approx(0.9367954012724634, abs=1e-15)
    assert depth_score(NOT_KNOWN, UNLEARNED) is None


def test_a_model_against_itself() -> None:
    assert depth_score(RETRAINED, RETRAINED) == 1.0
    assert depth_score(RETRAINED, [0.0] * 16) == 0.0
    assert depth_score(RETRAINED, [-1.0] * 16) == 0.0
    assert depth_score(RETRAINED, [100.0] * 16) == 1.0


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.5])
def test_a_plain_loop_over_layers(threshold: float) -> None:
    dice = random.Random(1)
    for _ in range(50):
        first = [dice.uniform(-0.3, 1.0) for _ in range(6)]
        second = [dice.uniform(-1.0, 2.0) for _ in range(6)]
        top = bottom = 0.0
        for d1, d2 in zip(first, second, strict=True):
            if d1 > threshold:
                ratio = d2 / d1
                ratio = 0.0 if ratio < 0 else 1.0 if ratio > 1 else ratio
                top, bottom = top + d1 * ratio, bottom + d1
        expected = None if bottom == 0 else pytest.approx(top / bottom)
        assert depth_score(first, second, threshold) == expected
