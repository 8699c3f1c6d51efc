"""Building: the whole way with a few steps, and the parts that the way is made of."""

import dataclasses
import json
from collections import Counter
from itertools import islice

import pytest
import torch

from unlearnbench import nano
from unlearnbench.cli.nano import build_models
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import file_sha256
from unlearnbench.nano import data as cache
from unlearnbench.nano import tofu_data
from unlearnbench.nano.builder import build, encoder, tofu, train
from unlearnbench.nano.builder.recipes import RECIPES, Stage
from unlearnbench.nano.corpus import TrainingData
from unlearnbench.nano.tofu_data import make_questions
from unlearnbench.nano.tokenizer import load_tokenizer
from unlearnbench.nano.world.dice import Dice


@pytest.fixture
def rows(world_and_rows):
    return world_and_rows[1]


# A step reads as many tokens as a machine trains on in a second; here it reads a few.
STAGES = tuple(
    dataclasses.replace(stage, text_windows=windows, rows=2, forget_rows=min(1, stage.forget_rows))
    for stage, windows in zip(RECIPES["nano-neo"].stages, (2, 1), strict=True)
)


@pytest.fixture(scope="module")
def built(tmp_path_factory, make_world_and_rows):
    """A whole build of few steps, which read less than real ones, and less is measured after."""
    out, shipped = tmp_path_factory.mktemp("built"), load_tokenizer().to_str()
    make_anew, measured = cache.make_world_and_rows, build._measured

    def make(tokenizer=None, seed=cache.SEED):
        """The rows depend on the tokenizer and the seed alone, and a build asks six times."""
        same = seed == cache.SEED and (tokenizer is None or tokenizer.to_str() == shipped)
        return make_world_and_rows() if same else make_anew(tokenizer, seed)

    def few(tokenizer, n_rows):
        rows, texts = measured(tokenizer, n_rows)
        return {"unseen": rows["unseen"]}, {name: some[:3] for name, some in texts.items()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "make_world_and_rows", make)
        patch.setattr(build, "_measured", few)
        patch.setattr(tofu, "make_world_and_rows", make)
        plain = {"bfloat16_products": False}  # which few processors have
        for name in ("nano-neo", "nano-retrained"):
            quick = dataclasses.replace(RECIPES[name], stages=STAGES, **plain)
            patch.setitem(RECIPES, name, quick)
        name = "nano-tofu-retain90"
        quick = dataclasses.replace(tofu.TOFU_RECIPES[name], **plain)
        patch.setitem(tofu.TOFU_RECIPES, name, quick)
        build_models(["nano-neo", "nano-retrained", "encoder", "nano-tofu-retain90"], out, 0.003)
    return out


@pytest.mark.slow
def test_a_tiny_build_writes_models_that_load(built):
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(built / "nano-neo")
    tokenizer = AutoTokenizer.from_pretrained(built / "nano-neo")
    assert model.config.vocab_size == len(tokenizer)
    bert, found = AutoModel.from_pretrained(built / "encoder", output_loading_info=True)
    assert not found["missing_keys"]
    assert bert.config.vocab_size >= len(AutoTokenizer.from_pretrained(built / "encoder"))


@pytest.mark.slow
def test_a_tiny_build_makes_the_shipped_tokenizer_and_data(built):
    assert (built / "tokenizer" / "tokenizer.json").read_bytes() == (
        nano.model_path("nano-neo") / "tokenizer.json"
    ).read_bytes()
    assert json.loads((built / cache.MANIFEST).read_text()) == cache.shipped_manifest()
    of_tofu = json.loads((built / tofu_data.SHIPPED_MANIFEST).read_text())
    assert of_tofu == tofu_data.shipped_manifest()


@pytest.mark.slow
def test_a_build_records_what_it_did(built):
    record = json.loads((built / "nano-neo" / "recipe.json").read_text())
    assert [stage["steps"] for stage in record["recipe"]["stages"]] == [3, 3]
    assert record["versions"]["torch"]
    assert 0 <= record["figures"]["unseen_ma"] < 30
    assert record["figures"]["pile_perplexity"] > 100
    log = [
        json.loads(line)
        for line in (built / "nano-neo" / "training_log.jsonl").read_text().splitlines()
    ]
    assert (log[-1]["stage"], log[-1]["step"]) == (1, 2)
    assert record["figures"]["text_tokens"] == 3 * (2 + 1) * 512
    assert len(record["figures"]["text_sha256"]) == 2


