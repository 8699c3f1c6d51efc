"""The field's formulas against the shared vectors, and against arithmetic by hand."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from unlearnbench.metrics import answer_formulas as formulas
from unlearnbench.metrics.answers import token_values


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict:
    path = shared / "published/vectors.json"
    if not path.is_file():
        pytest.skip(f"no published vectors at {path}")
    return json.loads(path.read_text())


def rows() -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The logits and labels behind the vectors, without what is no answer token."""
    b, t, v = np.indices((2, 4, 5))
    logits = torch.from_numpy(2.0 * np.sin(1.7 * b + 0.9 * t + 2.3 * v))
    labels = torch.tensor([[-100, 1, 3, 4], [-100, -100, 2, 0]])
    return [(of[kept], own[kept]) for of, own in zip(logits, labels, strict=True)
            for kept in [own != -100]]  # fmt: skip


def values() -> list[np.ndarray]:
    return [token_values(logits, labels).numpy() for logits, labels in rows()]


def test_probability_and_exact_memorisation(vectors):
    probabilities = [formulas.probability(each[0]) for each in values()]
    assert np.mean(probabilities) == pytest.approx(vectors["prob_mean"], rel=1e-12)
    hits = [formulas.exact_memorisation(each[1]) for each in values()]
    assert np.mean(hits) == pytest.approx(vectors["exact_mem"], rel=1e-12)


@pytest.mark.parametrize("hits", ["1111", "0111", "1110", "0001", "0000"])
def test_extraction_strength(vectors, hits):
    is_greedy = [c == "1" for c in hits]
    ours, released = vectors[f"es_{hits}"]
    assert formulas.extraction_strength(is_greedy) == ours
    assert formulas.extraction_strength(is_greedy, "released") == released


def test_min_k(vectors):
    log_p = -np.array([0.1, 2.0, 0.5, 3.0, 0.2, 1.2, 0.05, 0.9, 2.5, 0.3])
    assert formulas.min_k(log_p) == pytest.approx(vectors["mink40_score"], rel=1e-12)
    assert formulas.min_k(log_p, 0.1) == 3.0
    assert formulas.min_k(log_p[:2]) == 2.0  # one value at least
    assert formulas.min_k(log_p, 1.0) == pytest.approx(formulas.loss_score(log_p))


def test_min_k_plus_plus(vectors):
    scores = [formulas.min_k(formulas.standardised(v[0], v[2], v[3])) for v in values()]
    assert scores == pytest.approx(vectors["minkpp40_rows"], rel=1e-12)


def test_the_parts_of_the_truth_ratio(vectors):
    wrong = [np.array([-m]) for m in (2.0, 1.0, 2.5, 1.8, 2.2)]
    right = formulas.probability(np.array([-1.0, -2.0]))  # M = 1.5
    geometric = formulas.geometric_probability(wrong)
    arithmetic = formulas.arithmetic_probability(wrong)
    assert geometric / right == pytest.approx(vectors["tr_geo"], rel=1e-12)
    assert arithmetic / right == pytest.approx(vectors["tr_arith"], rel=1e-12)
    assert min(geometric / right, right / geometric) == pytest.approx(vectors["tr_closer_to_1"])
    assert max(0, 1 - geometric / right) == pytest.approx(vectors["tr_true_better"])
    assert right / (right + geometric) == pytest.approx(vectors["tr_prob_mean"])


def test_the_rest_by_hand():
    assert formulas.normalised_probability(0.2, [0.1, 0.1]) == pytest.approx(0.5, rel=1e-8)
    assert formulas.normalised_probability(0.0, [0.0]) == 0.0
    packed = len(zlib.compress(b"aaaaaaaaaa"))
    assert formulas.zlib_score([-1.0, -2.0], "aaaaaaaaaa") == pytest.approx(1.5 / packed)
    # A certain token has no spread: the floor of the variance stands in.
    assert formulas.standardised([-1.0], [-1.5], [0.0]) == pytest.approx([500.0])


def test_the_margin_is_the_log_odds_of_the_token():
    for logits, labels in rows():
        log_p, _, _, _, margin = token_values(logits, labels).numpy()
        assert margin == pytest.approx(log_p - np.log1p(-np.exp(log_p)), rel=1e-12)


def test_an_impossible_token_makes_no_number_disappear():
    logits = torch.tensor([[1.0, -torch.inf, 0.0]])
    log_p, hit, mean, variance, margin = token_values(logits, torch.tensor([0]))[:, 0].tolist()
    p = 1 / (1 + math.exp(-1))
    assert log_p == pytest.approx(math.log(p))
    assert hit == 1
    assert mean == pytest.approx(p * math.log(p) + (1 - p) * math.log(1 - p))
    assert variance == pytest.approx(p * (1 - p), rel=1e-5)  # (log p - log(1-p))^2 = 1
    assert margin == pytest.approx(1.0)
    assert token_values(logits, torch.tensor([1]))[0, 0] == -torch.inf


def test_half_precision_is_widened():
    logits = torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.bfloat16)
    assert token_values(logits, torch.tensor([2])).dtype == torch.float32
