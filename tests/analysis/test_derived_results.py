"""Derived scores of stored results: what they are made of, what they wait for, what they say."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from derived_cases import ATTACKS, FORGET, HOLDOUT, measured, model, rows
from golden_results import golden_results
from scipy.stats import ks_2samp

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.derived import aggregates, derive, klom, membership, with_derived
from unlearnbench.analysis.derived import truth_ratio as tr
from unlearnbench.analysis.statistics.marking import with_intervals
from unlearnbench.analysis.table import Column
from unlearnbench.reading import load_results
from unlearnbench.results.record import BenchmarkRecord, Result, SplitRecord
from unlearnbench.results.store import Store


def derived_of(results: Sequence[Result], label: str) -> dict:
    return next(r for r in with_derived(results) if r.label == label).scores.get("derived", {})


def values(results: Sequence[Result], label: str) -> dict[str, float]:
    return {name: score.value for name, score in derived_of(results, label).items()}


def note(results: Sequence[Result], kind: str) -> str:
    return next((n.text for n in derive(results)[1] if n.kind == kind), "")


def test_results_of_other_tasks_are_left_as_they_are() -> None:
    results = golden_results()
    derived, notes = derive(results)
    assert [id(r) for r in derived] == [id(r) for r in results]
    assert notes == ()


def test_scores_are_those_of_the_formulas() -> None:
    own, reference, before = model(3, 0.4), model(2), model(1, 0.9)
    answers, replies = own["answers"], own["replies"]
    made = values(rows(), "unlearned")

    def ratios(of: dict, split: str, right: str, average: str = "") -> np.ndarray:
        a = of["answers"]
        return a[f"{split}_wrong_probability{average}"] / (a[f"{split}_{right}"] + 1e-10)

    forget = ratios(own, "forget", "paraphrase_probability")
    assert made["forget_truth_ratio"] == pytest.approx(np.minimum(forget, 1 / forget).mean())
    prob_mean = answers["forget_paraphrase_probability"] / (
        answers["forget_paraphrase_probability"] + answers["forget_wrong_probability"] + 1e-10
    )
    assert made["forget_truth_ratio_prob_mean"] == pytest.approx(prob_mean.mean())
    test = ks_2samp(forget, ratios(reference, "forget", "paraphrase_probability"))
    assert made["forget_quality"] == test.pvalue
    assert made["ks_distance"] == test.statistic
    assert made["ks_detectable"] * FORGET == pytest.approx(15)
    assert made["ks_floor"] == pytest.approx(2 / math.comb(2 * FORGET, FORGET))

    def utility(of: dict, average: str = "") -> float:
        nine = []
        for split, right, probability in (
            ("retain", "paraphrase_probability", "probability"),
            ("real_authors", "probability", "probability_normalised"),
            ("world_facts", "probability", "probability_normalised"),
        ):
            better = np.maximum(0, 1 - ratios(of, split, right, average)).mean()
            shown = of["answers"][f"{split}_{probability}"].mean()
            nine += [shown, of["replies"][f"{split}_rouge_l_recall"].mean(), better]
        return 9 / sum(1 / x for x in nine)

    assert made["model_utility"] == pytest.approx(utility(own))
    assert made["model_utility_arithmetic"] == pytest.approx(utility(own, "_arithmetic"))
    useful = aggregates.harmonic_mean((utility(own), replies["forget_fluent"].mean()))
    useful_before = aggregates.harmonic_mean(
        (utility(before), before["replies"]["forget_fluent"].mean())
    )
    assert made["utility"] == pytest.approx(useful)
    assert made["relative_utility"] == pytest.approx(min(1, useful / useful_before))
    memorised = aggregates.memorisation(
        *(answers[f"forget_{name}"].mean() for name in
          ("extraction_strength", "exact_memorisation", "paraphrase_probability")),
        prob_mean.mean(),
    )  # fmt: skip
    assert made["memorisation"] == pytest.approx(memorised)
    close = []
    for attack in ATTACKS:
        areas = [
            np.mean(of["membership"][f"holdout_{attack}"][None] >
                    of["membership"][f"forget_{attack}"][:, None])
            for of in (own, reference)
        ]  # fmt: skip
        assert made[f"auc_{attack}"] == pytest.approx(areas[0])
        close.append(1 - min(abs(areas[0] - areas[1]) / areas[1], 1))
        assert made[f"s_mia_{attack}"] == pytest.approx(close[-1])
        if attack == "min_k":
            leak = ((1 - areas[0]) - (1 - areas[1])) / (1 - areas[1]) * 100
            assert made["privacy_leakage"] == pytest.approx(leak)
    assert made["mia"] == made["privacy"] == pytest.approx(4 / sum(1 / x for x in close))
    three = (memorised, made["mia"], made["relative_utility"])
    assert made["overall"] == pytest.approx(aggregates.harmonic_mean(three))
    less = {
        split: own["membership"][f"{split}_loss"] - reference["membership"][f"{split}_loss"]
        for split in ("forget", "holdout")
    }
    assert made["membership_reference"] == pytest.approx(membership.auc(**less))
    assert made["tpr_at_1_loss"] == membership.tpr_at_fpr(
        own["membership"]["forget_loss"], own["membership"]["holdout_loss"], 0.01
    )


def test_the_reference_is_relative_to_nothing() -> None:
    made = values(rows(), "retrained")
    assert {"forget_truth_ratio", "model_utility", "auc_loss"} <= made.keys()
    assert not {"forget_quality", "privacy_leakage", "mia", "overall"} & made.keys()


def test_intervals_hold_their_values() -> None:
    made = derived_of(rows(), "unlearned")
    with_ends = {name: s for name, s in made.items() if getattr(s, "low", None) is not None}
    assert {"ks_distance", "model_utility", "memorisation", "auc_loss", "privacy_leakage",
            "s_mia_loss", "mia", "overall", "membership_reference"} <= with_ends.keys()  # fmt: skip
    for name, score in with_ends.items():
        assert score.low <= score.value <= score.high, name
        assert score.low < score.high, name
    assert "forget_quality" not in with_ends  # a p-value has none


def test_a_reference_that_comes_later_fills_the_columns(tmp_path: Path) -> None:
    before, retrained, unlearned = rows()
    store = Store(tmp_path)
    for result in (before, unlearned):
        store.save(result)
    alone = load_results(tmp_path)
    frame = alone.to_frame().set_index("label")
    assert "forget_quality" not in frame.columns
    assert frame.loc["unlearned", "model_utility"] > 0
    assert "they appear as soon as" in " ".join(str(alone.report()).split())
    store.save(retrained)
    complete = load_results(tmp_path)
    frame = complete.to_frame().set_index("label")
    expected = values(rows(), "unlearned")
    assert frame.loc["unlearned", "forget_quality"] == expected["forget_quality"]
    assert frame.loc["unlearned", "privacy_leakage"] == pytest.approx(expected["privacy_leakage"])
    assert math.isnan(frame.loc["retrained", "forget_quality"])
    text = " ".join(str(complete.report()).split())
    assert "Relative to the retrained reference (retrained) of the same forget set: " in text
    assert "they appear as soon as" not in text
    stored = store.load(unlearned.key)
    assert isinstance(stored, Result)
    assert "derived" not in stored.scores


@pytest.mark.parametrize(
    ("task", "metrics", "gone"),
    [
        ("answers", ("forget_wrong_probability", "forget_paraphrase_probability"),
         "forget_quality"),
        ("membership", ("holdout_min_k",), "privacy_leakage"),
    ],
)  # fmt: skip
def test_a_reference_of_other_items_is_said_and_not_compared(
    task: str, metrics: Sequence[str], gone: str
) -> None:
    others = model(2)
    for name in metrics:
        others[task][name] = others[task][name][:-5]
    results = [measured("retrained", others, role="retrained"), rows()[2]]
    made = derived_of(results, "unlearned")
    assert gone not in made
    assert {"model_utility", "s_mia_loss"} <= made.keys()
    text = note(results, "not_derived")
    assert text.count("the retrained reference was measured on other items") == 1


def test_a_reference_measured_otherwise_is_said_and_not_compared() -> None:
    before, _, unlearned = rows()
    limited = {"limit": 8, "settings": {}}
    reference = measured("retrained", model(2), role="retrained", tasks=limited)
    results = [before, reference, unlearned]
    assert "forget_quality" not in derived_of(results, "unlearned")
    assert "at most 8 items, this row on all items" in note(results, "not_derived")
    other = {"limit": None, "settings": {"answers": {"template": "x"}}}
    own = {"limit": None, "settings": {"answers": {"template": "y"}}}
    reference = measured("retrained", model(2), role="retrained", tasks=other)
    results = [reference, measured("unlearned", model(3), tasks=own)]
    assert "task answers was run with other settings" in note(results, "not_derived")


def test_two_references_are_one_too_many() -> None:
    results = [*rows(), measured("retrained again", model(7), role="retrained")]
    assert "forget_quality" not in derived_of(results, "unlearned")
    text = note(results, "not_derived")
    assert "which of retrained; retrained again is the retrained reference is not clear" in text


def test_two_retrained_models_of_one_name_are_one_too_many() -> None:
    *others, unlearned = rows()
    other = others[1].model.model_copy(update={"weights_sha256": "f" * 64})
    again = measured("retrained", model(7), role="retrained", started_at="2026-03-01T00:00:00Z")
    again = again.model_copy(update={"model": other})
    results = [*others, again, unlearned]
    assert "forget_quality" not in derived_of(results, "unlearned")
    assert "ffffffff is the retrained reference is not clear" in note(results, "not_derived")
    # A row says itself which of them a task measured it against.
    said = {**unlearned.identity, "benchmark": {"retrained": {"weights_sha256": "f" * 64}}}
    told = unlearned.model_copy(update={"identity": said})
    made = derived_of([*others, again, told], "unlearned")
    expected = derived_of([others[0], again, unlearned], "unlearned")
    assert made["forget_quality"] == expected["forget_quality"]


def test_a_model_before_unlearning_that_was_measured_otherwise_is_not_compared() -> None:
    _, retrained, unlearned = rows()
    limited = {"limit": 8, "settings": {}}
    before = measured("before", model(1, 0.9), role="before", tasks=limited)
    made = derived_of([before, retrained, unlearned], "unlearned")
    assert "utility" in made
    assert not {"relative_utility", "overall"} & made.keys()
    text = note([before, retrained, unlearned], "not_derived")
    assert "not relative to before: it was measured on at most 8 items, this row on all" in text


def test_a_reference_asked_in_another_template_or_of_other_items_is_not_compared() -> None:
    _, retrained, unlearned = rows()

    def asked(result: Result, template: str, sha: str) -> Result:
        split = SplitRecord(role="forget", source="x", n=FORGET, sha256=sha)
        benchmark = BenchmarkRecord(
            name="x", title="X", split="0", template=template, columns=[], splits={"forget": split}
        )
        return result.model_copy(update={"benchmark": benchmark})

    own = asked(unlearned, "chat", "a")
    assert "forget_quality" in derived_of([asked(retrained, "chat", "a"), own], "unlearned")
    for template, sha, why in (
        ("plain", "a", "it was asked in the plain template, this row in the chat one"),
        ("chat", "b", "its split 'forget' holds other items, or is asked or measured otherwise"),
    ):
        results = [asked(retrained, template, sha), own]
        assert "forget_quality" not in derived_of(results, "unlearned")
        assert why in note(results, "not_derived")


def test_references_of_other_groups_and_forget_sets_do_not_count() -> None:
    before, retrained, unlearned = rows()
    elsewhere = measured("retrained", model(2), role="retrained", run="1")
    assert "forget_quality" not in derived_of([before, elsewhere, unlearned], "unlearned")
    elsewhere = retrained.model_copy(update={"group": "another"})
    assert "forget_quality" not in derived_of([before, elsewhere, unlearned], "unlearned")


@pytest.mark.parametrize("side", ["unlearned", "retrained"])
def test_a_missing_number_leaves_the_score_out(side: str) -> None:
    spoilt = model(2) if side == "retrained" else model(3, 0.4)
    spoilt["answers"]["forget_wrong_probability"][3] = math.nan
    role = "retrained" if side == "retrained" else "method"
    results = [r for r in rows() if r.label != side] + [measured(side, spoilt, role=role)]
    made = derived_of(results, "unlearned")
    assert "forget_quality" not in made
    assert {"model_utility", "auc_loss"} <= made.keys()
    reason = f"answers.forget_wrong_probability is not a number in 1 of {FORGET} items"
    assert reason in note(results, "not_derived")


def test_a_failed_reference_is_none() -> None:
    before, _, unlearned = rows()
    failed = measured("retrained", {}, role="retrained", status="failed", error="out of memory")
    assert "forget_quality" not in derived_of([before, failed, unlearned], "unlearned")
    assert note([before, failed, unlearned], "no_reference")


def test_a_reference_that_knows_the_forget_set_is_an_error_of_privleak() -> None:
    remembers = model(2)
    remembers["membership"]["forget_min_k"] -= 100
    results = [
        measured("retrained", remembers, role="retrained"),
        measured("unlearned", model(3)),
    ]
    assert "privacy_leakage" not in derived_of(results, "unlearned")
    assert "was trained on them, or the AUC is turned round" in note(results, "not_derived")


def test_few_items_have_values_without_intervals() -> None:
    few = {
        task: {name: of[:6] for name, of in by_metric.items()}
        for task, by_metric in model(3).items()
    }
    made = derived_of([measured("unlearned", few)], "unlearned")
    assert made["auc_loss"].low is made["model_utility"].low is None


def test_a_resample_without_a_reference_area_costs_the_interval_alone() -> None:
    """The reference's AUC is nearly 0: in some resamples it is, and nothing is relative to that."""
    reference = model(2)
    for attack in ATTACKS:
        forget, holdout = np.arange(FORGET) + 1000.0, np.arange(HOLDOUT) * 1.0
        holdout[0] = 1000.5  # above one forget text
        reference["membership"][f"forget_{attack}"] = forget
        reference["membership"][f"holdout_{attack}"] = holdout
    results = [
        measured("retrained", reference, role="retrained"), measured("unlearned", reference)
    ]  # fmt: skip
    made = derived_of(results, "unlearned")
    assert made["mia"].value == made["privacy"].value == 1
    assert made["mia"].low is None
    assert "harmonic mean" not in note(results, "not_derived")


