"""The section on metrics, marks in the comparison table, and the map of which metrics are alike."""

from dataclasses import replace

import attack_cases
import meta_cases
import pytest
from golden_results import golden_results

from unlearnbench.analysis.meta import table as tables
from unlearnbench.analysis.meta.measured import measure
from unlearnbench.analysis.meta.table import MetaTable, fitting_table
from unlearnbench.errors import UserError
from unlearnbench.registry import find
from unlearnbench.reporting.document import Data, Findings, Listing, Picture
from unlearnbench.reporting.sections import make_document
from unlearnbench.reporting.sections.metrics import blocks_of
from unlearnbench.results.record import BenchmarkRecord


@pytest.fixture(scope="module")
def table() -> MetaTable:
    """A test of MA, EL10 and entropy, in which MA is not told from chance."""
    measured = measure(*meta_cases.under_attack(attack_cases.LEVELS))
    made = meta_cases.table(meta_cases.with_entropy_of_forgetting(measured))
    metrics = [
        m.model_copy(update={"faithfulness": 0.7, "low": 0.45, "high": 0.9})
        if m.name == "ma"
        else m
        for m in made.metrics
    ]
    return made.model_copy(update={"metrics": metrics})


@pytest.fixture(scope="module")
def findings(table) -> Findings:
    return Findings(tuple(golden_results()), metrics=table)


@pytest.fixture(scope="module")
def listings(table) -> dict[str, Listing]:
    return {block.name: block for block in blocks_of(table)}


def lines(listing: Listing) -> dict[str, dict[str, str]]:
    """By metric's label."""
    rows = (dict(zip(listing.headers, row, strict=True)) for row in listing.rows)
    return {row["Metric"]: row for row in rows}


def test_a_metric_is_told_apart_where_its_interval_lies_above_half(listings) -> None:
    made = lines(listings["metrics"])
    assert made["MA (%)"]["95% interval"] == "[0.45, 0.90]"
    assert made["MA (%)"]["Told apart"] == "no"
    assert made["EL10 (%)"]["AUC"] == "1.000"
    assert made["EL10 (%)"]["Told apart"] == "yes"
    assert made["Entropy"]["Told apart"] == "wrong way"  # more of it in models that know
    assert [row[0] for row in listings["metrics"].rows] == ["EL10 (%)", "MA (%)", "Entropy"]


def test_notes_say_which_models_and_what_makes_the_table(listings, table) -> None:
    notes = {note.kind: note.text for note in listings["metrics"].notes}
    assert "4 with the knowledge (4 rows)" in notes["pools"]
    assert "forget set 0 of 24 rows" in notes["pools"]
    assert notes["command"] == f"Made with: {table.command}"
    assert "left_out" not in notes


def test_thresholds_are_in_printed_units(listings, table) -> None:
    stored = table.of_metric("forgetting", "ma").threshold
    assert lines(listings["metrics"])["MA (%)"]["Threshold"] == f"{100 * stored:.4g}"


def test_robustness_lists_the_metrics_that_some_unlearned_model_counts_for(listings, table) -> None:
    made = lines(listings["metrics-robustness"])
    ma = table.of_metric("forgetting", "ma")
    assert made["MA (%)"]["R"] == f"{ma.relearning:.3f}"
    assert made["MA (%)"]["Models"] == str(ma.n_unlearned)


def test_kinds_are_listed_where_there_are_several(listings) -> None:
    assert "metrics-kinds" not in listings  # all have read rows
    kinds = {b.name: b for b in blocks_of(meta_cases.table(several_kinds()))}["metrics-kinds"]
    assert kinds.headers == ("Metric", "with: one", "with: two", "without: none")


def several_kinds():
    members, others = meta_cases.under_attack({})
    kinds = ["one", "two", "one", "two", *["none"] * 4]
    own = [replace(member, kind=kind) for member, kind in zip(members, kinds, strict=True)]
    return measure(own, others)


