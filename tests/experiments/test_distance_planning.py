"""A run measures the distance to the retrained model where there is one, and says nothing else."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from unlearnbench.experiments import benchmark_choice, data_choice
from unlearnbench.experiments.benchmark_choice import read_alike
from unlearnbench.experiments.cell import identity_of
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import Plan, make_plan
from unlearnbench.results.record import attacked_model_in
from unlearnbench.running.memory.prediction import SECOND, predict


def planned(**options) -> Plan:
    given = {"methods": ("icu",), "runs": ("0",), "device": "cpu", **options}
    return make_plan(Experiment(**given), download=False)


def test_it_runs_by_default_with_a_retrained_model_and_is_part_of_the_question() -> None:
    for cell in planned().cells:
        assert "distance" in cell.tasks
        assert cell.retrained.requested == "nano-retrained"
        asked = cell.identity["tasks"]["retrained"]
        assert asked == cell.retrained.identity
        other = replace(cell, retrained=cell.main)
        assert identity_of(other) != cell.identity
        # Which model is measured hangs on no other that it is compared with.
        assert attacked_model_in(identity_of(other)) == attacked_model_in(cell.identity)


def test_without_one_a_default_run_asks_what_it_always_asked() -> None:
    plan = planned(model=("nano-llama",))
    assert not [warning for warning in plan.warnings if "distance" in warning]
    for cell in plan.cells:
        assert set(cell.tasks) == {"classification", "dialogue", "forgetting", "perplexity"}
        assert cell.retrained is None
        assert "retrained" not in cell.identity["tasks"]


def test_a_named_one_that_measures_nothing_is_warned_about() -> None:
    plan = planned(model=("nano-llama",), tasks=("forgetting", "distance"))
    (warning,) = (w for w in plan.warnings if "distance" in w)
    assert warning.endswith("name one: --retrained MODEL")


def test_references_that_nobody_asked_for_are_not_missed() -> None:
    plan = planned(model=("nano-llama",), references=("before",))
    assert not [warning for warning in plan.warnings if "retrained" in warning]


def test_a_retrained_model_of_the_users_own_is_enough() -> None:
    plan = planned(model=("nano-llama",), retrained=("nano-retrained",))
    for cell in plan.cells:
        assert "distance" in cell.tasks
        assert cell.retrained is not None


class Words(dict):
    """A tokenizer that is its vocabulary."""

    get_vocab = dict.copy


def test_models_of_other_tokens_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    main = planned().cells[0].main
    monkeypatch.setattr(data_choice, "without_weights", None)  # the files tell without it
    other = replace(main.source, weights_sha256="other")
    assert read_alike(main, replace(main, source=other))
    monkeypatch.setattr(benchmark_choice, "_tokens_and_size", lambda choice: None)
    read_alike.cache_clear()
    words = {"same": ({"a": 0, "b": 1}, 2), "other": ({"b": 0, "a": 1}, 2), "wide": ({"a": 0}, 4)}

    def unloaded(choice):
        words_of, size = words.get(choice.source.name, words["same"])
        config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=size))
        return SimpleNamespace(tokenizer=Words(words_of), network=SimpleNamespace(config=config))

    monkeypatch.setattr(data_choice, "without_weights", unloaded)
    for name, is_alike in (("same", True), ("other", False), ("wide", False)):
        source = replace(main.source, name=name, weights_sha256=name)
        assert read_alike(main, replace(main, source=source)) == is_alike
    assert read_alike(main, main)


def test_attacks_are_not_judged_by_a_distance() -> None:
    cells = [c for c in planned(attacks=("mixing",)).cells if c.attack]
    assert cells
    assert all(set(cell.tasks) == {"forgetting"} for cell in cells)


def test_the_retrained_model_counts_in_the_memory_of_measuring() -> None:
    cell = next(cell for cell in planned().cells if cell.role == "method")
    alone = predict(replace(cell, retrained=None)).phases["measure"]
    beside = predict(cell).phases["measure"]
    weights = 4 * cell.retrained.n_parameters
    assert beside[SECOND] == alone.get(SECOND, 0) + weights
    with pytest.raises(KeyError):
        predict(cell).phases["load"][SECOND]
