"""The texts of the beside-published section: own value, printed value, and their difference."""

import math
from dataclasses import dataclass
from functools import cached_property

from unlearnbench.analysis.columns import ABSENT, PAPER_COLUMNS, S_M, S_Z, Column
from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.table import Cell
from unlearnbench.reporting.findings import Findings
from unlearnbench.reporting.published.matching import Beside, Line
from unlearnbench.reporting.published.printed import number
from unlearnbench.reporting.published.shared_scores import SharedScores, shared_scores
from unlearnbench.reporting.sections._study_rows import names_here

INSIDE = "~"  # a footnote marker: no test, so not the sign of one
_SPREADS = 2  # standard deviations over runs within which a printed value may well be one's own
_SCORES = (S_Z, S_M)


@dataclass(frozen=True)
class Comparison:
    """The cells of one listing: a group beside a printed table, in some columns."""

    beside: Beside
    columns: tuple[Column, ...]
    findings: Findings

    @cached_property
    def shared(self) -> SharedScores | None:
        """Scores over what both sides have; None where they are those already shown, or none."""
        return None if self.has_same_scores else self._shared_scores

    @cached_property
    def has_same_scores(self) -> bool:
        """Whether s_z and s_m are over the same rows and metrics on both sides anyway."""
        scores, own = self._shared_scores, self.beside.group
        if scores is None:
            return False
        printed = [line.printed for line in self.beside.lines if line.printed]
        n_printed = sum(row.role in ("method", "dedup") for row in printed)
        metrics = {c.name for c in PAPER_COLUMNS if c.name in self.beside.table.columns}
        rows = {row.label for row in own.compared}
        return (
            rows == set(scores.labels)
            and n_printed == len(rows)
            and set(own.scored) == metrics == set(scores.metrics)
        )

    @cached_property
    def _shared_scores(self) -> SharedScores | None:
        if S_Z not in self.columns:
            return None
        return shared_scores(self.beside, self.findings.table.metric_columns)

    @property
    def extra_headers(self) -> tuple[str, ...]:
        """The headers of the scores over what both sides have."""
        return tuple(f"shared {c.label} {c.arrow}" for c in _SCORES) if self.shared else ()

    def own(self, line: Line) -> tuple[str, ...]:
        """What this run measured, as its table prints it."""
        values = (self._own(line, column) for column in self.columns)
        cap = self.beside.group.cap
        texts = (c.text(v, cap) for c, v in zip(self.columns, values, strict=True))
        return (*texts, *self._shared(line, True))

    def printed(self, line: Line) -> tuple[str, ...]:
        """What the paper prints, as it prints it."""
        values = line.printed.values if line.printed else {}
        return (*(values.get(c.name, ABSENT) for c in self.columns), *self._shared(line, False))

    def printed_name(self, line: Line) -> str:
        """'printed', with the rate where it is another one than here."""
        rate = line.printed.settings.get("learning_rate") if line.printed else None
        if self.beside.by_order and rate is not None:
            return f"printed ({format_value(rate)})"
        return "printed"

    def differences(self, line: Line) -> tuple[str, ...]:
        """Own minus printed; '–' where a value is only known to be over the cap."""
        texts = tuple(self._difference(line, column) for column in self.columns)
        return (*texts, *self._shared_differences(line))

    def is_inside(self, line: Line, column: Column) -> bool:
        """Whether the printed value is in the 95% interval here, or within two deviations."""
        cell = line.own.cells.get(column.name) if line.own else None
        printed = _printed(line, column)
        return cell is not None and printed is not None and _is_inside(cell, printed)

    def _difference(self, line: Line, column: Column) -> str:
        own, printed = self._own(line, column), _printed(line, column)
        if own is None or printed is None or not math.isfinite(own - printed):
            return ABSENT
        if column.is_over_cap(own, self.beside.group.cap):
            return ABSENT
        if column in _SCORES and not self.has_same_scores:
            return ABSENT  # over other rows or metrics: no difference to take
        mark = INSIDE if self.is_inside(line, column) else ""
        return signed(column, own - printed) + mark

    def _own(self, line: Line, column: Column) -> float | None:
        if line.own is None:
            return None
        if column.name == "human":
            return _human(self.findings, self.beside.group.title, line.own.label)
        return line.own.mean(column.name)

    def _shared(self, line: Line, own: bool) -> tuple[str, ...]:
        if self.shared is None:
            return ()
        of = (self.shared.own if own else self.shared.printed).get(line.label, {})
        return tuple(column.text(of.get(column.name)) for column in _SCORES)

    def _shared_differences(self, line: Line) -> tuple[str, ...]:
        if self.shared is None:
            return ()
        own, printed = (of.get(line.label) for of in (self.shared.own, self.shared.printed))
        if own is None or printed is None:
            return tuple(ABSENT for _ in _SCORES)
        return tuple(signed(c, own[c.name] - printed[c.name]) for c in _SCORES)


def signed(column: Column, value: float) -> str:
    """A difference with its sign, to the decimals of the column: '+1.2', '0.0'."""
    text = column.text(value)
    return f"+{text}" if value > 0 and float(text) != 0 else text


def _printed(line: Line, column: Column) -> float | None:
    text = line.printed.values.get(column.name) if line.printed else None
    return None if text is None else number(text)


def _is_inside(cell: Cell, value: float) -> bool:
    if cell.low is not None and cell.high is not None and cell.low <= value <= cell.high:
        return True
    return cell.std is not None and abs(value - cell.mean) <= _SPREADS * cell.std


def _human(findings: Findings, model: str, label: str) -> float | None:
    """People's mean on the paper's scale, 1 to 8."""
    study = findings.human
    if study is None or study.scores is None or study.is_rehearsal:
        return None
    names = names_here(findings, study)
    own = (model, label)
    found = (c.mean for c in study.scores.cells if names.get((c.model, c.method)) == own)
    return next(found, None)
