"""A world that comes with the package is known by its name wherever one is asked for."""

from dataclasses import replace

import pytest

from unlearnbench.data.forget_set import open_source
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.data.pairs import encoder_folder
from unlearnbench.data.validation_texts import default_texts, read_texts
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import make_plan
from unlearnbench.metrics.bertscore_model import bert_folder, bert_layers
from unlearnbench.models.aliases import aliases
from unlearnbench.models.loading import model_facts
from unlearnbench.nano import NANO, WORLDS, ShippedModel, find_world


@pytest.fixture
def own(monkeypatch):
    """A second world beside the nano world, with its files but other names and defaults."""
    world = replace(
        NANO,
        name="own",
        title="one's own world",
        models={"nano-llama": ShippedModel("OWN", "Its only model.")},
        encoder_layers=1,
        el_epochs="all",
        threads=3,
        jobs=1,
    )
    monkeypatch.setitem(WORLDS, "own", world)
    return world


def test_its_encoder_serves_bertscore_and_pairing(own):
    assert bert_folder("own") == encoder_folder("own") == own.encoder_path()
    assert bert_layers("own", own.encoder_path()) == 1
    assert bert_layers("nano", NANO.encoder_path()) == 3


def test_its_texts_are_read_by_its_name(own):
    assert read_texts(default_texts("own")) == read_texts(default_texts("hub", "nano"))
    with pytest.raises(UserError, match="one's own world has no text 'x'; it has pile and wiki"):
        read_texts({"x": "own"})


def test_its_models_are_aliases_and_synthetic(own):
    alias = aliases()["nano-llama"]
    assert (alias.family, alias.world) == ("OWN", own)
    for name, is_synthetic in (("nano-llama", True), (str(alias.folder), False)):
        facts = model_facts(name)
        assert facts is not None
        assert facts.source.is_synthetic == is_synthetic


def test_its_forget_sets_are_synthetic_wherever_they_lie():
    of_world = open_source(ForgetRequest("nano"))
    copied = open_source(ForgetRequest(str(NANO.data() / "extraction")))
    assert of_world.is_synthetic
    assert copied.is_synthetic
    assert of_world.sha256("0") == copied.sha256("0")


def test_a_run_on_it_has_its_defaults(own):
    options = {"tasks": ("perplexity",), "methods": ("icu",), "runs": ("0",), "limit": 4}
    plan = make_plan(Experiment(model=("nano-llama",), **options), download=False)
    assert {cell.threads for cell in plan.cells} == {3}
    assert {cell.el_epochs for cell in plan.cells} == {"all"}
    assert {cell.stop for cell in plan.cells} == {"calibrated"}
    assert all(cell.data.world is own is find_world("own") for cell in plan.cells)
    assert plan.jobs == 1
    # The other world's retrained model has seen other rows than this one's.
    options["forget_set"] = "own"
    cells = make_plan(Experiment(model=("nano-neo",), **options), download=False).cells
    assert {cell.role for cell in cells} == {"before", "dedup", "method"}
