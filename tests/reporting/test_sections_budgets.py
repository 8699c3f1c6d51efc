"""The section on budgets, its figures, and where trials stand in a report."""

import pytest
from budget_cases import before, sweep, trial

from unlearnbench.analysis.budgets.expected import expected_best
from unlearnbench.reading import choose_results
from unlearnbench.registry import find
from unlearnbench.reporting.document import Data, Picture, findings_of
from unlearnbench.reporting.sections import budgets, make_document
from unlearnbench.results.record import ForgetSetRecord
from unlearnbench.results.tunings import (
    TuningRecord,
    keep,
    question_sha256,
    read_tunings,
    record_requested,
    shared_by,
)

OTHER = ForgetSetRecord(name="nano/0", run="0", content_sha256="r" * 64, doc_ids=["0", "1"])
FAST, SLOW = [0.61, 0.6, 0.5, 0.55, 0.62, 0.5], [0.05, 0.9, 0.1, 0.85, 0.1, 0.1]


@pytest.fixture
def results():
    return [before(), *sweep("npo", FAST), *sweep("gd", SLOW, ma=0.3)]


def by_name(blocks):
    return {block.name.rpartition("-nano")[0] or block.name: block
            for block in blocks if not isinstance(block, Picture)}  # fmt: skip


def told(block, kind):
    return " ".join(note.text for note in block.notes if note.kind == kind)


def test_the_expected_best_its_leaders_and_who_overtakes_whom(results):
    blocks = by_name(budgets.blocks(findings_of(results)))
    listing = blocks["budgets"]
    assert listing.headers == (
        "Method", "Trials", "Reached the line", "Failed", "k = 1", "k = 2", "k = 3", "k = 5",
        "k = 6",
    )  # fmt: skip
    rows = {row[0]: row[1:] for row in listing.rows}
    for name, scores in (("NPO", FAST), ("GD", SLOW)):
        values = [f"{100 * expected_best(scores, k):.1f}" for k in (1, 2, 3, 5, 6)]
        assert rows[name] == ("6", "6", "0", *values)
    assert [row[0] for row in listing.rows] == ["GD", "NPO"]  # by the best of all
    crossing = next(k for k in range(1, 7) if expected_best(SLOW, k) > expected_best(FAST, k))
    assert 2 < crossing < 6
    assert told(listing, "leaders") == (
        f"Ahead of all: with 1 to {crossing - 1} configurations NPO, "
        f"with {crossing} to 6 configurations GD."
    )
    assert blocks["budget-crossings"].rows == (("NPO", "GD", str(crossing)),)
    assert all(" to " in cell for row in blocks["budget-intervals"].rows for cell in row[1:])
    assert "where the stop line was reached, else 0" in told(listing, "expected")


def test_front_hyper_volume_and_every_trial_for_programs(results):
    blocks = by_name(budgets.blocks(findings_of(results)))
    areas = {row[0]: row[1:] for row in blocks["budget-hypervolume"].rows}
    assert areas["GD"] == ("6", "1", f"{0.7 * 0.9:.3f}")
    assert areas["all"] == ("12", "1", "0.630")
    (on_front,) = blocks["budget-front"].rows
    assert on_front == ("GD", "learning_rate=2e-5", "30.0", "90.0")
    trials = blocks["trials-data"]
    assert isinstance(trials, Data)
    assert len(trials.rows) == 12
    curves = blocks["budget-curves-data"].rows
    assert len(curves) == 12
    assert float(curves[0][3]) == pytest.approx(expected_best(FAST, 1))


def test_a_failed_trial_counts_as_zero_and_few_have_no_interval():
    few = [before(), *sweep("npo", [0.6, 0.5]), trial("npo", 0.5, outcome="collapsed", beta=3.0)]
    blocks = by_name(budgets.blocks(findings_of(few)))
    assert blocks["budgets"].rows[0][:4] == ("NPO", "3", "2", "1")
    assert "A trial that failed or collapsed counts as 0.0." in told(blocks["budgets"], "expected")
    assert "budget-intervals" not in blocks
    assert "budget-crossings" not in blocks


