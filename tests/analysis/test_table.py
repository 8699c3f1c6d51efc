"""The comparison table: what is averaged, compared, ranked, left out and said."""

import csv
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden_results import golden_results, result

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.columns import PAPER_COLUMNS
from unlearnbench.analysis.table import Group, Row, Table
from unlearnbench.errors import UserError
from unlearnbench.protocol import Protocol
from unlearnbench.reporting.published import as_table, printed_table
from unlearnbench.results.record import Result, StopRecord
from unlearnbench.results.trace import EpochRecord, UnlearnTrace

PROTOCOL = vars(Protocol())


def row(table: Table, label: str) -> Row:
    return next(r for group in table.groups for r in group.rows if r.label == label)


def note(table: Table, kind: str) -> str:
    return " ".join(n.text for n in table.notes if n.kind == kind)


def kl(**changes: Any) -> Result:
    return result("NEO + KL", method="kl", **changes)


def test_mean_and_sample_deviation_are_over_forget_sets_and_seeds() -> None:
    values = {("0", 1): 0.01, ("0", 2): 0.03, ("1", 1): 0.02, ("1", 2): 0.07}
    results = [
        result(run=run, seed=seed, settings={"seed": seed}, scores={"el10": v})
        for (run, seed), v in values.items()
    ]
    (only,) = build_table(results).groups[0].rows
    stored = 100 * np.array(list(values.values()))  # EL10 is printed in percent
    assert only.cells["el10"].mean == pytest.approx(stored.mean())
    assert only.cells["el10"].std == pytest.approx(stored.std(ddof=1))
    assert only.cells["el10"].n == len(only.runs) == 4
    assert only.cells["epochs"].mean == pytest.approx(5.5)


def test_the_papers_columns_come_first_and_stay_if_nobody_measured_them() -> None:
    table = build_table([result(scores={"el10": 0.1})])
    names = [c.name for c in table.columns]
    assert names == [*(c.name for c in PAPER_COLUMNS), "epochs", "s_z", "s_m"]
    group = table.groups[0]
    texts = {c.name: group.text(group.rows[0], c) for c in table.columns}
    assert (texts["el10"], texts["gpt"], texts["pile_ppl"]) == ("10.0", "–", "–")


def test_two_settings_of_a_method_are_two_rows_told_apart() -> None:
    table = build_table(golden_results())
    labels = [r.label for r in table.groups[0].rows]
    assert labels[-3:] == ["NEO + ICU (alpha=0.5)", "NEO + ICU (alpha=0.1)", "NEO + LLMU"]
    assert labels[:3] == ["NEO (before unlearning)", "OPT", "NEO (retrained)"]
    other = result().model.model_copy(update={"name": "other", "weights_sha256": "0" * 64})
    table = build_table([result(), result(model=other)])
    assert {r.label for r in table.groups[0].rows} == {
        "NEO + ICU (model=nano-neo)", "NEO + ICU (model=other)",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "variant"),
    [
        ({"protocol_name": "released", "protocol": vars(Protocol.named("released"))}, "released"),
        ({"protocol": {**PROTOCOL, "stop_rule": "or"}}, "stop_rule=or"),
        ({"stop": StopRecord(source="calibrated", el=0.02, ma=0.4, n_unseen=64)}, "calibrated"),
        ({"model": result().model.model_copy(update={"dtype": "bfloat16"})}, "bfloat16"),
    ],
)
def test_what_was_measured_in_another_way_is_another_group(
    changes: dict[str, Any], variant: str
) -> None:
    table = build_table([result(scores={"el10": 0.1}), result(scores={"el10": 0.3}, **changes)])
    means = {g.title: g.rows[0].cells["el10"].mean for g in table.groups}
    assert sorted(means.values()) == pytest.approx([10.0, 30.0])
    assert sum(variant in title for title in means) == 1


