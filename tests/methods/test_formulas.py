"""The field's losses against values computed elsewhere, their identities and their gradients."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unlearnbench.methods import ceu, flat, me, npo, pdu, rmu, satimp, tnpo, undial, wga
from unlearnbench.models.scoring import token_nll, widened
from unlearnbench.unlearning.items import IGNORED, TokenValues
from unlearnbench.unlearning.losses import (
    dpo_loss,
    kl_divergence,
    npo_losses,
    simnpo_losses,
)

B, T, V = 2, 4, 5
Y = torch.tensor([[IGNORED, 1, 3, 4], [IGNORED, IGNORED, 2, 0]])
REFUSAL = torch.tensor([[IGNORED, 0, 2, 2], [IGNORED, IGNORED, 4, 1]])
COUNTS = (3, 2)


@pytest.fixture(scope="module")
def vectors(shared: Path) -> dict[str, float]:
    """The published values, which this project did not compute."""
    return json.loads((shared / "published" / "vectors.json").read_text())


def grid(n_words: int, of: Callable[[Tensor], Tensor]) -> Tensor:
    axes = (torch.arange(n, dtype=torch.float64) for n in (B, T, n_words))
    b, t, v = torch.meshgrid(*axes, indexing="ij")
    return of(torch.stack([b, t, v]))


def own(n_words: int = V) -> Tensor:
    """[2, 4, V] the model's logits."""
    return grid(n_words, lambda at: 2 * torch.sin(1.7 * at[0] + 0.9 * at[1] + 2.3 * at[2]))


def original(n_words: int = V) -> Tensor:
    """[2, 4, V] the original's logits."""
    return grid(n_words, lambda at: 2 * torch.cos(1.1 * at[0] + 0.7 * at[1] + 1.9 * at[2]))


def labelled(values: Tensor, y: Tensor = Y) -> Tensor:
    """[N, ...] of the labelled positions."""
    return values[y != IGNORED]


def nll(logits: Tensor, y: Tensor = Y) -> TokenValues:
    """Of the labels, in the precision of the logits."""
    log_p = labelled(logits, y).log_softmax(-1)
    return of_tokens(-log_p.gather(-1, y[y != IGNORED][:, None])[:, 0])


def of_tokens(values: Tensor) -> TokenValues:
    return TokenValues(values, COUNTS, float(sum(COUNTS)))


def of_every(values: Tensor) -> Tensor:
    return values.flatten().mean()


def rows(values: Tensor) -> Tensor:
    return values.flatten(0, 1)


LABELS = Y[Y != IGNORED]
AIM = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5], dtype=torch.float64)
AIM = AIM / AIM.norm() * 2.0


def npo_of(z: Tensor, beta: float) -> Tensor:
    return npo_losses(nll(z).sums(), nll(original()).sums(), beta).mean()


def dpo_of(z: Tensor, beta: float) -> Tensor:
    sums = [-nll(x, y).sums() for x in (z, original()) for y in (REFUSAL, Y)]
    return dpo_loss(sums[0], sums[1], sums[2], sums[3], beta) * 2 / beta


def simnpo_of(z: Tensor, beta: float, delta: float) -> Tensor:
    return simnpo_losses(nll(z).means(), beta, delta).mean()


def tnpo_of(z: Tensor) -> Tensor:
    weights = tnpo.tnpo_weights(nll(z).values.detach(), nll(original()).values, 4.0)
    return -of_tokens(weights * nll(z).values).mean()


def satimp_of(z: Tensor) -> Tensor:
    values = nll(z).values
    return -of_tokens(satimp.satimp_weights(values.detach(), 5.0, 1.0) * values).mean()


def undial_of(z: Tensor, where: str) -> Tensor:
    n_words = z.shape[-1]
    if where == "labelled":
        parts = (labelled(z), labelled(original(n_words)), LABELS)
        return of_tokens(undial.undial_cross_entropy(*parts, 10.0)).mean()
    return of_every(
        undial.undial_cross_entropy(rows(z), rows(original(n_words)), Y.flatten(), 10.0)
    )


