"""The official logs of the field: every aggregate that they state, recomputed."""

import json
from pathlib import Path

import pytest

from unlearnbench.logs.formats import read_logs, verify

TOFU = "tofu_original_logs/ft_epoch5_lr1e-05_llama2-7b_{}_wd0.01.eval_log_aggregated.json.gz"
PAIRS = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}


@pytest.fixture
def data(shared) -> Path:
    return shared / "data"


def recomputed(verification) -> dict[str, float]:
    return {check.name: check.recomputed for check in verification.checks}


@pytest.mark.parametrize("split", PAIRS)
def test_open_unlearning_tofu(data, split):
    folder = data / "open_unlearning"
    path = folder / "llama-3.2-1b-full" / split / "TOFU_EVAL.json.gz"
    retained = folder / f"llama-3.2-1b-{PAIRS[split]}" / "TOFU_EVAL.json.gz"
    verification = verify(path, retained)
    assert (verification.problems, verification.is_sound) == ((), True)
    assert {check.verdict for check in verification.checks} == {"equal", ""}  # to the last digit
    summary = json.loads(path.with_name("TOFU_SUMMARY.json").read_text())
    values = recomputed(verification)
    assert {name: repr(values[name]) for name in summary} == {
        n: repr(x) for n, x in summary.items()
    }
    assert {"forget_quality", "model_utility", "privleak"} <= summary.keys()
    alone = verify(retained)
    assert {check.verdict for check in alone.checks} == {"equal"}
    assert any("silently takes" in note for note in alone.notes)  # it was given no retain log


def test_open_unlearning_muse(data):
    folder = data / "open_unlearning"
    paths = [folder / f"muse-news-{name}" / "MUSE_EVAL.json.gz" for name in ("target", "retrain")]
    verification = verify(*paths)
    assert verification.is_sound
    assert {check.verdict for check in verification.checks} == {"equal"}
    summary = json.loads(paths[0].with_name("MUSE_SUMMARY.json").read_text())
    values = recomputed(verification)
    assert {name: values[name] for name in summary} == summary


def test_a_reference_of_another_split_is_named(data):
    folder = data / "open_unlearning"
    path = folder / "llama-3.2-1b-full" / "forget10" / "TOFU_EVAL.json.gz"
    verification = verify(path, folder / "llama-3.2-1b-retain95" / "TOFU_EVAL.json.gz")
    assert not verification.is_sound
    assert "200 items" in verification.problems[0]
    assert "forget_quality" not in recomputed(verification)


def test_tofu_original(data):
    full, retained = (data / TOFU.format(name) for name in ("full", "retain90"))
    verification = verify(full, retained)
    assert verification.is_sound
    values = recomputed(verification)
    assert values["model_utility (geometric)"] == pytest.approx(0.6226773637, abs=5e-11)
    assert values["model_utility (arithmetic)"] == pytest.approx(0.5858860351, abs=5e-11)
    assert values["ks_distance (geometric)"] == 119 / 300
    assert values["ks_distance (arithmetic)"] == pytest.approx(123 / 300)
    assert values["forget_quality (geometric)"] == pytest.approx(1.8340664e-21, rel=1e-7)
    assert values["forget_quality (arithmetic)"] == pytest.approx(6.0319e-23, rel=1e-4)
    assert values["forget_probability"] == pytest.approx(0.9909385566, abs=5e-11)
    assert values["forget_truth_ratio (geometric)"] == pytest.approx(0.5159854213, abs=5e-11)
    other = recomputed(verify(retained))
    assert other["model_utility (geometric)"] == pytest.approx(0.6137449952, abs=5e-11)
    assert other["model_utility (arithmetic)"] == pytest.approx(0.5752399175, abs=5e-11)


def test_unlearning_depth_score(data):
    verification = verify(data / "unlearning_depth_score" / "method_results.json")
    assert verification.rows == "152 of 152 rows"
    assert verification.is_sound
    assert len(verification.checks) == 152 * 7


def test_semeval(data):
    verification = verify(data / "semeval2025_task4" / "leaderboards.csv")
    assert verification.rows == "48 of 48 rows"
    assert verification.is_sound


def test_muse_areas_and_privleak(data):
    verification = verify(data / "muse_published" / "privleak_auc.json")
    assert verification.rows == "1980 of 1980 AUCs"
    assert verification.is_sound
    values = recomputed(verification)
    assert values["news/retrain.forget_holdout.Min-40%"] == pytest.approx(0.4772)
    assert values["books/retrain.forget_holdout.Min-40%"] == pytest.approx(0.5393)
    assert values["news/whp/alpha=4.PrivLeak"] == pytest.approx(109.56, abs=0.005)
    assert values["news/target.PrivLeak"] == pytest.approx(-99.81, abs=0.005)


@pytest.mark.parametrize(("kind", "n"), [("knowmem", 500), ("verbmem", 400)])
def test_muse_rouge_of_every_answer(data, kind, n):
    pytest.importorskip("rouge_score", reason="rouge-score is not installed")
    verification = verify(data / "muse_published" / f"{kind}_per_example.news4.jsonl.gz")
    assert verification.rows == f"ROUGE of {n} of {n} answers"
    assert verification.is_sound
    assert verification.checks  # the means of rouge_summary.csv


def test_muse_means(data):
    verification = verify(data / "muse_published" / "rouge_summary.csv")
    assert verification.rows == "18 of 18 means"
    assert verification.is_sound


def test_every_published_file_can_be_read(data):
    n_models = {
        "open_unlearning/llama-3.2-1b-full/forget10/TOFU_EVAL.json.gz": 1,
        "open_unlearning/muse-news-target/MUSE_EVAL.json.gz": 1,
        TOFU.format("full"): 1,
        "unlearning_depth_score/method_results.json": 152,
        "muse_published/privleak_per_example.csv.gz": 20,
        "muse_published/rouge_summary.csv": 107,
    }
    assert {name: len(read_logs(data / name)) for name in n_models} == n_models
    tofu = read_logs(data / "open_unlearning/llama-3.2-1b-full/forget10/TOFU_EVAL.json.gz")[0]
    assert (tofu.model, tofu.benchmark, tofu.split) == ("llama-3.2-1b-full", "tofu", "forget10")
    n_items = {name: len(values) for name, values in tofu.items["answers"].items()}
    assert n_items["forget_wrong_probability"] == 400
    assert n_items["real_authors_probability_normalised"] == 100
    assert len(tofu.items["membership"]["holdout_loss"]) == 400
