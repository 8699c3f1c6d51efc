"""The sections of single runs and of costs: every run on its line, failed ones too."""

from statistics import fmean

import pytest
from golden_results import METRICS, golden_results, result

from unlearnbench.analysis.table import ABSENT, EPOCHS
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Listing, findings_of
from unlearnbench.reporting.sections import costs, names, runs
from unlearnbench.reporting.sections.runs import rows_with_runs
from unlearnbench.results.record import PhaseRecord
from unlearnbench.results.score import Metric


def lines(listing: Listing) -> list[dict[str, str]]:
    """The rows by header; each must have as many texts as there are headers."""
    return [dict(zip(listing.headers, row, strict=True)) for row in listing.rows]


def listings(results, section=runs):
    made = tuple(section.blocks(findings_of(results)))
    assert all(isinstance(block, Listing) for block in made)
    return made


def test_there_is_a_section_for_each_of_the_names():
    assert {"runs", "cases", "process", "pairs", "stability", "costs"} <= set(names())


def test_each_run_has_its_line_and_each_row_its_mean():
    (only,) = listings(golden_results())
    assert [line["Forget set"] for line in lines(only)] == ["0", "1", "mean"] * 9
    icu = [line for line in lines(only) if line["Row"] == "NEO + ICU (alpha=0.5)"]
    assert [line["MA (%) ↓"] for line in icu] == ["57.0", "58.0", "57.5"]
    assert [line["LAMBADA"] for line in icu] == ["27.0", "27.0", "27.0"]
    assert [line["Epochs"] for line in lines(only)[:3]] == [ABSENT] * 3
    of_icu = [line for line in lines(only) if line["Row"] == "NEO + ICU (alpha=0.5)"]
    assert [line["Epochs"] for line in of_icu] == ["5", "6", "5.5"]
    assert only.n_labels == 2


def test_every_measured_column_stands_in_one_listing_and_no_other_does():
    (only,) = listings(golden_results())
    assert only.title == "Every run, nano-neo: forgetting, classification, dialogue, perplexity"
    assert only.headers[2:] == (
        "EL10 (%) ↓", "MA (%) ↓", "Entropy ↑", "LAMBADA", "Cls Avg. (ACC) ↑", "Dia Avg. (F1) ↑",
        "Pile (PPL) ↓", "Epochs", "Status",
    )  # fmt: skip
    assert [n.text for n in only.notes if n.kind == "units"] == ["ACC in %: LAMBADA."]


def test_a_failed_run_has_dashes_and_its_reason():
    (only,) = listings(golden_results())
    failed = [line for line in lines(only) if line["Status"] == "failed"]
    assert [(line["Row"], line["Forget set"]) for line in failed] == [
        ("NEO + DPO ‡", "1"), ("NEO + LLMU ‡", "0"), ("NEO + LLMU ‡", "1"),
    ]  # fmt: skip
    assert all(line["Epochs"] == line["Pile (PPL) ↓"] == ABSENT for line in failed)
    dpo = [line["MA (%) ↓"] for line in lines(only) if line["Row"].startswith("NEO + DPO")]
    assert dpo == ["50.0", ABSENT, "50.0"]
    told = {note.marker: note.text for note in only.notes}
    assert "out of memory" in told["‡"]
    assert "NEO + KL in 1 of 2 runs" in told["†"]


def test_a_collapsed_run_is_a_failed_one_and_shows_no_epochs():
    trace = {"outcome": "collapsed", "reason": "loss is NaN", "n_epochs": 3, "epochs": []}
    base = result(run="1")
    collapsed = base.model_copy(update={"trace": type(base.trace)(**trace), "status": "failed"})
    (only,) = listings([result(run="0"), collapsed])
    assert [line["Epochs"] for line in lines(only)] == ["5", ABSENT, "5.0"]


def test_the_cap_applies_to_runs_and_means_as_in_the_table():
    (only,) = listings(golden_results())
    kumpr = [line["Pile (PPL) ↓"] for line in lines(only) if line["Row"] == "NEO + KUMPR"]
    assert kumpr == [">1000"] * 3
    uncapped = [
        r.model_copy(update={"protocol": {**r.protocol, "perplexity_cap": None}})
        for r in golden_results()
    ]
    (only,) = listings(uncapped)
    kumpr = [line["Pile (PPL) ↓"] for line in lines(only) if line["Row"] == "NEO + KUMPR"]
    assert kumpr == ["1900.0", "inf", "inf"]
    assert not [note for note in only.notes if note.kind == "capped"]


