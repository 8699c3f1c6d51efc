"""Every method on a few nano rows for an epoch, with the settings that a run would give it."""

from functools import cache
from typing import Any

import pytest
import torch
from unlearning_fakes import MaExaminer

from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.data.stop_line import StopLine
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import make_plan
from unlearnbench.models.language_model import LanguageModel
from unlearnbench.registry import find, methods
from unlearnbench.running.checks import not_finite
from unlearnbench.unlearning.batch import UnlearnBatch
from unlearnbench.unlearning.gradient_method import GradientMethod

N_ROWS = 6
NEVER = StopLine(el=-1.0, ma=-1.0)


@cache
def planned() -> dict[str, Any]:
    """The settings of each method's cell, by its name: tuned rates and weights where there are."""
    plan = make_plan(Experiment(methods=("all",), runs=("0",), limit=N_ROWS, references=("none",)))
    return {cell.method: cell for cell in plan.cells}


@cache
def nano() -> tuple[LanguageModel, ForgetSet]:
    cell = next(iter(planned().values()))
    model = cell.model.load()
    return model, cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)


def mean_nll(model: LanguageModel, forget_set: ForgetSet) -> float:
    """Nats per row."""
    with torch.no_grad():
        batch = UnlearnBatch.of(model, forget_set, list(range(N_ROWS)))
        return float(batch.target_nll_per_row.mean())


@pytest.mark.parametrize("name", [n for n, method in methods().items() if not method.is_sham])
def test_an_epoch_forgets_and_leaves_the_original_alone(name: str) -> None:
    model, forget_set = nano()
    before = {n: p.detach().clone() for n, p in model.network.named_parameters()}
    copied = model.copied()
    settings = {**planned()[name].settings, "batch_size": 3}
    # Task vector and WHP change the model once, after epochs of fine-tuning.
    if issubclass(find("methods", name), GradientMethod):
        settings["max_epochs"] = 1
    method = find("methods", name)(**settings)
    trace = method.unlearn(copied, forget_set, MaExaminer(NEVER))

    assert trace.outcome == "not_forgotten", trace.reason
    assert not_finite(copied.network) == ""
    assert all(torch.isfinite(torch.tensor(list(trace.epochs[-1].losses.values()))))
    assert mean_nll(copied, forget_set) > mean_nll(model, forget_set)
    for key, parameter in model.network.named_parameters():
        assert torch.equal(parameter, before[key]), key


def test_the_released_protocol_gives_released_values_and_labels_answers_alone() -> None:
    options = {"runs": ("0",), "limit": N_ROWS, "references": ("none",), "protocol": "released"}
    plan = make_plan(Experiment(methods=("all",), **options))
    settings = {cell.method: cell.settings for cell in plan.cells}
    assert settings["undial"]["positions"] == "predicting"
    assert settings["undial"]["labels"] == settings["npo"]["labels"] == "answers"
    assert settings["npo"]["scores"] == "raw_logits"
    assert settings["rmu"]["mean_over"] == "broadcast"
    assert settings["idk_dpo"]["factor"] == settings["altpo"]["factor"] == "2/beta"
    assert (settings["simnpo"]["beta"], settings["simnpo"]["gamma"]) == (4.5, 0.125)
    assert (settings["satimp"]["gamma"], settings["satimp"]["alpha"]) == (0.1, 1.0)
    assert settings["pdu"]["positions"] == "unshifted"
    assert settings["gd"]["retain"] == "nll"
    assert planned()["undial"].settings["labels"] == "protocol"
