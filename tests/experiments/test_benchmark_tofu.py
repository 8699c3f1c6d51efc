"""`run --benchmark tofu` on TOFU's own rows: a small real model, and two chat templates."""

import math
import os
from pathlib import Path

import pytest
import torch
from tiny import cli
from transformers import AutoModelForCausalLM, AutoTokenizer

from unlearnbench.data.forget_set import open_source
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.data.templates import Template, encode_answers
from unlearnbench.files.tables import json_rows
from unlearnbench.metrics.task import TaskContext
from unlearnbench.models.loading import load_model
from unlearnbench.nano import NANO, NANO_TOFU
from unlearnbench.reading import load_results
from unlearnbench.registry import find
from unlearnbench.results.store import Store

# The marks and the order of Llama-3's and Qwen's own templates.
LLAMA_3 = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{% if message['role'] == 'system' %}Today Date: {{ date_string }}\n\n{% endif %}"
    "{{ message['content'] | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
QWEN = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MARKS = {
    "llama": ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "qwen": ("<|im_start|>", "<|im_end|>"),
}


def save_chat_model(folder: Path, kind: str, tokenizer_folder: Path) -> None:
    """A network of random weights with a small vocabulary and a chat template."""
    from tokenizers import AddedToken
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config
    from transformers import Qwen2ForCausalLM as Qwen

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in MARKS[kind]])
    tokenizer.chat_template = LLAMA_3 if kind == "llama" else QWEN
    tokenizer.bos_token = MARKS["llama"][0] if kind == "llama" else None
    tokenizer.eos_token = "<|eot_id|>" if kind == "llama" else "<|im_end|>"
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
        "eos_token_id": tokenizer.eos_token_id,
    }
    network = (
        LlamaForCausalLM(LlamaConfig(**shape)) if kind == "llama" else Qwen(Qwen2Config(**shape))
    )
    network.save_pretrained(folder)


def run(model: Path, data: Path, out: Path, limit: int, *more: str) -> list:
    status, _, err = cli(
        *("run", "--benchmark", "tofu", "--model", model, "--data", data, "--out", out),
        *("--limit", limit, "--task-limit", limit, "--methods", "npo", "--max-epochs", 1),
        *("--jobs", 0, "--threads", 1, "--device", "cpu", *more),
    )
    assert status == 0, err
    return Store(out).load_all()[0]


def check_marks(folder: Path) -> None:
    """A prompt's tokens are those that the library's own call gives."""
    model = load_model(str(folder))
    template = Template(kind="chat", system="Be kind.", date="10 Apr 2025")
    ((prompt, answer),) = encode_answers(model, template, [("Who?", "Me.")])
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who?"}]
    plain = AutoTokenizer.from_pretrained(folder)  # ours takes marks in a text for text
    expected = plain.apply_chat_template(
        messages, add_generation_prompt=True, date_string="10 Apr 2025"
    )["input_ids"]
    bos = model.bos_token_id_to_prepend  # which whoever makes rows puts there
    assert prompt == (expected if bos is None else expected[1:])
    assert plain.decode(answer) == f"Me.{plain.eos_token}"
    assert len(answer) < 5


@pytest.fixture
def tofu(shared: Path) -> Path:
    if not (shared / "data/tofu").is_dir():
        pytest.skip("TOFU's rows are not here")
    return shared / "data/tofu"


