"""A sequence of requests as cells: each step begins with the model of the one before."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from unlearnbench.experiments.cell import Cell, identity_of


def one_after_the_other(at_once: Sequence[Cell], requests: Sequence[str]) -> Iterator[Cell]:
    """The steps of a sequence from the second on, each from the model of the step before.

    `at_once` are the cells that unlearn all rows so far from the original model; the first of them
    is the first step.
    """
    before = at_once[0]
    for cell, request in zip(at_once[1:], requests[1:], strict=False):
        step = replace(cell, after=before, request=request, identity={})
        before = replace(step, identity=identity_of(step))
        yield before
