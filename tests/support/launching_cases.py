"""Cells and launchers that do as a script says."""

from types import SimpleNamespace

import pytest

from unlearnbench.results.store import Store
from unlearnbench.running import progress
from unlearnbench.running.launching import grid
from unlearnbench.running.launching.grid import CellLogs, GridRun, Outcome
from unlearnbench.running.launching.launcher import Ended


class Script:
    """A launcher whose cells end as they are told to."""

    def __init__(self, outcomes, n_slots=1):
        self.outcomes, self.n_slots = outcomes, n_slots
        self.running, self.started, self.closed = [], [], 0

    def room(self):
        return self.n_slots - len(self.running)

    def start(self, cell):
        assert self.room() > 0
        self.running.append(cell)
        self.started.append(cell.key)

    def wait(self, seconds):
        ended, self.running = self.running, []
        return [Ended(cell, self.outcomes[cell.key].pop(0)) for cell in ended]

    def close(self):
        self.closed += 1


def cell(result):
    return SimpleNamespace(key=result.key, title=f"cell {result.seed}", models=None)


@pytest.fixture
def quick(monkeypatch):
    """No waiting, and lost cells have a result that needs no model."""
    monkeypatch.setattr(grid, "POLL_SECONDS", 0.01)
    lost = {}

    def lost_result(cell, reason):
        return lost[cell.key].model_copy(update={"status": "failed", "error": reason})

    monkeypatch.setattr(grid, "lost_result", lost_result)
    return lost


def run(folder, launcher, cells, retries=1):
    outcome = Outcome()
    store = Store(folder)
    logs = CellLogs(folder / "logs")
    GridRun(store, launcher, progress.Lines(len(cells)), logs, retries).run(cells, outcome)
    assert launcher.closed == 1
    assert not list((folder / "claims").iterdir())
    return outcome