def test_klom_takes_the_seeds_of_both() -> None:
    own = [measured("unlearned", model(10 + s, 0.4), seed=s) for s in range(3)]
    retrained = [measured("retrained", model(20 + s), role="retrained", seed=s) for s in range(2)]
    made = values([*own, *retrained], "unlearned")
    margins = [
        np.stack([r.scores["answers"]["forget_margin"].documents[str(i)] for r in of])
        for of in (own, retrained) for i in range(FORGET)
    ]  # fmt: skip
    of_items = klom.klom(np.stack(margins[:FORGET], 1), np.stack(margins[FORGET:], 1))
    assert made["klom_mean"] == pytest.approx(of_items.mean())
    assert made["klom_95"] == pytest.approx(np.percentile(of_items, 95))
    assert "klom_mean" not in values([own[0], *retrained], "unlearned")  # one seed
    # A seed that was trained by another schedule is one of another row.
    other = {**own[1].identity, "training": {"schedule": {"until": "steps"}}}
    longer = own[1].model_copy(update={"identity": other})
    assert "klom_mean" not in values([own[0], longer, *retrained], "unlearned")


def test_semeval_is_made_of_twelve() -> None:
    replies = {
        f"{role}_task{task}_{kind}": [share] * 20
        for role, share in (("forget", 0.2), ("retain", 0.7))
        for task in (1, 2, 3)
        for kind in ("regurgitation_rouge_l_recall", "knowledge_exact_match")
    }
    made = values(
        [measured("unlearned", {
            "replies": replies, "membership": model(1)["membership"],
            "multiple_choice": {"mmlu_accuracy": [1, 0, 1, 0] * 5},
        })],
        "unlearned",
    )  # fmt: skip
    assert made["task_aggregate"] == pytest.approx(12 / (6 / 0.8 + 6 / 0.7))
    score = 1 - 2 * abs(made["auc_loss"] - 0.5)
    assert made["membership_score"] == pytest.approx(score)
    assert made["semeval_score"] == pytest.approx((made["task_aggregate"] + score + 0.5) / 3)


