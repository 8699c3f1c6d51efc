"""Utility matching: bisection against a scan, its ends bit for bit, utility by a plain loop."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from item_cases import llama, own_rows
from unlearning_fakes import forget_set, tiny_model
from weight_attacks import model_of, pair_of, same_bits, shifted

from unlearnbench.attacking.attack import Target
from unlearnbench.attacking.matching import Match, match_utility, perplexity_kept, spread
from unlearnbench.attacks.utility_match import PHASE, UtilityMatch
from unlearnbench.data.items import Item, Split
from unlearnbench.data.templates import Template
from unlearnbench.errors import UserError
from unlearnbench.experiments.attack_choice import AttackChoice
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.method_settings import chosen_plugins
from unlearnbench.experiments.planner import Planner
from unlearnbench.metrics.task import TEXTS, TaskContext
from unlearnbench.models.language_model import LanguageModel

TEXT = ("t3 t4 t5 t6 t7 t8 t9 t10 " * 12, "t11 t12 t13 " * 30)


def target_of(original: LanguageModel, **fields) -> Target:
    rows = forget_set()
    context = TaskContext(rows, {"pile": TEXT}, batch_size=4)
    return Target(rows, context, load_original=original.copied, **fields)


def matched(attack: UtilityMatch, model: LanguageModel, target: Target):
    (point,) = attack.apply(model, target)
    return point


# ---- bisection


@pytest.mark.parametrize("fall", [0.051, 0.1, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("power", [0.5, 1.0, 4.0])
def test_bisection_finds_what_a_fine_scan_finds(fall: float, power: float) -> None:
    def utility(alpha: float) -> float:
        return math.exp(-fall * alpha**power)

    match = match_utility(utility, 0.95, 0.0, 16)
    grid = np.linspace(0, 1, 20001)
    expected = grid[np.exp(-fall * grid**power) >= 0.95].max()
    assert match.alpha == pytest.approx(expected, abs=2**-14)
    assert match.utility == utility(match.alpha) >= 0.95
    assert len(match.visited) <= 16
    assert match.largest_rise == 0


def test_a_model_that_keeps_the_share_is_looked_at_once_and_stays_whole() -> None:
    match = match_utility(lambda alpha: 1 - 0.01 * alpha, 0.95, 0.005, 8)
    assert (match.alpha, match.utility, match.visited) == (1.0, 0.99, ((1.0, 0.99),))


def test_it_ends_near_above_the_share_or_with_its_evaluations() -> None:
    match = match_utility(lambda alpha: 1 - alpha, 0.7, 0.05, 20)
    assert 0.7 <= match.utility <= 0.75
    assert len(match.visited) == 3  # 1, 0.5, 0.25
    few = match_utility(lambda alpha: 1 - 50 * alpha, 0.95, 0.0, 4)
    assert (few.alpha, few.utility) == (0.0, 1.0)
    assert [alpha for alpha, _ in few.visited] == [1.0, 0.5, 0.25, 0.125]


def test_a_utility_that_rises_again_is_told_and_one_that_is_no_number_is_none() -> None:
    rising = match_utility(lambda alpha: abs(alpha - 0.5) + 0.3, 0.85, 0.0, 3)
    assert rising.largest_rise == pytest.approx(0.8 - 0.3)
    broken = match_utility(lambda alpha: math.nan if alpha > 0.4 else 0.97, 0.95, 0.0, 5)
    assert broken.alpha < 0.4
    assert broken.visited[0] == (1.0, 0.0)
    assert Match(0.5, 0.9, ((1.0, 0.5), (0.5, 0.9))).largest_rise == 0


def test_windows_are_spread_over_a_text() -> None:
    things = [[i] for i in range(10)]
    assert spread(things, 4) == [[0], [2], [5], [7]]
    assert spread(things, 20) == things


# ---- models


@pytest.mark.parametrize("architecture", ["gpt-neo", "llama"])
def test_its_ends_are_the_two_models_bit_for_bit(architecture: str) -> None:
    original = model_of(architecture)
    unlearned = shifted(original, size=0.3)
    before = {name: value.clone() for name, value in unlearned.network.state_dict().items()}
    strict = UtilityMatch(share=1.0, tolerance=0.0, evaluations=1)
    point = matched(UtilityMatch(share=1e-9), unlearned, target_of(original))
    assert point.facts["alpha"] == 1
    assert point.facts["evaluations"] == 1
    assert same_bits(point.model.network.state_dict(), before)
    assert point.facts["utility_unmatched"] < 1
    point = matched(strict, unlearned, target_of(original))
    assert (point.facts["alpha"], point.facts["utility"]) == (0, 1)
    assert same_bits(point.model.network.state_dict(), original.network.state_dict())


def test_what_lies_between_has_the_utility_that_a_plain_loop_measures() -> None:
    original = tiny_model("llama")
    unlearned = shifted(original, size=0.3)
    before = {name: value.clone() for name, value in unlearned.network.state_dict().items()}
    attack = UtilityMatch(share=0.9, tolerance=0.0, evaluations=9)
    point = matched(attack, unlearned, target_of(original))
    alpha = point.facts["alpha"]
    assert 0 < alpha < 1
    for name, mixed in point.model.network.state_dict().items():
        start = original.network.state_dict()[name]
        torch.testing.assert_close(mixed, (1 - alpha) * start + alpha * before[name])
    ratio = math.exp(nll(original) - nll(point.model))
    assert point.facts["utility"] == pytest.approx(ratio, rel=1e-5)
    assert ratio >= 0.9
    assert point.facts["largest_rise_of_utility"] == 0


def nll(model: LanguageModel) -> float:
    """Mean over windows of 64 tokens, BOS in front, of the mean over tokens, by transformers."""
    ids = model.tokenizer("\n\n".join(TEXT), add_special_tokens=False).input_ids
    bos = [] if model.bos_token_id_to_prepend is None else [model.bos_token_id_to_prepend]
    step = 64 - len(bos)
    windows = [[*bos, *ids[i : i + step]] for i in range(0, len(ids), step)]
    losses = []
    for window in windows:
        tokens = torch.tensor([window])
        with torch.no_grad():
            logits = model.network(input_ids=tokens).logits[0, :-1].double()
        losses.append(float(torch.nn.functional.cross_entropy(logits, tokens[0, 1:])))
    return sum(losses) / len(losses)


def test_a_pair_goes_towards_the_original(monkeypatch: pytest.MonkeyPatch) -> None:
    original = model_of("llama")
    pair = pair_of(original)
    tokens = torch.arange(3, 12)[None]
    logits = original.network(input_ids=tokens, use_cache=False).logits
    attack = UtilityMatch(evaluations=1)
    monkeypatch.setattr(UtilityMatch, "_utility", lambda *_: lambda _: 0.5)
    assert matched(attack, pair, target_of(original)).facts["alpha"] == 0
    assert pair.network(input_ids=tokens, use_cache=False).logits.equal(logits)


def test_its_evaluations_are_counted_and_bounded() -> None:
    original = tiny_model()
    unlearned = shifted(original, size=0.3)
    attack = UtilityMatch(share=0.999, tolerance=0.0, evaluations=3, windows=4)

    def load() -> LanguageModel:
        model = original.copied()
        model.meter = unlearned.meter
        return model

    rows = forget_set()
    target = Target(rows, TaskContext(rows, {"pile": TEXT}), load_original=load)
    matched(attack, unlearned, target)
    counted = unlearned.meter.phases[PHASE].forward_tokens
    assert counted == 4 * 3 * 64  # the original and three evaluations, of three windows
    assert counted <= attack.forward_tokens(len(rows.rows), 16)


def test_of_a_benchmark_it_is_the_probability_of_answers_to_retain_items() -> None:
    rows = own_rows()[:6]
    original = llama(rows)
    items = tuple(Item(str(i), r["question"], r["answer"]) for i, r in enumerate(rows))
    retained = (Split("retain", "retain", items, Template("plain")),)
    unlearned = shifted(original, size=0.05)
    attack = UtilityMatch(share=0.9, tolerance=0.01, evaluations=6, items=4)
    point = matched(attack, unlearned, target_of(original, retained=retained))
    own, before = (_probability(model, retained[0]) for model in (point.model, original))
    assert point.facts["utility"] == pytest.approx(own / before, rel=1e-6)
    assert "texts" not in UtilityMatch().needed(has_retain_items=True)
    assert "texts" in UtilityMatch().needed(has_retain_items=False)


def test_on_texts_a_benchmark_s_run_reads_them_and_stops_at_once_without() -> None:
    on_texts = {"utility_match": {"utility": "perplexity"}}
    choice = AttackChoice({"utility_match": UtilityMatch}, {}, has_retain_items=True)
    assert choice.needs({}) == []
    assert choice.needs(on_texts) == [TEXTS]
    options = {"benchmark": "nano-tofu", "model": "nano-tofu-full", "methods": "kumpr",
               "attacks": "utility_match", "stop": "paper",
               "references": "before",
               "settings": ["utility_match.utility=perplexity"]}  # fmt: skip
    experiment = Experiment.parse(options)
    planner = Planner(experiment)
    model = planner._model(experiment, "nano-tofu-full")
    data = planner.data(model)
    assert data.texts
    with pytest.raises(UserError, match=r"there is none; give one: --text NAME=FILE"):
        list(planner.of_model(model, replace(data, texts={})))


def _probability(model: LanguageModel, split: Split) -> float:
    from unlearnbench.registry import find

    rows = forget_set()
    measured = Split(**{**vars_of(split), "items": split.items[:4],
                        "measures": frozenset({"probability"})})  # fmt: skip
    task = find("tasks", "answers")()
    return (
        task.measure(model, TaskContext(rows, {}, splits=(measured,)))
        .scores["retain_probability"]
        .value
    )


def vars_of(split: Split) -> dict:
    return {name: getattr(split, name) for name in ("name", "role", "items", "template")}


def test_without_texts_or_items_it_says_what_to_give() -> None:
    original = tiny_model()
    rows = forget_set()
    target = Target(rows, TaskContext(rows, {}), load_original=original.copied)
    with pytest.raises(UserError, match="--text NAME=FILE"):
        perplexity_kept(original, target, 4, 4)

    class Source:
        def title(self, run: str) -> str:
            return f"nano/{run}"

    with pytest.raises(UserError, match=r"nano/0 has no split of items to retain"):
        UtilityMatch(utility="answers").check(original, Source(), "0", ())


def test_it_is_made_when_it_is_named() -> None:
    assert "utility_match" not in chosen_plugins("attacks", ())
    assert "utility_match" in chosen_plugins("attacks", ("all",))
