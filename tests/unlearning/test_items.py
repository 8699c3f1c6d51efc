"""What a loss may ask about items, against plain passes of each row; parts of a batch add up."""

import copy
import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import plain_loop
import pytest
import torch
from torch import Tensor
from unlearning_fakes import ARCHITECTURES, MaExaminer, forget_set, moved, tiny_model

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.methods.me import kl_of_uniform
from unlearnbench.models import scoring
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.protocol import Protocol
from unlearnbench.registry import methods
from unlearnbench.unlearning.alternatives import Alternatives
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.items import IGNORED, Positions
from unlearnbench.unlearning.losses import kl_divergence
from unlearnbench.unlearning.parts import own_parts
from unlearnbench.unlearning.reference import References
from unlearnbench.unlearning.retain_items import RetainItems

LENGTHS = (16, 11, 13)
ROWS = [4, 0, 3, 5, 1]
POSITIONS: tuple[Positions, ...] = ("labelled", "unshifted", "predicting", "every")
PROTOCOLS = {"suffix": Protocol(), "all": Protocol(loss_span="all", loss_reduction="mean")}


def beside(own: Tensor, original: Tensor) -> Tensor:
    return kl_divergence(original, own)


def prepared(
    architecture: str = "gpt-neo", protocol: Protocol | None = None, pairing: str = "nearest"
) -> tuple[LanguageModel, Any, ForgetSet, References]:
    """A model a step away from theta_0, a second network that is theta_0, and what is kept of it.

    Everything is asked of the first batch, as a loss that uses it must.
    """
    model = tiny_model(architecture)
    second = copy.deepcopy(model.network)
    set_ = forget_set(protocol, 7, LENGTHS, n_bos=int(architecture == "llama"))
    set_ = replace(set_, pairing=pairing)
    references = References(model, set_, RetainItems(set_, seed=5, n_epochs=3))
    batch = batch_of(model, set_, references, ROWS)
    for items in (batch.forget, batch.retain):
        _ = items.reference_nll, items.reference_hidden(0)
        for positions in POSITIONS:
            items.values_beside_original(beside, positions=positions)
    moved(model)
    references.model_has_changed()
    return model, second, set_, references


def batch_of(
    model: LanguageModel, set_: ForgetSet, references: References, rows: list[int], part: Any = None
) -> UnlearnBatch:
    return UnlearnBatch(
        model, set_, rows, torch.Generator().manual_seed(1), references, None, part, epoch=2
    )


def columns(set_: Any, row: int, positions: Positions, width: int, protocol: Protocol) -> list[int]:
    labelled = plain_loop.counted_tokens(set_, row, protocol)
    if positions == "labelled":
        return [at - 1 for at in labelled]
    if positions == "unshifted":
        return labelled
    return list(range(width - (positions == "predicting")))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("span", PROTOCOLS)
