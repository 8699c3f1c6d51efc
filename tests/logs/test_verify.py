"""`unlearnbench verify` on small logs: what agrees, what is impossible, what cannot be read."""

import gzip
import json
import math
import random

import pytest
from log_cases import RETAIN_SEED, open_unlearning_log, write

from unlearnbench.cli import status_of
from unlearnbench.logs.formats import recognise, verify


@pytest.fixture
def retained():
    return open_unlearning_log(RETAIN_SEED, known=2.5)


@pytest.fixture
def log(retained):
    return open_unlearning_log(reference=retained)


@pytest.fixture
def check(tmp_path, retained, capsys):
    """Verify a log against the retrained model's: status and what was printed."""

    def run(log, reference=retained, *flags):
        path = write(tmp_path / "model", log)
        arguments = ["verify", str(path), *flags]
        if reference is not None:
            arguments += ["--reference", str(write(tmp_path / "retained", reference))]
        status = status_of(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_a_sound_log(check, log):
    status, out, _ = check(log)
    assert status == 0, out
    assert "wrong:" not in out
    assert f"{log['forget_quality']['agg_value']!r}" in out
    assert "25 of 25 stated aggregates agree" in out


def test_the_summary_beside_the_log_is_compared_too(check, log, tmp_path):
    summary = {"model_utility": log["model_utility"]["agg_value"], "privleak": 7.0}
    write(tmp_path / "model", summary, "TOFU_SUMMARY.json")
    status, out, _ = check(log)
    assert status == 1
    line = next(line for line in out.splitlines() if "7.0" in line)
    assert "DIFFERS" in line
    assert "TOFU_SUMMARY.json" in line
    assert "log, TOFU_SUMMARY.json" in out  # where both say the same


def test_without_a_reference_nothing_relative_is_computed(check, log):
    status, out, _ = check(log, None)
    assert status == 0
    assert "no --reference" in out
    assert "takes a reference AUC of" in out
    assert not any(line.startswith(("forget_quality", "privleak")) for line in out.splitlines())


def spoil_utility(log):
    log["model_utility"]["agg_value"] += 0.01


def spoil_ladder(log):
    log["forget_quality"]["agg_value"] *= 1.1


def spoil_leakage(log):
    log["privleak"]["agg_value"] = 5215.0


def spoil_half(log):
    area = 1 - log["mia_min_k"]["agg_value"]
    log["privleak"]["agg_value"] = (area - 0.5) / (0.5 + 1e-10) * 100


def spoil_area(log):
    log["mia_min_k"]["agg_value"] = 1.2


def spoil_probability(log):
    log["retain_Q_A_Prob"]["value_by_index"]["3"]["prob"] = 1.5


def spoil_ratio(log):
    log["forget_truth_ratio"]["value_by_index"]["5"]["score"] *= 2


def spoil_mean(log):
    log["forget_Q_A_ROUGE"]["agg_value"] += 1e-9


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_utility, ["model_utility", "DIFFERS"]),
        (spoil_ladder, ["off the ladder", "the nearest", "/40"]),
        (spoil_leakage, ["PrivLeak 5215 is impossible", "reference AUC"]),
        (spoil_half, ["AUC of 0.5, which OpenUnlearning silently takes"]),
        (spoil_area, ["mia_min_k: AUC 1.2 is not within 0 and 1"]),
        (spoil_probability, ["retain_Q_A_Prob.prob: 1 of 12 values", "1.5"]),
        (spoil_ratio, ["forget_truth_ratio: 1 of 40 items", "the first 5"]),
        (spoil_mean, ["forget_Q_A_ROUGE", "DIFFERS"]),
    ],
)
def test_what_is_wrong_is_said(check, log, spoil, words):
    spoil(log)
    status, out, _ = check(log)
    assert status == 1
    for word in words:
        assert word in out


def test_leakage_without_a_reference(check, log):
    spoil_half(log)
    status, out, _ = check(log, None)
    assert status == 0  # possible, and says nothing of a retrained model
    assert "silently takes" in out
    spoil_leakage(log)
    status, out, _ = check(log, None)
    assert status == 1
    assert "knows the forget set" in out


@pytest.mark.parametrize("change", ["number", "answers"])
def test_a_reference_of_other_items(check, log, change):
    other = open_unlearning_log(RETAIN_SEED, n_forget=39 if change == "number" else 40)
    if change == "answers":
        other["forget_Q_A_ROUGE"]["value_by_index"]["7"]["ground_truth"] = "another"
    status, out, _ = check(log, other)
    assert status == 1
    assert "not compared with TOFU_EVAL.json" in out
    assert ("39 items" if change == "number" else "item 7 of forget is 'another'") in out


def drop(*keys):
    def spoil(log):
        for key in keys[:-1]:
            log = log[key]
        del log[keys[-1]]

    return spoil


