"""Text from nested alternations: `The <adj> <noun> [slowly |]<verbed> <a:noun>.`

`[x|y|]` takes one option, options nest. `<name>` is looked up in the document's facts,
then in the word lists, then in the named rules, then in the makers (functions of the dice).
`<Name>` capitalises the result, `<a:name>` puts "a" or "an" before it, `<any:name>` takes each
word of a list as often as any other. `<1-28>` is a whole number, `<01-12>` one with leading
zeros, `<###>` three digits.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from unlearnbench.nano.world.dice import Dice

# How much more often the early words of a list and the early forms of a rule are said.
WORD_SKEW = 3.4
RULE_SKEW = 2.5
_RANGE = re.compile(r"(\d+)-(\d+)")
_TOKEN = re.compile(r"[\[\]|]|<[^>]*>?|[^\[\]|<]+")

Facts = Mapping[str, str]
Part = tuple[str, object]  # ("text", str) | ("slot", str) | ("one of", tuple of part lists)


class TemplateError(ValueError):
    """A template names a slot nobody can fill, or its brackets do not match."""


@cache
def parse(template: str) -> tuple[Part, ...]:
    """Turn a template into its parts; templates are few, so every one is parsed once."""
    brackets: list[list[list[Part]]] = [[[]]]  # the options of each that is open
    for token in _TOKEN.findall(template):
        options = brackets[-1]
        if token == "[":
            brackets.append([[]])
        elif token == "]" and len(brackets) > 1:
            brackets.pop()
            brackets[-1][-1].append(("one of", tuple(map(tuple, options))))
        elif token == "|" and len(brackets) > 1:  # outside of them it is an ordinary character
            options.append([])
        elif token == "]":
            raise TemplateError(f"unbalanced brackets in {template!r}")
        else:
            options[-1].append(("slot", token[1:-1]) if token[0] == "<" else ("text", token))
    if len(brackets) > 1:
        raise TemplateError(f"unbalanced brackets in {template!r}")
    return tuple(brackets[0][0])


class Grammar:
    """Word lists, named rules and makers that templates may refer to."""

    def __init__(
        self,
        words: Mapping[str, Sequence[str]],
        rules: Mapping[str, str | Sequence[str]],
        makers: Mapping[str, Callable[[Dice], str]],
    ) -> None:
        self.words, self.rules, self.makers = words, rules, makers

    def say(self, template: str | Sequence[str], dice: Dice, facts: Facts | None = None) -> str:
        """Expand a template, or one of several, all equally likely."""
        chosen = template if isinstance(template, str) else dice.pick(template)
        return self._expand(parse(chosen), dice, facts or {})

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
        if name.startswith("any:") and name[4:] in self.words:
            return dice.pick(self.words[name[4:]])
        if name in self.words:
            return dice.pick_early(self.words[name], WORD_SKEW)
        if name in self.rules:
            rule = self.rules[name]
            form = rule if isinstance(rule, str) else dice.pick_early(rule, RULE_SKEW)
            return self._expand(parse(form), dice, facts)
        if name in self.makers:
            return self.makers[name](dice)
        if whole := _RANGE.fullmatch(name):
            low, high = whole.groups()
            return f"{dice.whole(int(low), int(high)):0{len(low)}d}"
        if set(name) == {"#"}:
            return dice.digits(len(name))
        if name[:1].isupper():
            text = self._fill(name[0].lower() + name[1:], dice, facts)
            return text[:1].upper() + text[1:]
        raise TemplateError(f"nobody fills <{name}>")
