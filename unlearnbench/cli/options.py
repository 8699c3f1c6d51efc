"""Command-line options made from a dataclass's settings, so that each is defined once."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import click

from unlearnbench.errors import UserError
from unlearnbench.settings import Setting, settings_of

Command = Callable[..., Any]


class SettingType(click.ParamType):
    """Takes the text as it is (the dataclass checks it) and completes the choices in a shell."""

    def __init__(self, of: Setting) -> None:
        self.of = of
        self.name = of.name

    def get_metavar(self, param: Any, ctx: Any) -> str:  # noqa: ARG002
        """The choices, or the kind of value."""
        if self.of.choices:
            return "[" + "|".join(map(str, self.of.choices)) + "]"
        if self.of.is_list:
            return "A,B" if self.of.commas else "TEXT"
        return "NUMBER" if "int" in str(self.of.type) else "TEXT"

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[Any]:  # noqa: ARG002
        """The choices, or the registered names, that begin as typed."""
        from click.shell_completion import CompletionItem

        names = [*map(str, self.of.choices), *_names_for(self.of.name)]
        done, comma, rest = incomplete.rpartition(",")
        return [CompletionItem(done + comma + n) for n in names if n.startswith(rest)]


def options_of(
    owner: type, only: tuple[str, ...] = (), words: Mapping[str, str] = MappingProxyType({})
) -> Callable[[Command], Command]:
    """A decorator that gives a command one option per setting of `owner` (or the named ones).

    `words` say what an option means here, where that is something else.
    """
    chosen = [s for s in settings_of(owner).values() if not only or s.name in only]

    def decorate(command: Command) -> Command:
        for one in reversed(chosen):
            command = _option(one, words.get(one.name))(command)
        return command

    return decorate


def explicit(values: dict[str, Any]) -> dict[str, Any]:
    """The options somebody wrote; the others leave the word to the configuration file."""
    return {name: value for name, value in values.items() if value not in (None, (), False)}


def _option(one: Setting, words: str | None) -> Callable[[Command], Command]:
    text = "" if one.is_flag or words else one.text()
    default = f"  [default: {text}]" if text not in ("", "none") else ""
    return click.option(
        f"--{one.flag}",
        one.name,
        type=None if one.is_flag else SettingType(one),
        is_flag=one.is_flag,
        multiple=one.is_list,
        default=() if one.is_list else None,
        help=(words or one.meaning) + default,
    )


def _names_for(option: str) -> list[str]:
    from unlearnbench import registry
    from unlearnbench.models.aliases import aliases

    try:
        if option in ("methods", "tasks", "attacks"):
            return [*registry.plugins(option), registry.ALL]
        listed = (name for name, alias in aliases().items() if not alias.is_of_pool)
        return list(listed) if option == "model" else []
    except UserError:
        return []  # a completion has nowhere to say what is wrong; the command itself will
