"""Results as lm-eval's files: read by lm-eval's own printer, and recomputed by our reader."""

import json

import pytest
from derived_cases import measured
from golden_results import result as golden_result

from unlearnbench.errors import UserError
from unlearnbench.exporting.lm_eval_files import results_json, tasks_of, write_lm_eval
from unlearnbench.logs.formats import verify
from unlearnbench.results.record import BenchmarkRecord, EvaluationSetRecord, SplitRecord
from unlearnbench.results.score import Metric, Score


def with_scores(scores, metrics, **changes):
    return golden_result().model_copy(update={"scores": scores, "metrics": metrics, **changes})


@pytest.fixture
def table_i():
    """A result with two sets and their mean, a text, and rows."""
    accuracy = {
        name: Score.of({str(i): float(right) for i, right in enumerate(each)},
                       higher_is_better=True, outputs={"0": "B"})
        for name, each in {"hellaswag": (1, 0, 1, 1), "copa": (0, 0, 1)}.items()
    }  # fmt: skip
    mean = Score(value=(3 / 4 + 1 / 3) / 2, n=7, higher_is_better=True, stderr=0.1,
                 aggregation="mean_of_scores", parts=["hellaswag", "copa"])  # fmt: skip
    text = Score.of({"0": 2.0, "1": 3.0}, higher_is_better=False, aggregation="exp_mean")
    rows = Score.of({"7": 0.25, "9": 0.75}, higher_is_better=False)
    one_set = EvaluationSetRecord(source="x", split="test", revision=None, n=4, sha256="0" * 64)
    return with_scores(
        {
            "classification": {"cls_avg": mean, **accuracy},
            "perplexity": {"pile_ppl": text},
            "forgetting": {"ma": rows},
        },
        [
            Metric("cls_avg", "Cls Avg. (ACC)", True, task="classification"),
            Metric("hellaswag", "HellaSwag (ACC)", True, task="classification"),
            Metric("copa", "COPA (ACC)", True, task="classification"),
            Metric("pile_ppl", "Pile (PPL)", False, documents="texts", task="perplexity"),
            Metric("ma", "MA (%)", False, documents="rows", task="forgetting"),
        ],
        sets={"hellaswag": one_set, "copa": one_set},
    )


def test_a_set_and_a_text_are_tasks_and_a_mean_over_sets_is_their_group(table_i):
    content = results_json(table_i, tasks_of(table_i))
    assert content["results"]["hellaswag"]["acc,none"] == 0.75
    assert content["results"]["pile"]["ppl,none"] == pytest.approx(12.182493960703473)  # e^2.5
    assert content["results"]["forgetting"]["ma,none"] == 0.5
    assert content["group_subtasks"]["classification"] == ["hellaswag", "copa"]
    assert list(content["groups"]) == ["classification"]
    assert content["n-samples"]["copa"] == {"original": 3, "effective": 3}
    assert content["higher_is_better"]["forgetting"] == {"ma": False}


def test_lm_evals_own_printer_prints_it(table_i):
    from lm_eval.utils import make_table

    content = json.loads(json.dumps(results_json(table_i, tasks_of(table_i))))
    lines = make_table(content).splitlines()
    (hellaswag,) = [line for line in lines if "hellaswag" in line]
    assert "- hellaswag" in hellaswag  # under its group
    assert "0.7500|±  |0.2500" in hellaswag  # sqrt(.75 * .25 / 4 * 4 / 3)
    assert "0.5417" in make_table(content, "groups")


def test_every_mean_is_recomputed_from_the_samples_beside_it(table_i, tmp_path):
    files = write_lm_eval(tmp_path / "out", [table_i])
    (results,) = [path for path in files if path.name.startswith("results_")]
    checks = {check.name: check for check in verify(results).checks}
    assert set(checks) == {"hellaswag.acc,none", "copa.acc,none", "forgetting.ma,none"}
    assert {check.verdict for check in checks.values()} == {"equal"}


def test_texts_are_left_out_unless_requested(table_i, tmp_path):
    def written(folder, **options):
        files = write_lm_eval(tmp_path / folder, [table_i], **options)
        (path,) = [p for p in files if p.name.startswith("samples_hellaswag")]
        return json.loads(path.read_text().splitlines()[0])["filtered_resps"]

    assert written("numbers") == []
    assert written("texts", texts=True) == ["B"]


def test_a_benchmarks_task_is_one_for_each_split(tmp_path):
    split = SplitRecord(role="forget", source="x", n=2, sha256="0" * 64)
    splits = dict.fromkeys(("forget", "forget_rephrased", "retain"), split)
    benchmark = BenchmarkRecord(
        name="b", title="b", licence="", split="forget10", template="plain", columns=[],
        published=None, splits=splits,
    )  # fmt: skip
    values = {
        "answers": {
            "forget_probability": [0.1, 0.2],
            "forget_margin": [1, 2],
            "forget_rephrased_probability": [0.3, 0.4],
            "retain_probability": [0.5, 0.6, 0.7],
        },
        "own": {"first": [1, 2], "second": [1, 2, 3]},
    }
    result = measured("M", values).model_copy(update={"benchmark": benchmark})
    tasks = {name: list(task.scores) for name, task in tasks_of(result).items()}
    assert tasks == {
        "answers_forget": ["probability", "margin"],
        "answers_forget_rephrased": ["probability"],
        "answers_retain": ["probability"],
        "own": ["first"],
        "own_second": ["second"],
    }


def test_a_folder_with_other_files_is_refused(table_i, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        write_lm_eval(tmp_path, [table_i])
