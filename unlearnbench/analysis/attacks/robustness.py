"""Can a metric be trusted under attack?  The published forms, of a metric m that grows with what a
model knows.

b is before the attack, a after it, u the unlearned model, r the retrained one; gains are
m_a - m_b.  A metric under which unlearning looks done and relearning or quantisation brings back
more than the attack itself can have taught has missed what was left.
"""


def relearning_robustness(unlearned_gain: float, retrained_gain: float) -> float:
    """R = min((m_r,a - m_r,b) / (m_u,a - m_u,b), 1), not under 0 (Open-Unlearning, eq. 2).

    1: the unlearned model gains no more than the retrained one.  Where it gains nothing R is 1, and
    where it loses R is 0 if the retrained one gains, as UDS's code has it.
    """
    if unlearned_gain == 0:
        return 1.0
    return min(max(retrained_gain / unlearned_gain, 0.0), 1.0)


def symmetric_relearning_robustness(unlearned_gain: float, retrained_gain: float) -> float:
    """R = 1 - |D_u - D_r| / (|D_u| + |D_r|) of the gains D (UDS).

    1: both gain alike; gaining less counts as gaining more does.  Where neither moves R is 1.
    """
    return _closeness(unlearned_gain, retrained_gain)


def quantisation_robustness(before: float, after: float) -> float:
    """Q = min(m_u,b / m_u,a, 1) of the unlearned model (Open-Unlearning, eq. 3).

    1: it knows no more than before.  Where nothing is known afterwards Q is 1.
    """
    return 1.0 if after <= 0 else min(before / after, 1.0)


def symmetric_quantisation_robustness(before: float, after: float) -> float:
    """Q = 1 - |m_a - m_b| / (|m_a| + |m_b|) (UDS): a loss counts as a gain does."""
    return _closeness(before, after)


def _closeness(one: float, other: float) -> float:
    """1 - the Canberra distance of two numbers; 1 for two zeros.

    UDS adds 1e-6 to the denominator, which changes the sixth digit of values near 1.
    """
    size = abs(one) + abs(other)
    return 1.0 if size == 0 else 1 - abs(one - other) / size
