"""Text from nested alternations: `The <adj> <noun> [slowly |]<verbed> <a:noun>.`

`[x|y|]` takes one option, options nest. `<name>` is looked up in the document's facts,
then in the word lists, then in the named rules, then in the makers (functions of the dice).
`<Name>` capitalises the result, `<a:name>` puts "a" or "an" before it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from unlearnbench.nano.world.dice import Dice

# How much more often the early words of a list and the early forms of a rule are said.
WORD_SKEW = 3.4
RULE_SKEW = 2.5

Facts = Mapping[str, str]
Part = tuple[str, object]  # ("text", str) | ("slot", str) | ("one of", tuple of part lists)


class TemplateError(ValueError):
    """A template names a slot nobody can fill, or its brackets do not match."""


@cache
def parse(template: str) -> tuple[Part, ...]:
    """Turn a template into its parts; templates are few, so every one is parsed once."""
    options, end = _parse_options(template, 0)
    if end != len(template) or len(options) != 1:
        raise TemplateError(f"unbalanced brackets in {template!r}")
    return options[0]


def _parse_options(template: str, at: int) -> tuple[list[tuple[Part, ...]], int]:
    options: list[tuple[Part, ...]] = []
    parts: list[Part] = []
    nested = at > 0
    while at < len(template) and template[at] != "]":
        if template[at] == "|" and nested:
            options.append(tuple(parts))
            parts = []
            at += 1
            continue
        part, at = _parse_part(template, at)
        parts.append(part)
    return [*options, tuple(parts)], at


def _parse_part(template: str, at: int) -> tuple[Part, int]:
    if template[at] == "[":
        options, end = _parse_options(template, at + 1)
        return ("one of", tuple(options)), end + 1
    if template[at] == "<":
        end = template.index(">", at)
        return ("slot", template[at + 1 : end]), end + 1
    end = at
    # A text run may start with a bar: outside brackets it is an ordinary character.
    while end < len(template) and (template[end] not in "[]<|" or end == at):
        end += 1
    return ("text", template[at:end]), end


class Grammar:
    """Word lists, named rules and makers that templates may refer to."""

    def __init__(
        self,
        words: Mapping[str, Sequence[str]],
        rules: Mapping[str, Sequence[str]],
        makers: Mapping[str, Callable[[Dice], str]],
    ) -> None:
        self.words, self.rules, self.makers = words, rules, makers

    def say(self, template: str, dice: Dice, facts: Facts | None = None) -> str:
        """Expand one template."""
        return self._expand(parse(template), dice, facts or {})

    def _expand(self, parts: Sequence[Part], dice: Dice, facts: Facts) -> str:
        said = []
        for kind, value in parts:
            if kind == "text":
                said.append(value)
            elif kind == "slot":
                said.append(self._fill(str(value), dice, facts))
            else:
                said.append(self._expand(dice.pick(value), dice, facts))  # type: ignore[arg-type]
        return "".join(said)  # type: ignore[arg-type]

    def _fill(self, name: str, dice: Dice, facts: Facts) -> str:
        if name in facts:
            return facts[name]
        if name.startswith("a:"):
            word = self._fill(name[2:], dice, facts)
            return ("an " if word[:1].lower() in "aeiou" else "a ") + word
        if name in self.words:
            return dice.pick_early(self.words[name], WORD_SKEW)
        if name in self.rules:
            rule = dice.pick_early(self.rules[name], RULE_SKEW)
            return self._expand(parse(rule), dice, facts)
        if name in self.makers:
            return self.makers[name](dice)
        if name[:1].isupper():
            text = self._fill(name[0].lower() + name[1:], dice, facts)
            return text[:1].upper() + text[1:]
        raise TemplateError(f"nobody fills <{name}>")
