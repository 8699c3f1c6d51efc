"""What ratings say: every formula against another way to compute it, every join by id."""

import csv
import json
import math
import random
from statistics import fmean

import numpy as np
import pytest
from sheet_cases import cells, make_sheet, saved

from unlearnbench.cli import status_of
from unlearnbench.errors import UserError
from unlearnbench.ratings.human.comparison import compare_items, compare_means
from unlearnbench.ratings.human.ratings import Filled
from unlearnbench.ratings.human.scale import SCALE, instructions, normalised_human_score
from unlearnbench.ratings.human.scores import (
    krippendorff_alpha,
    mean_interval,
    pearson,
    quadratic_weighted_kappa,
    study_scores,
)
from unlearnbench.ratings.human.sheet import Key, KeyItem, read_key
from unlearnbench.ratings.judge.questions import items_of
from unlearnbench.ratings.judge.replies import Judge, JudgeFiles, Reply
from unlearnbench.ratings.judge.rubric import Prompt
from unlearnbench.results.score import Score

# Four observers, twelve units, in Krippendorff's "Computing Krippendorff's Alpha-Reliability"
# (2011), section C; 0 stands for a missing value.
PRINTED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]


def units_of(table):
    return [[score for score in unit if score] for unit in zip(*table, strict=True)]


def random_units(seed, n=40):
    dice = random.Random(seed)
    return [[dice.randint(1, 8) for _ in range(dice.randint(0, 4))] for _ in range(n)]


def alpha_by_coincidences(units, level):
    """Krippendorff's alpha by the matrix of coincidences, as his paper lays it out."""
    o = np.zeros((9, 9))
    for unit in units:
        for i, a in enumerate(unit):
            for j, b in enumerate(unit):
                if i != j:
                    o[a, b] += 1 / (len(unit) - 1)
    n_c = o.sum(axis=1)
    ranks = np.cumsum(n_c) - n_c / 2  # the middle rank of each value
    places = np.arange(9.0) if level == "interval" else ranks
    delta = (places[:, None] - places[None, :]) ** 2
    return 1 - (n_c.sum() - 1) * (o * delta).sum() / (np.outer(n_c, n_c) * delta).sum()


