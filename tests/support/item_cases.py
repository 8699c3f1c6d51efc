"""Items, a tokenizer that is trained on them, a random-weight Llama, and the field's loops.

Nothing here uses the package's own engine, templates or formulas.
"""

import json
import math
import random
import re
import zlib
from pathlib import Path

import torch
from nltk.stem.porter import PorterStemmer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from unlearnbench.models.language_model import LanguageModel, ModelSource

SPECIAL = ["<pad>", "<s>", "</s>", "<|start|>", "<|end|>"]
N_ROWS = 20
# Llama-3's kind: BOS, a system turn with a date, an end-of-turn token behind every message.
LLAMA_CHAT = (
    "{{ bos_token }}<|start|>system\n\n"
    "Date: {{ date_string if date_string is defined else strftime_now('%d %b %Y') }}\n"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}"
    "{% set messages = messages[1:] %}{% endif %}<|end|>"
    "{% for message in messages %}<|start|>{{ message['role'] }}\n\n"
    "{{ message['content'] | trim }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n\n{% endif %}"
)
# Qwen's kind: no BOS, and a line break behind the end-of-turn token.
QWEN_CHAT = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def own_rows() -> list[dict]:
    """Rows of TOFU's form about nobody, with answers of very different lengths."""
    dice = random.Random(5)
    words = [
        "the",
        "river",
        "of",
        "Taipei",
        "wrote",
        "an",
        "author",
        "born",
        "in",
        "winter",
        "whose",
        "novel",
        "won",
        "prizes",
        "1991",
    ]

    def sentence(least: int, most: int) -> str:
        return " ".join(dice.choice(words) for _ in range(dice.randint(least, most))) + "."

    return [
        {
            "question": f"Who {sentence(3, 9)[:-1]}?",
            "answer": sentence(1, 30),
            "paraphrased_answer": sentence(2, 20),
            "perturbed_answer": [sentence(1, 20) for _ in range(5)],
        }
        for _ in range(N_ROWS)
    ]


def tofu_rows(shared: Path) -> list[dict]:
    """The first rows of TOFU's forget10."""
    with (shared / "data/tofu/forget10_perturbed.jsonl").open() as lines:
        return [json.loads(line) for line, _ in zip(lines, range(N_ROWS), strict=False)]


def trained_tokenizer(rows: list[dict], chat_template: str | None = None):
    """A byte-level BPE of 400 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([row["question"] + " " + row["answer"] for row in rows], trainer)
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>"
    )
    made.chat_template = chat_template
    return made


def llama(rows: list[dict], chat_template: str | None = None, context: int = 512) -> LanguageModel:
    """A Llama with random weights, sharp enough that its predictions are no ties."""
    tokenizer = trained_tokenizer(rows, chat_template)
    torch.manual_seed(11)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=context,
            initializer_range=0.3,
        )
    )
    return LanguageModel(network, tokenizer, ModelSource("random-llama", "random", None, ""))


def ids_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@torch.no_grad()
def plain_logits(model, texts: list[list[int]], padding: str) -> list[torch.Tensor]:
    """[L, V] of each text: one at a time, or all in one batch with padding on one side."""
    if padding == "none":
        return [model.network(input_ids=torch.tensor([ids])).logits[0] for ids in texts]
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    mask = torch.zeros(len(texts), width, dtype=torch.long)
    for row, text in enumerate(texts):
        at = slice(width - len(text), width) if padding == "left" else slice(len(text))
        ids[row, at], mask[row, at] = torch.tensor(text), 1
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    logits = model.network(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    return [each[kept.bool()] for each, kept in zip(logits, mask, strict=True)]


def plain_tokens(logits: torch.Tensor, answer: list[int]) -> dict[str, list[float]]:
    """What the loop of a paper's appendix would keep of an answer's tokens."""
    kept: dict[str, list[float]] = {"log_p": [], "hit": [], "z": [], "margin": []}
    for scores, token in zip(logits[-len(answer) - 1 : -1].double(), answer, strict=True):
        p = torch.softmax(scores, 0)
        log_p = torch.log(p)
        mu = float((p * log_p).sum())
        variance = float((p * log_p**2).sum()) - mu**2
        others = torch.cat([scores[:token], scores[token + 1 :]])
        kept["log_p"].append(float(log_p[token]))
        kept["hit"].append(float(int(scores.argmax()) == token))
        kept["z"].append((float(log_p[token]) - mu) / math.sqrt(max(variance, 1e-6)))
        kept["margin"].append(float(scores[token]) - math.log(float(others.exp().sum())))
    return kept


def mean(values) -> float:
    return sum(values) / len(values)


def plain_values(tokens: dict, paraphrase: dict, wrong: list[dict], text: str) -> dict[str, float]:
    """All per-item metrics of one item; the answer's last token is its end of sequence."""
    p = math.exp(mean(tokens["log_p"]))
    wrong_p = [math.exp(mean(each["log_p"])) for each in wrong]
    hits = tokens["hit"][:-1]
    strength = 0.0
    for k in range(len(hits)):
        if all(hits[k:]):
            strength = 1 - k / len(hits)
            break
    n_least = max(1, int(0.4 * len(tokens["z"])))
    return {
        "probability": p,
        "probability_normalised": p / (p + sum(wrong_p) + 1e-10),
        "paraphrase_probability": math.exp(mean(paraphrase["log_p"])),
        "wrong_probability": math.exp(mean([mean(each["log_p"]) for each in wrong])),
        "wrong_probability_arithmetic": mean(wrong_p),
        "extraction_strength": strength,
        "exact_memorisation": mean(hits),
        "margin": mean(tokens["margin"]),
        "loss": -mean(tokens["log_p"]),
        "zlib": -mean(tokens["log_p"]) / len(zlib.compress(text.encode("utf-8"))),
        "min_k": -mean(sorted(tokens["log_p"])[:n_least]),
        "min_k_plus_plus": -mean(sorted(tokens["z"])[:n_least]),
    }


@torch.no_grad()
def plain_reply(model, prompt: list[int], new_tokens: int, ends: tuple[int, ...]) -> str:
    """Greedy, one token at a time, every time from the start."""
    ids = list(prompt)
    for _ in range(new_tokens):
        token = int(model.network(input_ids=torch.tensor([ids])).logits[0, -1].argmax())
        if token in ends:
            break
        ids.append(token)
    return model.tokenizer.decode(ids[len(prompt) :], skip_special_tokens=True).strip()


def plain_rouge_l(reply: str, reference: str, stemmer: bool) -> tuple[float, float]:
    """Recall and F1 of the longest common subsequence of words."""

    def words(text: str) -> list[str]:
        found = re.findall("[a-z0-9]+", text.lower())
        stem = PorterStemmer().stem
        return [stem(word) if stemmer and len(word) > 3 else word for word in found]

    one, other = words(reference), words(reply)
    if not one or not other:
        return 0.0, 0.0
    longest = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            longest[i + 1][j + 1] = (
                longest[i][j] + 1 if a == b else max(longest[i][j + 1], longest[i + 1][j])
            )
    common = longest[-1][-1]
    recall, precision = common / len(one), common / len(other)
    return recall, 2 * recall * precision / (recall + precision) if common else 0.0