def ceu_of(z: Tensor, skipped: int) -> Tensor:
    values = ceu.cross_entropy_without_label(labelled(z), LABELS)
    places = torch.cat([torch.arange(n) for n in COUNTS])
    return values[places >= skipped].mean()


def rmu_of(z: Tensor) -> TokenValues:
    return of_tokens(rmu.squared_distances(labelled(z), AIM))


# By the name that vectors.json has, and the number of words.
LOSSES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "mean_token_nll": (lambda z: nll(z).mean(), V),
    "seq_mean_nll": (lambda z: nll(z).means().mean(), V),
    "npo_beta0.1": (lambda z: npo_of(z, 0.1), V),
    "npo_beta0.5": (lambda z: npo_of(z, 0.5), V),
    "dpo2_beta0.1": (lambda z: dpo_of(z, 0.1), V),
    "dpo2_beta0.5": (lambda z: dpo_of(z, 0.5), V),
    "simnpo_beta4.5_delta0.0": (lambda z: simnpo_of(z, 4.5, 0.0), V),
    "simnpo_beta2.5_delta0.0": (lambda z: simnpo_of(z, 2.5, 0.0), V),
    "simnpo_beta4.5_delta0.5": (lambda z: simnpo_of(z, 4.5, 0.5), V),
    "wga_beta1.0": (lambda z: -of_tokens(wga.weighted_nll(nll(z).values, 1.0)).mean(), V),
    "wga_beta5.0": (lambda z: -of_tokens(wga.weighted_nll(nll(z).values, 5.0)).mean(), V),
    "satimp_5_1": (satimp_of, V),
    "tnpo_beta4_eps1e-5": (tnpo_of, V),
    "undial_beta10_V5_answer_tokens": (lambda z: undial_of(z, "labelled"), V),
    "undial_beta10_V128_answer_tokens": (lambda z: undial_of(z, "labelled"), 128),
    "undial_beta10_V128_as_released": (lambda z: undial_of(z, "every"), 128),
    "ceu_skip1": (lambda z: ceu_of(z, 1), V),
    "ceu_skip0": (lambda z: ceu_of(z, 0), V),
    "pdu_max_minus_mean_sq_shifted_mask": (
        lambda z: of_tokens(pdu.squared_prominence(labelled(z))).mean(),
        V,
    ),
    "kl_ref_student_all_positions": (
        lambda z: of_every(kl_divergence(rows(original()), rows(z))),
        V,
    ),
    "kl_ref_student_answer": (
        lambda z: of_tokens(kl_divergence(labelled(original()), labelled(z))).mean(),
        V,
    ),
    "me_kl_uniform_model_answer": (lambda z: of_tokens(me.kl_of_uniform(labelled(z))).mean(), V),
    "rmu_per_sample": (lambda z: rmu_of(z).means().mean(), V),
    "rmu_token_mean": (lambda z: rmu_of(z).mean(), V),
    "rmu_as_released_outer": (lambda z: rmu.broadcast_mean(rmu_of(z).sums(), COUNTS), V),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_the_published_value(name: str, vectors: dict[str, float]) -> None:
    loss, n_words = LOSSES[name]
    assert float(loss(own(n_words))) == pytest.approx(vectors[name], rel=1e-9, abs=1e-12)


# Their weights carry no gradient, so that the loss's own slope is another.
STOPPED = ("wga", "satimp", "tnpo", "ceu")


