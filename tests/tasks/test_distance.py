"""The distance to a retrained model, against loops of their own: one row at a time, in float64."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from unlearnbench.data.items import Split
from unlearnbench.data.templates import Template
from unlearnbench.metrics.distance import row_distances
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel, ModelSource
from unlearnbench.models.sequences import Sequences
from unlearnbench.registry import find, is_default

V, BOS, PAD = 23, 1, 0
LENGTHS = (12, 5, 9, 12, 2, 7)


def gpt2(seed: int) -> LanguageModel:
    """Random and sharp: no two predictions are alike."""
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=V, n_positions=16, n_embd=16, n_layer=2, n_head=2,
                        initializer_range=0.5)  # fmt: skip
    network = GPT2LMHeadModel(config).eval()
    tokenizer = SimpleNamespace(bos_token_id=BOS, eos_token_id=PAD, pad_token_id=PAD)
    return LanguageModel(network, tokenizer, ModelSource(f"random{seed}", "random", None, ""))


def rows(n_bos: int) -> Sequences:
    dice = np.random.default_rng(5)
    ids = torch.full((len(LENGTHS), max(LENGTHS)), PAD)
    for row, length in enumerate(LENGTHS):
        ids[row, :length] = torch.tensor(dice.integers(2, V, length))
        ids[row, :n_bos] = BOS
    lengths = torch.tensor(LENGTHS)
    names = tuple(f"row{i}" for i in range(len(LENGTHS)))
    return Sequences(ids, lengths, (lengths + 1) // 2, names, n_bos)


def by_hand(model: LanguageModel, reference: LanguageModel, own: list[int], first: int):
    """Mean KL and margin of the tokens from `first` on, from softmaxes and logs alone."""
    with torch.no_grad():
        z, r = (m.network(torch.tensor([own])).logits[0].double().numpy()
                for m in (model, reference))  # fmt: skip
    kl, margin = [], []
    for t in range(first, len(own)):
        p, q = (np.exp(each[t - 1]) / np.exp(each[t - 1]).sum() for each in (r, z))
        kl.append(sum(p[v] * np.log(p[v] / q[v]) for v in range(V)))
        others = [z[t - 1, v] for v in range(V) if v != own[t]]
        margin.append(z[t - 1, own[t]] - np.log(np.exp(others).sum()))
    return np.mean(kl), np.mean(margin)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("n_bos", [0, 1])
def test_rows_are_the_plain_loops(n_bos: int, batch_size: int) -> None:
    model, retrained, given = gpt2(1), gpt2(2), rows(n_bos)
    if n_bos:  # of two tokens one would be left, which nothing of the row stands before
        given = given.select([i for i, length in enumerate(LENGTHS) if length > 2])
    kl, margin = row_distances(model, retrained, given, batch_size)
    for row in range(len(given)):
        ids = given.input_ids[row, : int(given.lengths[row])].tolist()
        expected = by_hand(model, retrained, ids, n_bos + 1)
        assert (kl[row], margin[row]) == pytest.approx(expected, rel=1e-4)
    assert min(kl) > 0.1  # else the comparison could hardly fail


def context(given: Sequences, **more) -> TaskContext:
    return TaskContext(SimpleNamespace(rows=given), {}, **more)


def test_the_task_measures_rows_up_to_its_limit_and_the_retrained_model_is_at_0() -> None:
    task, retrained = find("tasks", "distance")(), gpt2(2)
    here = context(rows(0), load_retrained=lambda: retrained, limit=3)
    measured = task.measure(gpt2(1), here)
    kl, margin = measured.scores["kl_to_retrained"], measured.scores["margin"]
    assert list(kl.documents) == list(margin.documents) == ["row0", "row1", "row2"]
    assert kl.value == pytest.approx(np.mean(list(kl.documents.values())))
    columns = {metric.name: metric for metric in measured.metrics}
    assert columns["kl_to_retrained"].leads
    assert not any(metric.in_score for metric in columns.values())
    itself = task.measure(gpt2(2), here).scores["kl_to_retrained"]
    assert set(itself.documents.values()) == {0.0}


def test_without_a_retrained_model_nothing_is_measured() -> None:
    task = find("tasks", "distance")
    assert task().measure(gpt2(1), context(rows(0))).scores == {}
    assert is_default(task)


def test_a_benchmark_whose_splits_ask_for_it_is_measured_by_them_alone(monkeypatch) -> None:
    task, retrained = find("tasks", "distance")(), gpt2(2)
    monkeypatch.setattr(type(task), "_nats", lambda *_: {"item": 0.5})
    splits = [Split(name, name, (), Template("plain"), frozenset({"distance"}))
              for name in ("forget", "retain")]  # fmt: skip
    here = context(rows(0), load_retrained=lambda: retrained)
    measured = task.measure(gpt2(1), TaskContext(here.forget_set, {}, splits=tuple(splits),
                                                 load_retrained=here.load_retrained))  # fmt: skip
    assert measured.scores.keys() == {"forget_kl_to_retrained", "retain_kl_to_retrained"}
    assert [m.name for m in measured.metrics if m.leads] == ["forget_kl_to_retrained"]
