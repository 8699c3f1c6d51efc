"""The contract of an output format."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from unlearnbench.table import Table


class Report(ABC):
    """An output format of the comparison table; one file under `reports/`.

    Write one file with one subclass, decorate it with `@register`, and its name
    is a flag of `unlearnbench report`: see `docs/report.md`.
    """

    name: ClassVar[str]  # 'latex'; also the flag: --latex

    @abstractmethod
    def render(self, table: "Table") -> str:
        """The whole document as text, ending in a newline; it never loads a model or a result."""
