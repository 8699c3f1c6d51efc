"""Every loss, value and gradient, against another way to compute it; 1e-5."""

import copy
from dataclasses import replace
from typing import Any

import plain_loop
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from unlearning_fakes import (
    ARCHITECTURES,
    PAD,
    VOCABULARY,
    forget_set,
    moved,
    prefix_of,
    random_sequences,
    suffix_mask,
    tiny_model,
)

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.errors import UserError
from unlearnbench.models import scoring
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.scoring import head_is_last
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods
from unlearnbench.unlearning import losses
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.reference import References
from unlearnbench.unlearning.steps import Steps

PROTOCOLS = {
    "paper": Protocol(),
    "released": Protocol.named("released"),
    "paper, mean": Protocol(loss_reduction="mean"),
    "paper, all tokens": Protocol(loss_span="all"),
    "released, suffix": replace(Protocol.named("released"), loss_span="suffix"),
    "released, sum": replace(Protocol.named("released"), loss_reduction="sum"),
    "released, no padding": replace(Protocol.named("released"), pad_tokens="ignore"),
}
ROWS = [4, 0, 3]


def gradients(network: Any) -> list[Tensor]:
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


def frozen_then_moved(
    architecture: str, protocol: Protocol, **options: Any
) -> tuple[LanguageModel, Any, UnlearnBatch, ForgetSet]:
    model = tiny_model(architecture)
    second = copy.deepcopy(model.network)
    set_ = forget_set(protocol, n_bos=int(architecture == "llama"), **options)
    batch = UnlearnBatch.of(model, set_, ROWS)
    batch.references.pair_outputs(ROWS)  # kept while the model is theta_0
    batch.references.nll_per_row("rows")
    moved(model)
    return model, second, batch, set_


EVERYTHING = frozenset({"rows", "pairs", "pair_nll", "pair_kl"})


