"""The tables: counts, then ratios of one run, then seconds and bytes, then values."""

from collections.abc import Sequence

from tabulate import tabulate

from speed.comparison.lines import Difference, Line, released_validation

ARITHMETIC = (
    f"By arithmetic the released code pushes {released_validation(128):,} forward tokens in one "
    "validation of 128 rows\nof 200: MA 19,900 a row, EL 50 x 199, and the continuation by two "
    "beams 2 x (150 + 49)."
)
_UNITS = {"MiB": 2**20, "GiB": 2**30, "s": 1}


def report(lines: Sequence[Line], differences: Sequence[Difference]) -> str:
    """All tables as one text."""
    counts = [line for line in lines if line.machine_independent]
    measured = [line for line in lines if not line.machine_independent]
    parts = [
        ("COUNTS (the same on every machine)", counts_table(counts)),
        ("RATIOS (both ways on this machine, in one run)", ratios_table(measured)),
        ("ABSOLUTE (of this machine today; nothing is asserted)", absolute_table(measured)),
        ("VALUES (the largest difference between the two ways)", values_table(differences)),
    ]
    tables = "\n\n".join(f"{title}\n\n{table}" for title, table in parts)
    return f"{tables}\n\n{ARITHMETIC}"


def counts_table(lines: Sequence[Line]) -> str:
    """Both counts, their ratio and what it should be."""
    rows = [
        (line.quantity, _amount(line.released, line), _amount(line.ours, line), *_ratio(line))
        for line in lines
    ]
    header = ("", "released", "ours", "times less", "aim", "")
    return _by_case(lines, rows, header)


def ratios_table(lines: Sequence[Line]) -> str:
    """Ratios alone: what can be told from a machine to another."""
    rows = [(line.quantity, *_ratio(line)) for line in lines]
    return _by_case(lines, rows, ("", "times less", "aim", ""))


def absolute_table(lines: Sequence[Line]) -> str:
    """Seconds and bytes."""
    rows = [
        (line.quantity, _amount(line.released, line), _amount(line.ours, line)) for line in lines
    ]
    return _by_case(lines, rows, ("", "released", "ours"))


def values_table(differences: Sequence[Difference]) -> str:
    """Differences in the order of the cases."""
    rows = [(d.case, d.quantity, f"{d.largest:.1e}", d.of) for d in differences]
    return tabulate(rows, ("", "value", "largest difference", "of"), disable_numparse=True)


def _by_case(
    lines: Sequence[Line], rows: Sequence[tuple[str, ...]], header: tuple[str, ...]
) -> str:
    """The rows with a heading wherever another case begins."""
    shown: list[tuple[str, ...]] = []
    case = None
    for line, row in zip(lines, rows, strict=True):
        if line.case != case:
            case = line.case
            shown.append((case, *[""] * (len(header) - 1)))
        shown.append((f"  {row[0]}", *row[1:]))
    align = ("left", *["right"] * (len(header) - 2), "left")
    return tabulate(shown, header, disable_numparse=True, colalign=align, preserve_whitespace=True)


def _ratio(line: Line) -> tuple[str, str, str]:
    if line.aim is None:
        return f"{line.ratio:,.2f}", "", ""
    verdict = "met" if line.ratio >= line.aim else "NOT met"
    return f"{line.ratio:,.2f}", f"{line.aim:,.2f}", verdict


def _amount(value: float, line: Line) -> str:
    if not line.unit:
        return f"{value:,.0f}"
    return f"{value / _UNITS[line.unit]:,.2f} {line.unit}"