def test_without_trials_the_command_that_makes_some_is_told():
    (listing,) = budgets.blocks(findings_of([before(), trial("npo", 0.5)]))
    assert "unlearnbench tune --random 12" in listing.rows[0][0]
    for name in budgets.FIGURES:
        assert find("reports", name)().draw(findings_of([before(), trial("npo", 0.5)])) is None


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("report", ["plain", "markdown", "latex", "html", "csv", "json"])
def test_every_format_prints_the_section(results, report):
    document = make_document(findings_of(results), ["budgets"])
    assert "GD" in find("reports", report)().render(document)


@pytest.mark.parametrize("name", budgets.FIGURES)
def test_the_figures_say_what_they_show(results, name):
    figure, findings = find("reports", name)(), findings_of(results)
    axes = figure.draw(findings).axes
    assert len(axes) == 1
    if name == "budget-curves":
        gd = next(line for line in axes[0].lines if max(line.get_ydata()) == pytest.approx(90))
        assert list(gd.get_xdata()) == [1, 2, 3, 4, 5, 6]
        assert "Pale: 95% intervals" in figure.caption(findings)
    else:
        assert "Hyper-volume: all 0.630" in figure.caption(findings)


def record(trials, method="npo", **changes):
    fields = {
        "method": method, "model": "nano-neo", "forget_set": "nano/forget_tuning",
        "run": "tuning", "score": "", "sampler": "random", "seed": 0,
        "space": {"learning_rate": "1e-5..1e-3"}, "n": len(trials),
        "trials": [question_sha256(one.identity) for one in trials],
    }  # fmt: skip
    return TuningRecord(**{**fields, **changes})


def test_a_record_loses_no_trial_when_less_is_asked_for_again(tmp_path):
    trials = sweep("npo", [0.1, 0.2, 0.3])
    paths = {keep(tmp_path, record(trials[:n])) for n in (2, 3, 1)}
    assert len(paths) == 1
    (kept,) = read_tunings(tmp_path).records
    assert (kept.n, len(kept.trials)) == (3, 3)
    keep(tmp_path, record(trials, seed=1))
    assert len(read_tunings(tmp_path).records) == 2
    paths.pop().write_text("{")
    (damage,) = read_tunings(tmp_path).damages
    assert "damaged" in damage


def test_searches_under_other_settings_are_records_and_curves_of_their_own(tmp_path):
    def identity(rate, **changes):
        settings = {"learning_rate": rate, "max_epochs": 1, **changes.pop("settings", {})}
        method = {"name": "npo", "settings": settings}
        return {"method": method, "seed": 42, "software": {"harness": rate}, **changes}

    searched = ["learning_rate"]
    settings, conditions = shared_by(identity(1e-4), searched)
    assert settings == {"max_epochs": 1}
    assert shared_by(identity(2e-4), searched)[1] == conditions
    for changes in ({"settings": {"max_epochs": 2}}, {"seed": 43}, {"texts": ["x"]}):
        assert shared_by(identity(1e-4, **changes), searched)[1] != conditions

    short, long = sweep("npo", FAST), sweep("npo", SLOW, max_epochs=24)
    seed = sweep("npo", [0.2, 0.3], seed=43)
    for name, own in (("12", short), ("24", long), ("43", seed)):
        epochs = own[0].method.settings["max_epochs"]
        keep(tmp_path, record(own, conditions=name, settings={"max_epochs": epochs}))
    findings = choose_results(tmp_path, [before(), *short, *long, *seed]).findings
    blocks = [b for b in budgets.blocks(findings) if not isinstance(b, Picture)]
    listings = [b for b in blocks if b.name.startswith("budgets-")]
    rows = [{row[0]: row for row in listing.rows} for listing in listings]
    assert [set(of) for of in rows] == [{"NPO (max_epochs=12)", "NPO (max_epochs=24)"}, {"NPO"}]
    for name, scores in (("NPO (max_epochs=12)", FAST), ("NPO (max_epochs=24)", SLOW)):
        assert rows[0][name][1] == "6"
        assert rows[0][name][-1] == f"{100 * max(scores):.1f}"
    assert rows[1]["NPO"][-1] == "30.0"
    assert "6 random configurations of npo (seed 0), max_epochs=24; where" in told(
        listings[0], "search"
    )
    assert len({listing.name for listing in listings}) == 2