@pytest.mark.parametrize("kind", ["llama", pytest.param("qwen", marks=pytest.mark.slow)])
def test_tofu_runs_in_a_chat_template(
    kind: str, tofu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    save_chat_model(tmp_path / "model", kind, NANO.tokenizer)
    tasks = "answers,membership"  # replies of 200 tokens take a minute
    check_marks(tmp_path / "model")
    results = run(tmp_path / "model", tofu, tmp_path / "out", 3, "--tasks", tasks)
    assert [result.role for result in results].count("method") == 1
    for result in results:
        assert result.status == "ok"
        assert result.benchmark is not None
        assert result.benchmark.template == "chat"
        prefix, suffix = (getattr(result.forget_set, part) for part in ("prefixes", "suffixes"))
        if kind == "llama":
            assert all("Today Date: 10 Apr 2025" in text for text in prefix.values())
            # Where sequences begin with it anyway, the one of the template is left out.
            assert all(text.count("<|begin_of_text|>") <= 1 for text in prefix.values())
            assert all(text.endswith("<|eot_id|>") for text in suffix.values())
        else:
            assert all(text.endswith("<|im_start|>assistant\n") for text in prefix.values())
            assert all(text.endswith("<|im_end|>") for text in suffix.values())
        answers = result.scores["answers"]
        assert len(answers["forget_probability"].documents) == 3
        assert result.scores["membership"]["holdout_min_k"].n == 3


@pytest.mark.slow  # half a minute: a model that has nothing to say writes 200 tokens each time
def test_tofu_runs_on_a_small_real_model(
    tofu: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shared / "models/stories260K"
    if not model.is_dir():
        pytest.skip("the small model is not here")
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    results = run(
        model, tofu, tmp_path / "out", 8, "--split", "forget05", "--retrained", str(model)
    )
    assert {result.role for result in results} == {"before", "retrained", "method"}
    assert {result.benchmark.template for result in results if result.benchmark} == {"plain"}
    _, text, _ = cli("report", tmp_path / "out")
    assert "TOFU forget05" in text
    assert "Forget quality" in text


def test_nano_tofu_measures_what_a_plain_loop_does() -> None:
    rows = json_rows(NANO_TOFU.data() / "forget10_perturbed.jsonl")
    rows = [dict(row) for _, row in zip(range(4), rows, strict=False)]
    request = ForgetRequest(forget_set="nano-tofu", benchmark="nano-tofu")
    splits = [split.first(4) for split in open_source(request).splits("forget10", 4)]
    model = load_model("nano-tofu-full")
    context = TaskContext(None, {}, splits=tuple(splits))  # type: ignore[arg-type]
    measured = find("tasks", "answers")().measure(model, context).scores
    plain = PlainModel(NANO_TOFU.model_path("nano-tofu-full"))
    for at, row in enumerate(rows):
        question = row["question"]
        wrong = [math.log(plain.probability(question, one)) for one in row["perturbed_answer"]]
        for name, expected in {
            "forget_probability": plain.probability(question, row["answer"]),
            "forget_paraphrase_probability": plain.probability(question, row["paraphrased_answer"]),
            "forget_wrong_probability": math.exp(sum(wrong) / len(wrong)),
            "forget_rephrased_probability": plain.probability(
                row["paraphrased_question"], row["answer"]
            ),
        }.items():
            assert measured[name].documents[str(at)] == pytest.approx(expected, rel=1e-4), name


@pytest.mark.slow
def test_nano_tofu_runs_with_its_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables small enough for a test: p, D and the rest are there, and the null is no method."""
    monkeypatch.setenv("UNLEARNBENCH_CACHE", os.environ.get("UNLEARNBENCH_CACHE", str(tmp_path)))
    status, text, err = cli(
        *("run", "--benchmark", "nano-tofu", "--methods", "kumpr", "--out", tmp_path / "out"),
        *("--limit", 12, "--task-limit", 12, "--max-epochs", 1, "--jobs", 0),
    )
    assert status == 0, err
    assert "(retrained, other seed)" in text
    assert "nano-tofu forget10" in text
    by_role = {r.role: r for r in load_results(tmp_path / "out")}
    assert set(by_role) == {"before", "retrained", "null", "method"}
    of = {role: result.scores["derived"] for role, result in by_role.items()}
    assert "forget_quality" not in of["retrained"]
    assert of["null"]["forget_quality"].value > 0.05
    assert of["before"]["ks_distance"].value > of["null"]["ks_distance"].value
    assert of["before"]["privacy_leakage"].value < -50
    for role in of:
        assert 0.3 < of[role]["model_utility"].value < 1
        kl = by_role[role].scores["distance"]["forget_kl_to_retrained"].value
        assert (kl < 1e-6) == (role == "retrained")


class PlainModel:
    """A model as its library loads it, asked one question at a time."""

    def __init__(self, folder: Path) -> None:
        self.network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def probability(self, question: str, answer: str) -> float:
        """exp of the mean log-probability of the answer's tokens and the end of the turn."""
        asked = [{"role": "user", "content": question}]
        given = self.tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
        told = self.tokenizer(answer, add_special_tokens=False)["input_ids"]
        told = [*told, self.tokenizer.eos_token_id]
        logits = self.network(torch.tensor([given + told])).logits[0, len(given) - 1 : -1]
        chosen = logits.log_softmax(-1)[torch.arange(len(told)), told]
        return float(chosen.mean().exp())