def nest(log):
    log["forget_Q_A_Prob"]["value_by_index"] = [{"prob": 0.1}]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop("forget_Q_A_Prob", "value_by_index"), ["forget_Q_A_Prob", "'value_by_index'"]),
        (drop("forget_Q_A_Prob", "value_by_index", "4", "prob"), ["value_by_index.4", "'prob'"]),
        (drop("mia_min_k", "holdout"), ["mia_min_k", "'holdout'"]),
        (nest, ["forget_Q_A_Prob.value_by_index", "as OpenUnlearning writes it"]),
    ],
)
def test_a_log_of_another_version_names_the_key(check, log, spoil, words):
    spoil(log)
    status, _, err = check(log)
    assert status == 2
    assert err.count("\n") == 1
    for word in words:
        assert word in err


def test_a_file_that_is_cut_short(tmp_path, capsys, log):
    path = tmp_path / "TOFU_EVAL.json"
    path.write_text(json.dumps(log)[:-40])
    assert status_of(["verify", str(path)]) == 2
    assert "cut short" in capsys.readouterr().err
    packed = tmp_path / "TOFU_EVAL.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(log).encode())[:-40])
    assert status_of(["verify", str(packed)]) == 2
    assert "damaged" in capsys.readouterr().err


@pytest.mark.parametrize("content", ['{"a": 1}', "[]", '{"a": {"b": 2}}'])
def test_a_file_of_no_known_kind(tmp_path, capsys, content):
    path = tmp_path / "other.json"
    path.write_text(content)
    assert status_of(["verify", str(path)]) == 2
    err = capsys.readouterr().err
    for kind in ("OpenUnlearning", "TOFU", "MUSE", "UDS", "lm-eval", "SemEval"):
        assert kind in err
    assert "agg_value" in err


def test_a_reference_of_another_kind(tmp_path, capsys, log):
    path = write(tmp_path, log)
    other = tmp_path / "results.json"
    other.write_text(json.dumps({"results": {"mmlu": {"acc,none": 0.5}}}))
    assert status_of(["verify", str(path), "--reference", str(other)]) == 2
    assert "another kind (lm-eval)" in capsys.readouterr().err
    assert status_of(["verify", str(other), "--reference", str(path)]) == 2
    assert "leave --reference out" in capsys.readouterr().err


def test_lm_eval_with_its_samples(tmp_path):
    stamp = "_2026-01-01T00-00-00.000000"
    values = [1.0, 0.0, 1.0, 1.0]
    results = {
        "model_name": "org/model",
        "results": {
            "mmlu": {"acc,none": 0.75, "acc_stderr,none": 0.25, "alias": "mmlu"},
            "wmdp": {"acc,none": 0.5},
        },
    }
    path = tmp_path / f"results{stamp}.json"
    path.write_text(json.dumps(results))
    rows = [{"doc_id": i, "filter": "none", "acc": value} for i, value in enumerate(values)]
    samples = tmp_path / f"samples_mmlu{stamp}.jsonl"
    samples.write_text("\n".join(map(json.dumps, rows)))
    kind, contents = recognise(path)
    read = kind.read(contents)[0]
    assert read.model == "org/model"
    assert read.items["multiple_choice"]["mmlu_accuracy"] == dict(zip("0123", values, strict=True))
    assert read.totals["multiple_choice"]["wmdp_accuracy"] == (0.5, None)
    verification = verify(path)
    assert [check.verdict for check in verification.checks] == ["equal"]
    assert "wmdp.acc,none" in verification.notes[0]
    samples.write_text("\n".join(map(json.dumps, rows[:3])))
    assert not verify(path).is_sound


def test_leakage_of_a_model_that_knows_every_text(check, log):
    for item in log["mia_min_k"]["forget"]["value_by_index"].values():
        item["score"] = 0.0
    log["mia_min_k"]["agg_value"] = 1.0
    log["privleak"]["agg_value"] = -99.99999998
    assert check(log, None)[0] == 0
    log["privleak"]["agg_value"] = -80.0
    status, out, _ = check(log, None)
    assert status == 1
    assert "-100 goes with 1" in out


@pytest.mark.parametrize("value", [float("nan"), -1e6, 10**400])
def test_a_number_that_is_none_is_told(check, log, value):
    log["mia_min_k"]["forget"]["value_by_index"]["3"]["score"] = value
    log["forget_Q_A_PERT_Prob"]["value_by_index"]["3"]["avg_loss"][1] = value
    status, _, err = check(log)
    assert status == 2
    assert err.count("\n") == 1
    assert "TOFU_EVAL.json" in err


@pytest.mark.parametrize("seed", range(25))
def test_a_spoilt_log_is_never_a_traceback(check, log, seed):
    draw = random.Random(seed)
    part = log
    while True:
        key = draw.choice(list(part) if isinstance(part, dict) else range(len(part)))
        if isinstance(part[key], dict | list) and part[key] and draw.random() < 0.8:
            part = part[key]
            continue
        part[key] = draw.choice([None, [], {}, "x", True, -1, math.nan, [1, 2], {"a": 1}])
        break
    status, _, err = check(log)
    assert status in (0, 1, 2)
    assert err.count("\n") == (status == 2)
