"""A document: what a report prints, made of four kinds of block that every format can print."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnbench.analysis.table import Note, Table

if TYPE_CHECKING:
    from unlearnbench.reporting.findings import Findings


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
    findings: "Findings"
    notes: tuple[Note, ...] = ()  # of the whole: cells still missing, say

    @property
    def tables(self) -> tuple[Table, ...]:
        """The comparison tables among the blocks."""
        return tuple(block for block in self.blocks if isinstance(block, Table))
