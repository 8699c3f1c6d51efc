"""UDS: patching against layers that are run by hand, and what must be 0, 1 or refused."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from item_cases import llama, own_rows
from tiny import cli
from unlearning_fakes import forget_set, memorise, moved, tiny_model

from unlearnbench.attacking.attack import Target
from unlearnbench.attacking.spans import forget_spans, spanned_splits
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.errors import UserError
from unlearnbench.experiments.attack_choice import AttackChoice
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.reading import load_results
from unlearnbench.registry import find

THRESHOLD = 0.05


class World:
    """An original, a retrained and an unlearned model of one architecture, and their rows."""

    def __init__(self, architecture: str, n_bos: int) -> None:
        self.forget_set = forget_set(n_rows=3, lengths=(14, 12, 10), n_bos=n_bos)
        self.original = tiny_model(architecture, 0)
        memorise(self.original, self.forget_set.rows, steps=25)
        self.retrained = tiny_model(architecture, 1)
        self.unlearned = self.original.copied()
        for _ in range(4):
            moved(self.unlearned)

    def target(self, **changes: Any) -> Target:
        context = TaskContext(self.forget_set, {})
        made = Target(
            forget_set=self.forget_set,
            context=context,
            load_original=self.original.copied,
            load_retrained=self.retrained.copied,
        )
        return replace(made, **changes)


@pytest.fixture(scope="module", params=[("gpt-neo", 0), ("llama", 1)], ids=str)
def world(request: pytest.FixtureRequest) -> World:
    return World(*request.param)


def depth(model: LanguageModel, target: Target, **settings: Any) -> Any:
    (point,) = find("attacks", "depth")(**settings).apply(model, target)
    return point


def test_patching_is_that_of_layers_run_by_hand(world: World) -> None:
    rows, expected, drops = world.forget_set.rows, {}, []
    models = (world.original.network, world.retrained.network, world.unlearned.network)
    for row in range(len(rows)):
        ids = rows.input_ids[row, : int(rows.lengths[row])]
        span = range(int(rows.n_given[row]), len(ids))
        own, *others = (streams(network, ids) for network in models)
        before = mean_log_p(models[0], own[-1], ids, span)
        d1, d2 = ([], [])
        for source, into in zip(others, (d1, d2), strict=True):
            for layer in range(2):
                patched = own[layer].clone()
                for token in span:
                    patched[token - 1] = source[layer][token - 1]
                for after in range(layer + 1, 2):
                    patched = run_layer(models[0], after, patched)
                into.append(before - mean_log_p(models[0], patched, ids, span))
        known = [layer for layer in range(2) if d1[layer] > THRESHOLD]
        drops.append(d1)
        if known:
            share = sum(min(max(d2[layer], 0.0), d1[layer]) for layer in known)
            expected[rows.doc_ids[row]] = share / sum(d1[layer] for layer in known)
    for batch_size in (1, 8):
        point = depth(world.unlearned, world.target(), batch_size=batch_size)
        score = point.measured.scores["depth"]
        assert score.documents == pytest.approx(expected, abs=2e-5)
        assert list(score.documents) == list(expected)
        for layer in range(2):
            mean = sum(of_row[layer] for of_row in drops) / len(drops)
            assert point.facts[f"retrained_drop_layer_{layer}"] == pytest.approx(mean, abs=2e-5)
    assert 0 < score.value < 1


def streams(network: Any, ids: torch.Tensor) -> list[torch.Tensor]:
    """[L, d] behind each layer."""
    with torch.no_grad():
        stream = embedded(network, ids)
        kept = []
        for layer in range(2):
            stream = run_layer(network, layer, stream)
            kept.append(stream)
    return kept


def embedded(network: Any, ids: torch.Tensor) -> torch.Tensor:
    stream = network.get_input_embeddings()(ids)
    if hasattr(network, "transformer"):
        stream = stream + network.transformer.wpe.weight[: len(ids)]
    return stream


@torch.no_grad()
def run_layer(network: Any, layer: int, stream: torch.Tensor) -> torch.Tensor:
    if hasattr(network, "transformer"):
        made = network.transformer.h[layer](stream[None])
    else:
        at = torch.arange(len(stream))[None]
        angles = network.model.rotary_emb(stream[None], at)
        made = network.model.layers[layer](stream[None], position_embeddings=angles)
    return (made[0] if isinstance(made, tuple) else made)[0]


@torch.no_grad()
def mean_log_p(network: Any, stream: torch.Tensor, ids: torch.Tensor, span: range) -> float:
    norm = network.transformer.ln_f if hasattr(network, "transformer") else network.model.norm
    log_p = torch.log_softmax(network.lm_head(norm(stream)).double(), -1)
    return sum(float(log_p[token - 1, ids[token]]) for token in span) / len(span)


def test_the_original_is_0_and_the_retrained_model_1_exactly(world: World) -> None:
    for model, value in ((world.original, 0.0), (world.retrained, 1.0)):
        score = depth(model, world.target()).measured.scores["depth"]
        assert set(score.documents.values()) == {value}
        assert score.n == 3
        assert score.higher_is_better


def test_no_hook_is_left_and_no_weight_changed(world: World) -> None:
    model = world.unlearned.copied()
    before = [p.clone() for p in model.network.parameters()]
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model.network.modules()]
    depth(model, world.target())
    assert all(map(torch.equal, before, model.network.parameters()))
    assert hooks == [(m._forward_hooks, m._forward_pre_hooks) for m in model.network.modules()]


def test_an_answer_without_knowledge_layers_has_no_score(world: World) -> None:
    point = depth(world.unlearned, world.target(), threshold=1000.0)
    assert point.measured.scores == {}
    assert point.measured.metrics == ()
    assert point.facts["share_with_knowledge_layers"] == 0
    assert point.facts["answers"] == 3
    assert all(math.isfinite(value) for value in point.facts.values())


def test_without_a_retrained_model_or_one_of_another_shape_it_is_refused(world: World) -> None:
    with pytest.raises(UserError, match="--retrained MODEL"):
        depth(world.unlearned, world.target(load_retrained=None))
    other = "opt" if hasattr(world.original.network, "transformer") else "gpt-neo"
    with pytest.raises(UserError, match="has other layers or another tokenizer"):
        depth(world.unlearned, world.target(load_retrained=lambda: tiny_model(other, 1)))


def test_planning_leaves_it_out_where_there_is_no_retrained_model() -> None:
    choice = AttackChoice({"depth": find("attacks", "depth")}, {})
    data = SimpleNamespace(splits=lambda *_: (), source=None)
    base = SimpleNamespace(
        data=data, run="0", limit=None, main=SimpleNamespace(requested="some-model")
    )
    warnings: list[str] = []
    assert list(choice.cells(base, None, {}, warnings)) == []  # type: ignore[arg-type]
    assert len(warnings) == 1
    assert "'depth' is left out" in warnings[0]
    assert "some-model" in warnings[0]


# ---- what is patched: a benchmark's answers


@pytest.fixture(scope="module")
def asked() -> tuple[LanguageModel, Split]:
    rows = own_rows()[:4]
    items = tuple(Item(f"q{i}", r["question"], r["answer"]) for i, r in enumerate(rows))
    return llama(rows), Split("forget", "forget", items, Template(kind="plain"))


def test_the_split_called_forget_is_read_else_all_that_are_to_be_forgotten(
    asked: tuple[LanguageModel, Split],
) -> None:
    _, split = asked
    rephrased, kept = replace(split, name="forget_rephrased"), replace(split, role="retain")
    choices = tuple(replace(item, wrong=("b",), position=0) for item in split.items)
    letters = replace(split, name="mcq", items=choices)
    assert spanned_splits([kept, rephrased, split, letters]) == [split]
    assert spanned_splits([kept, rephrased, letters]) == [rephrased]
    assert spanned_splits([letters, kept]) == []


def test_spans_are_the_answers_without_the_token_that_ends_them(
    asked: tuple[LanguageModel, Split],
) -> None:
    model, split = asked
    rows_of = forget_set(n_rows=2)
    target = Target(rows_of, TaskContext(rows_of, {}, splits=(split,), limit=3))
    rows = forget_spans(model, target)
    assert rows.doc_ids == ("q0", "q1", "q2")
    for row, item in enumerate(split.items[:3]):
        assert model.decode(rows.suffix(row)) == f" {item.answer}"
        assert model.decode(rows.prefix(row)).endswith(f"Question: {item.question}\nAnswer:")
        assert rows.prefix(row)[0] == model.bos_token_id_to_prepend
    both = replace(target.context, splits=(replace(split, name="a"), replace(split, name="b")))
    assert forget_spans(model, replace(target, context=both)).doc_ids[2:4] == ("a/q2", "b/q0")


def test_a_benchmark_s_answers_are_patched(asked: tuple[LanguageModel, Split]) -> None:
    model, split = asked
    rows_of = forget_set(n_rows=2)
    other = llama(own_rows()[:4])
    with torch.no_grad():
        for weight in other.network.parameters():
            weight.mul_(0.9)
    target = Target(
        rows_of, TaskContext(rows_of, {}, splits=(split,)),
        load_original=model.copied, load_retrained=other.copied,
    )  # fmt: skip
    for attacked, value in ((model, {0.0}), (other, {1.0})):
        documents = depth(attacked, target, threshold=0.0).measured.scores["depth"].documents
        assert set(documents.values()) == value
        assert documents.keys() <= {f"q{i}" for i in range(4)}


def test_an_item_that_does_not_fit_is_refused_before_weights_are_there(
    asked: tuple[LanguageModel, Split],
) -> None:
    _, split = asked
    short = llama(own_rows()[:4], context=8)
    short.network.to("meta")
    with pytest.raises(UserError, match="do not fit"):
        find("attacks", "depth")().check(short, None, "0", (split,))
    find("attacks", "depth")().check(short, None, "0", ())


# ---- from the command line


@pytest.mark.slow
def test_uds_stands_in_the_table_of_the_nano_world(tmp_path: Path) -> None:
    status, out, err = cli(
        "run", "--methods", "kumpr", "--runs", "0", "--limit", "4", "--tasks", "forgetting",
        "--max-epochs", "2", "--attacks", "depth", "--jobs", "0", "--out", tmp_path,
    )  # fmt: skip
    assert status == 0, err
    assert "UDS" in out
    by_role = {result.role: result for result in load_results(tmp_path)}
    assert by_role["before"].scores["depth"]["depth"].value == 0.0
    assert by_role["retrained"].scores["depth"]["depth"].value == 1.0
    assert 0 <= by_role["method"].scores["depth"]["depth"].value <= 1
    assert "depth" not in by_role["dedup"].scores
