"""How far the judging is: a bar on a terminal, else a line at every tenth, on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """Yields what is called once a question is done."""
    if not sys.stderr.isatty():
        yield _Lines(total)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("judging", total=total)
        yield lambda: bar.advance(task)


class _Lines:
    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0

    def __call__(self) -> None:
        before, self.done = 10 * self.done // self.total, self.done + 1
        if 10 * self.done // self.total > before:
            print(f"[{self.done}/{self.total}] judged", file=sys.stderr, flush=True)