def identity(**changes: Any) -> dict[str, Any]:
    return {
        "tasks": {"settings": {"forgetting": {}, "perplexity": {}}, "limit": None},
        "texts": {"pile": "a" * 64, "wikitext": "b" * 64},
        "encoders": {"bert": "c" * 64, "pairs": "d" * 64},
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "variant"),
    [
        ({"tasks": {"settings": {"forgetting": {}}, "limit": None}}, "(tasks forgetting)"),
        (
            {
                "tasks": {
                    "settings": {"forgetting": {}, "perplexity": {"window": 64}},
                    "limit": None,
                }
            },
            "perplexity.window=64",
        ),
        ({"tasks": {**identity()["tasks"], "limit": 8}}, "8 documents per task"),
        ({"texts": {"pile": "e" * 64, "wikitext": "b" * 64}}, "texts pile eeeeeeee"),
        ({"encoders": {"bert": "f" * 64, "pairs": "d" * 64}}, "BERT ffffffff"),
    ],
)
def test_what_was_measured_with_or_on_something_else_is_another_group(
    changes: dict[str, Any], variant: str
) -> None:
    results = [
        result(run="0", scores={"el10": 0.1}, identity=identity()),
        result(run="1", scores={"el10": 0.3}, identity=identity(**changes)),
    ]
    means = {g.title: g.rows[0].cells["el10"].mean for g in build_table(results).groups}
    assert sorted(means.values()) == pytest.approx([10.0, 30.0])
    assert sum(variant in title for title in means) == 1


def test_another_encoder_of_pairs_is_another_row_of_a_method_only() -> None:
    other = identity(encoders={"bert": "c" * 64, "pairs": "e" * 64})
    before = {"method": "none", "role": "before"}
    results = [
        result(identity=identity()),
        result(identity=other),
        result("NEO", identity=identity(), **before),
        result("NEO", run="1", identity=other, **before),
    ]
    (group,) = build_table(results).groups
    assert [r.label for r in group.rows] == [
        "NEO", "NEO + ICU (pairs=dddddddd)", "NEO + ICU (pairs=eeeeeeee)",
    ]  # fmt: skip


def test_the_stop_line_note_names_the_rows_with_a_line_of_their_own() -> None:
    own = {"kumpr": {"ma": 0.2994}, "dpo": {"rule": "or"}, "kl": {}, "icu": {}}
    results = []
    for name, changes in own.items():
        stop = StopRecord(**{"source": "paper", "el": 0.0499, "ma": 0.5994, **changes})
        results.append(result(f"NEO + {name.upper()}", method=name, stop=stop))
    nan = StopRecord(source="paper", el=math.nan, ma=math.nan)
    results.append(result("NEO + LLMU", status="failed", stop=nan, scores={}, trace=None))
    table = build_table(results)
    told = note(table, "stop_line")
    assert told.startswith("Stop line: EL10 < 0.0499 and MA < 0.5994; ")
    assert "EL10 < 0.0499 and MA < 0.2994 for NEO + KUMPR" in told
    assert "EL10 < 0.0499 or MA < 0.5994 for NEO + DPO" in told
    assert "nan" not in told
    assert len(table.groups[0].stops) == 3


def test_a_smaller_trial_is_no_run_of_the_whole_experiment() -> None:
    small = result().forget_set.model_copy(update={"doc_ids": ["a"], "content_sha256": "0" * 64})
    table = build_table([result(), result(forget_set=small)])
    assert {g.variant for g in table.groups} == {"128 rows", "1 rows"}


def test_a_cell_measured_twice_is_one_run_the_later() -> None:
    old = result(scores={"el10": 0.9}, started_at="2025-01-01T00:00:00Z")
    table = build_table([result(scores={"el10": 0.1}), old])
    (only,) = table.groups[0].rows
    assert (only.cells["el10"].mean, only.cells["el10"].n, only.n_superseded) == (10.0, 1, 1)
    assert note(table, "superseded").endswith("left out: 1.")


