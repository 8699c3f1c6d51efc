"""The section on attacks: what it prints of each method and attack, and what it says in words."""

import csv
import io
import json
import re
from dataclasses import replace
from typing import Any

import attack_cases as cases
import pytest

from unlearnbench.analysis.attacks.recovery import Estimate
from unlearnbench.analysis.table import ABSENT
from unlearnbench.registry import find
from unlearnbench.reporting.document import Data, Document, Findings, Listing, Picture
from unlearnbench.reporting.sections import attacks, make_document
from unlearnbench.results.score import Metric, Score


def listings(findings: Findings) -> dict[str, Listing]:
    return {b.name: b for b in attacks.blocks(findings) if isinstance(b, Listing)}


def lines(listing: Listing) -> list[dict[str, str]]:
    return [dict(zip(listing.headers, row, strict=True)) for row in listing.rows]


def cells(listing: Listing, method: str) -> dict[str, dict[str, str]]:
    """By line ('recovery') and attack what stands under a method."""
    found: dict[str, dict[str, str]] = {}
    for line in lines(listing):
        found.setdefault(line[""], {})[line["Attack"]] = line[method]
    return found


def names(listing: Listing) -> list[str]:
    return list(dict.fromkeys(row[0] for row in listing.rows))


def notes(listing: Listing) -> dict[str, str]:
    return {note.kind: note.text for note in listing.notes}


@pytest.fixture(scope="module")
def findings() -> Findings:
    return cases.panel()


@pytest.fixture(scope="module")
def document(findings: Findings) -> Document:
    return make_document(findings, ["table", "attacks"])


@pytest.fixture(scope="module")
def printed(document: Document) -> dict[str, Listing]:
    return {block.name: block for block in document.blocks if isinstance(block, Listing)}


def test_columns_are_the_tables_methods_and_rows_attacks_and_the_worst_case(
    findings: Findings, printed: dict[str, Listing]
) -> None:
    listing = printed["attacks-nano-neo"]
    assert listing.title == "Recovery under attack in MA: nano-neo"
    assert names(listing) == [
        "No attack", "Quantisation", "Relearning", "Sampling", "T/V split", "Worst case",
    ]  # fmt: skip
    methods = [row.label for row in findings.table.groups[0].rows if row.role == "method"]
    assert listing.headers == ("Attack", "", *methods)
    (panel,) = findings.panels
    relearn = next(attack for attack in panel.attacks if attack.name == "relearn")
    for row in panel.methods:
        told = cells(listing, row.label)
        value, interval, at = (told[head] for head in ("recovery", "95% interval", "at"))
        point = panel.worst_point(row, relearn)
        assert value["Relearning"] == f"{point.recovery.value:z.2f}"
        ends = f"[{point.recovery.low:z.2f}, {point.recovery.high:z.2f}]"
        assert interval["Relearning"] == ends
        assert at["Relearning"] == point.point.label
        worst = panel.worst(row)
        assert value["Worst case"] == f"{worst.estimate.value:z.2f}"
        assert at["Worst case"] == f"{worst.at.attack.label}, {worst.at.point.label}"


def test_every_metric_has_its_listing_and_an_attack_that_lacks_it_no_line(
    printed: dict[str, Listing],
) -> None:
    assert names(printed["attacks-nano-neo-el10"]) == [
        "No attack", "Quantisation", "Relearning", "T/V split", "Worst case",
    ]  # fmt: skip
    assert printed["attacks-nano-neo-el10"].notes == ()  # said once


def test_an_attack_lists_its_points_with_what_it_says_of_itself(
    printed: dict[str, Listing],
) -> None:
    listing = printed["attack-quantisation-nano-neo"]
    assert listing.headers[-1] == "update to bin"
    assert [(line["Row"], line["Point"]) for line in lines(listing)] == [
        (label, scheme) for label in ("NEO + ICU", "NEO + KUMPR") for scheme in ("int8", "nf4")
    ]
    assert [line["update to bin"] for line in lines(listing)][:2] == ["0.001", "0.015"]
    # What is the same everywhere is no column.
    assert (
        notes(printed["attack-relearning-nano-neo"])["facts"] == "For all rows and points: rows 24."
    )
    assert "rows" not in printed["attack-relearning-nano-neo"].headers


def test_the_gain_along_a_curve_stands_beside_the_retrained_models(
    findings: Findings, printed: dict[str, Listing]
) -> None:
    text = notes(printed["attack-relearning-nano-neo"])["gain"]
    last = {line.row.label: line for line in findings.panels[0].lines
            if (line.attack.name, line.point.name, line.column.metric)
            == ("relearn", "steps=20", "ma")}  # fmt: skip
    gains = {label: line.change.value for label, line in last.items()}
    taught = gains[cases.RETRAINED]
    assert f"the retrained model +{taught:.1f}; " in text
    less = taught - gains["NEO + KUMPR"]
    assert f"NEO + KUMPR +{gains['NEO + KUMPR']:.1f}, {less:.1f} less than the retrained" in text


