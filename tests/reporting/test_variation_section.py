"""The section on variation: what it prints, what it says each interval is over, and its options."""

import hashlib
import re

import pytest
import variance_cases as cases

from unlearnbench.analysis.table import ABSENT
from unlearnbench.cli import status_of
from unlearnbench.errors import UserError
from unlearnbench.experiments.named import Named, parse_definition
from unlearnbench.experiments.recorded import PlannedCell, record
from unlearnbench.models import aliases
from unlearnbench.reading import choose_results, load_results
from unlearnbench.registry import find
from unlearnbench.reporting.document import Data, Findings
from unlearnbench.reporting.sections import make_document, variation
from unlearnbench.results.record import key_of, question_in
from unlearnbench.results.store import Store

TOLD = (cases.TRAININGS,)


def listings(findings):
    return {re.sub("-nano-neo.*", "", b.name): b for b in variation.blocks(findings)}


def lines(listing):
    return [dict(zip(listing.headers, row, strict=True)) for row in listing.rows]


def told(block):
    return " ".join(note.text for note in block.notes)


@pytest.fixture(scope="module")
def three():
    return listings(Findings(tuple(cases.results()), trainings=TOLD))


@pytest.fixture(scope="module")
def one():
    return listings(Findings(tuple(cases.results(("nano-neo",)))))


def test_three_trainings_have_every_kind_of_listing(three):
    assert [*three] == [
        "variation", "variation-intervals", "variation-pairs", "variation-firsts",
        "variation-null", "variation-data",
    ]  # fmt: skip
    assert all(len(row) == len(b.headers) for b in three.values() for row in b.rows)


def test_components_are_deviations_with_their_shares_of_the_variance(three):
    line = next(
        x for x in lines(three["variation"])
        if (x["Metric"], x["Row"]) == ("MA (%) ↓", "NEO + ICU")
    )  # fmt: skip
    parts = [line[name] for name in ("Training", "Seed", "Items", "Training × item", "Rest")]
    deviations = [float(part.split(" ")[0]) for part in parts]
    shares = [part.split("(")[1] for part in parts]
    total = sum(d**2 for d in deviations)
    for deviation, share in zip(deviations, shares, strict=True):
        printed = 0.0 if share.startswith("<") else float(share.rstrip("%)"))
        assert 100 * deviation**2 / total == pytest.approx(printed, abs=1.5)
    assert (line["Trainings"], line["Seeds"]) == ("3", "2")
    assert "nano-neo, nano-neo-2, nano-neo-3" in told(three["variation"])
    assert "seeds act alike in all trainings" in told(three["variation"])


def test_every_interval_says_over_what_it_is(three, one):
    headers = ("Metric", "Row", "Mean", "Over items", "Over seeds", "Over trainings", "Over both")
    assert three["variation-intervals"].headers == headers
    for line in lines(three["variation-intervals"]):
        ends = {}
        for name in headers[3:]:
            if line[name] != ABSENT:
                ends[name] = [float(end) for end in line[name].strip("[]").split(", ")]
                low, high = ends[name]
                assert low <= float(line["Mean"]) <= high
        widths = {name: high - low for name, (low, high) in ends.items()}
        assert widths["Over both"] >= max(widths["Over items"], widths["Over trainings"]) - 0.11
    assert "Over trainings" not in one["variation-intervals"].headers
    assert "One training: it is held fixed" in told(one["variation-intervals"])
    assert "the forget sets are held fixed" in told(three["variation-intervals"]).lower()


def test_one_training_says_nothing_of_others(one):
    assert "Training" not in one["variation"].headers
    assert "nothing here says what another training would give" in told(one["variation"])
    assert "First better in" not in one["variation-pairs"].headers
    assert [*one] == [
        "variation", "variation-intervals", "variation-pairs", "variation-firsts", "variation-data",
    ]  # fmt: skip


def test_a_score_of_two_windows_has_no_interval_over_items(monkeypatch):
    monkeypatch.setattr(cases, "N_WINDOWS", 2)
    found = listings(Findings(tuple(cases.results()), trainings=TOLD))
    for name in ("variation-intervals", "variation-pairs"):
        by_metric = {line["Metric"]: line for line in lines(found[name])}
        assert by_metric["Pile (PPL) ↓"]["Over items"] == ABSENT
        assert by_metric["Pile (PPL) ↓"]["Over both"] == ABSENT
        assert by_metric["Pile (PPL) ↓"]["Over trainings"] != ABSENT
        assert by_metric["MA (%) ↓"]["Over items"] != ABSENT
        assert "of fewer than 10 items, has no interval over items" in told(found[name])


def test_a_pair_that_fewer_trainings_have_is_counted_as_such():
    lost = [r for r in cases.results(ICU=0.5, KL=0.6, GA=0.7)
            if not (r.group == "nano-neo-3" and r.label.endswith("GA"))]  # fmt: skip
    found = listings(Findings(tuple(lost), trainings=TOLD))["variation-pairs"]
    assert (
        "in all 3 trainings in 25% of cases, in all 2 trainings in 50% of cases, and from 2 to 3 "
        "differences" in told(found)
    )


def test_one_seed_of_one_training_varies_over_items_alone():
    found = listings(Findings(tuple(cases.results(("nano-neo",), seeds=(42,)))))
    assert found["variation-intervals"].headers[3:] == ("Over items",)
    assert "One seed of unlearning: it is held fixed." in told(found["variation-intervals"])
    assert "variation-firsts" not in found


def test_one_seed_of_three_trainings_is_told_to_be_in_them():
    found = listings(Findings(tuple(cases.results(seeds=(42,))), trainings=TOLD))
    assert found["variation-intervals"].headers[3:] == ("Over items", "Over trainings", "Over both")
    assert "cannot be told from them" in told(found["variation-intervals"])
    assert "With one seed the seed's part is in the training's." in told(found["variation"])


