"""From text or TOML to the value of a type that it stands for; what stands for none is refused."""

import math
import re
from typing import Any, Literal, Union, get_args, get_origin

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
