"""Settings: dataclass fields that are at once the command line, the record and the docs."""

from dataclasses import MISSING, dataclass, field, fields
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
) -> Any:
    """A dataclass field with a default and the sentence that `unlearnbench show` prints.

    `flag` is the command line's name for it, if not the field's own; with `commas`
    false a tuple's text is one item, whatever it holds (paths, NAME=FILE).  A number
    under `minimum`, or not over `above`, is refused; a subclass that gives the field
    another default keeps both bounds unless it sets its own.
    """
    meta = {"meaning": meaning, "flag": flag, "commas": commas, "minimum": minimum, "above": above}
    return field(default=default, metadata=meta)


@dataclass(frozen=True)
class Setting:
    """One documented field of a method, task, protocol or experiment."""

    name: str
    type: Any
    default: Any
    meaning: str
    flag: str = ""
    commas: bool = True
    minimum: float | None = None
    above: float | None = None

    @property
    def kind(self) -> str:
        """Its type in words with its bounds: 'a whole number, at least 1'."""
        at_least = "" if self.minimum is None else f", at least {self.minimum:g}"
        over = "" if self.above is None else f", above {self.above:g}"
        return describe_type(self.type) + at_least + over

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
        """The value of this setting's type that text or TOML stands for.

        Raises `ValueError` or `TypeError` where it stands for none.
        """
        if not self.is_list:
            return self._within_bounds(_convert(self.type, value))
        given = [value] if isinstance(value, str | int | float) else list(value)
        if self.commas:
            given = [part.strip() for item in given for part in str(item).split(",")]
        values = (_convert(get_args(self.type)[0], item) for item in given if item != "")
        return tuple(map(self._within_bounds, values))

    def _within_bounds(self, value: Any) -> Any:
        if isinstance(value, int | float):
            # Written so that NaN, which is neither above nor below anything, is refused.
            if self.minimum is not None and not value >= self.minimum:
                raise ValueError(value)
            if self.above is not None and not value > self.above:
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
            _bound(owner, f.name, "minimum"),
            _bound(owner, f.name, "above"),
        )
        for f in fields(owner)
        if f.init
    }


def _bound(owner: type, name: str, which: str) -> float | None:
    """The bound of the nearest class that sets one for this field."""
    for base in owner.__mro__:
        own = base.__dict__.get("__dataclass_fields__", {}).get(name)
        if own is not None and own.metadata.get(which) is not None:
            return float(own.metadata[which])
    return None


def parse_setting(owner: type, owner_name: str, name: str, text: Any) -> Any:
    """The value of `owner_name.name=text`, checked against the field's type.

    Raises `UserError` for an unknown field, a value of another type or one out of the choices.
    """
    known = settings_of(owner)
    if name not in known:
        raise unknown(f"setting of {owner_name}", name, known, f"unlearnbench show {owner_name}")
    try:
        return known[name].parse(text)
    except (ValueError, TypeError):
        raise UserError(
            f"{owner_name}.{name}={text!r} is not {known[name].kind}; "
            f"see: unlearnbench show {owner_name}"
        ) from None


def name_and_value(option: str, flag: str, form: str, example: str) -> tuple[str, str]:
    """The two sides of an option such as NAME=FILE; raises `UserError` if one is missing."""
    name, sign, value = (part.strip() for part in option.partition("="))
    if not (name and sign and value):
        raise UserError(f"{flag} '{option}' is not {form}; e.g. {flag} {example}")
    return name, value


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


def _convert(type_: Any, value: Any) -> Any:
    if get_origin(type_) is Literal:
        return _one_of(get_args(type_), value)
    if get_origin(type_) is Union or type(type_).__name__ == "UnionType":
        return _first_that_fits(get_args(type_), value)
    if type_ is type(None):
        return _one_of((None,), None if str(value).lower() in ("none", "") else value)
    if type_ is bool:
        return _one_of_truth(value)
    if type_ is int and isinstance(value, float | bool):
        raise ValueError(value)
    return type_(value)


def _one_of(allowed: tuple[Any, ...], value: Any) -> Any:
    for choice in allowed:
        if value == choice or str(value) == str(choice):
            return choice
    raise ValueError(value)


def _one_of_truth(value: Any) -> bool:
    if str(value).lower() not in _TRUTH:
        raise ValueError(value)
    return _TRUTH[str(value).lower()]


def _first_that_fits(types: tuple[Any, ...], value: Any) -> Any:
    # None is tried first so that "none" is not taken for text.
    for type_ in sorted(types, key=lambda t: t is not type(None)):
        try:
            return _convert(type_, value)
        except (ValueError, TypeError):
            continue
    raise ValueError(value)
