"""`unlearnbench import`: logs as result rows, and what a report shows of them."""

import math
from dataclasses import replace

import pytest
from log_cases import RETAIN_SEED, open_unlearning_log, write

from unlearnbench.cli import status_of
from unlearnbench.results.store import Store


@pytest.fixture
def files(tmp_path):
    retained = open_unlearning_log(RETAIN_SEED, known=2.5)
    log = open_unlearning_log(reference=retained)
    return write(tmp_path / "model", log), write(tmp_path / "retained", retained), log


def imported(folder):
    results, damages = Store(folder).load_all()
    assert not damages
    return {result.label: result for result in results}


def test_a_log_becomes_a_result(files, tmp_path, capsys):
    path, retained, log = files
    out = tmp_path / "results"
    command = ["import", str(path), "--reference", str(retained), "--label", "NPO"]
    assert status_of([*command, "--benchmark", "tofu", "--out", str(out)]) == 0
    assert "NPO (method, tofu forget01)" in capsys.readouterr().out
    results = imported(out)
    assert {label: result.role for label, result in results.items()} == {
        "NPO": "method",
        "retained": "retrained",
    }
    result = results["NPO"]
    assert (result.model.name, result.group) == ("model", "tofu forget01")
    assert result.imported is not None
    assert result.imported.kind == "OpenUnlearning"
    assert result.imported.stated["model_utility"] == log["model_utility"]["agg_value"]
    assert result.imported.sha256 in result.environment.platform
    answers = result.scores["answers"]
    prob = log["forget_Q_A_Prob"]["value_by_index"]
    assert answers["forget_probability"].documents == {i: v["prob"] for i, v in prob.items()}
    wrong = log["forget_Q_A_PERT_Prob"]["value_by_index"]["2"]["avg_loss"]
    assert answers["forget_wrong_probability"].documents["2"] == pytest.approx(
        math.exp(-sum(wrong) / 5)
    )
    assert answers["forget_wrong_probability_arithmetic"].documents["2"] == pytest.approx(
        sum(math.exp(-x) for x in wrong) / 5
    )
    assert result.scores["membership"]["holdout_min_k"].n == 40
    assert result.benchmark is not None
    assert (result.benchmark.name, result.benchmark.split) == ("tofu", "forget01")
    assert result.benchmark.splits["holdout"].role == "holdout"
    assert result.forget_set.content_sha256 == results["retained"].forget_set.content_sha256


def test_a_second_import_changes_nothing_else(files, tmp_path):
    path, _, _ = files
    out = tmp_path / "results"
    for _ in range(2):
        assert status_of(["import", str(path), "--out", str(out)]) == 0
    assert len(imported(out)) == 1
    assert status_of(["import", str(path), "--role", "before", "--out", str(out)]) == 0
    assert len(Store(out).load_all()[0]) == 2


def test_a_report_names_where_it_comes_from(files, tmp_path, capsys):
    path, retained, _ = files
    out = tmp_path / "results"
    status_of(["import", str(path), "--reference", str(retained), "--out", str(out)])
    capsys.readouterr()
    assert status_of(["report", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "Not measured here but imported" in printed
    assert "OpenUnlearning" in printed
    assert "Protocol" not in printed


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--split", "forget10"], "40 items to forget, which is forget01"),
        (["--benchmark", "tofo"], "did you mean 'tofu'"),
        (["--benchmark", "tofu", "--split", "forget11"], "unknown split 'forget11'"),
        (["--benchmark", "tofu", "--split", "forget10"], "40 items to forget, which is forget01"),
        (["--model", "other"], "--model other"),
    ],
)
def test_what_does_not_fit_is_refused(files, tmp_path, capsys, flags, words):
    out = tmp_path / "results"
    assert status_of(["import", str(files[0]), *flags, "--out", str(out)]) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_reference_of_another_split_is_refused(files, tmp_path, capsys):
    other = write(tmp_path / "other", open_unlearning_log(RETAIN_SEED, n_forget=39))
    out = tmp_path / "results"
    assert status_of(["import", str(files[0]), "--reference", str(other), "--out", str(out)]) == 2
    err = capsys.readouterr().err
    assert "39 items" in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_one_label_is_for_one_model(files, tmp_path, capsys):
    path, retained, _ = files
    assert status_of(["import", str(path), str(retained), "--label", "A"]) == 2
    assert "there are 2 models" in capsys.readouterr().err


def test_columns_are_those_of_the_tasks_that_measure_here():
    from unlearnbench.data.items import Split
    from unlearnbench.logs.columns import metric_of
    from unlearnbench.tasks import _splits, answers, membership, replies

    measures = frozenset(answers.Answers.measures)
    for name, role in (("forget", "forget"), ("retain", "retain"), ("world_facts", "general")):
        split = Split(name, role, (), measures=measures)
        columns = {
            "answers": [column for column, _ in answers.Answers()._columns(split)],
            "membership": [column for column, _ in membership.Membership()._scores()],
            "replies": [replies._RECALL, replies._F1],
        }
        found = _splits.SplitScores()
        for task, of_task in columns.items():
            for column in of_task:
                if column.name == "margin":  # no log has it
                    continue
                found.add(split, column, {"0": 0.5})
                declared = replace(found.metrics[-1], task=task)
                assert metric_of(task, declared.name) == declared