def test_a_wrong_probability_alone_makes_no_truth_ratio() -> None:
    own = {"answers": {"forget_wrong_probability": [0.5] * 12, "forget_probability": [0.4] * 12}}
    assert derived_of([measured("unlearned", own)], "unlearned") == {}


# ---- in a table


def test_a_table_has_the_intervals_and_small_p_values() -> None:
    # Two forget sets, the second of which has two seeds: their errors add up differently.
    results = with_derived([
        *rows(), *rows(run="1"), measured("unlearned", model(8, 0.4), run="1", seed=1),
    ])  # fmt: skip
    table = with_intervals(build_table(results), {r.key: r for r in results})
    columns = {c.name: c for c in table.other_columns}
    group = table.groups[0]
    row = next(r for r in group.rows if r.label == "unlearned")
    scores = {
        (r.forget_set.run, r.seed): r.scores["derived"] for r in results if r.label == row.label
    }
    one, *two = (scores[key]["mia"] for key in (("0", 0), ("1", 0), ("1", 1)))
    mean = (one.value + two[0].value + two[1].value) / 3
    up = math.hypot(one.high - one.value, sum(s.high - s.value for s in two)) / 3
    assert row.cells["mia"].mean == pytest.approx(mean)
    assert row.cells["mia"].high == pytest.approx(mean + up)
    assert row.cells["forget_truth_ratio"].low is not None  # as of any mean of items
    assert columns["forget_quality"].text(1.06e-239) == "1.1e-239"
    assert columns["forget_quality"].text(0.0362) == "0.036"
    assert columns["forget_quality"].text(0.0) == "0.000"
    assert {"derived_intervals"} <= {n.kind for n in table.notes}


