"""Where tuning looks, and what it draws there."""

import math

import pytest
from scipy.stats import kstest

from unlearnbench.errors import UserError
from unlearnbench.experiments.method_settings import construct
from unlearnbench.experiments.search_spaces import as_text, drawn, parse_space, spaces_of
from unlearnbench.experiments.trials import random_trials
from unlearnbench.files.software import code_of
from unlearnbench.registry import find, plugins
from unlearnbench.settings import parse_setting, settings_of

WORLD_RATES = "2e-5..1e-3"


def space(text, method="npo", name="beta"):
    return parse_space(find("methods", method), method, name, text, f"--space {text}")


def values_in(one, n=2000):
    """The values at n places that are evenly far apart."""
    return [one.at((i + 0.5) / n) for i in range(n)]


def test_a_range_is_drawn_by_the_logarithm():
    values = list(map(math.log, values_in(space("0.05..0.5"))))
    uniform = (math.log(0.05), math.log(0.5) - math.log(0.05))
    assert kstest(values, "uniform", args=uniform).pvalue > 0.5  # rounding is small


def test_even_ranges_ranges_from_zero_whole_numbers_and_choices_are_drawn_evenly():
    values = values_in(space("even:0.05..0.5"))
    assert kstest(values, "uniform", args=(0.05, 0.45)).pvalue > 0.5
    values = values_in(space("0..2", name="alpha"))
    assert kstest(values, "uniform", args=(0, 2)).pvalue > 0.5
    whole = values_in(space("2..5", "altpo", "n_alternates"), 400)
    assert {one: whole.count(one) for one in whole} == dict.fromkeys((2, 3, 4, 5), 100)
    chosen = values_in(space("nll,kl", name="retain"), 10)
    assert chosen == ["nll"] * 5 + ["kl"] * 5
    assert space("1, 2,1.0", name="alpha").choices == (1.0, 2.0)


def test_more_configurations_extend_fewer_whatever_else_is_searched():
    few = random_trials(spaces_of(["npo"]), 3, 7).by_method["npo"]
    more = random_trials(spaces_of(["gd", "kumpr", "npo"]), 8, 7).by_method["npo"]
    assert more[:3] == few
    assert len({tuple(one.items()) for one in more}) == 8
    wider = random_trials(spaces_of(["npo"], ["npo.gamma=1,2"]), 3, 7).by_method["npo"]
    assert [{n: v for n, v in one.items() if n != "gamma"} for one in wider] == few
    assert random_trials(spaces_of(["npo"]), 3, 8).by_method["npo"] != few
    # Methods do not share their draws.
    rates = [
        random_trials(spaces_of([m]), 1, 7).by_method[m][0]["learning_rate"] for m in ("npo", "gd")
    ]
    assert rates[0] != rates[1]


def test_no_configuration_is_drawn_twice_and_a_small_space_ends():
    choices = spaces_of(["kumpr"], ["kumpr.learning_rate=1e-5,1e-4,1e-3"])
    small = random_trials(choices, 8, 0)
    assert sorted(one["learning_rate"] for one in small.by_method["kumpr"]) == [
        "0.0001", "0.001", "1e-05",
    ]  # fmt: skip
    assert small.budgets["kumpr"].n == 3
    assert random_trials(choices, 2, 0).by_method["kumpr"] == small.by_method["kumpr"][:2]


def test_every_shipped_method_and_wrapper_has_a_space_of_values_that_it_takes():
    names = [*plugins("methods"), "npo+sam", "gd+gru", "gd+sure"]
    for method, own in spaces_of(names, rates=WORLD_RATES).items():
        kind = find("methods", method)
        assert own["learning_rate"].text == WORLD_RATES
        assert len(own) <= 4
        for number in range(6):
            values = drawn(method, own, 0, number)
            texts = {name: as_text(value) for name, value in values.items()}
            parsed = {n: parse_setting(kind, method, n, text) for n, text in texts.items()}
            assert parsed == values
            construct(kind, values)
        defaults = {
            name: settings_of(kind)[name].default for name in own if name != "learning_rate"
        }
        # A method's default is in its own space, but where the space is what others tried (UNDIAL's
        # retain term) or what small models need.
        for name, default in defaults.items():
            one = own[name]
            inside = default in one.choices if one.choices else one.low <= default <= one.high
            assert inside or (method, name) in {("undial", "alpha")}, (method, name, default)


def test_what_is_said_on_the_command_line_wins_and_what_is_set_is_not_searched():
    made = spaces_of(
        ["npo", "gd", "npo+sam"],
        ["all.alpha=1,2", "npo.alpha=3..4", "npo.beta=none", "npo+sam.sam_rho=0.1"],
        fixed=["gd.learning_rate", "sam.rho ", "npo.gamma"],
        rates=WORLD_RATES,
    )
    texts = {m: {n: s.text for n, s in own.items()} for m, own in made.items()}
    assert texts == {
        "npo": {"learning_rate": WORLD_RATES, "alpha": "3..4"},
        "gd": {"alpha": "1,2"},
        "npo+sam": {"learning_rate": WORLD_RATES, "alpha": "1,2", "beta": "0.05..0.5"},
    }
    only = spaces_of(["ceu"], rates=WORLD_RATES)["ceu"]  # CE-U has no retain term
    assert list(only) == ["learning_rate"]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("npo.beta", "is not METHOD.SETTING="),
        ("npo.bta=1..2", "did you mean 'beta'"),
        ("nop.beta=1..2", "did you mean 'npo'"),
        ("npo.beta=2..1", "no range LOW..HIGH"),
        ("npo.beta=0..1", "npo.beta='0' is not"),
        ("npo.beta=1..2..3", "no range LOW..HIGH"),
        ("npo.retain=nll..kl", "no range LOW..HIGH"),
        ("npo.beta=few,many", "npo.beta='few' is not"),
        ("npo.max_epochs=1,2", "say it with --max-epochs"),
        ("all.seed=1,2", "say it with --seeds"),
        ("all.colour=red,blue", "unknown setting of npo 'colour'"),
    ],
)
def test_a_space_that_is_none_is_told(option, told):
    with pytest.raises(UserError, match=told.replace(".", r"\.")):
        spaces_of(["npo", "gd"], [option])


def test_a_method_without_a_space_is_told():
    with pytest.raises(UserError, match="kumpr has no setting to search"):
        spaces_of(["kumpr"], fixed=["kumpr.learning_rate"])


def test_another_space_is_no_other_software():
    """Results stay valid where tuning looks elsewhere; another default is another method."""

    text = '{}x: float = setting(0.1, "what", above=0{})'

    assert code_of(text.format("", "")) == code_of(text.format("", ', search="0.1..1"'))
    assert code_of(text.format("", "")) != code_of(text.format("", ", maximum=2"))