def test_mean_lines_are_the_means_of_the_lines_above():
    values = [0.1, 0.25, 0.4]
    made = [result(run=str(n), scores={"ma": v}) for n, v in enumerate(values)]
    (only,) = listings(made)
    printed = [float(line["MA (%) ↓"]) for line in lines(only)]
    assert printed[-1] == pytest.approx(fmean(printed[:-1]))


def test_one_run_has_no_mean_and_seeds_have_a_column():
    (only,) = listings([result(), result("NEO + KL", method="kl", position=1)])
    assert [line["Forget set"] for line in lines(only)] == ["0", "0"]
    assert "Seed" not in only.headers
    assert any("One run per row" in note.text for note in only.notes)
    (only,) = listings([result(seed=1), result(seed=2)])
    assert [(line["Forget set"], line["Seed"]) for line in lines(only)] == [
        ("0", "1"), ("0", "2"), ("mean", ""),
    ]  # fmt: skip
    assert only.n_labels == 3


def test_a_failed_cell_that_was_run_again_is_one_run():
    failed = result(status="failed", scores={}, error="killed", started_at="2026-01-01T00:00:00Z")
    again = result(started_at="2026-01-02T00:00:00Z")
    ((_, rows),) = rows_with_runs(findings_of([failed, again]))
    assert [[r.key for r in results] for _, results in rows] == [[again.key]]
    ((_, rows),) = rows_with_runs(findings_of([failed]))
    assert [[r.key for r in results] for _, results in rows] == [[failed.key]]


def test_a_foreign_metric_has_its_column():
    metric = Metric(
        name="politeness", task="manners", label="Politeness (%)", higher_is_better=True,
        scale=100.0, in_score=False,
    )  # fmt: skip
    own = result(metrics=[*METRICS, metric])
    score = own.scores["forgetting"]["el10"].model_copy(update={"value": 0.5})
    own = own.model_copy(update={"scores": {**own.scores, "manners": {"politeness": score}}})
    (only,) = listings([own, result("NEO + KL", method="kl", position=1)])
    assert [line["Politeness (%) ↑"] for line in lines(only)] == ["50.0", ABSENT]


def test_many_columns_are_several_listings_that_part_no_task():
    metrics = [
        Metric(name=f"{task}{i}", task=task, label=f"{task}{i}", higher_is_better=True)
        for task, n in (("a", 10), ("b", 5), ("c", 1))
        for i in range(n)
    ]
    score = result().scores["forgetting"]["el10"]
    by_task = {t: {m.name: score for m in metrics if m.task == t} for t in "abc"}
    one = result(metrics=metrics).model_copy(update={"scores": by_task})
    first, second = listings([one])
    assert [h.rstrip(" ↑") for h in first.headers[2:]] == [m.name for m in metrics[:15]]
    assert second.headers[2:] == ("c0 ↑", "Epochs", "Status")
    assert (first.name, second.name) == ("runs-nano-neo", "runs-nano-neo-2")


def test_nothing_but_failures_still_says_what_was_tried():
    failed = result(status="failed", scores={}, metrics=[], error="no room", trace=None)
    (rest,) = listings([failed])
    assert lines(rest) == [
        {"Row": "NEO + ICU ‡", "Forget set": "0", "Epochs": ABSENT, "Status": "failed"}
    ]


def phase(forward: int = 0, generated: int = 0, seconds: float = 1.0, peak: int = 2**20):
    return PhaseRecord(
        forward_tokens=forward, generated_tokens=generated, seconds=seconds, peak_memory_bytes=peak
    )


MEASURED = {"tasks": {"settings": {"perplexity": {}, "politeness": {}}}}