@pytest.mark.parametrize("side", ["forget", "retain"])
@pytest.mark.parametrize("many", [False, True], ids=["at once", "in pieces"])
def test_items_are_those_of_a_plain_pass(
    architecture: str, span: str, side: str, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:  # the head's output three positions at a time
        monkeypatch.setattr(scoring, "_BYTES_AT_ONCE", 3 * 4 * 97)
    protocol = PROTOCOLS[span]
    model, second, set_, references = prepared(architecture, protocol)
    batch = batch_of(model, set_, references, ROWS)
    items = getattr(batch, side)
    sequences = (set_.rows if side == "forget" else set_.pairs()).select(ROWS)
    width = int(sequences.lengths.max())
    sequences = replace(sequences, input_ids=sequences.input_ids[:, :width])

    want: dict[str, list[Tensor]] = {"nll": [], "original": []}
    want |= {positions: [] for positions in POSITIONS}
    for i in range(len(ROWS)):
        own = plain_loop.padded_logits(model.network, sequences, i).detach()
        theta_0 = plain_loop.padded_logits(second, sequences, i).detach()
        for name, logits in (("nll", own), ("original", theta_0)):
            log_p = logits.log_softmax(-1)
            counted = plain_loop.counted_tokens(sequences, i, protocol)
            want[name].append(
                torch.stack([-log_p[at - 1, sequences.input_ids[i, at]] for at in counted])
            )
        for positions in POSITIONS:
            at = columns(sequences, i, positions, width, protocol)
            p, q = theta_0[at].softmax(-1), own[at].softmax(-1)
            want[positions].append((p * (p.log() - q.log())).sum(-1))

    close = {"rtol": 1e-4, "atol": 1e-5}
    sums, means = (torch.stack([f(v) for v in want["nll"]]) for f in (torch.sum, torch.mean))
    torch.testing.assert_close(items.nll.values, torch.cat(want["nll"]), **close)
    torch.testing.assert_close(items.nll.sums(), sums, **close)
    torch.testing.assert_close(items.nll.means(), means, **close)
    torch.testing.assert_close(items.nll.mean(), torch.cat(want["nll"]).mean(), **close)
    torch.testing.assert_close(items.reference_nll.values, torch.cat(want["original"]), **close)
    for positions in POSITIONS:
        got = items.values_beside_original(beside, positions=positions)
        torch.testing.assert_close(got.values, torch.cat(want[positions]), **close)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hidden_states_are_what_the_library_gives(architecture: str) -> None:
    model, second, set_, references = prepared(architecture)
    items = batch_of(model, set_, references, ROWS).forget
    rows = set_.rows.select(ROWS)
    for network, got in ((model.network, items.hidden(0)), (second, items.reference_hidden(0))):
        states = network(
            input_ids=rows.input_ids, attention_mask=rows.attention_mask, output_hidden_states=True
        ).hidden_states[1]
        at = [plain_loop.counted_tokens(rows, i, Protocol()) for i in range(len(ROWS))]
        want = torch.cat([states[i, tokens] for i, tokens in enumerate(at)])
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_labels_stand_where_they_are_predicted() -> None:
    model, _, set_, references = prepared()
    items = batch_of(model, set_, references, [0, 1]).forget
    rows = set_.rows.select([0, 1])
    labels = items.labels_at("predicting").reshape(2, -1)
    assert labels.shape[1] == 15
    for i in range(2):
        counted = plain_loop.counted_tokens(rows, i, Protocol())
        assert labels[i, [at - 1 for at in counted]].tolist() == rows.input_ids[i, counted].tolist()
        assert int((labels[i] == IGNORED).sum()) == 15 - len(counted)


def term(name: str) -> "Callable[[UnlearnBatch], Tensor]":
    side, _, kind = name.partition(", ")

    def of(batch: UnlearnBatch) -> Tensor:
        items = getattr(batch, side)
        if kind == "token mean":
            return items.nll.mean()
        if kind == "item mean":
            return items.nll.means().mean()
        if kind == "of a mean":
            return batch.of_mean(
                lambda p: p.tanh(),
                lambda some: (
                    getattr(some, side).token_values((-getattr(some, side).nll.values).exp()).mean()
                ),
            )
        if kind.startswith("beside "):
            where: Any = kind.removeprefix("beside ")
            return items.values_beside_original(beside, positions=where).mean()
        return items.values(kl_of_uniform, positions=kind).mean()

    return of


KINDS = ("token mean", "item mean", "of a mean", *POSITIONS, *(f"beside {p}" for p in POSITIONS))


@pytest.mark.parametrize("pairing", ["nearest", "random"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["forget", "retain"])
def test_the_parts_of_a_batch_add_up(side: str, kind: str, pairing: str) -> None:
    """Three processes with two parts each, one at a time."""
    model, _, set_, references = prepared(pairing=pairing)
    of = term(f"{side}, {kind}")
    parameters = list(model.network.parameters())

    def gradient(value: Tensor) -> Tensor:
        found = torch.autograd.grad(value, parameters, allow_unused=True)
        return torch.cat([g.flatten() for g in found if g is not None])

    whole = of(batch_of(model, set_, references, ROWS))
    total: Any = 0.0
    for part in (p for rank in range(3) for p in own_parts(ROWS, rank, 3, 2)):
        total = total + part.weighed(of(batch_of(model, set_, references, part.rows, part)))
    torch.testing.assert_close(total, whole, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(gradient(total), gradient(whole), rtol=1e-4, atol=1e-5)


# ---- which retain item


def test_a_drawn_item_depends_on_seed_epoch_and_row_alone() -> None:
    set_ = replace(forget_set(n_rows=7), pairing="random")
    items = RetainItems(set_, seed=5, n_epochs=3)
    epochs = [items.places(range(7), epoch) for epoch in (1, 2, 3)]
    assert len({tuple(places) for places in epochs}) == 3
    assert items.places([3, 1], 2) == [epochs[1][3], epochs[1][1]]
    assert RetainItems(set_, seed=5, n_epochs=3).places(range(7), 2) == epochs[1]
    assert RetainItems(set_, seed=6, n_epochs=3).places(range(7), 2) != epochs[1]
    assert items.places(range(7), 4) == epochs[0], "after the last epoch the draws come again"
    assert set(items.used) == {place for places in epochs for place in places}


def test_draws_are_spread_evenly_over_the_pool() -> None:
    set_ = replace(forget_set(n_rows=7), pairing="random")
    drawn = RetainItems(set_, seed=0, n_epochs=400).places(range(7), 1)
    counts = torch.zeros(len(set_.pool))
    for epoch in range(1, 401):
        for place in RetainItems(set_, seed=0, n_epochs=400).places(range(7), epoch):
            counts[place] += 1
    expected = 2800 / len(set_.pool)
    assert float(((counts - expected) ** 2 / expected).sum()) < 27.9  # chi-square, 9 df, p = .001
    assert len(drawn) == 7


def test_items_of_the_rows_own_value_of_a_field() -> None:
    set_ = forget_set(n_rows=4)
    values = {name: "ab"[i % 2] for i, name in enumerate((*set_.rows.doc_ids, *set_.pool.doc_ids))}
    own = replace(set_, pairing="same:author", field_values=values)
    items = RetainItems(own, seed=1, n_epochs=6)
    for epoch in range(1, 7):
        for row, place in enumerate(items.places(range(4), epoch)):
            assert values[own.pool.doc_ids[place]] == values[own.rows.doc_ids[row]]
    lonely = replace(own, field_values=values | {own.rows.doc_ids[2]: "nobody"})
    with pytest.raises(UserError, match=r"row-2: no row of the pool has author 'nobody'"):
        RetainItems(lonely).places([2])


def test_alternatives_are_items_too() -> None:
    model, second = tiny_model(), None
    set_ = forget_set(n_rows=5, lengths=LENGTHS)
    options = [[[10 + row, 20, 30], [40 + row]] for row in range(5)]
    alternatives = Alternatives(model, set_, options, seed=2, n_epochs=4)
    batch = UnlearnBatch.of(model, set_, [3, 1])
    items = batch.instead(alternatives)
    second = copy.deepcopy(model.network)
    want = []
    for row, place in zip([3, 1], alternatives.places([3, 1], 1), strict=True):
        ids = alternatives.sequences.tokens(place)
        n_given = int(set_.rows.n_given[row])
        log_p = plain_loop.row_logits(second, ids).log_softmax(-1)
        want += [-log_p[at - 1, ids[at]] for at in range(n_given, len(ids))]
    torch.testing.assert_close(items.nll.values, torch.stack(want), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(items.reference_nll.values, items.nll.values)


@pytest.mark.parametrize("asked", ["forget", "retain", "pair_kl"])
def test_a_batch_goes_with_its_step(asked: str) -> None:
    """What holds itself waits for the collector, and its activations with it."""
    model, set_ = tiny_model(), forget_set()
    batch = UnlearnBatch.of(model, set_, ROWS)
    gc.disable()
    try:
        loss = batch.pair_kl if asked == "pair_kl" else getattr(batch, asked).nll.mean()
        loss.backward()
        left = weakref.ref(batch)
        del batch, loss
        assert left() is None
    finally:
        gc.enable()


def test_labels_may_be_answers_alone_whatever_the_protocol_counts() -> None:
    """Under the released protocol a method's numbers are those of the paper's spans."""
    losses = []
    for protocol, labels in ((Protocol(), "protocol"), (Protocol.named("released"), "answers")):
        model = tiny_model("llama")
        set_ = replace(forget_set(n_rows=5, lengths=LENGTHS, n_bos=1), protocol=protocol)
        method: Any = methods()["npo"](
            learning_rate=1e-3, batch_size=2, max_epochs=2, labels=labels, retain="kl"
        )
        trace = method.unlearn(model, set_, MaExaminer(StopLine(el=-1.0, ma=-1.0)))
        losses.append([epoch.losses for epoch in trace.epochs[1:]])
    assert losses[1][0] == pytest.approx(losses[0][0], rel=1e-5)
    assert losses[1][1] == pytest.approx(losses[0][1], rel=1e-5)
