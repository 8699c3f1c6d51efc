"""The table as LaTeX, in the style of the paper's Table I."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from unlearnbench.registry import register
from unlearnbench.report import Report

if TYPE_CHECKING:
    from unlearnbench.columns import Column
    from unlearnbench.document import Document
    from unlearnbench.table import Group, Note, Row, Table

_RANK = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}", None: "{}"}
_DOCUMENT = r"""\documentclass{{article}}
\usepackage[a4paper,landscape,margin=15mm]{{geometry}}
\usepackage{{booktabs}}
\usepackage{{graphicx}}
\pagestyle{{empty}}
\begin{{document}}
{}
\end{{document}}
"""
# A table wider than the text, or with its notes higher than the page, is scaled down.
_TABLE = r"""\begin{{table}}[htbp]
\centering
\setlength{{\belowcaptionskip}}{{6pt}}
\caption{{{caption}}}
\small
\setlength{{\tabcolsep}}{{4pt}}
\sbox0{{%
{tabular}}}%
\sbox2{{\begin{{minipage}}{{\linewidth}}
\footnotesize\raggedright
{notes}
\end{{minipage}}}}%
\ifdim\wd0>\linewidth\sbox0{{\resizebox{{\linewidth}}{{!}}{{\usebox0}}}}\fi
\dimen0=\dimexpr\textheight-\ht2-\dp2-72pt\relax
\ifdim\dimen0<.4\textheight\dimen0=.4\textheight\fi
\ifdim\dimexpr\ht0+\dp0\relax>\dimen0\sbox0{{\resizebox*{{!}}{{\dimen0}}{{\usebox0}}}}\fi
\usebox0\par\medskip\usebox2
\end{{table}}"""

Text = Callable[["Group", "Row", "Column"], str]


@register
@dataclass(frozen=True)
class Latex(Report):
    """A LaTeX document that compiles as printed: booktabs, best bold, second best underlined."""

    name: ClassVar[str] = "latex"

    suffix: ClassVar[str] = ".tex"

    def render(self, document: "Document") -> str:
        """The standalone document; `fragment` is the part to paste into a paper."""
        return _DOCUMENT.format(self.fragment(document))

    def fragment(self, document: "Document") -> str:
        """The floats alone; they need the packages booktabs and graphicx."""
        return "\n\n".join(map(self._table, document.tables))

    def _table(self, table: "Table") -> str:
        """The table floats alone; they need the packages booktabs and graphicx."""
        names = ", ".join(escape(group.title) for group in table.groups)
        caption = (
            f"Unlearning compared: {names}. The best of the compared rows is bold and the second "
            "best underlined; equal as printed is equal in rank."
        )
        main = _float(table, table.columns, caption, _mean, _notes(table.notes))
        if not table.has_spread:
            return main
        measured = [c for c in table.columns if c.name not in ("s_z", "s_m")]
        spread = _float(table, measured, "Sample standard deviation over runs.", _spread, "")
        return f"{main}\n\n{spread}"


def escape(text: str) -> str:
    """Text that LaTeX prints as it is; EL10, s_z and s_m become formulas."""
    escaped = "".join(_character(c) for c in text)
    escaped = re.sub("-(?=-)", "-{}", escaped)  # two hyphens would become a dash
    escaped = re.sub(r"\bs\\_([zm])\b", r"$s_\1$", escaped)
    return re.sub(r"\bEL(\d+)\b", r"EL$_{\1}$", escaped)


def _float(
    table: "Table", columns: Sequence["Column"], caption: str, text: Text, notes: str
) -> str:
    tabular = "\n".join(_tabular(table, columns, text))
    return _TABLE.format(caption=caption, tabular=tabular, notes=notes)


def _tabular(table: "Table", columns: Sequence["Column"], text: Text) -> Iterator[str]:
    yield rf"\begin{{tabular}}{{lc{'r' * len(columns)}}}"
    yield r"\toprule"
    yield _line(["Model", r"\#"], [_centered(c.header[0]) for c in columns])
    yield _line(["", "Params"], [_centered(c.header[1]) for c in columns])
    for group in table.groups:
        yield r"\midrule"
        if len(table.groups) > 1:
            yield rf"\multicolumn{{{len(columns) + 2}}}{{l}}{{\textit{{{escape(group.title)}}}}} \\"
        yield from _rows(group, columns, text)
    yield r"\bottomrule"
    yield r"\end{tabular}"


def _rows(group: "Group", columns: Sequence["Column"], text: Text) -> Iterator[str]:
    # As in Table I the number of parameters stands once, in the middle row.
    middle = (len(group.rows) - 1) // 2
    for i, row in enumerate(group.rows):
        size = group.parameters if i == middle else ""
        label = escape(row.label) + _superscript(row.markers)
        yield _line([label, size], [text(group, row, c) for c in columns])


def _mean(group: "Group", row: "Row", column: "Column") -> str:
    cell = row.cells.get(column.name)
    ranked = _RANK[cell.rank if cell else None].format(_number(group.text(row, column)))
    return ranked + _superscript(group.flag(row, column))


def _spread(group: "Group", row: "Row", column: "Column") -> str:
    return _number(group.spread(row, column))


def _notes(notes: Sequence["Note"]) -> str:
    return "\n".join(
        _superscript(note.marker) + _breakable(escape(note.text)) + r"\par" for note in notes
    )


def _line(heads: Sequence[str], cells: Sequence[str]) -> str:
    return " & ".join([*heads, *cells]) + r" \\"


def _centered(text: str) -> str:
    return rf"\multicolumn{{1}}{{c}}{{{escape(text)}}}"


def _number(text: str) -> str:
    return escape(text).replace("-", "$-$") if text[0] == "-" else escape(text)


def _superscript(markers: str) -> str:
    signs = {"†": r"\dagger ", "‡": r"\ddagger ", "§": r"\S ", "¶": r"\P "}
    return f"$^{{{''.join(signs[m] for m in markers).rstrip()}}}$" if markers else ""


def _breakable(text: str) -> str:
    # Names of settings are long and have no place to break a line.
    return re.sub(r"(\\_|=|/)", r"\1\\allowbreak{}", text)


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
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "’": "'",
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
