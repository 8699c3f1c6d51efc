"""Pairs (eq. 2): against brute force, with a real (tiny, untrained) BERT, and through the cache."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from unlearnbench.data import pairs as pairing
from unlearnbench.data.pairs import embed, encoder_folder, find_neighbours, nearest
from unlearnbench.errors import UserError

WORDS = [
    "red",
    "blue",
    "green",
    "cat",
    "dog",
    "bird",
    "runs",
    "sleeps",
    "sings",
    "quickly",
    "slowly",
    "near",
    "far",
    "the",
    "a",
    "house",
]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain BERT folder, without the files of sentence-transformers."""
    folder = tmp_path_factory.mktemp("encoder")
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    )
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=5 + len(WORDS),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sentences(n: int, seed: int) -> list[str]:
    """Different random sentences."""
    draw = np.random.default_rng(seed)
    made: dict[str, None] = {}
    while len(made) < n:
        made[" ".join(draw.choice(WORDS, size=draw.integers(3, 9)))] = None
    return list(made)


def mean_vectors(texts: list[str], folder: Path) -> np.ndarray:
    """Mean token vectors, one text at a time, without sentence-transformers."""
    tokenizer = BertTokenizer.from_pretrained(folder)
    network = BertModel.from_pretrained(folder).eval()
    rows = []
    with torch.no_grad():
        for text in texts:
            vector = network(**tokenizer(text, return_tensors="pt"))[0][0].mean(0)
            rows.append((vector / vector.norm()).numpy())
    return np.stack(rows)


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_neighbours_are_brute_force_s(metric: pairing.Metric, encoder: Path) -> None:
    texts = sentences(70, seed=0)
    targets, pool = texts[:12], [*texts[12:], texts[3]]  # one target is in the pool as well
    found = find_neighbours(targets, pool, str(encoder), metric)
    ours, theirs = mean_vectors(targets, encoder), mean_vectors(pool, encoder)
    if metric == "cosine":
        score = ours @ theirs.T
    else:
        score = -((ours[:, None] - theirs[None]) ** 2).sum(-1)
    score[:, -1] = -np.inf  # eq. 2: a target is never its own or another target's neighbour
    assert found == score.argmax(1).tolist()
    assert len(set(found)) > 3, "an encoder that tells nothing apart would test nothing"


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_of_equal_neighbours_the_lowest_index_counts(metric: pairing.Metric) -> None:
    unit = np.eye(4, dtype=np.float32)
    candidates = unit[[1, 0, 2, 0, 2, 0]]
    assert nearest(unit[[0, 2, 1]], candidates, metric) == [1, 2, 0]


def test_of_equal_pool_texts_the_first_counts(encoder: Path) -> None:
    pool = ["the red cat", "a bird sings", "the red cat"]
    assert find_neighbours(["the red cat runs"], pool, str(encoder)) in ([0], [1])
    assert find_neighbours(["a house"], ["blue dog", "blue dog"], str(encoder)) == [0]


def test_a_second_search_computes_nothing(
    encoder: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = sentences(20, seed=2)
    found = find_neighbours(texts[:4], texts[4:], str(encoder))
    [file] = (own_cache / "embeddings").iterdir()
    made: list[Path] = []
    load = pairing._sentence_encoder

    def counted(folder: Path) -> object:
        made.append(folder)
        return load(folder)

    monkeypatch.setattr(pairing, "_sentence_encoder", counted)
    assert find_neighbours(texts[:4], texts[4:], str(encoder)) == found
    assert not made
    for damaged in (b"", file.read_bytes()[:-7], file.read_bytes()[:-1] + b"\xff"):
        whole = file.read_bytes()
        made.clear()
        file.write_bytes(damaged)
        assert find_neighbours(texts[:4], texts[4:], str(encoder)) == found
        assert made, "a damaged cache is computed again"
        assert file.read_bytes() == whole


def test_runs_of_one_source_share_their_embeddings(encoder: Path, own_cache: Path) -> None:
    texts = sentences(20, seed=3)
    find_neighbours(texts[:4], texts[4:], str(encoder))
    find_neighbours(texts[16:], texts[:16], str(encoder), "l2")
    assert len(list((own_cache / "embeddings").iterdir())) == 1


def test_embeddings_are_normalised_and_change_with_the_text(encoder: Path) -> None:
    vectors = embed(["a cat", "a dog"], encoder)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert not np.allclose(vectors[0], vectors[1])
    assert np.allclose(vectors, mean_vectors(["a cat", "a dog"], encoder), atol=1e-5)


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "file"))
    assert find_neighbours(["a cat"], ["a dog"], str(encoder)) == [0]


def test_what_is_missing_is_named(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--encoder DIR"):
        encoder_folder("nobody/has-this-encoder")
    with pytest.raises(UserError, match="no sentence encoder in"):
        encoder_folder(str(tmp_path))
    with pytest.raises(UserError, match="--pool FILE"):
        find_neighbours(["a cat"], ["a cat"], str(encoder))


def test_an_unreadable_encoder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="cannot load the sentence encoder") as caught:
        find_neighbours(["a cat"], ["a dog"], str(tmp_path))
    assert "\n" not in str(caught.value)


def test_an_encoder_in_half_precision_computes_in_float32(encoder: Path, tmp_path: Path) -> None:
    half, widened = tmp_path / "half", tmp_path / "widened"
    for folder in (half, widened):
        BertTokenizer.from_pretrained(encoder).save_pretrained(folder)
    network = BertModel.from_pretrained(encoder).half()
    network.save_pretrained(half)
    network.float().save_pretrained(widened)
    texts = sentences(6, seed=4)
    assert np.array_equal(embed(texts, half), embed(texts, widened))
