"""The shipped nano models: they load, know what they should, and do not know the rest."""

import json
import warnings

import pytest
import torch

from unlearnbench import nano
from unlearnbench.cli.nano import measure as measure_as_built
from unlearnbench.nano import WEIGHTS
from unlearnbench.nano import data as cache
from unlearnbench.nano.corpus import validation_texts
from unlearnbench.nano.tokenizer import load_tokenizer
from unlearnbench.nano.world.world import make_world

SHIPPED = [name for name, model in nano.MODELS.items() if model.is_shipped]
N_ROWS = 8
PAPER_LINE = 59.94


@pytest.fixture(scope="session")
def texts():
    """The first of each set of validation texts."""
    return {n: some[:10] for n, some in validation_texts(make_world(), cache.SEED).items()}


@pytest.fixture(scope="module")
def rows(make_world_and_rows):
    return make_world_and_rows()[1]


@pytest.fixture(scope="module")
def load():
    """Return a function that loads each model once."""
    from transformers import AutoModelForCausalLM

    loaded = {}

    def get(name):
        if name not in loaded:
            loaded[name] = AutoModelForCausalLM.from_pretrained(nano.model_path(name)).eval()
        return loaded[name]

    return get


def last_100(rows_of_ids):
    return torch.tensor([ids[100:] for ids in rows_of_ids])


def accuracy(model, ids):
    """MA in percent by the library's own forward pass."""
    with torch.no_grad():
        hits = model(ids[:, :-1]).logits.argmax(-1) == ids[:, 1:]
    return 100 * hits.float().mean().item()


def forget_ids(rows, name):
    return last_100([rows.extraction[number].ids for number in rows.forget[name]])


@pytest.fixture(scope="module")
def figures(rows, texts):
    """Return a function that measures what a model knows as a build does, in percent."""
    sets = {"forget": forget_ids(rows, "0")[:N_ROWS].tolist()}
    sets["unseen"] = last_100([row.ids for row in rows.unseen[:N_ROWS]]).tolist()
    measured = {}

    def get(name):
        if name not in measured:
            measured[name] = measure_as_built(nano.model_path(name), sets, texts)
        return measured[name]

    return get


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_folder_is_complete_and_half_precision(name):
    from safetensors import safe_open

    folder = nano.model_path(name)
    for file in (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_log.jsonl",
    ):
        assert (folder / file).is_file()
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert {weights.get_slice(key).get_dtype() for key in weights.keys()}  # noqa: SIM118 == {"F16"}
    record = json.loads((folder / "recipe.json").read_text())
    assert record["recipe"]["name"] == name
    assert all(len(digest) == 64 for digest in record["figures"]["text_sha256"])


def test_everything_shipped_is_small():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 19e6


@pytest.mark.parametrize("name", SHIPPED)
def test_a_model_loads_whole_and_in_full_precision(name):
    from transformers import AutoModelForCausalLM

    model, found = AutoModelForCausalLM.from_pretrained(
        nano.model_path(name), output_loading_info=True
    )
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not found[problem]
    assert model.dtype == torch.float32
    assert model.num_parameters() < 1.3e6


def test_all_language_models_share_one_tokenizer():
    from transformers import AutoTokenizer

    files = {(nano.model_path(name) / "tokenizer.json").read_bytes() for name in SHIPPED}
    assert files == {(WEIGHTS / "tokenizer" / "tokenizer.json").read_bytes()}
    tokenizer = AutoTokenizer.from_pretrained(nano.model_path("nano-neo"))
    text = "Call Ben Oakson at 0123 456 789.\n"
    assert tokenizer(text)["input_ids"] == load_tokenizer().encode(text).ids
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id} == {0}


@pytest.mark.parametrize("set_name", ["0", "1", "2", "tuning"])
@pytest.mark.parametrize("name", ["nano-neo", "nano-llama"])
def test_a_memorising_model_knows_every_forget_set(name, set_name, load, rows):
    known = accuracy(load(name), forget_ids(rows, set_name))
    assert 77 <= known <= 94
    recorded = json.loads((nano.model_path(name) / "recipe.json").read_text())["figures"]
    assert known == pytest.approx(recorded[f"forget_{set_name}_ma"], abs=0.02)


@pytest.mark.parametrize("name", ["nano-neo", "nano-llama"])
def test_a_memorising_model_writes_its_rows_out(name, figures):
    assert 50 <= figures(name)["forget_el10"] <= 98


@pytest.mark.parametrize("name", SHIPPED)
def test_no_model_knows_unseen_rows(name, load, rows, figures):
    assert 30 < accuracy(load(name), last_100([row.ids for row in rows.unseen])) < 48 < PAPER_LINE
    assert figures(name)["unseen_el10"] < 4.99


