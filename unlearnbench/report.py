"""The contract of an output format."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from unlearnbench.table import Table


class Report(ABC):
    """An output format of the comparison table; one file under `reports/`."""

    name: ClassVar[str]  # 'latex'; also the flag: --latex

    @abstractmethod
    def render(self, table: "Table") -> str:
        """The whole document as text; it never loads a model or a result file."""
