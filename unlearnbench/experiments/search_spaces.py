"""Where tuning looks: a space for each setting of a method, and configurations drawn from it.

A space is written as 'A,B,C' (one of these, equally likely), 'LOW..HIGH' (by the logarithm; whole
numbers, and ranges that begin at 0 or below, evenly) or 'even:LOW..HIGH'.
"""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unlearnbench.errors import UserError, unknown
from unlearnbench.registry import find
from unlearnbench.settings import Setting, parse_setting, settings_of
from unlearnbench.unlearning.wrapper import prefix_of

ALL = "all"  # before the dot of --space: every method that has the setting
NONE = "none"  # the space of a setting that is not searched
_EVEN, _TO = "even:", ".."
DIGITS = 4  # significant ones of a drawn number
# What tells runs apart otherwise, or by which the rule judges.
NOT_SEARCHED = {
    "max_epochs": "the rule judges by it; say it with --max-epochs",
    "seed": "say it with --seeds",
}
_EXAMPLE = "--space npo.beta=0.05..0.5 or --space npo.retain=nll,kl"


@dataclass(frozen=True)
class Space:
    """The values that a setting may take in a search."""

    text: str  # as it is written
    choices: tuple[Any, ...] = ()  # empty: a range
    low: float = 0.0
    high: float = 0.0
    is_whole: bool = False
    is_log: bool = False

    def at(self, place: float) -> Any:
        """The value at a place in [0, 1): of equally likely places, equally likely values."""
        if self.choices:
            return self.choices[int(place * len(self.choices))]
        if self.is_whole:
            return int(self.low) + int(place * (self.high - self.low + 1))
        if self.is_log:
            value = self.low * math.exp(place * math.log(self.high / self.low))
        else:
            value = self.low + place * (self.high - self.low)
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)


Spaces = dict[str, Space]  # by setting


def parse_space(kind: type, owner: str, name: str, text: str, label: str) -> Space:
    """The space of a setting of a method; raises `UserError` for text that is none."""
    field = _setting(kind, owner, name)
    if field.is_list:  # its own commas would be taken for those between values
        raise UserError(f"{label}: {owner}.{name} is a list; say it with --set")
    if _TO not in text:
        values = [value.strip() for value in text.split(",") if value.strip()]
        if not values:
            raise UserError(f"{label} is not METHOD.SETTING=LOW..HIGH or =A,B,C: {_EXAMPLE}")
        parsed = (parse_setting(kind, owner, name, value) for value in values)
        return Space(text.strip(), tuple(dict.fromkeys(parsed)))
    is_even = text.strip().startswith(_EVEN)
    ends = text.strip().removeprefix(_EVEN).split(_TO)
    low, high = (parse_setting(kind, owner, name, end.strip()) for end in (ends[0], ends[-1]))
    numbers = all(type(end) in (int, float) for end in (low, high))
    if len(ends) != 2 or not numbers or not low < high:
        raise UserError(f"{label}: {text} is no range LOW..HIGH of numbers: {_EXAMPLE}")
    is_whole = type(low) is int and type(high) is int
    return Space(
        text.strip(), (), low, high, is_whole, is_log=not is_even and not is_whole and low > 0
    )


def _setting(kind: type, owner: str, name: str) -> Setting:
    available = settings_of(kind)
    if name not in available:
        raise unknown(f"setting of {owner}", name, available, f"unlearnbench show {owner}")
    return available[name]


def spaces_of(
    methods: Iterable[str],
    overrides: Sequence[str] = (),
    fixed: Iterable[str] = (),
    rates: str = "",
) -> dict[str, Spaces]:
    """The spaces of each method: its own, but for what --space says and --set fixes.

    `fixed` are the places that --set names ('npo.beta', 'sam.rho'); `rates` is where learning
    rates are looked for whatever a method says, as a world of small models has it.  Raises
    `UserError` for an override of nothing and for a method that is left with no space.
    """
    names, taken = list(methods), {place.strip() for place in fixed}
    said = _overrides(overrides, names)
    made: dict[str, Spaces] = {}
    for method in names:
        kind = find("methods", method)
        texts = {n: s.search for n, s in settings_of(kind).items() if s.search}
        texts["learning_rate"] = rates or _around(settings_of(kind)["learning_rate"])
        texts |= said.get(method, {})
        kept = {
            name: parse_space(kind, method, name, text, f"--space {method}.{name}={text}")
            for name, text in texts.items()
            if text != NONE and not taken & set(_places(kind, name))
        }
        if not kept:
            raise UserError(
                f"{method} has no setting to search; name one: --space {method}.learning_rate="
                "1e-6..1e-4"
            )
        made[method] = kept
    return made


def _around(rate: Setting) -> str:
    """Where a method's rate is looked for; a decade around one that is not where others' are."""
    default, text = float(rate.default), rate.search
    low, _, high = text.removeprefix(_EVEN).partition(_TO)
    if _TO in text and not float(low) <= default <= float(high):
        return f"{default / 10:g}{_TO}{default * 10:g}"
    return text


def _places(kind: Any, name: str) -> Iterable[str]:
    """What --set may call a setting of a method, with wrappers or without."""
    yield f"{kind.name}.{name}"
    for wrapper in getattr(kind, "wrapper_kinds", ()):
        if name.startswith(prefix := prefix_of(wrapper)):
            yield f"{wrapper.name}.{name.removeprefix(prefix)}"
            return
    yield f"{kind.name.partition('+')[0]}.{name}"


def _overrides(options: Sequence[str], methods: Sequence[str]) -> dict[str, dict[str, str]]:
    """--space METHOD.SETTING=TEXT by method and setting; one of a method beats one of all."""
    of_all: dict[str, dict[str, str]] = {}
    own: dict[str, dict[str, str]] = {}
    for option in options:
        place, equals, text = option.partition("=")
        method, dot, name = place.strip().rpartition(".")
        if not (equals and dot and text.strip()):
            raise UserError(
                f"--space {option!r} is not METHOD.SETTING=LOW..HIGH or =A,B,C: {_EXAMPLE}"
            )
        if name in NOT_SEARCHED:
            raise UserError(f"--space {option}: {NOT_SEARCHED[name]}")
        if method == ALL:
            having = [m for m in methods if name in settings_of(find("methods", m))]
            if not having:
                _setting(find("methods", methods[0]), methods[0], name)
            for one in having:
                of_all.setdefault(one, {})[name] = text.strip()
        elif method not in methods:
            raise unknown("method in --space", method, (*methods, ALL), "unlearnbench tune --help")
        else:
            own.setdefault(method, {})[name] = text.strip()
    return {m: {**of_all.get(m, {}), **own.get(m, {})} for m in methods}


def drawn(method: str, spaces: Mapping[str, Space], seed: int, number: int) -> dict[str, Any]:
    """The configuration of that number (from 0): a value for each setting.

    A value depends on seed, method, setting and number alone: more configurations extend fewer,
    and no other method or setting changes it.
    """
    return {
        name: space.at(random.Random(f"{seed}/{method}/{name}/{number}").random())
        for name, space in spaces.items()
    }


def as_text(value: Any) -> str:
    """A value as --set takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return NONE if value is None else repr(value) if isinstance(value, float) else str(value)