@pytest.mark.parametrize("foreseen", [frozenset(), EVERYTHING], ids=["one by one", "together"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", ["kumpr", "kl", "icu", "dpo", "llmu"])
def test_objective_and_gradient_equal_the_token_by_token_ones(
    name: str,
    protocol: str,
    architecture: str,
    foreseen: frozenset[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # LLMU's random mismatch and DPO's preference have tests of their own; here both take the
    # neighbour's tokens.
    if foreseen:  # and the head's output three positions at a time
        monkeypatch.setattr(scoring, "_BYTES_AT_ONCE", 3 * 4 * VOCABULARY)
    neighbours = {"llmu_mismatch": "neighbour", "dpo_loss": "cross_entropy"}
    chosen = replace(PROTOCOLS[protocol], **neighbours)
    model, second, batch, _ = frozen_then_moved(architecture, chosen, lengths=(16, 11, 13))
    batch = replace(batch, foreseen=foreseen)
    network = model.network

    mine = sum(methods()[name]().loss(batch).values())
    mine.backward()
    my_gradients = gradients(network)
    network.zero_grad()
    other = plain_loop.objective(name, network, second, batch)
    other.backward()

    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)
    for got, want in zip(my_gradients, gradients(network), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_no_tensor_of_all_positions_and_words_is_made_where_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scoring, "_BYTES_AT_ONCE", 3 * 4 * VOCABULARY)
    _, _, batch, _ = frozen_then_moved("gpt-neo", Protocol.named("released"), lengths=(16, 12))
    seen = Shapes()
    with seen:
        sum(methods()["icu"]().loss(replace(batch, foreseen=EVERYTHING)).values()).backward()
    wide = {shape for shape in seen.shapes if len(shape) > 1 and shape[-1] == VOCABULARY}
    assert wide, "the head was never applied"
    assert max(shape[-2] for shape in wide - {(32, VOCABULARY)}) == 3


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.shapes |= {tuple(t.shape) for t in tree_leaves(made) if isinstance(t, Tensor)}
        return made


def test_targets_and_neighbours_go_through_the_network_together_once_both_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, set_ = tiny_model(), forget_set()
    passes: list[int] = []
    head_is_last(model)
    monkeypatch.setattr(model.meter, "count_forward", passes.append)
    steps, random = Steps(model, 1e-3), torch.Generator().manual_seed(0)
    references = References(model, set_)
    for _ in range(2):
        steps.losses(methods()["icu"]().loss, set_, ROWS, random, references)
    assert passes == [3 * 16, 3 * 16, 6 * 16, 6 * 16]  # targets, pairs, theta_0; then as one


def test_what_is_looked_at_without_gradients_takes_none_from_another_term() -> None:
    model, set_ = tiny_model(), forget_set()
    batch = replace(UnlearnBatch.of(model, set_, ROWS), foreseen=EVERYTHING)
    with torch.no_grad():
        weight = batch.pair_nll
    (weight * batch.target_nll).backward()
    assert all(p.grad is not None for p in model.network.parameters())


def test_a_hook_on_the_logits_is_seen_by_every_score() -> None:
    model, set_ = tiny_model(), forget_set()
    plain = UnlearnBatch.of(model, set_, ROWS).target_nll.detach()
    model.network.register_forward_hook(
        lambda _module, _args, out: setattr(out, "logits", 2 * out.logits)
    )
    hooked = UnlearnBatch.of(model, set_, ROWS)
    want = plain_loop.nll(model.network, set_.rows.select(ROWS), set_.rows.select(ROWS), Protocol())
    torch.testing.assert_close(hooked.target_nll, want, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(want, plain, atol=1e-3)
    with pytest.raises(UserError, match="its frozen distribution cannot be kept"):
        _ = hooked.pair_kl


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nll_equals_the_librarys_own_loss(architecture: str) -> None:
    model = tiny_model(architecture)
    set_ = forget_set(Protocol(loss_reduction="mean"), lengths=(16, 12))
    rows = set_.rows
    library = model.network(
        input_ids=rows.input_ids,
        attention_mask=rows.attention_mask,
        labels=rows.input_ids.masked_fill(~suffix_mask(rows), -100),
    ).loss
    mine = UnlearnBatch.of(model, set_, range(len(rows))).target_nll
    torch.testing.assert_close(mine, library, rtol=1e-5, atol=1e-5)


def test_nll_on_numbers_worked_by_hand() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75]]))
    values = scoring.token_nll(logits, torch.tensor([1, 0]))
    want = -torch.log(torch.tensor(0.5 * 0.25))
    assert torch.allclose(scoring.reduce_tokens(values, 1, "sum"), want)
    assert torch.allclose(scoring.reduce_tokens(values, 1, "mean"), want / 2)


def test_bos_and_first_token_are_never_predicted_and_padding_only_where_counted() -> None:
    rows = random_sequences(2, (10, 7), 4, seed=3, n_bos=1)
    all_tokens = scoring.span_mask(rows, Protocol(loss_span="all"))
    assert all_tokens[:, :2].sum() == 0
    assert all_tokens.sum(1).tolist() == [8, 5]
    assert scoring.span_mask(rows, Protocol()).sum(1).tolist() == [5, 2]
    assert scoring.span_mask(rows, Protocol.named("released")).sum(1).tolist() == [8, 8]


def test_kl_is_zero_where_the_model_has_not_moved_and_positive_where_it_has() -> None:
    model = tiny_model()
    set_ = forget_set()
    batch = UnlearnBatch.of(model, set_, ROWS)
    assert batch.pair_kl.detach().abs() < 1e-5
    moved(model)
    again = UnlearnBatch(model, set_, ROWS, torch.Generator(), batch.references)
    assert again.pair_kl > 1e-3


