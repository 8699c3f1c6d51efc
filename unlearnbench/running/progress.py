"""The talk on stderr: live bars on a terminal, otherwise one line per cell."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from unlearnbench.files.safe_text import redact, visible
from unlearnbench.results.record import Result

# What a terminal shows of the results so far: a renderable of rich's, or None.
Preview = Callable[[Sequence[Result]], Any]
logger = logging.getLogger("unlearnbench")


class Progress:
    """How far a grid is; this one shows nothing of it.

    Times are of the monotonic clock, which nobody can set.
    """

    def __init__(self, total: int) -> None:
        self.total, self.began = total, time.monotonic()
        self.running: set[str] = set()  # titles
        self.n_done = self.n_failed = 0
        self.n_elsewhere = 0  # of those done: by another run of the same folder

    def start(self, title: str) -> None:
        """A cell begins, perhaps not for the first time."""
        self.running.add(title)

    def finish(self, title: str, outcome: str, failed: bool) -> None:  # noqa: ARG002
        """A cell has ended for good, here or in another run of the same folder."""
        self.n_elsewhere += title not in self.running
        self.running.discard(title)
        self.n_done += 1
        self.n_failed += failed

    def show(self, results: Iterable[Result]) -> None:
        """These are the results so far, those of earlier runs too."""

    @property
    def seconds(self) -> float:
        """Since the first cell."""
        return time.monotonic() - self.began

    @property
    def seconds_left(self) -> float | None:
        """If the rest goes on as fast as what is done here; None before anything is."""
        n_own = self.n_done - self.n_elsewhere
        return self.seconds / n_own * (self.total - self.n_done) if n_own else None

    def state(self) -> str:
        """'2 running, 1 failed, about 5 min left'."""
        parts = [f"{len(self.running)} running"] if self.running else []
        parts += [f"{self.n_failed} failed"] if self.n_failed else []
        left = self.seconds_left
        if left is not None and self.n_done < self.total:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)


class PhaseProgress:
    """Logs how far a cell's phases are: every half minute for lines, more often for a bar."""

    def __init__(self, title: str, every: float = 30.0, bar_every: float = 2.0) -> None:
        self.title, self.every, self.bar_every = title, every, bar_every
        self._logged = self._shown = time.monotonic()
        self._phase, self._done = ("", 0), 0
        self._first = 0.0, 0  # when it was first heard of, and how many parts were done by then

    def __call__(self, phase: str, done: int, total: int) -> None:
        """So many parts of a phase are done."""
        now = time.monotonic()
        if (phase, total) != self._phase or done < self._done:
            self._phase, self._first = (phase, total), (now, done)
        self._done = done
        began, n_before = self._first
        if now - self._shown < self.bar_every or not n_before < done < total:
            return
        self._shown, is_due = now, now - self._logged >= self.every
        if is_due:
            self._logged = now
        left = duration((now - began) / (done - n_before) * (total - done))
        said = f"{self.title}: {phase} {done} of {total}, about {left} left"
        logger.info("  %s", said, extra={"is_due": is_due, "bar": (self.title, said)})


def is_due(record: logging.LogRecord) -> bool:
    """Whether a record is for a log, not just for a bar."""
    return bool(getattr(record, "is_due", True))


def duration(seconds: float) -> str:
    """'40 s', '5 min', '3 h 20 min', '2 d 4 h'."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


class Lines(Progress):
    """One line per finished cell, for logs and pipes."""

    def finish(self, title: str, outcome: str, failed: bool) -> None:
        """Print the line."""
        super().finish(title, outcome, failed)
        minutes, seconds = divmod(int(self.seconds), 60)
        state = self.state()
        line = f"[{self.n_done}/{self.total}] {minutes}:{seconds:02d} {title}: {outcome}"
        with suppress(OSError):  # nobody can be told that stderr is on a full disk
            print(visible(line) + (f" ({state})" if state else ""), file=sys.stderr, flush=True)


class Bar(Progress):
    """A bar over the cells with one line per running cell under it, finished ones above."""

    def __init__(self, bar: Any, total: int, preview: Preview | None = None) -> None:
        super().__init__(total)
        self.bar, self.preview = bar, preview
        self.all = bar.add_task("starting", total=total, count=f"0/{total}")
        self.lines: dict[str, Any] = {}

    def start(self, title: str) -> None:
        """A line for the cell, with the time it takes."""
        super().start(title)
        if title in self.lines:
            self.bar.remove_task(self.lines.pop(title))
        self.lines[title] = self.bar.add_task(title, total=None, count="")
        self.bar.update(self.all, description=self.state())

    def finish(self, title: str, outcome: str, failed: bool) -> None:
        """Print the cell's outcome above the bar and move it on."""
        super().finish(title, outcome, failed)
        if title in self.lines:
            self.bar.remove_task(self.lines.pop(title))
        self.bar.console.print(f"{title}: {outcome}", markup=False, highlight=False)
        count = f"{self.n_done}/{self.total}"
        self.bar.update(self.all, advance=1, count=count, description=self.state())

    def show(self, results: Iterable[Result]) -> None:
        """Draw the table of the results anew, over the bar."""
        if self.preview is not None:
            self.bar.above = self.preview(list(results))
            self.bar.refresh()


@contextmanager
def progress(total: int, show: bool = True, preview: Preview | None = None) -> Iterator[Progress]:
    """Bars if a person watches, else lines; log records of the harness go the same way.

    Over the bars stands what `preview` makes of the results so far.
    Nothing of all that where it is not to be shown.
    """
    if not show:
        yield Progress(total)
        return
    if not sys.stderr.isatty():
        stream = logging.StreamHandler(sys.stderr)
        stream.addFilter(is_due)
        with _logging_to(stream):
            yield Lines(total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    class Bars(RichProgress):
        """The bars, under the table of what is measured so far."""

        above: Any = None

        def get_renderables(self) -> Iterable[Any]:
            if self.above is not None and not self.finished:
                yield self.above
            yield from super().get_renderables()

    columns = (TextColumn("{task.fields[count]}"), TextColumn("{task.description}", markup=False))
    console = Console(stderr=True)
    with Bars(BarColumn(24), TimeElapsedColumn(), *columns, console=console) as bar:
        display = Bar(bar, total, preview)
        with _logging_to(_BarHandler(display)):
            yield display


class _Harmless(logging.Formatter):
    """Messages may hold a plugin's words: no secrets, and nothing that a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(visible(super().format(record)))


class _BarHandler(logging.Handler):
    def __init__(self, display: Bar) -> None:
        super().__init__()
        self.display = display

    def emit(self, record: logging.LogRecord) -> None:
        title, said = getattr(record, "bar", ("", ""))
        if title in self.display.lines:
            self.display.bar.update(self.display.lines[title], description=visible(said))
        else:
            console = self.display.bar.console
            console.print(self.format(record), markup=False, highlight=False)


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    handler.setLevel(logging.INFO)  # a cell's own log has the rest
    handler.setFormatter(_Harmless())
    logger.addHandler(handler)
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = True
