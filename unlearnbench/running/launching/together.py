"""The processes that a launcher has started: the first one leads, the others follow."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.models.devices import ranks


@contextmanager
def leading() -> Iterator[None]:
    """In the first process: the others are dismissed when all is done well.

    If it is not, this process ends, and the launcher ends the others.
    """
    yield
    call_others(None)


def call_others(key: str | None) -> None:
    """In the first process: have the others take part in a cell, or go home."""
    ranks.from_first(lambda: key)


def follow(cells: Mapping[str, Cell], run: Callable[[Cell], Any]) -> None:
    """In every other process: take part in the cells that the first one calls for, by key."""
    with redirect_stdout(sys.stderr):
        while (key := ranks.from_first(lambda: "")) is not None:
            if key not in cells:
                raise UserError(
                    "the processes of this run have laid out different grids; give all of them "
                    "the same files and options"
                )
            run(cells[key])