def test_failed_and_collapsed_runs_are_in_no_mean_but_counted() -> None:
    trace = UnlearnTrace(outcome="collapsed", reason="loss is NaN", n_epochs=2, epochs=[])
    table = build_table([
        result(run="0", scores={"el10": 0.1}),
        result(run="1", scores={"el10": 0.9}, trace=trace),
        result(run="2", status="failed", error="out of\nmemory", scores={}),
        kl(status="failed", scores={}, trace=None),
    ])  # fmt: skip
    icu, lost = row(table, "NEO + ICU"), row(table, "NEO + KL")
    assert (icu.cells["el10"].mean, len(icu.runs), icu.markers) == (10.0, 1, "‡")
    assert "NEO + ICU 2 of 3 runs (loss is NaN; out of memory)" in note(table, "left_out")
    assert "NEO + KL 1 of 1 run (failed)" in note(table, "left_out")
    assert not lost.cells
    assert not lost.compared


def test_a_method_at_the_epoch_limit_is_marked() -> None:
    table = build_table([result(), kl(run="0", status="not_forgotten"), kl(run="1")])
    assert row(table, "NEO + KL").markers.startswith("†")
    assert row(table, "NEO + ICU").markers == "§"
    assert note(table, "not_forgotten").endswith("NEO + KL in 1 of 2 runs.")


def test_means_over_other_forget_sets_or_seeds_flag_the_scores() -> None:
    equal = [result(), kl(), result(run="1"), kl(run="1")]
    assert not build_table(equal).groups[0].scores_flagged
    assert note(build_table(equal), "unequal") == ""
    for extra in (result(run="2"), result(seed=7)):
        table = build_table([*equal, extra])
        assert table.groups[0].scores_flagged
        assert row(table, "NEO + KL").markers == "§"
        assert "unlike means" in note(table, "unequal")
    # One deterministic reference row per forget set is enough, whatever the methods' seeds.
    opt = [result("OPT", role="dedup", method="none", run=run) for run in "01"]
    seeds = [result(run=run, seed=seed) for run in "01" for seed in (1, 2)]
    assert not build_table([*opt, *seeds]).groups[0].scores_flagged


def test_nan_is_missing_and_told() -> None:
    lacking = result(run="0", scores={"el10": 0.1, "entropy": math.nan})
    whole = result(run="1", scores={"el10": 0.3, "entropy": 4.0})
    table = build_table([lacking, whole, kl(run="0"), kl(run="1")])
    icu = row(table, "NEO + ICU")
    assert (icu.cells["entropy"].mean, icu.markers) == (4.0, "¶")
    assert note(table, "partial").endswith("NEO + ICU's Entropy over 1 of 2 runs.")
    assert "Entropy (not measured for NEO + KL)" in note(table, "scores")


@pytest.mark.parametrize("cap", [1000.0, None])
def test_an_infinite_perplexity_breaks_nothing(cap: float | None) -> None:
    protocol = {**PROTOCOL, "perplexity_cap": cap}
    table = build_table([
        result(scores={"el10": 0.1, "pile_ppl": math.inf}, protocol=protocol),
        kl(scores={"el10": 0.2, "pile_ppl": 20.0}, protocol=protocol),
    ])  # fmt: skip
    group, pile = table.groups[0], next(c for c in table.columns if c.name == "pile_ppl")
    text = {r.label: group.text(r, pile) for r in group.rows}
    assert text == {"NEO + ICU": ">1000" if cap else "inf", "NEO + KL": "20.0"}
    assert [r.cells["pile_ppl"].rank for r in group.rows] == [2, 1]
    assert ("pile_ppl" in group.scored) == (cap is not None)
    assert all(math.isfinite(r.cells["s_z"].mean) for r in group.rows)


def test_infinite_scores_and_nan_losses_survive_saving() -> None:
    trace = UnlearnTrace(outcome="collapsed", n_epochs=1,
                         epochs=[EpochRecord(epoch=1, losses={"nll": math.nan})])  # fmt: skip
    saved = result(scores={"pile_ppl": math.inf}, trace=trace).model_dump_json()
    back = Result.model_validate_json(saved)
    assert back.scores["perplexity"]["pile_ppl"].value == math.inf
    assert back.trace is not None
    assert math.isnan(back.trace.epochs[0].losses["nll"])