def test_released_kl_has_the_gradient_of_the_divergence_and_another_value() -> None:
    generator = torch.Generator().manual_seed(0)
    frozen, logits = torch.randn(2, 5, 11, generator=generator)
    logits.requires_grad_()
    divergence = losses.kl_divergence(frozen, logits).sum()
    cross_entropy = losses.reference_cross_entropy(frozen, logits).sum()
    (a,), (b,) = torch.autograd.grad(divergence, logits), torch.autograd.grad(cross_entropy, logits)
    torch.testing.assert_close(a, b)
    entropy = torch.distributions.Categorical(logits=frozen).entropy().sum()
    torch.testing.assert_close(cross_entropy - divergence, entropy)


@pytest.mark.parametrize("kl_term", ["divergence", "cross_entropy"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_frozen_logits_equal_a_second_models(architecture: str, kl_term: Any) -> None:
    protocol = Protocol(kl_term=kl_term)
    _, second, batch, set_ = frozen_then_moved(architecture, protocol, lengths=(16, 12))
    pairs = set_.pairs()
    kept = batch.references.pair_outputs(ROWS).logits
    position = [
        range(16)
        if kl_term == "cross_entropy"
        else [p - 1 for p in plain_loop.counted_tokens(pairs, i, protocol)]
        for i in ROWS
    ]
    want = torch.cat(
        [
            plain_loop.padded_logits(second, pairs, i)[list(at)]
            for i, at in zip(ROWS, position, strict=True)
        ]
    )
    torch.testing.assert_close(kept, want, rtol=1e-5, atol=1e-5)


def test_reference_likelihood_of_targets_is_the_original_models() -> None:
    _, second, batch, set_ = frozen_then_moved("gpt-neo", Protocol(), lengths=(16, 12))
    rows = set_.rows.select(ROWS)
    want = torch.stack(
        [
            plain_loop.nll(second, rows.select([i]), rows.select([i]), Protocol())
            for i in range(len(ROWS))
        ]
    )
    torch.testing.assert_close(batch.reference_target_nll_per_row, want, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(batch.target_nll_per_row, want, atol=1e-2)


def test_random_mismatch_is_another_rows_suffix_after_the_targets_prefix() -> None:
    from unlearnbench.unlearning.completions import random_completions

    model, set_ = tiny_model(), forget_set(lengths=(16, 11))
    batch = UnlearnBatch.of(model, set_, ROWS)
    mixed = random_completions(batch)
    suffixes = [set_.pool.suffix(i) for i in range(len(set_.pool))]
    for i, row in enumerate(ROWS):
        assert prefix_of(mixed, i) == prefix_of(set_.rows, row)
        assert mixed.suffix(i) in suffixes
    want = plain_loop.nll(model.network, mixed, mixed, Protocol())
    torch.testing.assert_close(batch.nll_of(mixed), want, rtol=1e-5, atol=1e-5)


def test_ratio_keeps_its_meaning_when_lengths_differ() -> None:
    """With 'mean', a target twice as long as its neighbour does not count twice."""
    model = tiny_model()
    network = model.network
    set_ = replace(
        forget_set(Protocol(loss_reduction="mean")),
        rows=random_sequences(6, (24,), 8, seed=1),
    )
    terms = methods()["icu"]().loss(UnlearnBatch.of(model, set_, [0, 1]))
    pairs = set_.pairs().select([0, 1])
    log_p = F.log_softmax(network(pairs.input_ids).logits[:, :-1], -1)
    each = log_p.gather(-1, pairs.input_ids[:, 1:, None])[..., 0][:, 7:]
    torch.testing.assert_close(terms["learn"], -0.5 * each.mean(), rtol=1e-5, atol=1e-5)


def test_padding_token_does_not_move_a_loss_that_ignores_padding() -> None:
    model, set_ = tiny_model(), forget_set(lengths=(16, 12))
    other = copy.deepcopy(set_.rows.input_ids)
    other[other == PAD] = 5
    repadded = replace(set_, rows=replace(set_.rows, input_ids=other))
    a, b = (UnlearnBatch.of(model, s, ROWS).target_nll for s in (set_, repadded))
    torch.testing.assert_close(a, b)
