"""What is said of a phase while it runs: lines for a log, a bar's line for a terminal."""

import io
import logging
import math

import pytest
from rich.console import Console
from rich.progress import Progress as RichProgress
from rich.progress import TextColumn
from unlearning_fakes import MaExaminer, forget_set, tiny_model

from unlearnbench.metrics.perplexity import window_nll
from unlearnbench.models.devices.meter import advancing
from unlearnbench.models.likelihoods import likelihoods
from unlearnbench.registry import methods
from unlearnbench.running import progress
from unlearnbench.running.progress import Bar, PhaseProgress, is_due
from unlearnbench.running.unlearned import unlearn


def test_a_line_comes_every_half_minute_with_the_time_left(caplog, monkeypatch):
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    caplog.set_level(logging.INFO, "unlearnbench")
    say = PhaseProgress("neo + ICU")
    for done in range(1, 10):
        say("perplexity", done, 20)
    due = [record.getMessage() for record in caplog.records if is_due(record)]
    assert due == [
        "  neo + ICU: perplexity 3 of 20, about 3 min left",
        "  neo + ICU: perplexity 6 of 20, about 2 min left",
        "  neo + ICU: perplexity 9 of 20, about 2 min left",
    ]
    assert len(caplog.records) == 8  # the rest is for bars; of the first part no speed is known


def test_a_bar_shows_it_in_its_cell_s_line():
    told = io.StringIO()
    columns = TextColumn("{task.description}", markup=False)
    bar = RichProgress(columns, console=Console(file=told, width=100), auto_refresh=False)
    display = Bar(bar, total=1)
    display.start("neo + ICU")
    handler = progress._BarHandler(display)
    record = logging.makeLogRecord({"msg": "neo + ICU: perplexity 3 of 20", "is_due": False})
    record.bar = ("neo + ICU", "neo + ICU: perplexity 3 of 20")
    handler.emit(record)
    [line] = [task.description for task in bar.tasks if task.id == display.lines["neo + ICU"]]
    assert line == "neo + ICU: perplexity 3 of 20"
    assert told.getvalue() == ""
    handler.emit(logging.makeLogRecord({"msg": "a word"}))
    assert told.getvalue() == "a word\n"


@pytest.mark.parametrize("task", ["perplexity", "likelihoods"])
def test_measuring_says_how_far_it_is(task):
    model, said = tiny_model(), []
    rows = forget_set().rows.input_ids.tolist()
    with advancing(lambda *parts: said.append(parts)), model.meter.phase(task):
        if task == "perplexity":
            text = " ".join(f"t{3 + i % 90}" for i in range(100))
            window_nll(model, [text], window=10, batch_size=1)
        else:
            likelihoods(model, [(ids[:5], ids[5:7]) for ids in rows], 64)
    total = 10 if task == "perplexity" else len(rows)
    assert said[-1] == (task, total, total)
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)


def test_a_limit_counts_the_windows_of_a_text_in_one_piece():
    model = tiny_model()
    text = " ".join(f"t{3 + i % 90}" for i in range(100))
    whole = window_nll(model, [text], window=10)
    assert window_nll(model, [text], window=10, limit=3) == pytest.approx(whole[:3])
    both = [text, text]
    assert len(window_nll(model, both, window=10, limit=1)) == len(whole)


def test_an_epoch_whose_el_was_spared_says_so(caplog):
    caplog.set_level(logging.DEBUG, "unlearnbench")
    model, rows = tiny_model(), forget_set()
    spared = {"el": [math.nan] * len(rows.rows)}
    examiner = MaExaminer(script={0: spared, 1: spared})
    unlearn(methods()["kumpr"](max_epochs=1), model, rows, examiner, "neo + KUMPR")
    [said] = [r.getMessage() for r in caplog.records if "epoch 1 of 1" in r.getMessage()]
    assert "el not measured, ma 0." in said
