"""Tasks on networks without keys and values per token, against a plain loop: one text, no cache."""

import json
import re
import shutil
from pathlib import Path

import architectures
import plain_loop
import pytest
import tiny
import torch
from classification_cases import BYTES, byte_model, measure
from evaluation_set_cases import read, write
from tiny import cli
from transformers import AutoModelForCausalLM

from unlearnbench.data.evaluation_sets import DIALOGUE_SETS, EvaluationSet
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.generation.behaviour import behaviour_of
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import find
from unlearnbench.tasks import _questions

# A state per layer; such layers between attention; a gated linear attention; lightning attention.
SLOW = ("jamba", "falcon_h1", "qwen3_next", "minimax", "kimi_linear")
TYPES = ["mamba", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
TALK = (
    ({"doc_id": "5", "turns": ["how are you ?", "fine thanks"]}, "User 1: How are you?\nUser 2:"),
    ({"doc_id": "2", "turns": ["hi", "hello", "a red dog"]},
     "User 1: Hi\nUser 2: Hello\nUser 1:"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))


def bytes_read_by(model_type: str) -> LanguageModel:
    """A network of that architecture, at random weights, that reads bytes."""
    config = architectures.configuration(model_type)
    config.vocab_size, config.eos_token_id = len(BYTES) + 1, 0
    config.pad_token_id = config.bos_token_id = 0
    if hasattr(config, "max_position_embeddings"):
        config.max_position_embeddings = 4096
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = AutoModelForCausalLM.from_config(config).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.5)  # so that answers differ more than rounding does
    plain = byte_model()
    model = LanguageModel(network, plain.tokenizer, plain.source)
    assert not behaviour_of(model).keeps_columns
    return model


@pytest.mark.parametrize("model_type", TYPES)
def test_answers_are_those_of_a_plain_loop(model_type: str, tmp_path: Path) -> None:
    model, sets = bytes_read_by(model_type), read(write(tmp_path / "sets"))
    chosen = {name: sets[name] for name in ("lambada", "copa", "arc_easy", "winogrande")}
    scores = measure(model, chosen, limit=2)
    n_differing = 0
    for name, data in chosen.items():
        for question in _questions.questions_of(data, "lm_eval", 2):
            found = [likelihood(model, *request) for request in question.requests]
            values = [value for value, _ in found]
            choice = values.index(max(values)) if len(found) > 1 else int(found[0][1])
            n_differing += max(values) - min(values) > 1e-3
            expected = float(question.is_correct[choice])
            assert scores[name].documents[str(question.row)] == expected
    assert n_differing > 4


def likelihood(model: LanguageModel, context: str, continuation: str) -> tuple[float, bool]:
    """log p of the continuation's bytes, and whether each is the likeliest."""
    spaces = len(context) - len(context.rstrip())  # as lm-eval has it, of the continuation
    split = len(context) - spaces
    text = context + continuation
    ids = model.tokenizer(text[:split])["input_ids"] or [model.eos_token_id]
    own = model.tokenizer(text[split:])["input_ids"]
    with torch.no_grad():
        scores = plain_loop.row_logits(model.network, [*ids, *own])[:-1].log_softmax(-1)
    scores = scores[-len(own) :]
    value = float(scores[range(len(own)), own].sum())
    return value, scores.argmax(-1).tolist() == own


@pytest.mark.parametrize("model_type", TYPES)
def test_replies_are_those_of_a_plain_loop(model_type: str) -> None:
    model = bytes_read_by(model_type)
    rows = tuple(row for row, _ in TALK)
    sets = {n: EvaluationSet(n, rows, "validation", f"{n}.json") for n in DIALOGUE_SETS}
    scores = find("tasks", "dialogue")(new_tokens=12).measure(model, TaskContext(None, {}, sets))
    for row, prompt in TALK:
        ids = model.tokenizer(prompt)["input_ids"]
        written = plain_loop.greedy(model.network, ids, 12, 0)
        text = model.tokenizer.decode(written, skip_special_tokens=True)
        expected = text.split("\nUser ")[0].strip()
        assert re.sub(r"\s", " ", expected)
        assert {scores[name].outputs[row["doc_id"]] for name in DIALOGUE_SETS} == {expected}


@pytest.mark.slow
@pytest.mark.parametrize("model_type", ["mamba", "qwen3_next"])
def test_a_run_of_one_goes_through_and_its_model_loads(model_type: str, tmp_path: Path) -> None:
    world = tiny.build(tmp_path / "tiny")
    folder = Path(shutil.copytree(world.folder / "model", tmp_path / model_type))
    config = architectures.configuration(model_type)
    config.vocab_size, config.eos_token_id = len(tiny.WORDS) + 1, 0
    config.bos_token_id = config.pad_token_id = 0
    if hasattr(config, "max_position_embeddings"):
        config.max_position_embeddings = 128
    torch.manual_seed(2)
    network = AutoModelForCausalLM.from_config(config)
    network.save_pretrained(folder)
    out = tmp_path / "out"
    with tiny.at_home(world):
        more = ("--save-models", "--until", "epochs", "--max-epochs", "1", "--references", "before")
        given = world.options(out, *more, methods="kumpr")
        given[given.index("--model") + 1] = str(folder)
        status, shown, told = cli(*given)
    assert status == 0, told
    assert "keeps no keys and values per token" in told
    assert model_type in shown
    [kept] = (out / "models").iterdir()
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        before = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
        after = AutoModelForCausalLM.from_pretrained(kept)(ids).logits
    assert float((before - after).abs().max()) > 1e-4
    assert json.loads((kept / "config.json").read_text())["model_type"] == config.model_type