def test_the_cap_is_applied_to_the_mean_as_the_published_table_does(shared: Path) -> None:
    """KUMPR on 2.7B: four of five runs below 250, one above 10000; the paper prints >1000."""
    with (shared / "published" / "results.csv").open(newline="") as file:
        runs = [
            r["value"] for r in csv.DictReader(file)
            if (r["table"], r["params"], r["method"], r["metric"])
            == ("per-run", "2.7B", "kumpr", "pile_ppl")
        ]  # fmt: skip
    values = [10_000.0 if v.startswith(">") else float(v) for v in runs]
    assert np.minimum(values, 1000).mean() < 300  # capped run by run it would be printed as 289
    results = [result(run=str(i), scores={"pile_ppl": v}) for i, v in enumerate(values)]
    group = build_table(results).groups[0]
    pile = next(c for c in PAPER_COLUMNS if c.name == "pile_ppl")
    assert group.text(group.rows[0], pile) == ">1000"


def test_direction_comes_from_the_metrics_record() -> None:
    flipped = [replace(m, higher_is_better=True) for m in result().metrics]
    pair = [("NEO + ICU", 0.1), ("NEO + KL", 0.2)]
    for metrics, best in ((result().metrics, "NEO + ICU"), (flipped, "NEO + KL")):
        table = build_table([result(n, scores={"el10": v}, metrics=metrics) for n, v in pair])
        assert [r.label for r in table.groups[0].rows if r.cells["el10"].rank == 1] == [best]
        assert row(table, best).cells["s_m"].mean > min(
            r.cells["s_m"].mean for r in table.groups[0].rows
        )
    with pytest.raises(UserError, match="forgetting's metric 'el10'"):
        build_table([result(), kl(metrics=flipped)])


def test_one_compared_row_has_neither_rank_nor_score() -> None:
    before = result("NEO", role="before", method="none")
    table = build_table([before, result()])
    assert all(c.rank is None for r in table.groups[0].rows for c in r.cells.values())
    assert "s_z" not in row(table, "NEO + ICU").cells
    assert note(table, "scores").startswith("No s_z and s_m")


def test_the_marks_against_ranks_counted_from_the_printed_text() -> None:
    table = build_table(golden_results())
    group = table.groups[0]
    for column in (*table.metric_columns, *table.columns[-2:]):
        measured = [r for r in group.rows if column.name in r.cells]
        compared = [r for r in measured if r.role in ("dedup", "method")]
        printed = {r.label: float(group.text(r, column).replace(">1000", "1001")) for r in compared}
        sign = -1 if column.higher_is_better else 1
        for r in compared:
            better = {v for v in printed.values() if sign * v < sign * printed[r.label]}
            expected = len(better) + 1 if len(better) < 2 else None
            assert r.cells[column.name].rank == expected, (column.name, r.label)
        assert all(c.rank is None for r in group.rows if not r.compared for c in r.cells.values())


def test_second_best_is_what_the_paper_underlines(shared: Path) -> None:
    text = (shared / "paper" / "learn-while-unlearn-v2.txt").read_text()
    table = as_table(printed_table("table1", "v2").rows)
    columns = [c.name for c in table.columns if c.name != "epochs"]
    lines = text[text.index("TABLE I\n") : text.index("D. Configurations")].splitlines()
    printed = [line.split("\t") for line in lines if re.match(r"(NEO|OPT)\b.*\t", line)]
    underlined = {
        (i, name) for i, line in enumerate(printed)
        for name, cell in zip(columns, line[2:], strict=True) if cell.startswith("<u>")
    }  # fmt: skip
    rows = [r for group in table.groups for r in group.rows]
    seconds = {(i, n) for i, r in enumerate(rows) for n, c in r.cells.items() if c.rank == 2}
    assert len(underlined) > 25
    assert underlined <= seconds
    # By the caption's rule three more cells ought to be underlined: 3.64 (GPT, 125M), the other
    # of two equal 17.5 (Pile, 1.3B), and 40.7 (BERT, 2.7B).
    assert seconds - underlined == {(4, "gpt"), (11, "pile_ppl"), (19, "bertscore_f1")}