def test_samples_have_their_bounds_beside_the_leak_at_k(printed: dict[str, Listing]) -> None:
    leaks = lines(printed["attack-sampling-nano-neo"])
    assert [line["Point"] for line in leaks[:4]] == ["k 1", "k 2", "k 4", "k 8"]
    assert all(line["Leak@k 95% interval"].startswith("[") for line in leaks)
    more = lines(printed["attack-sampling-nano-neo-more"])
    assert [line["Row"] for line in more] == [*cases.LEVELS]  # the references' too
    assert {line["Point"] for line in more} == {"k 1"}
    assert {*more[0]} == {"Row", "Point", "leak at most (%) ↓", "leaks"}


def test_the_notes_say_what_recovery_is_and_over_what_the_intervals_are(
    printed: dict[str, Listing],
) -> None:
    said = notes(printed["attacks-nano-neo"])
    assert said["synthetic"].startswith("A synthetic test bench")
    assert said["recovery"].startswith(
        "Recovery = (unlearned − retrained) / (original − retrained)"
    )
    assert said["metric"] == "In MA; Sampling in its own Leak@k."
    assert said["intervals"] == (
        "Intervals: 95% over 12 to 24 items, the seed of unlearning held fixed."
    )
    assert "allows for taking the largest" in said["worst"]
    (seeded,) = (notes(of) for name, of in listings(cases.panel(seeds=(1, 2))).items()
                 if name == "attacks-nano-neo")  # fmt: skip
    assert "and 2 seeds of unlearning." in seeded["intervals"]


def test_values_outside_0_and_1_are_printed_as_they_are_and_explained() -> None:
    lower = {**cases.LEVELS, "NEO + ICU": 0.4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cases, "LEVELS", lower)
        made = listings(cases.panel())
    value = cells(made["attacks-nano-neo"], "NEO + ICU")["recovery"]
    assert float(value["No attack"]) < -0.1
    assert notes(made["attacks-nano-neo"])["outside"].startswith("Above 1 ")


@pytest.mark.parametrize(
    ("left_out", "words"), [(cases.RETRAINED, "no retrained model"), (cases.BEFORE, "no original")]
)
def test_without_a_reference_a_column_says_so_and_shows_the_change(
    left_out: str, words: str
) -> None:
    made = listings(cases.panel(leave_out=(left_out,)))
    listing = made["attacks-nano-neo"]
    relearning = next(name for name in names(listing) if name.startswith("Relearning ("))
    assert words in relearning
    told = cells(listing, listing.headers[2])
    assert re.fullmatch(r"\+\d+\.\d", told["change"][relearning])
    assert told["recovery"]["Worst case"] == ABSENT
    assert "recovery" not in notes(listing)
    assert notes(listing)["change"].startswith("Signed values: without ")
    assert "Change" in made["attack-relearning-nano-neo"].headers


def test_an_attack_that_is_given_the_original_weights_is_no_worst_case() -> None:
    findings = cases.panel()
    given = [
        result.model_copy(
            update={"attack": result.attack.model_copy(update={"counts_in_worst_case": False})}
        )
        if result.attack is not None and result.attack.name == "relearn"
        else result
        for result in findings.attacked
    ]
    listing = listings(replace(findings, attacked=tuple(given)))["attacks-nano-neo"]
    assert "Relearning" in names(listing)
    at = [line for line in lines(listing) if line["Attack"] == "Worst case" and line[""] == "at"]
    assert not any(value.startswith("Relearning") for line in at for value in line.values())
    assert "Relearning, given what is to come back, is no part of it." in notes(listing)["worst"]


def test_a_point_that_has_all_but_ended_the_originals_lead_is_no_worst_point() -> None:
    (panel,) = cases.panel().panels
    lines = panel.lines
    (attack, column) = (lines[0].attack, lines[0].column)
    of_row = panel.of(attack, column, panel.methods[0])
    remnant = replace(
        of_row[0], original=of_row[0].retrained + 1e-3, recovery=Estimate(9.0, None, None)
    )
    changed = tuple(remnant if line is of_row[0] else line for line in lines)
    told = replace(panel, lines=changed).worst_point(panel.methods[0], attack, column)
    assert told is not remnant


def test_what_an_attack_finds_in_the_models_themselves_is_a_listing_of_its_own() -> None:
    uds = Metric("depth", "UDS", True, decimals=3, in_score=False, documents="rows", task="depth")
    results, described = [], []
    for result in cases.panel().results:
        values = {doc_id: 0.5 for doc_id in result.forget_set.doc_ids}
        score = {"depth": Score.of(values, higher_is_better=True)}
        of_attack = cases.attacked(result, "depth", [("depth", None, score, {})], metrics=[uds])
        record = of_attack.attack.model_copy(update={"describes_model": True, "label": "UDS"})
        described.append(of_attack.model_copy(update={"attack": record}))
        with_it = {"scores": {**result.scores, "depth": score}, "metrics": [*result.metrics, uds]}
        results.append(result.model_copy(update=with_it))
    findings = replace(cases.panel(), results=tuple(results), attacked=tuple(described))
    (listing,) = (of for of in listings(findings).values() if of.title.startswith("UDS of the"))
    assert listing.headers == ("Row", "UDS ↑", "95% interval")
    assert [row[0] for row in listing.rows] == [row.label for row in findings.table.groups[0].rows]
    assert {row[1] for row in listing.rows} == {"0.500"}