def test_a_large_matrix_is_for_programs_alone(table) -> None:
    found = table.redundancy
    n = 30
    names = [f"t.m{at}" for at in range(n)]
    large = found.model_copy(
        update={"metrics": names, "labels": names, "correlations": [[1.0] * n] * n, "groups": []}
    )
    made = {b.name: b for b in blocks_of(table.model_copy(update={"redundancy": large}))}
    assert isinstance(made["metrics-correlations"], Data)
    assert "No two metrics are alike" in made["metrics-groups"].notes[0].text


@pytest.mark.usefixtures("undrawn")
def test_every_format_prints_the_section(findings) -> None:
    document = make_document(findings, ["metrics"])
    assert isinstance(document.blocks[-1], Picture)
    for name in ("plain", "markdown", "latex", "html", "csv", "json"):
        assert "Entropy" in find("reports", name)().render(document)


@pytest.mark.usefixtures("undrawn")
def test_the_main_table_marks_a_metric_that_is_not_told_from_chance(findings) -> None:
    document = make_document(findings)
    (made,) = document.tables
    marked = [column.metric for column in made.metric_columns if column.marker]
    assert sorted(marked) == ["entropy", "ma"]  # one may be chance, one points the wrong way
    assert made.notes[-1].marker == "?"
    assert "MA (%)" in made.notes[-1].text
    heads = {"plain": "MA?", "markdown": "MA? (%) ↓", "latex": "MA?", "html": "MA?"}
    for name, head in heads.items():
        printed = find("reports", name)().render(document)
        assert head in printed
        assert "EL10?" not in printed
    # A program finds a column by its label as ever.
    assert '"label": "MA (%)"' in find("reports", "json")().render(document)


def test_without_a_table_nothing_is_marked(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    bare = Findings(tuple(golden_results()))
    (made,) = make_document(bare).tables
    assert not any(column.marker for column in made.metric_columns)
    with pytest.raises(UserError, match="no shipped table of metrics fits"):
        make_document(bare, ["metrics"])


def test_a_shipped_table_fits_results_of_its_world_and_benchmark(
    table, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    (tmp_path / "metrics-nano.json").write_text(table.model_dump_json())
    own = golden_results()
    assert fitting_table(own) == table
    assert Findings(tuple(own)).tested == table
    others = [r.model_copy(update={"group": "neo-125m"}) for r in own]
    assert fitting_table(others) is None
    tofu = table.model_copy(update={"benchmark": "nano-tofu"})
    (tmp_path / "metrics-nano.json").write_text(tofu.model_dump_json())
    assert fitting_table(own) is None


def test_in_a_mixed_folder_the_table_of_most_results_fits_whatever_their_order(
    table, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(tables, "FOLDER", tmp_path)
    (tmp_path / "metrics-nano.json").write_text(table.model_dump_json())
    own = golden_results()
    benchmark = BenchmarkRecord(
        name="nano-tofu", title="T", split="s", template="plain", columns=[], splits={}
    )
    other = own[0].model_copy(update={"benchmark": benchmark})
    assert fitting_table([other, *own]) == fitting_table([*own, other]) == table
    tofu = table.model_copy(update={"benchmark": "nano-tofu"})
    (tmp_path / "metrics-nano-tofu.json").write_text(tofu.model_dump_json())
    assert fitting_table([other, *own]) == table
    assert fitting_table([own[0], other, other]) == tofu


def test_the_map_has_a_square_for_every_two_metrics(findings, table, tmp_path, monkeypatch) -> None:
    figure = find("reports", "redundancy-map")()
    picture = figure.draw(findings)
    (axes,) = picture.axes
    n = len(table.redundancy.metrics)
    assert len(axes.patches) >= n * n
    assert [text.get_text() for text in axes.get_yticklabels()][::-1] == [
        f"{label}  {at}" for at, label in enumerate(table.redundancy.labels, start=1)
    ]
    assert "rank correlation" in figure.caption(findings)
    monkeypatch.setattr(tables, "FOLDER", tmp_path)  # which has no table
    bare = Findings(tuple(golden_results()))
    assert figure.draw(bare) is None
    assert "No map of metrics" in figure.caption(bare)
