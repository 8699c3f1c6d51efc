"""BERTScore, BLEU and entropy against other ways to compute them."""

import math
import random
import warnings

import numpy as np
import pytest
import scipy.stats
import tiny
import torch
from bert_score import BERTScorer
from nltk.tokenize import NLTKWordTokenizer
from nltk.translate.bleu_score import sentence_bleu as nltk_bleu
from transformers import AutoModel, AutoTokenizer

from unlearnbench.errors import UserError
from unlearnbench.metrics.bert import bert_folder, bert_layers
from unlearnbench.metrics.text import BertScore, sentence_bleu, token_entropy

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "on",
    "mat",
    "and",
    "ran",
    ",",
    ".",
    "house",
    "It's",
    "don't",
    "“quoted”",
    "3.5",
]


def random_pairs(n_pairs):
    dice = random.Random(1)
    for _ in range(n_pairs):
        reference = dice.choices(WORDS, k=dice.randint(1, 25))
        start = dice.randint(0, len(reference))
        candidate = reference[:start] + dice.choices(WORDS, k=dice.randint(0, 12))
        yield " ".join(candidate), " ".join(reference)


def test_bleu_is_nltks():
    tokenize = NLTKWordTokenizer().tokenize
    values = []
    for candidate, reference in random_pairs(300):
        ours = sentence_bleu(candidate, reference)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = nltk_bleu([tokenize(reference.lower())], tokenize(candidate.lower()))
        assert ours == pytest.approx(theirs, rel=1e-12, abs=0)
        values.append(ours)
    # The cases reach every kind of value.
    assert 0.0 in values
    assert any(0 < v < 1e-50 for v in values)
    assert any(v > 0.5 for v in values)


@pytest.mark.parametrize(
    ("candidate", "reference", "value"),
    [
        ("The cat sat on the mat", "the CAT sat on the mat", 1.0),
        ("", "the cat", 0.0),
        ("the cat", "", 0.0),
        ("dog", "the cat", 0.0),
    ],
)
def test_bleu_of_plain_cases(candidate, reference, value):
    assert sentence_bleu(candidate, reference) == pytest.approx(value, abs=1e-12)


def test_bleu_with_one_missing_order_is_tiny_but_not_zero():
    value = sentence_bleu("the cat sat here on", "on the cat sat mat")
    assert 1e-78 < value < 1e-76


def test_entropy_is_scipys():
    dice = np.random.default_rng(0)
    for n_tokens in (1, 2, 50, 200):
        ids = dice.integers(0, 30, n_tokens).tolist()
        counts = np.unique(ids, return_counts=True)[1]
        assert token_entropy(ids) == pytest.approx(scipy.stats.entropy(counts, base=2), abs=1e-12)
    assert token_entropy(list(range(50))) == pytest.approx(math.log2(50))
    assert token_entropy([7] * 50) == 0.0
    assert math.copysign(1, token_entropy([7] * 50)) == 1.0
    assert token_entropy([]) == 0.0


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    tiny.save_bert(folder)
    return folder


def by_hand(folder, num_layers, candidate, reference):
    """BERTScore as its paper defines it: greedy cosine matching of token vectors."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    vectors = []
    for text in (candidate, reference):
        tokens = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = model(**tokens, output_hidden_states=True).hidden_states[num_layers][0]
        vectors.append(torch.nn.functional.normalize(states, dim=1))
    similar = vectors[0] @ vectors[1].T  # [CLS] and [SEP] have weight 0 but can be matched
    precision, recall = similar.amax(1)[1:-1].mean(), similar.amax(0)[1:-1].mean()
    return float(2 * precision * recall / (precision + recall))


def test_bertscore_is_the_librarys_and_the_definition(bert):
    dice = random.Random(5)
    candidates = [tiny.sentence(dice, n) for n in (3, 9, 20)]
    references = [tiny.sentence(dice, n) for n in (8, 9, 4)]
    ours = BertScore(str(bert), num_layers=1, device="cpu").f1(candidates, references)
    library = BERTScorer(model_type=str(bert), num_layers=1, device="cpu")
    library._tokenizer.model_max_length = 256
    assert ours == pytest.approx(library.score(candidates, references)[2].tolist(), abs=1e-6)
    hand = [by_hand(bert, 1, *pair) for pair in zip(candidates, references, strict=True)]
    assert ours == pytest.approx(hand, abs=1e-5)


def test_empty_texts_score_zero_among_others(bert):
    score = BertScore(str(bert), device="cpu")
    text = tiny.sentence(random.Random(2), 6)
    assert score.f1(["", text, "  ", text], [text, text, text, ""]) == [
        0.0,
        pytest.approx(1.0, abs=1e-5),
        0.0,
        0.0,
    ]
    assert BertScore("no such thing").f1([""], [text]) == [0.0]  # nothing to load for it
    assert score.f1([], []) == []


def test_texts_longer_than_the_encoder_are_cut(bert):
    score = BertScore(str(bert), device="cpu")
    text = tiny.sentence(random.Random(3), 600)
    assert score.f1([text], [text]) == [pytest.approx(1.0, abs=1e-5)]
    assert score.scorer._tokenizer.model_max_length == 256


def test_weights_are_loaded_once_and_draw_nothing(bert):
    score = BertScore(str(bert), device="cpu")
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first = score.scorer
    assert torch.equal(torch.rand(3), expected)
    assert score.scorer is first


def test_layers_default_to_bert_scores_own_choice(bert, tmp_path):
    assert bert_layers(None, bert) == 9
    assert bert_layers("google-bert/bert-base-uncased", bert) == 9
    assert bert_layers("roberta-large", bert) == 17
    assert bert_layers(str(bert), bert) == 2


def test_missing_weights_are_one_line_with_the_way_out(monkeypatch, tmp_path):
    monkeypatch.setattr("unlearnbench.hub.snapshot", lambda *_: None)
    with pytest.raises(UserError, match=r"hf download google-bert/bert-base-uncased.*--bert DIR"):
        BertScore().f1(["a"], ["b"])
    with pytest.raises(UserError, match=r"no config\.json"):
        bert_folder(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 2}')
    with pytest.raises(UserError, match="cannot use the BERT") as error:
        BertScore(str(tmp_path)).f1(["a"], ["b"])
    assert "\n" not in str(error.value)
