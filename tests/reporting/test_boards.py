"""Published boards of benchmarks: their figures, and how they stand beside results."""

import csv
import json

import pytest
from log_cases import RETAIN_SEED, open_unlearning_log, write

from unlearnbench.cli import status_of
from unlearnbench.reporting.published.boards import boards, distances


def board(name):
    return next(one for one in boards() if one.name == name)


def test_a_distance_is_read_off_its_p():
    assert distances("1.27e-3", 40) == (17 / 40, 17 / 40)
    assert distances("5.87e-14", 200) == (78 / 200, 78 / 200)
    assert distances("4.35e-25", 400) == (149 / 400, 149 / 400)
    assert distances("1.80e-229", 400) == (396 / 400, 396 / 400)
    low, high = distances("0.02", 400)  # two digits leave several steps open
    assert low < 43 / 400 < high + 1e-9
    assert distances("0.5", 40) is None  # between two steps


def test_every_published_p_is_on_its_ladder():
    n_items = {"forget01": 40, "forget05": 200, "forget10": 400}
    rows = board("tofu-openunlearning").rows
    assert len(rows) == 48
    for row in rows:
        assert distances(row.values["forget_quality"], n_items[row.split]) is not None, row


def test_the_boards_are_the_published_figures(shared):
    path = shared / "data" / "open_unlearning" / "repro_tables.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    published = sorted(float(row["published"]) for row in rows)
    ours = [
        float(value)
        for name in ("tofu-openunlearning", "muse-openunlearning")
        for row in board(name).rows
        for value in row.values.values()
    ]
    assert sorted(ours) == published
    models = json.loads((shared / "data/unlearning_depth_score/method_results.json").read_text())[
        "models"
    ]
    best = {}
    for model in models:
        best[model["method"]] = max(best.get(model["method"], 0), model["overall"])
    own = [float(row.values["overall"]) for row in board("tofu-uds").rows]
    assert sorted(own) == pytest.approx(sorted(best.values()), abs=5.1e-5)
    areas = json.loads((shared / "data/muse_published/privleak_auc.json").read_text())
    for row in board("muse").rows:
        if row.method == "whp":
            corpus = row.split
            own = areas[f"{corpus}/whp/{row.checkpoint}"]["forget_holdout"]["Min-40%"]
            other = areas[f"{corpus}/retrain"]["forget_holdout"]["Min-40%"]
            leak = (own - other) / other * 100
            assert float(row.values["privacy_leakage"]) == pytest.approx(leak, abs=0.0051)


def test_raw_logit_rows_are_marked():
    rows = board("muse").rows
    marked = {row.method for row in rows if row.mark}
    assert marked == {"npo", "npo_gdr", "npo_klr", "ga_klr"}
    assert "raw logits" in board("muse").marked
    assert {row.split for row in board("muse").of("muse-news", "forget")} == {"news"}


@pytest.fixture
def imported(tmp_path, capsys):
    path = write(tmp_path / "own", open_unlearning_log())
    retained = write(tmp_path / "retained", open_unlearning_log(RETAIN_SEED, known=2.5))
    out = tmp_path / "results"
    assert status_of(["import", str(path), "--reference", str(retained), "--out", str(out)]) == 0
    capsys.readouterr()
    return out


def test_a_report_lays_the_boards_beside(imported, capsys):
    assert status_of(["report", str(imported), "--beside-published"]) == 0
    out = capsys.readouterr().out
    assert "tofu forget01 beside OpenUnlearning" in out
    assert "licence MIT" in out
    assert "Published, other models" in out
    lines = out.splitlines()
    own = next(line for line in lines if line.startswith("own"))
    npo = next(line for line in lines if line.startswith("NPO (Llama-3.2-1B-Instruct)"))
    assert "here" in own
    assert "published" in npo
    assert "0.92" in npo.split()
    assert "Table I" not in out  # a benchmark's results are no rows of the paper


def test_results_without_a_board_are_told(imported, tmp_path, capsys):
    from unlearnbench.results.store import Store

    store = Store(imported)
    for result in store.load_all()[0]:
        assert result.benchmark is not None
        benchmark = result.benchmark.model_copy(update={"published": None})
        store.save(result.model_copy(update={"benchmark": benchmark}))
    assert status_of(["report", str(imported), "--beside-published"]) == 2
    assert "there are boards of muse, tofu, uds" in capsys.readouterr().err
