"""Any text as pdflatex with its default fonts can print it, with places to break a line."""

import re
import unicodedata

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
    signs = {"†": r"\dagger ", "‡": r"\ddagger ", "§": r"\S ", "¶": r"\P ", "≈": r"\approx "}
    return f"$^{{{''.join(signs[m] for m in markers).rstrip()}}}$" if markers else ""


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


_SPECIAL = {
    **{c: rf"\{c}" for c in "#$%&_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "↵": r"$\hookleftarrow$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "‘": "{}`",  # apart, as "?`" is a sign of its own
    "’": "'",
    "“": "{}``",
    "”": "''",
    "•": r"\textbullet{}",
    "−": "$-$",
    "∞": r"$\infty$",
}


def _character(c: str) -> str:
    """A character as pdflatex with its default fonts can print it; '?' if it cannot."""
    if c in _SPECIAL:
        return _SPECIAL[c]
    if c.isascii():
        return c if c.isprintable() else " "
    greek = re.fullmatch(r"GREEK SMALL LETTER ([A-Z]+)", unicodedata.name(c, ""))
    if greek and greek[1] != "OMICRON":
        return rf"$\{greek[1].lower().replace('lamda', 'lambda')}$"
    plain = unicodedata.normalize("NFKD", c).encode("ascii", "ignore").decode()
    # Letters with an accent are composed by LaTeX itself; anything else falls back to plain ones.
    return c if plain.isalpha() and ord(c) < 256 else escape(plain) or "?"
