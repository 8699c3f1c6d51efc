"""ROUGE against what others published per item; fluency by hand."""

import gzip
import json
import math
from pathlib import Path

import pytest
from tiny import save_bert

from unlearnbench.errors import UserError
from unlearnbench.metrics.reply_formulas import (
    clean_probabilities,
    exact_match,
    n_gram_entropy,
    rouge_l,
)


def of_shared(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"no published values at {path}")
    return path


@pytest.mark.parametrize("kind", ["verbmem", "knowmem"])
def test_muses_values_are_without_stemmer(shared, kind):
    path = of_shared(shared / f"data/muse_published/{kind}_per_example.news4.jsonl.gz")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(rows) >= 400
    for row in rows:
        score = rouge_l(row["response"], row["gt"], stemmer=False)
        assert score.f1 == pytest.approx(row["rougeL"], abs=1e-9)
        assert score.recall == pytest.approx(row["rougeL_recall"], abs=1e-9)


@pytest.mark.parametrize(
    "log",
    ["llama-3.2-1b-full/forget01/TOFU_EVAL", "llama-3.2-1b-retain99/TOFU_EVAL",
     "muse-news-target/MUSE_EVAL"],
)  # fmt: skip
def test_openunlearnings_values_are_with_stemmer(shared, log):
    path = of_shared(shared / f"data/open_unlearning/{log}.json.gz")
    metrics = json.loads(gzip.decompress(path.read_bytes()))
    rows = [
        row
        for name, metric in metrics.items()
        if name.endswith("ROUGE")
        for row in list(metric["value_by_index"].values())[:100]
    ]
    assert len(rows) >= 200
    for row in rows:
        score = rouge_l(row["generation"], row["ground_truth"], stemmer=True)
        assert score.recall == pytest.approx(row["rougeL_recall"], abs=1e-9)
        assert score.f1 == pytest.approx(row["rougeL_f1"], abs=1e-9)


def test_a_stemmer_joins_the_forms_of_a_word():
    assert rouge_l("the authors wrote", "The author wrote novels", stemmer=True) == (0.75, 6 / 7)
    assert rouge_l("the authors wrote", "The author wrote novels", stemmer=False).recall == 0.5
    assert rouge_l("", "The author", stemmer=True) == (0.0, 0.0)


def test_exact_match():
    assert exact_match(" 12 May\n", "12 may", normalised=True) == 1.0
    assert exact_match(" 12 May\n", "12 may", normalised=False) == 0.0
    assert exact_match("12 may.", "12 may", normalised=True) == 0.0


def test_n_gram_entropy():
    # Three words: two 2-grams, one bit; one 3-gram, none.
    assert n_gram_entropy("a b c") == pytest.approx((2 / 3 * 1 + 4 / 3 * 0) / 2)
    # Five different words: log2(4) and log2(3) bits.
    expected = (2 / 3 * 2 + 4 / 3 * math.log2(3)) / 2
    assert n_gram_entropy("one two three four five") == pytest.approx(expected)
    # Case makes words different, as in the released code.
    assert n_gram_entropy("A b a b") > n_gram_entropy("a b a b")
    assert n_gram_entropy("the the the the the the") == 0.0
    assert n_gram_entropy("") == 0.0


def test_a_classifier_says_how_clean_a_text_is(tmp_path):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path / "classifier"
    save_bert(folder)
    torch.manual_seed(2)
    config = BertConfig.from_pretrained(folder, num_labels=2)
    config.id2label = {0: "noise", 1: "clean"}
    network = BertForSequenceClassification(config).eval()
    network.save_pretrained(folder)
    texts = ["kab lob", "", "kab " * 30, "mib rub seb"]
    values = clean_probabilities(str(folder), texts, batch_size=2)
    assert values[1] == 0.0
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for text, value in zip(texts, values, strict=True):
        if text:
            with torch.inference_mode():
                logits = network(**tokenizer(text, return_tensors="pt")).logits[0]
            assert value == pytest.approx(float(logits.softmax(0)[1]), rel=1e-4)

    from unlearnbench.registry import find

    task = find("tasks", "replies")(classifier=str(folder))
    before = task.side_models()
    assert before == task.side_models()
    network.classifier.bias.data += 1
    network.save_pretrained(folder)
    assert before["classifier"] != task.side_models()["classifier"]
    assert find("tasks", "replies")().side_models() == {}


def test_a_classifier_that_is_not_there_is_told_before_anything_runs(tmp_path):
    from unlearnbench.registry import find

    with pytest.raises(UserError, match="text classifier"):
        find("tasks", "replies")(classifier=str(tmp_path / "none"))