def test_differences_say_in_how_many_trainings_they_hold(three):
    by_metric = {line["Metric"]: line for line in lines(three["variation-pairs"])}
    assert set(by_metric) == {"MA (%) ↓", "Cls Avg. (ACC) ↑", "Pile (PPL) ↓", "s_z ↑", "s_m ↑"}
    assert by_metric["MA (%) ↓"]["First better in"] == "3 of 3"
    assert by_metric["MA (%) ↓"]["Difference"].startswith("-")
    assert by_metric["Pile (PPL) ↓"]["Difference"].startswith("×0.")
    assert re.fullmatch(r"\d\d%", by_metric["MA (%) ↓"]["In a new training"])
    assert by_metric["s_z ↑"]["Over items"] == ABSENT
    assert "in all 3 trainings in 25% of cases" in told(three["variation-pairs"])


def test_who_is_first_is_counted_over_trainings_and_seeds(three):
    (icu, kl) = lines(three["variation-firsts"])
    for name, text in icu.items():
        if name != "Row":
            first, of = map(int, text.split(" of "))
            assert of == 6
            assert first + int(kl[name].split(" of ")[0]) == 6


def test_retrained_models_are_compared_as_two_methods_would_be(three):
    by_metric = {line["Metric"]: line for line in lines(three["variation-null"])}
    assert by_metric["MA (%) ↓"]["Pairs"] == "3"
    assert by_metric["MA (%) ↓"]["Items"] == str(2 * cases.N_ROWS)
    # They were made with means that differ by their seeds, and items that are the same.
    assert by_metric["MA (%) ↓"]["By the paired test"] == "2 of 3"
    assert by_metric["MA (%) ↓"]["By the KS test"] == "0 of 3"


def test_data_add_up(three):
    block = three["variation-data"]
    assert isinstance(block, Data)
    for line in lines(block):
        low, high = (line[f"{end}_over_items"] for end in ("low", "high"))
        if low:
            assert (float(low) + float(high)) / 2 == pytest.approx(float(line["mean"]), abs=1e-6)
    pair = next(line for line in lines(block) if line["minus"])
    assert (pair["row"], pair["minus"], pair["better"]) == ("NEO + ICU", "NEO + KL", "3")


@pytest.mark.parametrize("kind", ["plain", "markdown", "latex", "json"])
def test_every_format_prints_it(kind):
    findings = Findings(tuple(cases.results(runs=("0",))), trainings=TOLD)
    text = find("reports", kind)().render(make_document(findings, ["variation"]))
    assert "3 trainings" in text


# ---- which groups are trainings of one model


@pytest.fixture
def folder(tmp_path):
    store = Store(tmp_path)
    for result in cases.results(("nano-neo", "own-a", "own-b"), runs=("0",)):
        identity = {"of": f"{result.group} {result.label} {result.seed}"}
        store.save(result.model_copy(update={"identity": identity, "key": key_of(identity)}))
    return tmp_path


def test_a_user_names_models_that_are_one(folder, capsys):
    assert status_of(["report", str(folder), "--trainings", "own-a,own-b"]) == 0
    out = capsys.readouterr().out
    assert "own-a, 2 trainings" in out
    assert "nano-neo, " not in out.split("What a number varies with")[1]


def test_an_experiments_file_names_models_that_are_one(tmp_path):
    text = """
title = "Own"
sections = ["variation"]
trainings = [["own-a", "own-b", "own-c"]]
[run]
model = ["own-a"]
methods = ["icu"]
"""
    results = [
        result.model_copy(update={"identity": {"of": f"{result.group} {result.label}"}})
        for result in cases.results(("own-a", "own-b"), runs=("0",), seeds=(42,))
    ]
    cells = [
        PlannedCell(
            question=hashlib.sha256(question_in(result.identity).encode()).hexdigest(),
            title=result.label, position=at,
        )
        for at, result in enumerate(results)
    ]  # fmt: skip
    record(tmp_path, Named("own", parse_definition(text, "own.toml"), text), cells)
    shown = choose_results(tmp_path, results, "own")
    # The third has no result yet.
    assert shown.findings.trainings == (("own-a", "own-b"),)
    assert "own-a, 2 trainings" in str(shown.report())


def test_names_that_are_not_there_are_an_error(folder, capsys):
    assert status_of(["report", str(folder), "--trainings", "own-a,own-bb"]) != 0
    assert "did you mean 'own-b'" in capsys.readouterr().err
    with pytest.raises(UserError, match="names one model"):
        load_results(folder, trainings=[["own-a"]])


def test_trainings_have_no_place_in_a_comparison(folder, capsys):
    options = ["--trainings", "own-a,own-b", "--compare", str(folder)]
    assert status_of(["report", str(folder), *options]) != 0
    assert "--trainings has no place in --compare" in capsys.readouterr().err


def test_aliases_say_of_which_model_one_is_a_retraining(monkeypatch, tmp_path):
    every = aliases.aliases()
    own = every["nano-neo"]
    again = aliases.ModelAlias(
        "nano-neo-2", None, "NEO-2", "", "", world=own.world, retraining_of="nano-neo"
    )
    monkeypatch.setattr(aliases, "aliases", lambda: {**every, "nano-neo-2": again})
    shown = choose_results(tmp_path, cases.results(("nano-neo", "nano-neo-2"), runs=("0",)))
    assert shown.findings.trainings == (("nano-neo", "nano-neo-2"),)
    assert shown.sections == ("table", "variation")
    alone = choose_results(tmp_path, cases.results(("nano-neo",), runs=("0",)))
    assert alone.findings.trainings == ()
    assert alone.sections == ("table",)