def costly(run: str, factor: int, **more):
    """A result with the phases of a cell; `more` of them, by name."""
    return result(
        run=run,
        identity=MEASURED,
        costs={
            "load": phase(seconds=2.0),
            "calibrate": phase(10**6, 10**6, 500.0, 2**40),
            "unlearn": phase(1000 * factor, 0, 2.0 * factor, factor * 2**20),
            "extraction": phase(100 * factor, 25, 1.5, 2**22),
            "examine": phase(100 * factor, 5, 0.5, 2**22),
            "perplexity": phase(15, 0, 0.25, 2**20),
            "politeness": phase(5, 4, 0.25, 2**20),
            "other": phase(seconds=3.0),
            **more,
        },
        seconds=4000.0 * factor,
    )


def test_costs_are_means_over_runs_without_the_shared_calibration():
    whole, _ = listings([costly("0", 1), costly("1", 8)], costs)
    (line,) = lines(whole)
    assert line["Runs"] == "2"
    assert line["Epochs"] == "5.5"
    assert line["Whole cell (s)"] == "18,000"
    assert line["Tokens unlearning"] == "4,500"
    assert line["Tokens in all"] == "5,420"
    assert line["Tokens generated"] == "34"
    assert line["Peak memory (MiB)"] == "6"  # the mean of 4 and 8
    text = " ".join(note.text for note in whole.notes)
    assert "500.0 s" in text
    assert "the other cells have it from the cache" in text
    assert "cpu, 1 thread" in text


def test_the_time_is_shown_by_phase_with_its_shares_of_all_but_the_calibration():
    _, time = listings([costly("0", 1), costly("1", 8)], costs)
    assert lines(time) == [
        {
            "Row": "NEO + ICU",
            "Loading": "2.0 (12%)",
            "Unlearning": "9.0 (55%)",
            "EL and MA": "1.5 (9%)",
            "Examining": "0.5 (3%)",
            "Other": "3.0 (18%)",
            "Tasks": "0.5 (3%)",
            "perplexity": "0.2 (2%)",
            "politeness": "0.2 (2%)",
        }
    ]


def test_a_reference_row_unlearned_nothing_and_a_plugins_phase_is_shown():
    only = {"other": phase(5)}
    before = result("NEO", method="none", role="before", costs=only, identity=MEASURED)
    whole, time = listings([before, costly("0", 1, draft=phase(7, seconds=3.0))], costs)
    first, second = lines(whole)
    assert first["Tokens unlearning"] == first["Epochs"] == ABSENT
    assert second["Tokens in all"] == "1,227"
    first, second = lines(time)
    assert (first["Unlearning"], first["Tasks"], first["Draft"]) == (ABSENT, ABSENT, ABSENT)
    assert (first["Other"], second["Draft"]) == ("1.0 (100%)", "3.0 (24%)")


def test_results_without_costs_have_no_listing():
    assert listings([result()], costs) == ()


def test_several_machines_are_named_once_each():
    other = costly("1", 2)
    place = other.environment.model_copy(update={"n_threads": 4})
    both = [costly("0", 1), other.model_copy(update={"environment": place})]
    listing, _ = listings(both, costs)
    (machine,) = [note.text for note in listing.notes if note.kind == "machine"]
    assert "1 thread, test; cpu, 4 threads, test" in machine
    assert "do not compare" in machine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (printing.p_value(0.0004), "<0.001"),
        (printing.p_value(0.04), "0.040"),
        (printing.difference(EPOCHS, 12.25), "+12.25"),
        (printing.difference(EPOCHS, -0.001), "0.00"),
        (printing.difference(EPOCHS, 12.25, more=0), "+12.2"),
        (printing.difference(EPOCHS, -123456.7), "-123,457"),
        (printing.share(0.0), "0%"),
        (printing.share(0.001), "<1%"),
        (printing.share(0.999), ">99%"),
        (printing.share(1.0), "100%"),
        (printing.loss(-117.20938), "-117.2"),
        (printing.loss(0.00032), "0.0003200"),
        (printing.loss(None), ABSENT),
        (printing.seconds(1234.56), "1,235"),
        (printing.anchor("x", "A + B (alpha=-0.1)"), "x-a-b-alpha--0-1"),
        (printing.anchor("x", "A + B (alpha=0.1)"), "x-a-b-alpha-0-1"),
    ],
)
def test_how_numbers_and_names_are_printed(text, expected):
    assert text == expected