@pytest.mark.parametrize("name", [name for name in LOSSES if not name.startswith(STOPPED)])
def test_its_gradient_is_the_numerical_one(name: str) -> None:
    loss, n_words = LOSSES[name]
    z = own(n_words).requires_grad_(True)
    assert torch.autograd.gradcheck(loss, (z,), eps=1e-6, atol=1e-7, rtol=1e-6, fast_mode=True)


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("wga_beta5.0", lambda z: (-5 * nll(z).values).exp()),
        ("satimp_5_1", lambda z: satimp.satimp_weights(nll(z).values, 5.0, 1.0)),
        (
            "tnpo_beta4_eps1e-5",
            lambda z: tnpo.tnpo_weights(nll(z).values, nll(original()).values, 4.0),
        ),
    ],
)
def test_weights_are_held_still_in_a_gradient(name: str, weights: Any) -> None:
    """The gradient is the numerical one of the weighted NLL whose weights are constants."""
    fixed = weights(own())

    def frozen(z: Tensor) -> Tensor:
        return -(fixed * nll(z).values).mean()

    z = own().requires_grad_(True)
    (got,) = torch.autograd.grad(LOSSES[name][0](z), z)
    assert torch.autograd.gradcheck(frozen, (z,), eps=1e-6, atol=1e-7, fast_mode=True)
    torch.testing.assert_close(got, torch.autograd.grad(frozen(z), z)[0], rtol=1e-9, atol=1e-12)


def test_ceu_learns_a_fixed_distribution() -> None:
    without = labelled(own()).scatter(-1, LABELS[:, None], float("-inf")).softmax(-1)

    def frozen(z: Tensor) -> Tensor:
        return -(without * labelled(z).log_softmax(-1)).sum(-1).mean()

    z = own().requires_grad_(True)
    (got,) = torch.autograd.grad(ceu_of(z, 0), z)
    assert torch.autograd.gradcheck(frozen, (z,), eps=1e-6, atol=1e-7, fast_mode=True)
    torch.testing.assert_close(got, torch.autograd.grad(frozen(z), z)[0], rtol=1e-9, atol=1e-12)


# ---- identities


def gradient_of(loss: Callable[[Tensor], Tensor]) -> Tensor:
    z = own().requires_grad_(True)
    return torch.autograd.grad(loss(z), z)[0]


def test_npo_becomes_gradient_ascent_as_beta_falls() -> None:
    """Up to a constant: its gradient tends to that of minus the items' summed NLL."""
    ascent = gradient_of(lambda z: -nll(z).sums().mean())
    far, near, nearest = (gradient_of(lambda z, b=b: npo_of(z, b)) for b in (1e-1, 1e-3, 1e-6))
    assert (far - ascent).norm() > 10 * (near - ascent).norm() > 0
    torch.testing.assert_close(nearest, ascent, rtol=1e-5, atol=1e-6)


def test_simnpo_is_npo_by_length_without_a_reference() -> None:
    means = nll(own()).means()
    want = npo_losses(means, torch.zeros_like(means), 2.5)
    torch.testing.assert_close(simnpo_losses(means, 2.5, 0.0), want, rtol=0, atol=0)


def test_undial_without_adjustment_is_cross_entropy_to_the_original() -> None:
    got = undial.undial_cross_entropy(labelled(own()), labelled(original()), LABELS, 0.0)
    want = F.cross_entropy(labelled(own()), labelled(original()).softmax(-1), reduction="none")
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_wga_without_weights_is_gradient_ascent() -> None:
    torch.testing.assert_close(wga.weighted_nll(nll(own()).values, 0.0), nll(own()).values)


def test_tnpo_weighs_by_how_the_likelihood_has_changed() -> None:
    """1 where it has not (but for the guard), towards 2 where a token grew, 0 where it fell."""
    known = torch.tensor([0.5, 2.0])
    torch.testing.assert_close(
        tnpo.tnpo_weights(known, known, 1.0), torch.ones(2), rtol=1e-4, atol=1e-4
    )
    assert float(tnpo.tnpo_weights(torch.tensor(0.01), torch.tensor(9.0), 4.0)) > 1.99
    assert float(tnpo.tnpo_weights(torch.tensor(9.0), torch.tensor(0.01), 4.0)) < 0.01


