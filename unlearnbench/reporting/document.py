"""Findings, of which everything is computed once, and the document that a report prints of them.

A document is made of four kinds of block, which every format can print.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from unlearnbench.analysis.build_table import build_table
from unlearnbench.analysis.shams import notes_on_shams
from unlearnbench.analysis.table import Note, Row, Table
from unlearnbench.results.record import Result
from unlearnbench.results.tunings import Tunings

if TYPE_CHECKING:
    from unlearnbench.analysis.attacks.panel import Panel
    from unlearnbench.analysis.budgets.trials import BudgetPanel
    from unlearnbench.analysis.meta.table import MetaTable
    from unlearnbench.ratings.human.studies import StudyFindings


MANY = 2000  # results: above it their documents alone take longer to read than the table
_WITHOUT_INTERVALS = Note(
    "intervals",
    f"No intervals and no tests: more than {MANY} results; choose fewer with --experiment.",
)


@dataclass(frozen=True)
class Findings:
    """Results, and what is computed from them when a section or a figure first asks for it."""

    results: tuple[Result, ...]
    title: str = ""
    notes: tuple[Note, ...] = ()  # under the comparison table, besides its own
    axes: tuple[str, ...] = ()  # settings that the rows vary on purpose: 'alpha', 'beta'
    published: Mapping[str, str] = field(default_factory=dict)  # the printed table to lay beside
    doc_ids: tuple[str, ...] = ()  # rows of the forget set to show; empty: chosen by a stated rule
    attacked: tuple[Result, ...] = ()  # the same models, measured under attack
    #: Names of groups whose models are one model trained with several seeds, each a tuple.
    trainings: tuple[tuple[str, ...], ...] = ()
    trials: tuple[Result, ...] = ()  # of tuning, with their reference rows
    tunings: Tunings = field(default_factory=Tunings)  # the searches that they are of
    score: str = ""  # what trials are judged by; empty: as they were tuned, or by default
    read_human: "Callable[[], StudyFindings | None] | None" = None  # people's ratings
    metrics: "MetaTable | None" = None  # a test of metrics; else the shipped one that fits

    @cached_property
    def table(self) -> Table:
        """The comparison table, with intervals over documents and doubtful firsts marked."""
        from unlearnbench.analysis.statistics.marking import with_intervals

        table = build_table(self.results)
        table = replace(table, notes=(*table.notes, *notes_on_shams(table, self.by_key)))
        if len(self.results) > MANY:
            return replace(table, notes=(*table.notes, _WITHOUT_INTERVALS, *self.notes))
        table = with_intervals(table, self.by_key)
        return replace(table, notes=(*table.notes, *self.notes))

    @cached_property
    def human(self) -> "StudyFindings | None":
        """People's ratings, where the folder has any; raises `UserError` if they are not clear."""
        return self.read_human() if self.read_human is not None else None

    @cached_property
    def tested(self) -> "MetaTable | None":
        """The test of metrics that speaks of these results; None where there is none."""
        from unlearnbench.analysis.meta.table import fitting_table

        return self.metrics or fitting_table(list(self.results))

    @cached_property
    def panels(self) -> "tuple[Panel, ...]":
        """What attacks brought back in each model whose unlearning was attacked."""
        from unlearnbench.analysis.attacks.panel import panels_of

        return panels_of(self.table, self.by_key, self.attacked) if self.attacked else ()

    @cached_property
    def budgets(self) -> "tuple[BudgetPanel, ...]":
        """The methods that several configurations were tried of, and what those came to.

        Raises `UserError` where no score is named and none stands to reason.
        """
        from unlearnbench.analysis.budgets.trials import budgets_of

        score = self.score or self.tunings.score
        if self.trials:
            return tuple(budgets_of(self.trials, score, self.tunings.records))
        return tuple(budgets_of(self.results, score))

    @cached_property
    def by_key(self) -> dict[str, Result]:
        """The results by key."""
        return {result.key: result for result in self.results}

    @cached_property
    def images(self) -> dict[tuple[str, str], bytes | None]:
        """The figures that were drawn so far, by name and kind of file; formats share them."""
        return {}

    def results_of(self, row: Row) -> list[Result]:
        """The results in a row's means, in the order of its runs."""
        return [self.by_key[run.key] for run in row.runs]


def findings_of(results: Sequence[Result], notes: Sequence[Note] = ()) -> Findings:
    """The findings of results that belong to no named experiment."""
    return Findings(tuple(results), notes=tuple(notes))


@dataclass(frozen=True)
class Listing:
    """A table of printed texts: whatever is no comparison with ranks and scores."""

    name: str  # of files and anchors: 'pairs'
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    n_labels: int = 1  # leading columns that are names, set to the left; the others are numbers
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Data(Listing):
    """A table for programs: CSV and JSON hold it, what people read does not."""


@dataclass(frozen=True)
class Passage:
    """What one model wrote."""

    label: str  # 'NEO + ICU', 'epoch 3', 'reference'
    text: str
    facts: tuple[tuple[str, str], ...] = ()  # printed name and value: ('MA (%)', '12.3')


@dataclass(frozen=True)
class Case:
    """One prefix, the text that really follows, and what several models wrote in its place."""

    name: str
    title: str
    prefix: str
    reference: str
    passages: tuple[Passage, ...]
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A figure by its registered name; a format that can hold pictures has it drawn."""

    figure: str  # 'trade-off'
    caption: str = ""


Block = Table | Listing | Case | Picture


@dataclass(frozen=True)
class Document:
    """The blocks of a report in their order, and the findings that they were made from."""

    title: str
    blocks: tuple[Block, ...]
    findings: Findings
    notes: tuple[Note, ...] = ()  # of the whole: cells still missing, say

    @property
    def printed(self) -> tuple[Block, ...]:
        """The blocks that people read."""
        return tuple(block for block in self.blocks if not isinstance(block, Data))

    @property
    def tables(self) -> tuple[Table, ...]:
        """The comparison tables among the blocks."""
        return tuple(block for block in self.blocks if isinstance(block, Table))
