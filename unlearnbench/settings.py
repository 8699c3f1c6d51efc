"""Settings: dataclass fields that are at once the command line, the record and the docs."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from unlearnbench.errors import UserError, unknown


def setting(
    default: Any,
    meaning: str,
    *,
    flag: str = "",
    commas: bool = True,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    source: str = "",
    search: str = "",
) -> Any:
    """A dataclass field with a default and the sentence that `unlearnbench show` prints.

    `flag` is the command line's name for it, if not the field's own; with `commas`
    false a tuple's text is one item, whatever it holds (paths, NAME=FILE).  A number
    under `minimum`, over `maximum` or not over `above` is refused; a subclass that gives
    the field another default keeps the bounds unless it sets its own.  `source` says where
    the default is from, if it is not the method's own paper; `search` where `unlearnbench
    tune --random` looks for it, as --space writes it: 'LOW..HIGH' or 'A,B,C'.
    """
    bounds = {"minimum": minimum, "above": above, "maximum": maximum}
    named = {name: float(bound) for name, bound in bounds.items() if bound is not None}
    meta = {
        "meaning": meaning,
        "flag": flag,
        "commas": commas,
        "bounds": named,
        "source": source,
        "search": search,
    }
    return field(default=default, metadata=meta)


# How each bound reads, and what a number within it fulfils.
_BOUNDS: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": (", at least {:g}", operator.ge),
    "above": (", above {:g}", operator.gt),
    "maximum": (", at most {:.10g}", operator.le),
}


@dataclass(frozen=True)
class Setting:
    """One documented field of a method, task, protocol or experiment."""

    name: str
    type: Any
    default: Any
    meaning: str
    flag: str = ""
    commas: bool = True
    bounds: Mapping[str, float] = field(default_factory=dict)  # of numbers: minimum, above, maximum
    source: str = ""  # where the default is from
    search: str = ""  # where tuning looks for it; empty: it does not

    @property
    def kind(self) -> str:
        """Its type in words with its bounds: 'a whole number, at least 1'."""
        words = [_BOUNDS[name][0].format(bound) for name, bound in self.bounds.items()]
        return describe_type(self.type) + "".join(words)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values a `Literal` type allows; empty for any other type."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def is_list(self) -> bool:
        """Whether it takes several values."""
        return get_origin(self.type) is tuple

    @property
    def is_flag(self) -> bool:
        """Whether it is switched on by being named."""
        return self.type is bool

    def parse(self, value: Any) -> Any:
        """The value of this setting's type that text or TOML stands for; nothing is guessed.

        A list can be one item, or (with `commas`) text with commas.  An empty one stands only
        where the default is empty.  Raises `ValueError` or `TypeError` where it stands for none.
        """
        if not self.is_list:
            return self._within_bounds(value_of(self.type, value))
        items = self._items(value)
        values = tuple(self._within_bounds(value_of(get_args(self.type)[0], i)) for i in items)
        if not values and (self.default or (value != [] and value != ())):
            raise ValueError(value)
        return values

    def _items(self, value: Any) -> list[Any]:
        """What a list has in it, blank items left out."""
        items = list(value) if isinstance(value, list | tuple) else [value]
        if not self.commas:
            return [item for item in items if item != ""]
        # runs = [0, 1] means the forget sets called '0' and '1'; no other text is a number.
        texts = [str(item) if type(item) is int and is_storable(item) else item for item in items]
        parts = (item.split(",") if isinstance(item, str) else [item] for item in texts)
        stripped = (part.strip() if isinstance(part, str) else part for of in parts for part in of)
        return [part for part in stripped if part != ""]

    def _within_bounds(self, value: Any) -> Any:
        for name, bound in self.bounds.items():
            # Asked so that NaN, which is neither above nor below anything, is refused.
            if isinstance(value, int | float) and not _BOUNDS[name][1](value, bound):
                raise ValueError(value)
        return value

    def text(self) -> str:
        """The default, as one would write it."""
        if self.is_list:
            return ",".join(map(str, self.default))
        return "none" if self.default is None else str(self.default)


def settings_of(owner: type) -> dict[str, Setting]:
    """The settings of a dataclass by name, in the order they are written."""
    hints = get_type_hints(owner)
    return {
        f.name: Setting(
            f.name,
            hints[f.name],
            None if f.default is MISSING else f.default,
            f.metadata.get("meaning", ""),
            f.metadata.get("flag", "") or f.name.replace("_", "-"),
            f.metadata.get("commas", True),
            _bounds(owner, f.name),
            f.metadata.get("source", ""),
            _search(owner, f.name),
        )
        for f in fields(owner)
        if f.init
    }


def _bounds(owner: type, name: str) -> dict[str, float]:
    """Each bound of the nearest class that sets it for this field."""
    bounds: dict[str, float] = {}
    for base in reversed(owner.__mro__):
        own = base.__dict__.get("__dataclass_fields__", {}).get(name)
        bounds |= own.metadata.get("bounds", {}) if own is not None else {}
    return {which: bounds[which] for which in _BOUNDS if which in bounds}


def _search(owner: type, name: str) -> str:
    """Where tuning looks for a field: what the nearest class says that says it."""
    for base in owner.__mro__:
        own = base.__dict__.get("__dataclass_fields__", {}).get(name)
        if own is not None and own.metadata.get("search"):
            return str(own.metadata["search"])
    return ""


def parse_setting(owner: type, owner_name: str, name: str, text: Any) -> Any:
    """The value of `owner_name.name=text`, checked against the field's type.

    Raises `UserError` for an unknown field, a value of another type or one out of the choices.
    """
    available, see = settings_of(owner), f"unlearnbench show {owner_name}"
    if name not in available:
        raise unknown(f"setting of {owner_name}", name, available, see)
    return parse_value(available[name], text, f"{owner_name}.{name}=", see)


def parse_value(field: Setting, value: Any, label: str, see: str) -> Any:
    """The value that a field takes from text or TOML.

    Raises `UserError` calling it by its label, with the command to `see`.
    """
    try:
        return field.parse(value)
    except (ValueError, TypeError):
        raise UserError(f"{label}{quoted(value)} is not {field.kind}; see: {see}") from None


def name_and_value(option: str, flag: str, form: str, example: str) -> tuple[str, str]:
    """The two sides of an option such as NAME=FILE; raises `UserError` if one is missing."""
    name, sign, value = (part.strip() for part in option.partition("="))
    if not (name and sign and value):
        raise UserError(f"{flag} '{option}' is not {form}; e.g. {flag} {example}")
    return name, value


def plain(value: Any) -> Any:
    """A value as a TOML file has it: text for a path, a list for what can be gone through.

    {"icu.alpha": 0.1} becomes ["icu.alpha=0.1"], as the command line takes it.
    """
    if isinstance(value, Mapping):
        return [f"{name}={one}" for name, one in value.items()]
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    return value


def quoted(value: Any, longest: int = 100) -> str:
    """A value as a message shows it: on one line, not endless."""
    try:
        text = " ".join(repr(value).splitlines())
    except (ValueError, RecursionError):  # Python writes no number of thousands of digits
        text = f"<{type(value).__name__}>"
    return text if len(text) <= longest else f"{text[:longest]}…"


def describe_type(type_: Any) -> str:
    """A type in words: 'one of a, b', 'a number', 'a whole number'."""
    if get_origin(type_) is Literal:
        return "one of " + ", ".join(map(str, get_args(type_)))
    if get_origin(type_) is Union or type(type_).__name__ == "UnionType":
        return " or ".join(describe_type(t) for t in get_args(type_))
    if get_origin(type_) is tuple:
        return "a list of " + describe_type(get_args(type_)[0]).removeprefix("a ")
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "text"}
    return names.get(type_, "none" if type_ is type(None) else str(type_))


_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,40}\s*")
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
_LARGEST_WHOLE = 2**63 - 1


def value_of(type_: Any, value: Any) -> Any:
    """The value of that type; raises `ValueError` or `TypeError` where it stands for none."""
    if get_origin(type_) is Literal:
        return _one_of(get_args(type_), value)
    if get_origin(type_) is Union or type(type_).__name__ == "UnionType":
        return _first_that_fits(get_args(type_), value)
    return _CONVERTERS.get(type_, type_)(value)


def _one_of(allowed: tuple[Any, ...], value: Any) -> Any:
    for choice in allowed:
        # By type too: true is not 1, and 1.0 is neither.
        if value == (choice if type(value) is type(choice) else str(choice)):
            return choice
    raise ValueError(value)


def _none(value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value.strip().lower() == "none"):
        raise ValueError(value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.strip().lower() not in _TRUTH:
        raise ValueError(value)
    return _TRUTH[value.strip().lower()]


def _whole(value: Any) -> int:
    """A whole number of at most 64 bits; neither true nor 1.0 is one."""
    if type(value) is not int and not (isinstance(value, str) and _WHOLE.fullmatch(value)):
        raise ValueError(value)
    if not is_storable(number := int(value)):
        raise ValueError(value)
    return number


def is_storable(number: int) -> bool:
    """Whether a whole number has at most 64 bits, as all numbers of a result file."""
    return abs(number) <= _LARGEST_WHOLE


def _finite(value: Any) -> float:
    """A number that one can calculate with: not NaN, not infinite; true is none."""
    if type(value) not in (int, float) and not (
        isinstance(value, str) and _NUMBER.fullmatch(value)
    ):
        raise ValueError(value)
    try:
        number = float(value)
    except OverflowError as error:  # a whole number of hundreds of digits
        raise ValueError(value) from error
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _text(value: Any) -> str:
    """Text that can be stored and be the name of a file: not blank, without NUL, valid Unicode."""
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError(value)
    value.encode()  # an argument that is not UTF-8 raises a UnicodeError, a kind of ValueError
    return value


_CONVERTERS: dict[Any, Any] = {
    type(None): _none,
    bool: _truth,
    int: _whole,
    float: _finite,
    str: _text,
}


def _first_that_fits(types: tuple[Any, ...], value: Any) -> Any:
    # None is tried first so that "none" is not taken for text.
    for type_ in sorted(types, key=lambda t: t is not type(None)):
        try:
            return value_of(type_, value)
        except (ValueError, TypeError):
            continue
    raise ValueError(value)