def test_notes_say_how_the_numbers_were_made() -> None:
    stop = StopRecord(source="calibrated", el=0.021, ma=0.43, rule="or", n_unseen=512)
    common: dict[str, Any] = {"stop": stop, "protocol": {**PROTOCOL, "stop_rule": "or"}}
    tuned = kl(settings={"learning_rate": 2e-4}, **common)
    tuned.method.origins = {"learning_rate": "largest that keeps 90% of the utility."}
    table = build_table([result(**common), tuned])
    told = note(table, "stop_line")
    assert "EL10 < 0.0210 or MA < 0.4300 (calibrated: the one-sided 95% upper" in told
    assert "of 512 rows this model never saw)." in told
    assert note(table, "protocol") == "Protocol: paper, except stop_rule=or; float32."
    assert note(table, "learning_rate") == (
        "Learning rates: 5e-6 for NEO + ICU. "
        "Learning rates (largest that keeps 90% of the utility): 2e-4 for NEO + KL."
    )
    assert "Epoch limit: 100." in note(table, "epoch_limit")
    assert "128 rows per forget set" in note(table, "means")
    assert note(table, "synthetic") == "A synthetic test bench, not a claim about real models."
    real = build_table([result(group="neo-125m"), kl(group="neo-125m")])
    assert note(real, "synthetic") == ""


def test_numbers_of_documents_that_differ_are_told() -> None:
    short = kl()
    short.scores["classification"]["cls_avg"].n = 10
    assert "Cls Avg. (ACC) (10, 128)" in note(build_table([result(), short]), "documents")


def test_a_constant_answer_is_told() -> None:
    first, second = kl(run="0"), kl(run="1")
    first.scores["perplexity"]["pile_ppl"].degenerate = True
    text = note(build_table([first, second]), "degenerate")
    assert "NEO + KL's Pile (PPL) in 1 of 2 runs" in text
    assert not note(build_table([second]), "degenerate")


def test_metrics_of_the_same_name_are_kept_apart() -> None:
    twin = result()
    other = replace(twin.metrics[0], task="mine", label="My EL")
    twin.metrics = [*twin.metrics, other]
    score = twin.scores["forgetting"]["el10"]
    twin.scores["mine"] = {"el10": score.model_copy(update={"value": 0.5})}
    (only,) = build_table([twin]).groups[0].rows
    assert (only.cells["el10"].mean, only.cells["mine.el10"].mean) == (4.0, 50.0)


def test_no_results_name_the_command() -> None:
    with pytest.raises(UserError, match="unlearnbench run"):
        build_table([])


@pytest.mark.parametrize(
    ("count", "text"),
    [(260_032, "260K"), (1_220_000, "1.2M"), (125_198_592, "125M"), (999_950_000, "1.0B"),
     (1_315_575_808, "1.3B"), (13_000_000_000, "13B"), (12, "12"), (None, "")],
)  # fmt: skip
def test_parameter_counts_are_short(count: int | None, text: str) -> None:
    assert Group("g", (), count).parameters == text


def test_another_tokenizer_of_the_same_forget_set_is_the_same_run():
    """OPT's token ids differ from GPT-Neo's; its row is over the same forget set nonetheless."""
    asked = {"forget_set": {"run": "0", "sha256": "source"}}
    made = []
    for label, role, digest in (("NEO + ICU", "method", "a"), ("OPT", "dedup", "b")):
        one = result(label, role=role, identity=asked)
        known = one.forget_set.model_copy(update={"content_sha256": digest})
        made.append(one.model_copy(update={"forget_set": known}))
    (group,) = build_table(made).groups
    assert [row.markers for row in group.rows] == ["", ""]
