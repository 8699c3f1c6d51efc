"""What runs do with a file that tuning wrote: whose word is stronger, and rows in common."""

import pytest

from unlearnbench.data.benchmarks.definition import find_benchmark
from unlearnbench.experiments.data_choice import choose_data
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import (
    Budget,
    Candidate,
    LearningRates,
    Tuned,
)
from unlearnbench.experiments.method_settings import choose_settings
from unlearnbench.experiments.model_choice import choose_model
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find

TRIED = Candidate(
    learning_rate=2e-4, settings={"alpha": 0.5}, reached=True, outcome="forgotten", n_epochs=2,
    distance=0.0, mean_log_perplexity=2.0,
)  # fmt: skip


def tuned(n=12, **changes):
    budget = Budget(sampler="random", n=n, seed=0, space={"learning_rate": "2e-5..1e-3"})
    one = Tuned(
        learning_rate=2e-4, settings={"alpha": 0.5}, reached=True, candidates=[TRIED], budget=budget
    )
    return LearningRates(
        model="nano-tofu-full", weights_sha256="x", forget_set="nano-tofu/forget05",
        run="forget05", protocol="paper", stop="paper", grid=[2e-4], methods={"npo": one},
    ).model_copy(update=changes)  # fmt: skip


@pytest.mark.parametrize(("file", "rate"), [("rates.json", 2e-4), (None, 3e-5)])
def test_a_file_that_is_named_beats_a_benchmark_and_a_shipped_one_does_not(file, rate):
    benchmark = find_benchmark("nano-tofu")
    assert benchmark.definition.settings["npo"] == {"learning_rate": 3e-5}
    experiment = Experiment(learning_rates=file)
    chosen = choose_settings(
        find("methods", "npo"), {}, experiment, 10**6, Protocol(), tuned(), "paper", benchmark
    )
    assert chosen.values["learning_rate"] == rate
    assert chosen.values["alpha"] == 0.5  # of which the benchmark says nothing


def test_the_origin_says_the_budget_and_whether_it_was_equal():
    def origin(rates):
        npo, experiment = find("methods", "npo"), Experiment()
        chosen = choose_settings(npo, {}, experiment, 10**6, Protocol(), rates, "paper")
        return chosen.origins["alpha"]

    start = "tuned on forget set nano-tofu/forget05, chosen among 12 random configurations (seed 0)"
    assert origin(tuned()).startswith(f"{start} of each method: of the rates")
    unlike = {**tuned().methods, "gd": tuned(n=3).methods["npo"].model_copy(
        update={"budget": Budget(sampler="random", n=3, seed=0, space={"x": "1,2"})})}  # fmt: skip
    assert origin(tuned(methods=unlike)).startswith(f"{start}: of the rates")
    other = tuned(schedule={"until": "epochs"})
    assert origin(other).startswith("tuned under the schedule until epochs on forget set")


def test_rows_that_were_tuned_on_are_counted_though_the_forget_set_is_another():
    """forget05 is the end of forget10."""
    experiment = Experiment.parse({"benchmark": "nano-tofu", "split": "forget10"})
    model = choose_model(experiment, "nano-tofu-full", False)
    data, _ = choose_data(experiment, model, Protocol(), ())
    assert data.shared_with("nano-tofu/forget05", "forget05", Protocol()) == {"forget10": 100}
    assert data.shared_with("nano-tofu/forget10", "forget10", Protocol()) == {"forget10": 200}
    assert data.shared_with("nano/forget_tuning", "tuning", Protocol()) == {}
    (warning,) = tuned().warnings_for({"forget10": 100})
    assert warning.startswith("forget set forget10 has 100 rows of nano-tofu/forget05, on which")
