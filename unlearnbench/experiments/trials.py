"""The configurations that tuning tries: a grid, or draws from the methods' spaces."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import Budget
from unlearnbench.experiments.search_spaces import NOT_SEARCHED, Spaces, as_text, drawn
from unlearnbench.registry import WITH, find
from unlearnbench.settings import parse_setting, settings_of

# By method: its settings to try beside the rate, and the values of each, as text and in order.
Tries = Mapping[str, Mapping[str, Sequence[str]]]
Values = Mapping[str, str]  # setting -> value as --set takes it
_RATE = "learning_rate"
_NOT_TRIED = {_RATE: "rates are tried with --grid", **NOT_SEARCHED}


@dataclass(frozen=True)
class Trials:
    """The configurations of each method in the order in which they are tried."""

    by_method: Mapping[str, Sequence[Values]]
    budgets: Mapping[str, Budget]

    @property
    def beside_rates(self) -> dict[str, tuple[str, ...]]:
        """By method, the settings that it is tried with beside its rate."""
        return {
            method: tuple(dict.fromkeys(n for values in own for n in values if n != _RATE))
            for method, own in self.by_method.items()
        }


def parse_tries(options: Sequence[str], methods: Sequence[str]) -> Tries:
    """NAME.SETTING=A,B,C, each once, as values by method and setting; all are checked.

    Raises `UserError` for a method that is not tuned, and for a setting or value that it cannot
    have.
    """
    tries: dict[str, dict[str, Sequence[str]]] = {}
    for option in options:
        place, equals, text = option.partition("=")
        method, dot, name = place.strip().partition(".")
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not (equals and dot and values):
            raise UserError(f"--try {option!r} is not NAME.SETTING=A,B: --try icu.alpha=0.1,0.5")
        if method not in methods:
            raise unknown("method in --try", method, methods, "unlearnbench tune --help")
        if name in _NOT_TRIED:
            raise UserError(f"--try {option}: {_NOT_TRIED[name]}")
        if name in tries.get(method, {}):
            raise UserError(f"--try {method}.{name} is there twice; give all its values at once")
        kind = find("methods", method)
        parsed = [parse_setting(kind, method, name, value) for value in values]
        if settings_of(kind)[name].is_list:  # its own commas would be taken for those between
            raise UserError(f"--try {option}: {method}.{name} is a list; say it with --set")
        first: dict[Any, str] = {}  # of texts that mean the same
        for value, one in zip(values, parsed, strict=True):
            first.setdefault(one, value)
        tries.setdefault(method, {})[name] = list(first.values())
    return tries


def grid_trials(methods: Sequence[str], grid: Sequence[float], tries: Tries) -> Trials:
    """Every rate with every combination of the values to try."""
    rates = [repr(rate) for rate in sorted(set(grid))]
    by_method = {}
    for method in methods:
        own = tries.get(method, {})
        combinations = [dict(zip(own, values, strict=True)) for values in product(*own.values())]
        by_method[method] = [{**one, _RATE: rate} for rate in rates for one in combinations]
    budgets = {
        method: Budget(
            sampler="grid",
            n=len(trials),
            space={
                _RATE: ",".join(rates),
                **{name: ",".join(values) for name, values in tries.get(method, {}).items()},
            },
        )
        for method, trials in by_method.items()
    }
    return Trials(by_method, budgets)


def random_trials(spaces: Mapping[str, Spaces], n: int, seed: int) -> Trials:
    """n different configurations of every method, each setting drawn from its space.

    Fewer only where a space has no more values.
    """
    by_method = {method: _distinct(method, own, n, seed) for method, own in spaces.items()}
    budgets = budgets_of(spaces, "random", n, seed)
    return Trials(
        by_method,
        {m: one.model_copy(update={"n": len(by_method[m])}) for m, one in budgets.items()},
    )


def _distinct(method: str, spaces: Spaces, n: int, seed: int) -> list[Values]:
    """The first n configurations that are no repetition, of at most fifty times as many drawn."""
    found: dict[tuple[str, ...], Values] = {}
    for number in range(50 * n):
        values = drawn(method, spaces, seed, number)
        texts = {name: as_text(value) for name, value in values.items()}
        found.setdefault(tuple(texts.values()), texts)
        if len(found) == n:
            break
    return list(found.values())


def budgets_of(spaces: Mapping[str, Spaces], sampler: Any, n: int, seed: int) -> dict[str, Budget]:
    """The budget of each method: as many configurations, from its own spaces."""
    return {
        method: Budget(
            sampler=sampler, n=n, seed=seed, space={name: s.text for name, s in own.items()}
        )
        for method, own in spaces.items()
    }


def tuning_experiments(
    experiment: Experiment, trials: Mapping[str, Sequence[Values]]
) -> list[Experiment]:
    """One experiment for the first configuration of every method, one for the second, and so on."""
    made = []
    for at in range(max(map(len, trials.values()), default=0)):
        now = {method: own[at] for method, own in trials.items() if at < len(own)}
        others = _parts(list(trials)) - _parts(list(now))
        # What --set says, without settings of methods that stand in other experiments.
        common = [o for o in experiment.settings if o.partition(".")[0].strip() not in others]
        own_settings = [f"{m}.{name}={v}" for m, of in now.items() for name, v in of.items()]
        made.append(replace(experiment, methods=tuple(now), settings=(*common, *own_settings)))
    return made


def _parts(methods: Sequence[str]) -> set[str]:
    """What --set may call owners of the methods' settings: they, and what they are made of."""
    return {part for name in methods for part in (name, *name.split(WITH))}