def test_the_dual_variable_by_hand_over_three_steps() -> None:
    dual, seen = 1.0, []
    for retain_nll in (0.5, 0.05, 0.02):
        dual = pdu.next_dual(dual, retain_nll, limit=0.3, step=5.0)
        seen.append(dual)
    # 1 + 5 (.2) = 2; 2 - 5 (.25) = .75; .75 - 5 (.28) < 0.
    assert seen == pytest.approx([2.0, 0.75, 0.0])


def test_rmu_per_item_against_a_loop() -> None:
    want = []
    for b in range(B):
        of_item = [
            sum((float(own()[b, t, d]) - float(AIM[d])) ** 2 for d in range(V)) / V
            for t in range(T)
            if Y[b, t] != IGNORED
        ]
        want.append(sum(of_item) / len(of_item))
    assert float(rmu_of(own()).means().mean()) == pytest.approx(sum(want) / B)
    # The published mean is the same where all items have one length.
    equal = torch.tensor([4.0, 2.0])
    assert float(rmu.broadcast_mean(equal, (2, 2))) == pytest.approx(float((equal / 2).mean()))


def test_maximum_entropy_is_torchs_divergence_from_the_uniform_distribution() -> None:
    uniform = torch.full((len(LABELS), V), -math.log(V), dtype=torch.float64)
    log_p = labelled(own()).log_softmax(-1)
    want = F.kl_div(log_p, uniform, reduction="none", log_target=True).sum(-1)
    torch.testing.assert_close(me.kl_of_uniform(labelled(own())), want)


@pytest.mark.parametrize(
    ("divergence", "want"),
    [
        ("total_variation", lambda g, f: (math.tanh(f) - math.tanh(g)) / 2),
        ("kl", lambda g, f: math.exp(f - 1) - g),
        ("pearson", lambda g, f: f + f * f / 4 - g),
        (
            "jensen_shannon",
            lambda g, f: (
                math.log(1 + math.exp(-g)) + f + math.log(1 + math.exp(-f)) - 2 * math.log(2)
            ),
        ),
        ("jeffrey", lambda g, f: f + f * f / 4 + f**3 / 16 - g),
    ],
)
def test_flat_wants_refusals_likelier_and_answers_less_so(divergence: str, want: Any) -> None:
    g = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    f = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    loss = flat.flat_terms(g, divergence)[0] + flat.flat_terms(f, divergence)[1]
    assert float(loss.detach()) == pytest.approx(want(0.2, 0.7), abs=1e-12)
    slopes = torch.autograd.grad(loss, (g, f))
    assert slopes[0] < 0 < slopes[1]


@pytest.mark.parametrize("divergence", ["reverse_kl", "squared_hellinger", "neyman"])
def test_divergences_of_the_wrong_sign_are_refused(divergence: str) -> None:
    with pytest.raises(ValueError, match="less likely or answers likelier; take"):
        flat.Flat(divergence=divergence)  # type: ignore[arg-type]


def test_muses_npo_by_hand() -> None:
    z, z0 = labelled(own()), labelled(original())
    want = [
        sum(2 / 0.1 * math.log1p(math.exp(-0.1 * float(b - a))) for a, b in zip(p, q)) / V  # noqa: B905
        for p, q in zip(z, z0, strict=True)
    ]
    got = npo.npo_of_raw_logits(z, z0, 0.1)
    torch.testing.assert_close(got, torch.tensor(want), rtol=1e-6, atol=1e-6, check_dtype=False)


def test_losses_are_computed_in_float32_at_least() -> None:
    half = labelled(own()).to(torch.bfloat16)
    assert widened(half).dtype == token_nll(half, LABELS).dtype == torch.float32
    torch.testing.assert_close(token_nll(labelled(own()), LABELS), nll(own()).values)