def test_the_interval_of_one_run_is_the_scores_own() -> None:
    results = with_derived(rows())
    table = with_intervals(build_table(results), {r.key: r for r in results})
    row = next(r for r in table.groups[0].rows if r.label == "unlearned")
    for name in ("privacy_leakage", "ks_distance", "tpr_at_1_loss"):
        own, cell = derived_of(rows(), "unlearned")[name], row.cells[name]
        scale = 100 if name == "tpr_at_1_loss" else 1
        assert cell.mean == pytest.approx(own.value * scale)
        assert cell.low == pytest.approx(own.low)
        assert cell.high == pytest.approx(own.high)


def test_p_values_are_ranked_by_what_is_printed() -> None:
    column = Column("forget_quality", "Forget quality (p)", True, unit="p", decimals=3)
    from unlearnbench.analysis.build_table import _ranks

    assert _ranks(column, [1e-20, 1.01e-20, 1e-30], None) == [1, 1, 2]
    undirected = Column("auc_loss", "AUC", None, decimals=3)
    assert _ranks(undirected, [0.1, 0.5, 0.9], None) == [None] * 3


def test_truth_ratio_of_the_paraphrase_split_is_a_forget_sets() -> None:
    own = {"answers": {"forget_paraphrase_wrong_probability": [0.8] * 12,
                       "forget_paraphrase_probability": [0.4] * 12}}  # fmt: skip
    made = values([measured("unlearned", own)], "unlearned")
    assert made["forget_paraphrase_truth_ratio"] == pytest.approx(tr.closer_to_1(2.0))


def test_p_values_of_several_runs_are_not_averaged() -> None:
    before, retrained, _ = rows()
    seeds = [measured("unlearned", model(3 + i, 0.2 * i), seed=i) for i in range(3)]
    results = with_derived([before, retrained, *seeds])
    own = [r.scores["derived"]["forget_quality"].value for r in results if r.label == "unlearned"]
    (group,) = build_table(results).groups
    cell = next(row for row in group.rows if row.label == "unlearned").cells["forget_quality"]
    assert len(set(own)) == 3
    assert cell.mean == sorted(own)[1]
    assert cell.std is None