def test_trials_are_no_rows_of_the_table_unless_there_are_no_others(results, tmp_path):
    trials = [one for one in results if one.role == "method"]
    for method in ("npo", "gd"):
        keep(tmp_path, record([t for t in trials if t.method.name == method], method))
    row, row_before = trial("kumpr", 0.7, forget_set=OTHER), before(OTHER)
    told_of: list[str] = []

    def found(chosen):
        read = choose_results(tmp_path, chosen, warn=told_of.append)
        return read.findings, next(n.text for n in read.findings.notes if n.kind == "trials")

    findings, note = found([*results, row, row_before])
    # Neither the trials nor what they are compared with change a number of the table.
    assert {r.key for r in findings.results} == {row.key, row_before.key}
    assert {r.key for r in findings.trials} == {r.key for r in results}
    assert note.startswith("12 trials of tuning on forget set nano/forget_tuning are no rows of")
    assert len(findings.budgets[0].methods) == 2
    listing = next(iter(budgets.blocks(findings)))
    assert told(listing, "search") == (
        "Searched on forget set nano/forget_tuning: 6 random configurations of each of 2 methods "
        "(seed 0); where: learning_rate 1e-5..1e-3."
    )
    findings, _ = found([*results, trial("kumpr", 0.7)])  # on the trials' own forget set
    assert [r.role for r in findings.results] == ["before", "method"]
    findings, _ = found([*results, row_before])  # the run of its rows is still going
    assert row_before.key in findings.by_key
    findings, note = found(results)
    assert len([r for r in findings.results if r.role == "method"]) == 12
    assert note.startswith("The rows are 12 trials of tuning")
    assert told_of == []


def test_a_trial_that_a_run_asked_for_is_a_row_as_well(results, tmp_path):
    trials = [one for one in results if one.role == "method"]
    keep(tmp_path, record(trials, "npo"))
    record_requested(tmp_path, [trials[0].identity, before().identity])
    findings = choose_results(tmp_path, [*results, trial("kumpr", 0.7, forget_set=OTHER)]).findings
    labels = sorted(r.label for r in findings.results)
    assert labels == ["NEO (before unlearning)", "NEO + KUMPR", "NEO + NPO"]
    assert len([r for r in findings.trials if r.role == "method"]) == 12
    notes = " ".join(note.text for note in findings.notes if note.kind == "trials")
    assert "A run asked for these rows, too: 1 trial of tuning on forget set nano/" in notes
    assert "11 trials of tuning on forget set nano/forget_tuning are no rows of" in notes


def test_the_published_zoo_is_read_as_trials(shared, tmp_path):
    """`import`, then `report --sections budgets`: the published flip of the best method."""
    path = shared / "data" / "unlearning_depth_score" / "method_results.json"
    if not path.is_file():
        pytest.skip("the table of the unlearning depth score is not there")
    from unlearnbench.logs.formats import read_logs
    from unlearnbench.logs.imports import Wanted, result_of

    made = [result_of(log, Wanted(), at) for at, log in enumerate(read_logs(path))]
    blocks = by_name(budgets.blocks(findings_of(made)))
    listing = next(block for name, block in blocks.items() if name.startswith("budgets-"))
    rows = {row[0]: row for row in listing.rows}
    assert listing.headers[3:] == ("k = 1", "k = 2", "k = 3", "k = 5", "k = 9", "k = 18", "k = 24")
    assert rows["npo"][3:9:1] == ("0.470", "0.634", "0.690", "0.718", "0.731", "0.739")
    assert rows["altpo"][3:9] == ("0.246", "0.422", "0.545", "0.683", "0.761", "0.773")
    assert (rows["simnpo"][1], rows["simnpo"][-1]) == ("24", "0.722")
    assert told(listing, "leaders") == (
        "Ahead of all: with 1 to 6 configurations npo, with 7 to 18 configurations altpo."
    )
    crossings = next(b for name, b in blocks.items() if name.startswith("budget-crossings"))
    assert ("npo", "altpo", "7") in crossings.rows
    assert "full" not in rows  # one row of a reference is no search
    first = next(r for r in made if r.imported.method == "altpo")
    assert first.imported.settings["learning_rate"] in (1e-5, 2e-5, 5e-5)
