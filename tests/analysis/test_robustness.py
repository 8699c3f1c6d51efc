"""Robustness of a metric under attack: by hand, by exact fractions and by scipy."""

from fractions import Fraction
from itertools import product

import pytest
from scipy.spatial.distance import canberra

from unlearnbench.analysis.attacks.robustness import (
    quantisation_robustness,
    relearning_robustness,
    symmetric_quantisation_robustness,
    symmetric_relearning_robustness,
)

GAINS = (-0.5, -0.25, 0.0, 0.125, 0.5, 1.0)


def test_relearning_is_the_published_fraction_between_0_and_1():
    for unlearned, retrained in product(GAINS, GAINS):
        want = Fraction(1)
        if unlearned:
            want = sorted([Fraction(0), Fraction(retrained) / Fraction(unlearned), Fraction(1)])[1]
        assert relearning_robustness(unlearned, retrained) == float(want)


def test_relearning_by_hand():
    """The retrained model gains .1, the unlearned one four times that, as much, or half."""
    assert [relearning_robustness(u, 0.1) for u in (0.4, 0.1, 0.05)] == [0.25, 1.0, 1.0]
    symmetric = [symmetric_relearning_robustness(u, 0.1) for u in (0.4, 0.1, 0.05)]
    assert symmetric == pytest.approx([0.4, 1.0, 2 / 3])


def test_symmetric_forms_are_one_minus_the_canberra_distance():
    for one, other in product(GAINS, GAINS):
        want = pytest.approx(1 - canberra([one], [other]), abs=1e-12)
        assert symmetric_relearning_robustness(one, other) == want
        assert symmetric_relearning_robustness(other, one) == want
        assert symmetric_quantisation_robustness(one, other) == want


def test_quantisation_by_hand():
    """What is known more of afterwards counts, what is known less of does not."""
    assert [quantisation_robustness(0.3, after) for after in (0.6, 0.3, 0.1, 0.0)] == [0.5, 1, 1, 1]
    assert quantisation_robustness(0.0, 0.2) == 0.0
    assert symmetric_quantisation_robustness(0.3, 0.1) == pytest.approx(0.5)
