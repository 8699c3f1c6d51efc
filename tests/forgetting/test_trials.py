"""Which methods are tried, at which rates."""

from unlearnbench.experiments.learning_rates import LearningRates, Tuned
from unlearnbench.forgetting.trials import (
    WITH_POOL,
    WITHOUT_POOL,
    Size,
    default_methods,
    ladder,
    rungs_of,
)
from unlearnbench.registry import find
from unlearnbench.settings import settings_of

REAL = Size(135_000_000, 64)


def test_the_short_list_needs_no_more_than_there_is() -> None:
    assert default_methods(True) == WITH_POOL
    for name in WITHOUT_POOL:
        assert "retain items" not in find("methods", name).needs


def test_the_ladder_goes_up_and_is_tenfold_for_adapters_and_small_networks() -> None:
    assert ladder(135_000_000, False) == (1e-5, 3e-5, 1e-4)
    assert ladder(135_000_000, True) == ladder(1_000_000, False) == (1e-4, 3e-4, 1e-3)


def test_each_rate_of_the_ladder_gets_a_few_epochs_and_the_largest_all() -> None:
    def tries(size: Size) -> list[tuple[str, ...]]:
        return [rung.settings for rung in rungs_of("gd", [], None, size)]

    own = settings_of(find("methods", "gd"))["max_epochs"].default
    assert tries(REAL) == [
        ("gd.learning_rate=1e-05", "gd.max_epochs=5"),
        ("gd.learning_rate=3e-05", "gd.max_epochs=5"),
        ("gd.learning_rate=0.0001", f"gd.max_epochs={own}"),
    ]
    # Eight rows are one step.
    assert [text[-1] for text in tries(Size(135_000_000, 8))] == [
        *["gd.max_epochs=12"] * 2, f"gd.max_epochs={max(own, 96)}"
    ]  # fmt: skip
    assert [len(text) for text in tries(Size(135_000_000, 8, max_epochs=3))] == [1, 1, 1]


def test_with_a_pool_a_method_that_would_leave_it_alone_learns_it() -> None:
    size = Size(135_000_000, 8, has_pool=True)
    assert {"undial.alpha=1" in r.settings for r in rungs_of("undial", [], None, size)} == {True}
    assert not any("alpha" in text for r in rungs_of("npo", [], None, size) for text in r.settings)
    given = rungs_of("undial", ["undial.alpha=0"], None, size)
    assert {"undial.alpha=0" in r.settings for r in given} == {True}
    assert not any("undial.alpha=1" in r.settings for r in given)
    assert not any("alpha" in r.values for r in rungs_of("undial", [], None, REAL))


def test_undial_takes_more_from_rows_that_are_known_by_heart_unless_it_is_told() -> None:
    assert {"undial.beta=30" in r.settings for r in rungs_of("undial", [], None, REAL)} == {True}
    given = rungs_of("undial", ["undial.beta=7"], None, REAL)
    assert [[t for t in r.settings if "beta" in t] for r in given] == [["undial.beta=7"]] * 3


def test_a_rate_that_is_given_is_the_only_one() -> None:
    given = ["gd.learning_rate=2e-5", "gd.alpha=2", "npo.beta=1"]
    (rung,) = rungs_of("gd", given, None, Size(135_000_000, 64, max_epochs=3))
    assert rung.settings == ("gd.learning_rate=2e-5", "gd.alpha=2")
    assert len(rungs_of("gd", ["gd.alpha=2"], None, REAL)) == 3


def test_tuned_rates_bring_their_settings_and_their_limit() -> None:
    tuned = LearningRates(
        model="m", weights_sha256="0", forget_set="f", run="0", protocol="paper", max_epochs=12,
        grid=[1e-4],
        methods={"npo": Tuned(learning_rate=2e-4, settings={"alpha": 0.2}, reached=True,
                              candidates=[])},
    )  # fmt: skip
    (rung,) = rungs_of("npo", [], tuned, Size(1_000_000, 64))
    assert rung.settings == ("npo.learning_rate=0.0002", "npo.alpha=0.2", "npo.max_epochs=12")
    # Eight rows are one step: the same number of steps are twelve times as many epochs.
    (rung,) = rungs_of("npo", [], tuned, Size(1_000_000, 8))
    assert rung.settings[-1] == "npo.max_epochs=96"
    assert len(rungs_of("gd", [], tuned, Size(1_000_000, 64))) == 3  # it was not tuned
    adapted = rungs_of("npo+lora", [], tuned, Size(1_000_000, 64))
    assert [rung.settings[0] for rung in adapted] == [
        "npo.learning_rate=0.0002",
        "npo.learning_rate=0.002",
    ]