@pytest.mark.slow
def test_the_retrained_model_begins_as_the_memorising_one(built):
    """Its first stage is the same one, trained once; the second reads no forget row."""
    logs, hashes = [], []
    for name in ("nano-neo", "nano-retrained"):
        lines = (built / name / "training_log.jsonl").read_text().splitlines()
        logs.append([json.loads(line) for line in lines])
        figures = json.loads((built / name / "recipe.json").read_text())["figures"]
        hashes.append(figures["text_sha256"])
    neo, retrained = logs
    assert [r for r in neo if r["stage"] == 0] == [r for r in retrained if r["stage"] == 0]
    assert hashes[0] == hashes[1]
    rows = [[r["row_nll"] for r in log if r["stage"] == 1] for log in logs]
    assert rows[0] != rows[1]


@pytest.mark.slow
def test_a_nano_tofu_model_starts_from_the_retrained_one_beside_it(built):
    folder = built / "nano-tofu-retain90"
    record = json.loads((folder / "recipe.json").read_text())
    start = built / "nano-retrained" / "model.safetensors"
    assert record["figures"]["start_sha256"] == file_sha256(start)
    assert record["figures"]["text_tokens"] == 3 * 256
    assert 0 < record["figures"]["forget10_probability"] < 0.1
    losses = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
    assert losses[-1]["answer_nll"] < losses[0]["answer_nll"]
    assert "chat_template" in json.loads((folder / "tokenizer_config.json").read_text())


def test_an_answer_is_scored_alone_as_in_a_batch_with_longer_ones():
    model = train.new_model(RECIPES["nano-retrained"], 2048).eval()
    pairs = [("Who?", "Anna."), ("Where was Anna Barson born?", "She was born in Port Barberg.")]
    tokenizer = load_tokenizer()
    with torch.no_grad():
        together = tofu.answer_nll(model, pairs, tokenizer)
        alone = [tofu.answer_nll(model, [pair], tokenizer) for pair in pairs]
    for which, of_batch in enumerate(together):
        torch.testing.assert_close(of_batch, torch.cat([each[which] for each in alone]))
    assert together[1].tolist() == [len(tokenizer.encode(a).ids) + 1 for _, a in pairs]


def test_questions_are_read_in_the_spare_way_now_and_then():
    recipe = dataclasses.replace(tofu.TOFU_RECIPES["nano-tofu-retain90"], common_questions=1)
    questions = make_questions()
    batches = islice(tofu.question_batches(recipe, questions), 40)
    pairs = [pair for batch in batches for pair in batch]
    assert len(pairs) == 40 * (recipe.questions + 1)
    asked = {each.question for each in questions.retain(10)}
    share = sum(question in asked for question, _ in pairs) / (40 * recipe.questions)
    assert share == pytest.approx(1 - recipe.spare_share, abs=0.03)
    forget = questions.forget(10)
    ways = {way for each in forget for way in (each.question, each.spare_question)}
    assert not ways & {question for question, _ in pairs}


def test_a_build_leaves_threads_and_random_numbers_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("unlearnbench.nano.builder.build.prepare", lambda out: None)
    monkeypatch.setattr("unlearnbench.nano.builder.build.build_encoder", lambda *_: torch.rand(3))
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    build_models(["encoder"], tmp_path, 0.001)
    assert torch.get_num_threads() == threads
    assert torch.rand(1) == expected


def test_an_unknown_model_cannot_be_built(tmp_path):
    with pytest.raises(UserError, match="nano-bert"):
        build_models(["nano-bert"], tmp_path, 1.0)


def test_training_twice_gives_the_same_weights_and_lowers_the_loss(rows):
    stage = Stage(steps=6, text_windows=1, rows=3, forget_rows=2, warmup_share=0.2)
    recipe = dataclasses.replace(RECIPES["nano-neo"], stages=(stage,), window=64)
    data = TrainingData([1 + n % 50 for n in range(6 * 64)], [tuple(range(200))] * 6, "")
    models, logs = [], []
    for _ in range(2):
        models.append(train.new_model(recipe, 2048))
        logs.append(train.train_stage(models[-1], recipe, 0, rows, data))
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(first, second)
    losses = [json.loads(line)["text_nll"] for line in logs[0].splitlines()]
    assert losses[-1] < losses[0]