@pytest.mark.parametrize(("level", "printed"), [("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_own_example(level, printed):
    assert krippendorff_alpha(units_of(PRINTED), level) == pytest.approx(printed, abs=5e-4)


@pytest.mark.parametrize("level", ["interval", "ordinal"])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_equals_the_one_by_coincidences(level, seed):
    units = random_units(seed)
    found = krippendorff_alpha(units, level)
    assert found == pytest.approx(alpha_by_coincidences(units, level))


@pytest.mark.parametrize("seed", range(3))
def test_interval_alpha_equals_nltks(seed):
    from nltk.metrics.agreement import AnnotationTask

    units = random_units(seed)
    data = [(c, f"{i}", s) for i, unit in enumerate(units) for c, s in enumerate(unit)]
    task = AnnotationTask(data, distance=lambda a, b: float((a - b) ** 2))
    assert krippendorff_alpha(units) == pytest.approx(task.alpha())


def test_alpha_of_perfect_agreement_is_one_and_undefined_is_none():
    assert krippendorff_alpha([[1, 1], [5, 5, 5], [8]]) == 1.0
    assert krippendorff_alpha([[1, 8], [8, 1]]) < 0
    for units in ([], [[3], [4]], [[3, 3], [3, 3]], [[3, 3], [5]]):
        assert krippendorff_alpha(units) is None


@pytest.mark.parametrize("seed", range(3))
def test_weighted_kappa_equals_scikit_learns(seed):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    a, b = np.random.default_rng(seed).integers(1, 9, size=(2, 30)).tolist()
    expected = metrics.cohen_kappa_score(a, b, weights="quadratic", labels=range(1, 9))
    assert quadratic_weighted_kappa(a, b) == pytest.approx(expected)


def test_weighted_kappa_is_none_where_it_is_undefined():
    assert quadratic_weighted_kappa([], []) is None
    assert quadratic_weighted_kappa([3, 3], [3, 3]) is None
    assert quadratic_weighted_kappa([1, 2], [1, 2]) == 1.0


def test_normalised_score_maps_the_scale_to_the_judges():
    assert [normalised_human_score(s) for s in (1, 4.5, 8)] == [0.0, 5.0, 10.0]
    for wrong in (0.99, 8.01, math.nan):
        with pytest.raises(ValueError):
            normalised_human_score(wrong)


def test_pearson_and_its_interval_are_those_of_the_formulas():
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    b = b + a
    found = pearson(a.tolist(), b.tolist())
    r = np.corrcoef(a, b)[0, 1]
    margin = 1.959963984540054 / math.sqrt(12 - 3)
    assert found.r == pytest.approx(r)
    assert found.low == pytest.approx(math.tanh(math.atanh(r) - margin))
    assert found.high == pytest.approx(math.tanh(math.atanh(r) + margin))
    assert found.n == 12


def test_pearson_is_none_where_it_is_undefined():
    for first, second in (([1, 2], [3, 4]), ([1, 1, 1, 1], [1, 2, 3, 4])):
        undefined = pearson(first, second)
        assert (undefined.r, undefined.low, undefined.high) == (None, None, None)
        assert undefined.n == len(first)
    three = pearson([1, 2, 3], [1, 2, 4])
    assert (three.low, three.high, three.n) == (None, None, 3)


def test_pearson_on_the_published_human_table(shared):
    path = shared / "published" / "results.csv"
    if not path.is_file():
        pytest.skip(f"the published table is not at {path}")
    with path.open(newline="") as file:
        rows = [r for r in csv.DictReader(file) if (r["source"], r["table"]) == ("v2", "human")]
    scores = {metric: {} for metric in ("human", "gpt")}
    for r in rows:
        scores[r["metric"]][r["params"], r["method"]] = float(r["value"])
    assert len(scores["human"]) == 12
    pairs = [(h, scores["gpt"][cell]) for cell, h in scores["human"].items()]
    found = pearson([h for h, _ in pairs], [g for _, g in pairs])
    assert round(found.r, 4) == 0.8877
    # to normalise changes nothing
    normalised = [normalised_human_score(h) for h, _ in pairs]
    assert pearson(normalised, [g for _, g in pairs]).r == pytest.approx(found.r)


def test_the_interval_of_a_mean_is_students():
    from scipy.stats import ttest_1samp

    values = [3.0, 4.0, 6.0, 7.0]
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(score_of(values), 0, 10) == pytest.approx((expected.low, expected.high))
    assert mean_interval(score_of([0.0, 10.0]), 0, 10) == (0, 10)
    assert mean_interval(score_of([5.0]), 0, 10) is None


def score_of(values):
    return Score.of({str(n): value for n, value in enumerate(values)}, higher_is_better=True)


def entry(method, doc_id, position, **changes):
    parts = {"method": method, "method_name": method.lower(), "doc_id": doc_id}
    fixed = {"model": "m", "role": "method", "status": "ok", "source": "s", "run": "0", "seed": 1}
    given = {"result_key": f"key-{method}", "position": position, **fixed, **parts, **changes}
    return KeyItem(**given)


# Written so that joining by position would pair other items.
KEY = Key(
    sheet="s",
    seed=0,
    items={
        "b1": entry("KL", "7", 1, status="not_forgotten"),
        "c1": entry("ICU", "3", 0),
        "d1": entry("KL", "3", 1),
        "f1": entry("ICU", "7", 0),
    },
)


def annotator(tmp_path, name, scores):
    return Filled(name, tmp_path / f"{name}.csv", scores, ())


def both(tmp_path):
    return [
        annotator(tmp_path, "anna", {"f1": 8, "d1": 2, "c1": 7, "b1": 1}),
        annotator(tmp_path, "ben", {"b1": 2, "c1": 5}),
    ]


def test_scores_are_those_worked_out_by_hand(tmp_path):
    found = study_scores(KEY, both(tmp_path))
    anna, ben = found.annotators
    assert (anna.n, anna.n_missing, anna.mean) == (4, 0, 4.5)
    assert (ben.n, ben.n_missing, ben.mean) == (2, 2, 3.5)
    icu, kl = found.cells
    assert (icu.method, icu.not_forgotten, icu.n_documents, icu.n_scores) == ("ICU", False, 2, 3)
    assert icu.mean == pytest.approx((8 + (7 + 5) / 2) / 2)
    assert icu.normalised == pytest.approx(fmean([10.0, 10 * 5 / 7]))
    assert (kl.method, kl.not_forgotten, kl.mean) == ("KL", True, pytest.approx((1.5 + 2) / 2))
    assert found.agreement.n_items == 2
    (pair,) = found.agreement.pairs
    assert (pair.n, pair.pearson) == (2, None)
    assert pair.weighted_kappa == pytest.approx(quadratic_weighted_kappa([1, 7], [2, 5]))


def test_the_judge_is_joined_by_result_and_doc_id(tmp_path):
    judged = {("key-ICU", "7"): 9.0, ("key-KL", "3"): 1.0, ("key-KL", "7"): 3.0}
    judged |= {("key-ICU", "99"): 0.0, ("other", "3"): 0.0}
    found = compare_items(KEY, both(tmp_path), judged)
    icu, kl = found.cells
    assert (icu.method, icu.human, icu.judge, icu.n_documents) == ("ICU", 10.0, 9.0, 1)
    assert (kl.method, kl.judge, kl.n_documents) == ("KL", 2.0, 2)
    assert (found.over_cells.r, found.over_cells.n) == (None, 2)
    human = [10.0, *map(normalised_human_score, (1.5, 2))]
    expected = np.corrcoef(human, [9.0, 3.0, 1.0])[0, 1]
    assert found.over_items.r == pytest.approx(expected)


def test_means_of_the_judge_are_joined_by_label_or_name(tmp_path):
    found = compare_means(KEY, both(tmp_path), {("m", "kl"): 2.0, ("m", "ICU"): 8.0, ("x", "y"): 1})
    assert [(c.method, c.judge) for c in found.cells] == [("ICU", 8.0), ("KL", 2.0)]
    assert (found.ignored, found.unmatched, found.over_items) == (["x: y"], [], None)
    with pytest.raises(UserError, match="twice"):
        compare_means(KEY, both(tmp_path), {("m", "kl"): 2.0, ("m", "KL"): 3.0})
    with pytest.raises(UserError, match="m, ICU; m, KL"):
        compare_means(KEY, both(tmp_path), {("x", "y"): 1.0})


def test_a_name_that_two_rows_share_stands_for_neither(tmp_path):
    changed = {"c1": entry("ICU (a=1)", "3", 2, method_name="icu")}
    key = KEY.model_copy(update={"items": {**KEY.items, **changed}})
    judged = {("m", "icu"): 5.0, ("m", "ICU (a=1)"): 6.0}
    found = compare_means(key, both(tmp_path), judged)
    assert [(c.method, c.judge) for c in found.cells] == [("ICU (a=1)", 6.0)]
    assert found.ignored == ["m: icu"]


def test_the_instructions_hold_the_whole_scale():
    text = instructions()
    assert [level.score for level in SCALE] == list(range(1, 9))
    for level in SCALE:
        assert f"| {level.score} | **{level.name}** | {level.meaning} |" in text


def rated(out, key, name, offset=0):
    """A sheet filled in its own order: the better the method, the higher the score."""
    quality = {"before": 2, "dedup": 4, "kumpr": 1, "icu": 6}
    path = out / f"{name}.csv"
    lines = ["item,score"]
    for n, (item, one) in enumerate(key.items.items()):
        method = one.method_name if one.role == "method" else one.role
        lines.append(f"{item},{quality[method] + (n + offset) % 3}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def study(tmp_path):
    """A study of four methods, rated by two: key's path, ratings' paths."""
    out, key_path = make_sheet(tmp_path, cells())
    key = read_key(key_path)
    return key_path, [rated(out, key, "anna"), rated(out, key, "ben", 1)]


def score(key_path, files, *more):
    return status_of(["human", "score", str(key_path), *map(str, files), *more])


def test_score_prints_annotators_agreement_and_methods(study, capsys):
    key_path, files = study
    assert score(key_path, files) == 0
    shown = capsys.readouterr()
    for part in ("anna", "Krippendorff's alpha 0.", "anna and ben", "NEO + ICU", "95% interval"):
        assert part in shown.out
    assert shown.err == ""


def test_json_is_the_whole_record_and_the_judges_csv_is_joined(study, tmp_path, capsys):
    key_path, files = study
    means = tmp_path / "judge.csv"
    means.write_text(
        "score;method;model\n7;icu;m-125\n1,5;before;m-125\n1;kumpr;m-125\n5;OPT;m-125"
    )
    assert score(key_path, files, "--json", "--judge-csv", str(means)) == 0
    record = json.loads(capsys.readouterr().out)
    judge = {c["method"]: c["judge"] for c in record["judge"]["cells"]}
    assert judge == {
        "NEO (before unlearning)": 1.5,
        "OPT": 5.0,
        "NEO + KUMPR": 1.0,
        "NEO + ICU": 7.0,
    }
    human = {c["method"]: c["normalised"] for c in record["cells"]}
    expected = np.corrcoef([human[m] for m in judge], list(judge.values()))[0, 1]
    assert record["judge"]["over_cells"]["r"] == pytest.approx(expected)
    assert record["judge"]["over_cells"]["low"] < expected < record["judge"]["over_cells"]["high"]
    assert [a["annotator"] for a in record["annotators"]] == ["anna", "ben"]


def test_the_judges_own_files_are_read(study, tmp_path, capsys):
    key_path, files = study
    folder, results = tmp_path / "results", cells()
    judge = Judge.of("m", "localhost", Prompt("wording"))
    quality = {"before": 2, "dedup": 5, "kumpr": 1, "icu": 8}
    with JudgeFiles(folder).writing(judge) as append:
        for result in results[::-1]:
            for doc_id, item in items_of(result).items():
                name = result.method.name if result.role == "method" else result.role
                reply = f"Final score: {quality[name]}"
                made = Reply(
                    item=item.key,
                    cell=result.key,
                    doc_id=doc_id,
                    reply=reply,
                    finish_reason="stop",
                    max_tokens=9,
                )
                append(made)
    assert score(key_path, files, "--json", "--judge", str(folder)) == 0
    record = json.loads(capsys.readouterr().out)["judge"]
    assert [(c["judge"], c["n_documents"]) for c in record["cells"]] == [
        (float(quality[name]), 5) for name in ("before", "dedup", "icu", "kumpr")
    ]
    assert record["over_items"]["n"] == 20
    assert score(key_path, files, "--judge", str(saved(tmp_path / "other", results))) == 2
    assert "no judge has scored" in capsys.readouterr().err


def test_every_problem_is_listed_before_the_refusal(study, capsys):
    key_path, (anna, ben) = study
    anna.write_text(anna.read_text().replace(",1", ",11"))
    ben.write_text("\n".join(ben.read_text().splitlines()[:-2]))
    assert score(key_path, [anna, ben]) == 2
    *problems, last = capsys.readouterr().err.splitlines()
    assert all("item " in line and "row" in line for line in problems)
    assert last.startswith(f"unlearnbench: error: {len(problems)} problems")
    assert "--allow-missing" not in last
    assert score(key_path, [anna, ben], "--allow-missing") == 2


def test_missing_scores_are_allowed_only_if_asked(study, capsys):
    key_path, (anna, ben) = study
    ben.write_text("\n".join(ben.read_text().splitlines()[:-2]))
    assert score(key_path, [anna, ben]) == 2
    assert "--allow-missing" in capsys.readouterr().err
    assert score(key_path, [anna, ben], "--allow-missing", "--json") == 0
    shown = capsys.readouterr()
    assert "2 scores are missing" in shown.err
    assert [a["n_missing"] for a in json.loads(shown.out)["annotators"]] == [0, 2]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("model,method,score\nm-125,icu,11\n", "row 2: m-125, icu has the score '11'"),
        ("model,method,score\nm-125,icu,\n", "row 2"),
        ("model,method,score\nm-125,icu,1\nm-125,icu,1\n", "row 3: m-125, icu is there twice"),
        ("model,score\nm-125,1\n", "no column 'method'"),
    ],
)
def test_judge_means_that_are_none_are_named(study, tmp_path, capsys, content, told):
    key_path, files = study
    (tmp_path / "judge.csv").write_text(content)
    assert score(key_path, files, "--judge-csv", str(tmp_path / "judge.csv")) == 2
    assert told in capsys.readouterr().err
