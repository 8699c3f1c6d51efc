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
from unlearnbench.metrics import bertscore
from unlearnbench.metrics import bertscore as token_vectors
from unlearnbench.metrics.bertscore import BertScore
from unlearnbench.metrics.bertscore_model import bert_folder, bert_layers
from unlearnbench.metrics.text import sentence_bleu, token_entropy

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


def bert_passes(score):
    """How many texts go through the network from now on: one number per pass."""
    passes = []
    score.scorer._model.register_forward_hook(
        lambda _model, _args, output: passes.append(len(output[0]))
    )
    return passes


def test_what_was_read_or_scored_before_is_not_again(bert):
    dice = random.Random(6)
    score = BertScore(str(bert), num_layers=1, device="cpu")
    passes = bert_passes(score)
    references = [tiny.sentence(dice, n) for n in (8, 9, 4, 30)]
    written = [[tiny.sentence(dice, n) for n in (3, 12, 7, 20)] for _ in range(2)]
    first = score.f1(written[0], references)
    assert sum(passes) == 8
    second = score.f1([written[0][0], *written[1][1:]], references)
    assert sum(passes) == 8 + 3  # three new candidates; references and the first pair are known
    assert second[0] == first[0]
    library = BERTScorer(model_type=str(bert), num_layers=1, device="cpu")
    library._tokenizer.model_max_length = 256
    expected = library.score(written[1][1:], references[1:])[2].tolist()
    assert second[1:] == pytest.approx(expected, abs=1e-6)
    # Another one has the same network, and nothing in its memory.
    fresh = BertScore(str(bert), num_layers=1, device="cpu")
    assert fresh.scorer is score.scorer
    assert fresh.f1(written[0], references) == first
    assert sum(passes) == 8 + 3 + 8


def test_what_is_remembered_is_bounded_and_forgetting_changes_nothing(bert, monkeypatch):
    dice = random.Random(7)
    score = BertScore(str(bert), num_layers=1, device="cpu")
    pairs = [(tiny.sentence(dice, 5), tiny.sentence(dice, 9)) for _ in range(40)]
    expected = score.f1(*zip(*pairs, strict=True))
    monkeypatch.setattr(bertscore, "_MAX_SCORED", 10)
    monkeypatch.setattr(token_vectors, "_KEPT_BYTES", 20_000)
    small = BertScore(str(bert), num_layers=1, device="cpu")
    for pair, value in zip(pairs, expected, strict=True):
        assert small.f1([pair[0]], [pair[1]]) == pytest.approx([value], abs=1e-6)
        assert len(small._scored) <= 10
        assert small._vectors._n_bytes <= 20_000
    assert small._vectors._n_bytes == sum(
        map(token_vectors._n_bytes, small._vectors._kept.values())
    )
    assert small.f1(*zip(*pairs, strict=True)) == pytest.approx(expected, abs=1e-6)


def test_a_pair_is_scored_alike_whatever_is_scored_beside_it(bert, monkeypatch):
    # Tokens that are unlike every token of the other text: padding must not look nearer.
    score = BertScore(str(bert), num_layers=1, device="cpu")
    here, there = torch.eye(4)[0], -torch.eye(4)[0] + 0.1 * torch.eye(4)[1]
    vectors = {
        "one": (torch.stack([here] * 3), torch.ones(3)),
        "unlike": (torch.stack([there] * 3), torch.ones(3)),
        "long": (torch.eye(4).repeat(3, 1), torch.ones(12)),
    }
    monkeypatch.setattr(token_vectors.TokenVectors, "_vectors", lambda _self, _texts: vectors)
    alone = score.f1(["one"], ["unlike"])
    assert alone[0] < -0.9
    score.forget()
    assert score.f1(["one", "long"], ["unlike", "long"]) == [alone[0], pytest.approx(1.0)]


def test_the_same_text_on_both_sides_and_twice(bert):
    dice = random.Random(8)
    one, other = tiny.sentence(dice, 6), tiny.sentence(dice, 11)
    score = BertScore(str(bert), num_layers=1, device="cpu")
    found = score.f1([one, one, other, one], [one, other, one, other])
    assert found[0] == pytest.approx(1.0, abs=1e-5)
    assert found[1] == found[3] == pytest.approx(found[2], abs=1e-6)


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
    monkeypatch.setattr("unlearnbench.models.hub.snapshot", lambda *_: None)
    with pytest.raises(UserError, match=r"hf download google-bert/bert-base-uncased.*--bert DIR"):
        BertScore().f1(["a"], ["b"])
    with pytest.raises(UserError, match=r"no config\.json"):
        bert_folder(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert", "num_hidden_layers": 2}')
    with pytest.raises(UserError, match="cannot use the BERT") as error:
        BertScore(str(tmp_path)).f1(["a"], ["b"])
    assert "\n" not in str(error.value)