def test_failed_cells_models_made_again_and_missing_runs_are_named() -> None:
    findings = cases.panel(runs=("0", "1"))
    attacked = list(findings.attacked)
    names = [(one.label, one.attack.name) for one in attacked if one.attack]
    at = names.index(("NEO + ICU", "relearn"))
    record: Any = attacked[at].attack
    again = record.model_copy(update={"made_again": True})
    attacked[at] = attacked[at].model_copy(
        update={"status": "failed", "error": "no memory", "scores": {}, "attack": again}
    )
    said = notes(listings(replace(findings, attacked=tuple(attacked)))["attacks-nano-neo"])
    assert said["failed"] == "Failed: NEO + ICU under Relearning, forget set 0 (no memory)."
    assert said["made_again"].startswith("Unlearned again for the attack, ")
    assert "NEO + ICU under Relearning (1 of 2)" in said["partial"]


def test_nothing_but_failures_is_a_list_of_them() -> None:
    findings = cases.panel()
    failed = [one.model_copy(update={"status": "failed", "error": "x", "scores": {}})
              for one in findings.attacked]  # fmt: skip
    (listing,) = attacks.blocks(replace(findings, attacked=tuple(failed)))
    assert isinstance(listing, Listing)
    assert len(listing.rows) == len(failed)
    assert tuple(attacks.blocks(replace(findings, attacked=()))) == ()


def test_programs_get_every_metric_and_people_do_not(document: Document) -> None:
    (data,) = (block for block in document.blocks if isinstance(block, Data))
    assert data not in document.printed
    files = find("reports", "csv")().files(document, "x")
    rows = list(csv.DictReader(io.StringIO(files["x-attacks-data.csv"].decode())))
    assert {row["metric"] for row in rows} == {"el10", "ma", "leak", "leak_bound"}
    (line,) = (row for row in rows
               if (row["row"], row["attack"], row["point"], row["metric"])
               == ("NEO + ICU", "relearn", "steps=20", "ma"))  # fmt: skip
    known = next(of for of in document.findings.panels[0].lines
                 if (of.row.label, of.point.name, of.attack.name, of.column.metric)
                 == ("NEO + ICU", "steps=20", "relearn", "ma"))  # fmt: skip
    assert float(line["recovery_low"]) == pytest.approx(known.recovery.low)
    assert line["n_items"] == "24"
    blocks = json.loads(find("reports", "json")().render(document))["blocks"]
    assert [block["kind"] for block in blocks[-4:]] == ["picture", "picture", "picture", "data"]


def test_the_table_is_the_same_with_and_without_attacks(document: Document) -> None:
    alone = make_document(replace(document.findings, attacked=()), ["table"])
    plain = find("reports", "plain")()
    assert plain.render(document).startswith(plain.render(alone).rstrip("\n"))


def test_pictures_are_those_that_have_something_to_show(document: Document) -> None:
    shown = [block.figure for block in document.blocks if isinstance(block, Picture)]
    assert shown == ["recovery-map", "attack-curves", "leak-curves"]
    left = cases.panel(leave_out=(cases.RETRAINED,))
    unsampled = tuple(r for r in left.attacked if r.attack and r.attack.name != "sample")
    blocks = attacks.blocks(replace(left, attacked=unsampled))
    assert [b.figure for b in blocks if isinstance(b, Picture)] == ["attack-curves"]


def test_every_text_format_prints_the_listings_and_not_what_is_for_programs(
    document: Document,
) -> None:
    for name in ("plain", "markdown", "latex"):
        text = find("reports", name)().render(document)
        assert "Recovery under attack in MA" in text
        assert "Quantisation, every point" in text
        assert "Every metric at every point" not in text
    widest = max(map(len, find("reports", "plain")(width=100).render(document).split("\n")))
    assert widest <= 120


@pytest.mark.slow  # it draws every figure
def test_a_page_has_the_listings_and_the_figures(document: Document) -> None:
    page = find("reports", "html")().render(document)
    for block in document.printed:
        if isinstance(block, Listing):
            assert block.title in page
    assert all(title in page for title in ("Recovery map", "Attack curves", "Leak curves"))
    assert "Every metric at every point" not in page


def test_an_estimate_in_other_units() -> None:
    assert Estimate(0.1, None, 0.2).scaled(100) == (10.0, None, 20.0)