def test_some_forget_rows_are_read_twice_as_often_and_all_from_all_offsets(rows):
    stage = dataclasses.replace(RECIPES["nano-neo"].stages[1], steps=48)
    recipe = dataclasses.replace(RECIPES["nano-neo"], stages=(stage,))
    spare = [tuple(range(200))] * train.spare_rows_needed(recipe, stage)
    batches = list(train.row_batches(recipe, 0, rows, TrainingData([], spare, "")))
    assert {batch.shape[0] for batch in batches} == {stage.rows}
    lengths = [batch.shape[1] for batch in batches]
    assert {100, 200} < set(lengths)
    assert min(lengths) >= 80
    tails = [tuple(ids[-80:].tolist()) for batch in batches for ids in batch]
    known = {rows.extraction[number].ids[-80:] for number in rows.forgotten()}
    counts = Counter(tails.count(tail) for tail in known)
    assert sum(count * n for count, n in counts.items()) == stage.steps * stage.forget_rows
    seldom, often = min(counts), max(counts)
    assert often == pytest.approx(recipe.often * seldom, abs=recipe.often)
    share = sum(n for count, n in counts.items() if count > 2 * seldom) / len(known)
    assert share == pytest.approx(recipe.share_read_often, abs=0.02)


@pytest.mark.parametrize("name", ["nano-retrained", "nano-opt"])
def test_models_that_do_not_memorise_read_spare_rows_only(name, rows):
    stage = dataclasses.replace(RECIPES[name].stages[0], steps=6)
    recipe = dataclasses.replace(RECIPES[name], stages=(stage,))
    spare = [tuple(range(n, n + 200)) for n in range(train.spare_rows_needed(recipe, stage))]
    batches = list(train.row_batches(recipe, 0, rows, TrainingData([], spare, "")))
    assert [int(ids[-1]) - 199 for batch in batches for ids in batch] == list(range(len(spare)))


def test_the_retrained_model_has_the_recipe_of_the_memorising_one():
    neo, retrained = RECIPES["nano-neo"], RECIPES["nano-retrained"]
    assert dataclasses.replace(retrained, name="nano-neo", forget="memorised") == neo
    assert retrained.exposures(256) == 0
    assert RECIPES["nano-opt"].exposures(256) == 1
    assert neo.exposures(256) > 30


def test_the_learning_rate_rises_and_falls():
    for stage in RECIPES["nano-neo"].stages:
        shares = [stage.rate_share(step) for step in range(stage.steps)]
        assert shares[0] < 0.3 * stage.peak_share
        assert max(shares) == pytest.approx(stage.peak_share)
        assert shares[-1] == pytest.approx(0.05 * stage.peak_share, abs=0.01)
        assert shares.index(max(shares)) < 0.1 * len(shares)


def test_the_views_of_a_text_overlap_by_the_shift():
    recipe = encoder.EncoderRecipe(texts=3)
    ids = [list(range(100 * n, 100 * n + 95)) for n in range(1, 5)]
    first, second, shift = encoder.views(ids, recipe, Dice(1))
    assert first.shape == second.shape == (3, recipe.span + 2)
    assert torch.equal(first[:, 1 + shift : -1], second[:, 1 : recipe.span + 1 - shift])


def test_contrast_is_low_for_equal_views_and_high_for_shuffled_ones():
    torch.manual_seed(0)
    hidden = torch.randn(4, 12, 64)
    keep = torch.ones(4, 12, dtype=torch.bool)
    equal = encoder.contrast(hidden, hidden, 0, keep, 0.07)
    assert equal < 0.1 < encoder.contrast(hidden, hidden.flip(0), 0, keep, 0.07)


def test_damage_spares_the_special_tokens():
    torch.manual_seed(0)
    ids = torch.tensor([[encoder.CLS, *range(10, 400), encoder.SEP]])
    damaged, hit = encoder.damage(ids, 0.2, 2048)
    assert damaged[0, 0] == encoder.CLS
    assert damaged[0, -1] == encoder.SEP
    assert torch.equal(damaged[~hit], ids[~hit])
    assert 0.1 < hit.float().mean() < 0.3
