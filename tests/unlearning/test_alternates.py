"""Alternates: the model's own, the same whatever is trained with them, sampled once; and AltPO."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import plain_loop
import pytest
import torch
from classification_cases import byte_model
from unlearning_fakes import MaExaminer, forget_set, memorise, moved, tiny_model

from unlearnbench.data.stop_line import StopLine
from unlearnbench.errors import UserError
from unlearnbench.files.cache import cache_root
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.models.sequences import Sequences
from unlearnbench.registry import methods
from unlearnbench.unlearning import alternates
from unlearnbench.unlearning.alternates import (
    AlternateSettings,
    _prompt_of,
    repeats,
    sample_alternates,
)
from unlearnbench.unlearning.batch import UnlearnBatch

NEVER = StopLine(el=-1.0, ma=-1.0)
HOW = AlternateSettings(n=3, seed=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path))


def test_a_row_gets_what_it_would_get_alone_and_no_generator_is_touched() -> None:
    model, rows = tiny_model(), forget_set(lengths=(16, 11, 13)).rows
    before = random.getstate(), torch.random.get_rng_state()
    sampled = sample_alternates(model, rows, HOW)
    assert random.getstate() == before[0]
    assert torch.random.get_rng_state().equal(before[1])
    assert sample_alternates(model, rows.select([0, 1]), HOW).tokens == sampled.tokens[:2]
    assert sample_alternates(model, rows, replace(HOW, seed=2)).tokens != sampled.tokens
    assert sampled.n_repeats == 0
    for row, of_row in enumerate(sampled.tokens):
        assert len(of_row) == 3
        assert len({tuple(ids) for ids in of_row}) == 3
        # Running text goes on for as long as its suffix; an end of sequence is left out.
        assert all(0 <= len(ids) <= len(rows.suffix(row)) for ids in of_row)
        assert all(2 not in ids for ids in of_row)


def test_the_second_time_they_come_from_the_cache_at_the_same_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second, rows = tiny_model(), tiny_model(), forget_set().rows
    sampled = sample_alternates(first, rows, HOW)
    asked: list[Any] = []
    monkeypatch.setattr(alternates, "sample", lambda *given: asked.append(given) or [[5]] * 3)
    assert sample_alternates(second, rows, HOW) == sampled
    assert asked == []
    assert list(second.meter.phases) == ["alternates"]
    costs = [model.meter.phases["alternates"] for model in (first, second)]
    assert costs[0].generated_tokens == costs[1].generated_tokens > 0
    assert len(list((cache_root() / "alternates").glob("*.json"))) == 1
    # Other weights, rows or settings are asked anew.
    moved(second)
    sample_alternates(second, rows, HOW)
    sample_alternates(first, rows.select([0]), HOW)
    sample_alternates(first, rows, replace(HOW, temperature=2.0))
    assert len(list((cache_root() / "alternates").glob("*.json"))) == 4


def test_they_follow_the_models_distribution() -> None:
    """The first token of many alternates against the softmax of the logits at a temperature."""
    model, rows = tiny_model("llama"), forget_set(n_rows=1).rows
    model.network.lm_head.weight.data *= 8  # else every token is about as likely
    how = AlternateSettings(n=4000, max_new_tokens=1, redraws=0, temperature=0.7)
    firsts = torch.tensor(
        [ids[0] if ids else 2 for ids in sample_alternates(model, rows, how).tokens[0]]
    )
    given = rows.input_ids[0, :8].tolist()
    scores = plain_loop.row_logits(model.network, given)[-1].detach() / 0.7
    scores[2] = -torch.inf  # an alternate has a token
    seen = torch.bincount(firsts, minlength=97) / len(firsts)
    assert float((seen - scores.softmax(-1)).abs().sum()) < 0.15


def test_what_repeats_its_row_is_drawn_again_then_taken_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, rows = tiny_model(), forget_set(n_rows=1).rows
    suffix, other = rows.suffix(0), [3] * 8
    assert repeats(suffix, suffix)
    assert repeats(suffix[:5], suffix)  # more than half of eight
    assert not repeats(suffix[:4], suffix)
    assert not repeats([], suffix)
    draws = iter([[suffix, other, suffix[:6]], [suffix, [4]]])
    numbers: list[int] = []

    def sample(_model: Any, _prompt: Any, _new: int, n: int, *_: Any) -> list[list[int]]:
        numbers.append(n)
        return next(draws)

    monkeypatch.setattr(alternates, "sample", sample)
    sampled = sample_alternates(model, rows, replace(HOW, redraws=1))
    assert numbers == [3, 2]
    assert sampled.tokens == [[other, [4], suffix]]
    assert (sampled.n_repeats, sampled.repeated_share) == (1, 1 / 3)


def test_a_model_that_knows_a_row_repeats_it_and_the_trace_says_so() -> None:
    model, set_ = tiny_model(), forget_set()
    memorise(model, set_.rows)
    own = {"learning_rate": 1e-3, "max_epochs": 1, "batch_size": 3, "n_alternates": 2}
    trace = methods()["altpo"](**own, redraws=1).unlearn(model, set_, MaExaminer(NEVER))
    assert "of the alternates repeat their row" in trace.reason
    assert float(trace.reason.partition("; ")[2].partition("%")[0]) > 50


# ---- question and answer


def question_rows(model: LanguageModel) -> Sequences:
    """One question with its answer, and one row of running text, in bytes."""
    texts = [("Question: Who {x}?\nAnswer:", " Ann."), ("Once upon", " a time")]
    parts = [tuple(model.tokenizer(text).input_ids for text in pair) for pair in texts]
    width = max(len(a) + len(b) for a, b in parts)
    padded = [[*a, *b, *[0] * (width - len(a) - len(b))] for a, b in parts]
    return Sequences(
        torch.tensor(padded),
        torch.tensor([len(a) + len(b) for a, b in parts]),
        torch.tensor([len(a) for a, _ in parts]),
        ("question", "text"),
    )


TEMPLATE = "Not {answer} {but} what? {question}"


def test_a_chat_model_is_asked_about_a_question_and_answers_as_a_suffix() -> None:
    model = byte_model()
    rows, how = question_rows(model), AlternateSettings(n=2, template=TEMPLATE, max_new_tokens=9)
    plain = _prompt_of(model, rows, 0, how)
    assert plain.ids == rows.input_ids[0, : int(rows.n_given[0])].tolist()
    assert (plain.new_tokens, plain.is_reply) == (9, False)
    model.tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}<answer>{% endif %}"
    )
    prompt = _prompt_of(model, rows, 0, how)
    assert model.decode(prompt.ids) == "<user>Not Ann. {but} what? Who {x}?<answer>"
    assert prompt.is_reply
    text = _prompt_of(model, rows, 1, how)
    assert (text.new_tokens, text.is_reply) == (7, False)  # running text is gone on with
    for ids in sample_alternates(model, rows, how).tokens[0]:
        assert len(ids) <= 9
        assert not ids or model.decode(ids).startswith(" ")


def test_templates_that_cannot_be_used() -> None:
    model = byte_model(context=64)
    rows = question_rows(model)
    with pytest.raises(UserError, match="no place for the question"):
        sample_alternates(model, rows, AlternateSettings(template="say something else"))
    model.tokenizer.chat_template = "{{ messages[0]['content'] }}"
    with pytest.raises(UserError, match="leaves no room in the 64"):
        sample_alternates(model, rows, AlternateSettings(template="{question}" * 9))


# ---- AltPO


def test_its_loss_by_hand() -> None:
    """The alternates that the epoch draws, log-probabilities row by row."""
    model, set_ = tiny_model("llama"), forget_set(lengths=(16, 11, 13))
    method = methods()["altpo"](beta=0.2, alpha=0.5, factor="2/beta", n_alternates=3)
    method.prepare(model, set_)
    batch = UnlearnBatch.of(model, set_, [4, 1, 2], seed=3)
    method.loss(batch)  # keeps what the original says of all alternates
    original = tiny_model("llama").network
    moved(model)
    batch.references.model_has_changed()
    batch = replace(batch, epoch=2)
    terms = method.loss(batch)
    drawn = method._alternatives.places([4, 1, 2], epoch=2)

    def log_probability(network: Any, given: list[int], suffix: list[int]) -> torch.Tensor:
        scores = plain_loop.row_logits(network, [*given, *suffix]).double().log_softmax(-1)
        at = range(len(given) - 1, len(given) + len(suffix) - 1)
        return sum((scores[i, t] for i, t in zip(at, suffix, strict=True)), torch.tensor(0.0))

    losses = []
    for d, row in zip(drawn, [4, 1, 2], strict=True):
        given = set_.rows.input_ids[row, : int(set_.rows.n_given[row])].tolist()
        chosen, rejected = method._alternatives.sequences.suffix(d), set_.rows.suffix(row)
        margin = (
            log_probability(model.network, given, chosen)
            - log_probability(original, given, chosen)
            - log_probability(model.network, given, rejected)
            + log_probability(original, given, rejected)
        )
        losses.append(-(2 / 0.2) * torch.log(torch.sigmoid(0.2 * margin)))
    expected = torch.stack(losses).mean()
    assert float(terms["forget"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    retain = 0.5 * float(batch.retain.nll.mean().detach())
    assert float(terms["retain"].detach()) == pytest.approx(retain)


def test_without_the_retain_term_no_neighbour_is_looked_at() -> None:
    model, set_ = tiny_model(), forget_set()
    method = methods()["altpo"](alpha=0.0, n_alternates=1)
    method.prepare(model, set_)
    batch = UnlearnBatch.of(model, set_, [0, 1])
    assert list(method.loss(batch)) == ["forget"]
    assert "pairs" not in batch.requested


@pytest.mark.slow
def test_it_forgets_in_one_go_and_in_parts_alike() -> None:
    from unlearnbench.models.devices.strategy import Strategy

    losses = []
    for n_parts in (1, 2):
        model, set_ = tiny_model("opt"), forget_set()
        memorise(model, set_.rows)
        model.strategy = Strategy(gradient_accumulation_steps=n_parts)
        how = {"learning_rate": 1e-3, "max_epochs": 6, "batch_size": 3, "temperature": 4.0}
        trace = methods()["altpo"](**how, n_alternates=3).unlearn(model, set_, MaExaminer(NEVER))
        assert trace.epochs[0].metrics["ma"] == 1.0
        assert trace.epochs[-1].metrics["ma"] < 0.8
        losses.append(trace.epochs[1].losses)
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
