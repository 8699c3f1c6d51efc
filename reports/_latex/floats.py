"""LaTeX floats that always fit: what is wider or higher than the page is scaled down."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .escaping import shown_length

PACKAGES = ("array", "booktabs", "graphicx")  # what the floats need
RULE = r"\midrule"
SPACE = r"\addlinespace"

_TABLE = r"""\begin{{table}}[{placement}]
\centering
\setlength{{\belowcaptionskip}}{{6pt}}
\caption{{{caption}}}
\small
\setlength{{\tabcolsep}}{{4pt}}
\sbox0{{%
{tabular}}}%
{notes}{fit}
\end{{table}}"""
_NOTES = r"""\sbox2{{\begin{{minipage}}{{\linewidth}}
\footnotesize\raggedright
{}
\end{{minipage}}}}%
"""
_FIT = r"""\ifdim\wd0>\linewidth\sbox0{{\resizebox{{\linewidth}}{{!}}{{\usebox0}}}}\fi
\dimen0=\dimexpr\textheight-{other}\relax
\ifdim\dimen0<.4\textheight\dimen0=.4\textheight\fi
\ifdim\dimexpr\ht0+\dp0\relax>\dimen0\sbox0{{\resizebox*{{!}}{{\dimen0}}{{\usebox0}}}}\fi
"""
_BELOW = r"""\dimen2=\dimexpr\textheight-\ht0-\dp0-{other}\relax
\ifdim\dimexpr\ht2+\dp2\relax>\dimen2\sbox2{{\resizebox*{{!}}{{\dimen2}}{{\usebox2}}}}\fi
\usebox0\par\medskip\usebox2"""
_FIGURE = r"""\begin{{figure}}[{placement}]
\centering
\sbox0{{\includegraphics{{{file}}}}}%
{fit}
\caption{{{caption}}}
\end{{figure}}"""


@dataclass(frozen=True)
class Page:
    """What the floats are made for."""

    placement: str  # of a float: 'H' is here
    width: float  # of the widest wrapped text, points; on a narrower line it is scaled down


def table_float(page: Page, caption: str, tabular: str, notes: str = "") -> str:
    """A table under its caption, its notes below; all of it is LaTeX already."""
    return _TABLE.format(
        placement=page.placement,
        caption=caption,
        tabular=tabular,
        notes=_NOTES.format(notes) if notes else "",
        fit=_fit(caption, has_notes=bool(notes)),
    )


def figure_float(page: Page, caption: str, file: str) -> str:
    """A picture in its own size, where that fits, above its caption."""
    return _FIGURE.format(placement=page.placement, caption=caption, file=file, fit=_fit(caption))


def _fit(caption: str, has_notes: bool = False) -> str:
    """Scale what is too wide or too high for the page beside its caption; notes give way last."""
    # However long caption and notes are, the table keeps two fifths of the page.
    other = f"{48 + 14 * math.ceil(shown_length(caption) / 100)}pt"
    if not has_notes:
        return _FIT.format(other=other) + r"\usebox0"
    return _FIT.format(other=rf"\ht2-\dp2-{other}") + _BELOW.format(other=other)


def tabular(columns: str, heads: Sequence[str], lines: Sequence[str]) -> str:
    """Head lines and body lines between booktabs' rules."""
    top, bottom = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([top, r"\toprule", *heads, *lines, r"\bottomrule", bottom])


def line(cells: Sequence[str]) -> str:
    """One row of a tabular."""
    # After the end of a row LaTeX takes these two for its own.
    start = "{}" if cells[0].startswith(("[", "*")) else ""
    return start + " & ".join(cells) + r" \\"


def centered(text: str) -> str:
    """A head over a column of numbers."""
    return rf"\multicolumn{{1}}{{c}}{{{text}}}"


def paragraph(width: float, side: str = "right") -> str:
    """A column of wrapped text, so many points wide; ragged on that side."""
    return rf">{{\ragged{side}\arraybackslash}}p{{{width:.0f}pt}}"
