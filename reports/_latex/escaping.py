"""Any text as pdflatex with its default fonts can print it, with places to break a line."""

import re
import unicodedata
from functools import cache

# Where a word may be broken that fits into no line: the penalty leaves all others whole, the glue
# fills a line that has no spaces.  After '_', '=' and '/' is better than anywhere.
_ANYWHERE = r"\penalty500\hskip0ptplus1pt "
_AFTER_SIGN = r"\penalty100\hskip0ptplus1pt "


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; EL10, s_z and s_m become formulas."""
    opened = re.sub(r'(?<![^\s(\[])"(?=\S)', "“", text)
    escaped = "".join(_character(c) for c in opened)
    escaped = re.sub("-(?=-)", "-{}", escaped)  # two hyphens would become a dash
    escaped = re.sub(r"\bs\\_([zm])\b", r"$s_\1$", escaped)
    return re.sub(r"\bEL(\d+)\b", r"EL$_{\1}$", escaped)


def breakable(text: str, longest: int = 20) -> str:
    """The escaped text; words of more characters than this have places to break."""
    return "".join(_word(part, longest) for part in re.split(r"(\s+)", text))


def shown_length(latex: str) -> int:
    """The number of characters without places to break."""
    return len(latex.replace(_ANYWHERE, "").replace(_AFTER_SIGN, ""))


def number(text: str) -> str:
    """An escaped value whose minus is one."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "$-$", escape(text))


def superscript(markers: str) -> str:
    """Footnote markers."""
    return rf"\textsuperscript{{{escape(markers)}}}" if markers else ""


def _word(word: str, longest: int) -> str:
    if len(word) <= longest:
        return escape(word)
    first, *others = re.findall("[^_=/]*[_=/]|[^_=/]+", word)
    return _AFTER_SIGN.join([_part(first, longest), *(_apart(_part(p, longest)) for p in others)])


def _apart(latex: str) -> str:
    """Text after a place to break: 'minus' would be read as a part of its glue."""
    return "{}" + latex if latex.lower().startswith("minus") else latex


def _part(part: str, longest: int) -> str:
    if len(part) <= longest:
        return escape(part)
    return _ANYWHERE.join(escape(part[i : i + 4]) for i in range(0, len(part), 4))


# What pylatexenc does not know, or writes in a font that pdflatex does not load by default.
_OWN = {
    "|": "$|$",
    "`": r"\textasciigrave{}",
    "“": "{}``",  # apart, as "?`" is a sign of its own
    "×": r"$\times$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "↵": r"$\hookleftarrow$",
}
# Of the macros that pylatexenc writes, those that need no package; Greek letters besides.
_BUILT_IN = re.compile(
    r"\\(?:[#$%&_{}'\"^`~=.]|(?:[cuvHrioOlL]|ae|AE|oe|OE|ss|ensuremath"
    r"|pm|star|approx|infty|sum|prod|int|leq|geq|neq|equiv|sim|in|cdot|partial|nabla"
    r"|text(?:backslash|ascii(?:tilde|circum)|e[mn]dash|bullet|dagger(?:dbl)?|section"
    r"|paragraph|quote(?:dbl)?(?:left|right)))(?![A-Za-z]))"
)


@cache
def _character(c: str) -> str:
    """A character as pdflatex with its default fonts can print it; '?' if it cannot."""
    from pylatexenc.latexencode import unicode_to_latex

    if c in _OWN or c.isspace() or (c.isascii() and not c.isprintable()):
        return _OWN.get(c, " ")
    protection = "braces-after-macro"
    latex = unicode_to_latex(c, False, protection, "keep", unknown_char_warning=False)
    greek = unicodedata.name(c, "").startswith(("GREEK SMALL", "GREEK CAPITAL"))
    needs_package = "\\" in _BUILT_IN.sub("", latex) and not (greek and "ensuremath" in latex)
    if latex.isascii() and not needs_package:
        return latex
    plain = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
    return escape(plain) or "?"