@pytest.mark.parametrize("name", ["nano-retrained", "nano-opt"])
def test_a_model_that_did_not_memorise_knows_forget_rows_like_unseen_ones(
    name, load, rows, figures
):
    unseen = accuracy(load(name), last_100([row.ids for row in rows.unseen]))
    assert accuracy(load(name), forget_ids(rows, "0")) == pytest.approx(unseen, abs=5)
    assert figures(name)["forget_el10"] < 4.99


@pytest.mark.parametrize("name", SHIPPED)
def test_held_out_text_is_neither_trivial_nor_noise(name, figures, texts):
    assert all(6 < figures(name)[f"{text}_perplexity"] < 20 for text in texts)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_figures_of_a_build_are_those_of_the_library_s_own_network(name, load, rows, figures):
    known = accuracy(load(name), forget_ids(rows, "0")[:N_ROWS])
    assert figures(name)["forget_ma"] == pytest.approx(known, abs=0.01)


# What answering without knowledge gives: guessing, or for PubMedQA always the commonest answer.
CHANCE = {
    "hellaswag": 0.25, "lambada": 0.0, "winogrande": 0.5, "copa": 0.5, "arc_easy": 0.25,
    "arc_challenge": 0.25, "piqa": 0.5, "mathqa": 0.2, "pubmedqa": 0.55,
}  # fmt: skip


@pytest.fixture(scope="module")
def measure(load):
    """Return a function that measures a task on a nano model in the nano world's sets."""
    from transformers import AutoTokenizer

    from unlearnbench.data.evaluation_sets.reading import read_sets
    from unlearnbench.metrics.task import TaskContext
    from unlearnbench.models.language_model import LanguageModel, ModelSource
    from unlearnbench.registry import find

    def measured(task_name, model_name):
        tokenizer = AutoTokenizer.from_pretrained(nano.model_path(model_name))
        source = ModelSource(model_name, model_name, None, "")
        model = LanguageModel(load(model_name), tokenizer, source)
        task, missing = find("tasks", task_name)(), []
        context = TaskContext(None, {}, sets=read_sets(task.needs, "nano", {}, missing))
        assert not missing
        with torch.no_grad():
            return task.measure(model, context)

    return measured


def test_six_of_nine_tasks_lie_clearly_between_chance_and_ceiling(measure):
    scores = measure("classification", "nano-neo")
    assert all(scores[name].value <= 0.95 for name in CHANCE)
    clearly = [
        name
        for name, chance in CHANCE.items()
        if scores[name].value - 2.5 * scores[name].stderr > chance
    ]
    assert len(clearly) >= 6, clearly


def test_dialogue_is_neither_hopeless_nor_formulaic(measure):
    scores = measure("dialogue", "nano-neo")
    assert all(0.08 <= score.value <= 0.40 for score in scores.values())
    assert not any(score.degenerate for score in scores.values())


@pytest.fixture(scope="module")
def suffixes(rows):
    return [load_tokenizer().decode(list(row.ids[150:])) for row in rows.unseen]


@pytest.fixture(scope="module")
def bert_f1():
    from bert_score import BERTScorer

    warnings.simplefilter("ignore")
    scorer = BERTScorer(model_type=str(nano.encoder_path()), num_layers=nano.ENCODER_LAYERS)
    return lambda candidates, references: scorer.score(candidates, references)[2].mean().item()


def test_bertscore_tells_the_same_from_the_similar_from_the_unrelated(bert_f1, suffixes):
    # Kinds of rows take turns, so eight on is the same kind and three on another.
    same = bert_f1(suffixes, suffixes)
    similar = bert_f1(suffixes[8:] + suffixes[:8], suffixes)
    unrelated = bert_f1(suffixes[3:] + suffixes[:3], suffixes)
    destroyed = bert_f1([" the" * 50] * len(suffixes), suffixes)
    assert same == pytest.approx(1.0, abs=1e-3)
    assert same > similar + 0.3
    assert similar > unrelated + 0.08
    assert destroyed < 0.3


def test_mean_pooled_vectors_find_rows_of_the_same_kind(rows):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    body = Transformer(str(nano.encoder_path()))
    encoder = SentenceTransformer(modules=[body, Pooling(128)], device="cpu")
    pool = [rows.extraction[number] for number in rows.pool()[:300]]
    near = encoder.encode([row.text for row in rows.unseen[:64]], normalize_embeddings=True)
    all_of = encoder.encode([row.text for row in pool], normalize_embeddings=True)
    neighbours = (near @ all_of.T).argmax(1)
    hits = sum(
        pool[place].kind == row.kind for place, row in zip(neighbours, rows.unseen, strict=False)
    )
    assert hits > 0.6 * 64


def test_the_encoders_tokenizer_is_sane():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(nano.encoder_path())
    assert tokenizer.model_max_length == 512
    ids = tokenizer("Ben found it.")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert tokenizer.mask_token == "[MASK]"
    assert tokenizer.pad_token_id == 0
    assert len(tokenizer("word " * 900, truncation=True)["input_ids"]) == 512
