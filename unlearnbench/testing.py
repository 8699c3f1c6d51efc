"""Checks that a plugin keeps its contract, for the test of a plugin of one's own.

    from unlearnbench.testing import check_method

    def test_it_keeps_the_contract():
        check_method(MyMethod)

Each check works on the embedded nano world, offline and in seconds, and raises
`ContractError` (an `AssertionError`) that says what is wrong and what to do.
"""

import math
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.settings import parse_setting, settings_of

if TYPE_CHECKING:
    from unlearnbench.api import LoadedForgetSet
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.items import Split
    from unlearnbench.metrics.task import Measurement, Task
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.reporting.document import Document
    from unlearnbench.reporting.report import Report
    from unlearnbench.results.record import Result, UnlearnTrace
    from unlearnbench.results.score import Score
    from unlearnbench.unlearning.batch import UnlearnBatch
    from unlearnbench.unlearning.method import Method
    from unlearnbench.unlearning.wrapper import Wrapper

MODEL, FORGET_SET = "nano-neo", "nano"
N_ROWS = 2
N_EPOCHS = 2
FOR_PEOPLE = (".txt", ".md", ".html", ".tex")
# Of what a report may be handed: control characters, markup of every format, other scripts.
HOSTILE = "100% of <b>a_b</b> & {x} #1 $y^2$ ~ \\ | `c` *d* “q” 漢字 é α\x1b[31m\x00\u202e"


class ContractError(AssertionError):
    """A plugin breaks its contract; the message says how, and what to do instead."""


def check_method(method: "type[Method]", **settings: Any) -> "UnlearnTrace":
    """Unlearn two rows with a method and check all that a run relies on; gives its trace.

    `settings` are the method's own; without a `learning_rate` among them the check takes a
    larger one than the default, so that two epochs can be seen in the weights.

    Checked: name, label, first sentence and meaning of each setting; that each published fault
    names a setting and a value of it; that the nano world has what the method needs; the trace;
    finite losses; network, tokenizer and rows as they were but for the values of the weights; the
    same weights for the same seed; a batch in two parts like a batch in one; the process's state
    (generators, working folder, environment, torch's defaults) as it was; and that the rows
    are no better known than before.
    """
    _check_described(method)
    _check_faults(method)
    model, forget_set = _world()
    usual = {"learning_rate": 1e-4, "max_epochs": N_EPOCHS, "batch_size": N_ROWS}
    own = {name: usual[name] for name in usual if name in settings_of(method)}
    instance = method(**{**own, **settings})
    forget_set.cell.data.check_method(instance, forget_set.run, N_ROWS, model, forget_set.protocol)
    trace, unlearned = _unlearned(instance, model, forget_set)
    if trace.outcome == "collapsed":
        raise ContractError(f"{method.name} collapsed on {N_ROWS} rows: {trace.reason}")
    # The first time libraries are imported, and some of them seed or set what is the process's.
    with _process_untouched(method.name):
        _, again = _unlearned(instance, model, forget_set)
    if not _are_close(unlearned, again, 0.0):
        raise ContractError(
            f"{method.name} gave other weights for the same seed; draw from batch.random only"
        )
    trace_in_parts, in_parts = _unlearned(instance, model, forget_set, n_parts=N_ROWS)
    # Adam divides by a gradient's own size, so the weights alone would hide a factor.
    if not _are_close(unlearned, in_parts, 1e-3) or not _have_close_losses(trace, trace_in_parts):
        raise ContractError(
            f"{method.name} computed other losses or weights for a batch in {N_ROWS} parts; each "
            "term must be a mean over the rows that it is given, and draws must be for "
            "batch.whole.rows"
        )
    before, after = _mean_nll(model, forget_set), _mean_nll(unlearned, forget_set)
    if after < before:
        raise ContractError(
            f"{method.name} made the rows to forget better known: NLL {before:.4f} before, "
            f"{after:.4f} after; is the sign of a term wrong?"
        )
    return trace


def check_wrapper(wrapper: "type[Wrapper]", **settings: Any) -> "UnlearnTrace":
    """Unlearn two rows with ICU inside a wrapper, and check all that `check_method` checks.

    `settings` are the wrapper's own.  ICU, because its loss has terms that forget and that keep.
    """
    from unlearnbench.registry import find
    from unlearnbench.unlearning.wrapper import prefix_of

    _check_described(wrapper)
    of_wrapper = {prefix_of(wrapper) + name: value for name, value in settings.items()}
    return check_method(wrapper.of(find("methods", "icu")), **of_wrapper)


def check_task(task: "type[Task]", **settings: Any) -> "dict[str, Score]":
    """Measure the nano model with a task, twice, and check its scores; gives them.

    Checked: the description; one declared metric for each score, in the same direction; finite
    numbers and errors; a value for each document where documents are told apart; no more
    documents than the limit; the same scores again; model and process as they were.
    """
    from unlearnbench.metrics.task import columns_of
    from unlearnbench.models.network_state import state_sha256

    _check_described(task)
    model, forget_set = _world()
    weights = state_sha256(model.network, forget_set.rows)
    instance = task(**settings)
    measurement = _measured(instance, model, forget_set)
    scores = measurement.scores
    if not scores:
        raise ContractError(
            f"{task.name} measured nothing on the nano world; does it need sets it has not?"
        )
    columns = {metric.name: metric for metric in columns_of(instance, measurement)}
    for name, score in scores.items():
        if (right := columns[name].higher_is_better) != score.higher_is_better:
            raise ContractError(
                f"{task.name}: the metric '{name}' says higher_is_better={right}, and its score "
                f"says {score.higher_is_better}"
            )
        if score.stderr is not None and math.isnan(score.stderr):
            raise ContractError(f"{task.name}: '{name}' has a standard error of {score.stderr}")
    if state_sha256(model.network, forget_set.rows) != weights:
        raise ContractError(f"{task.name} changed the weights of the model that it measured")
    with _process_untouched(task.name):
        again = _measured(instance, model, forget_set).scores
    changed = [name for name in scores if scores[name] != again.get(name)]
    if changed:
        raise ContractError(f"{task.name} measured '{changed[0]}' differently the second time")
    return scores


def check_report(report: "type[Report]") -> str:
    """Render a document of every kind of block, hostile texts among them; gives the text.

    Checked: the description; text that ends in a newline and is the same the second time; no
    control character of the data in a format for people; files with contents; the process as it
    was.  Of a figure, which is no text, only its files.
    """
    from unlearnbench.reporting.report import Figure

    _check_described(report)
    instance, document = report(), _document()
    text = ""
    if not isinstance(instance, Figure):
        text = instance.render(document)
        _check_text(report, text)
        with _process_untouched(report.name):
            if instance.render(document) != text:
                raise ContractError(f"{report.name} rendered the same document differently")
    files = instance.files(document, "stem")
    for name, content in files.items():
        if not content or not isinstance(content, bytes):
            raise ContractError(f"{report.name}.files() gave nothing for {name}")
    return text


def tiny_batch(n_rows: int = N_ROWS) -> "UnlearnBatch":
    """A batch of nano rows, outside a training loop: to compare a loss with its formula."""
    from unlearnbench.unlearning.batch import UnlearnBatch

    model, forget_set = _world(n_rows)
    return UnlearnBatch.of(model, forget_set, list(range(n_rows)))


def _world(n_rows: int = N_ROWS) -> "tuple[LanguageModel, LoadedForgetSet]":
    """A nano model that knows its rows by heart, and the first of them."""
    from unlearnbench.api import load_forget_set, load_model

    model = load_model(MODEL)
    return model, load_forget_set(FORGET_SET, model, limit=n_rows)


def _check_described(plugin: type) -> None:
    """What `unlearnbench list` and `show` print of it."""
    if not isinstance(plugin, type):
        raise ContractError(f"{plugin!r:.60} is no class; give the class: check_method(MyMethod)")
    where = plugin.__qualname__
    plugin_kind, name = (getattr(plugin, attribute, None) for attribute in ("plugin_kind", "name"))
    if plugin_kind is None:
        raise ContractError(f"{where} is no plugin; inherit Method, Wrapper, Task or Report")
    if not isinstance(name, str) or not name:
        raise ContractError(f"{where} has no `name`, by which the command line knows it")
    if plugin_kind in ("methods", "wrappers") and not getattr(plugin, "label", ""):
        raise ContractError(f"{where} has no `label`, by which tables know it")
    if not (plugin.__doc__ or "").strip() or (plugin.__doc__ or "").startswith(f"{where}("):
        raise ContractError(f"{where} has no docstring; its first sentence is what `list` prints")
    if not is_dataclass(plugin):
        raise ContractError(f"{where} is no dataclass; decorate it with @dataclass(kw_only=True)")
    for name, setting in settings_of(plugin).items():
        if not setting.meaning and plugin_kind != "reports":  # no option sets a report's
            raise ContractError(
                f"{where}.{name} has no meaning; write {name}: ... = setting(default, 'meaning')"
            )


def _check_faults(method: "type[Method]") -> None:
    """That `--protocol released` can give each setting its released value."""
    released: dict[str, Any] = {}
    for fault in method.published_faults:
        if not fault.setting:
            continue
        try:
            parsed = parse_setting(method, method.name, fault.setting, fault.released)
        except UserError as error:
            raise ContractError(f"{method.name}.published_faults: {error}") from error
        if fault.corrected is not None:  # the protocol leaves its setting alone
            continue
        if released.setdefault(fault.setting, parsed) != parsed:
            raise ContractError(
                f"{method.name}.published_faults gives {fault.setting} two released values; "
                "say of one which value is `corrected`, or leave its setting empty"
            )
        if parsed == settings_of(method)[fault.setting].default:
            raise ContractError(
                f"{method.name}.published_faults: the released {fault.setting} is the default; "
                "the default does what the paper says"
            )


def _unlearned(
    method: "Method", model: "LanguageModel", forget_set: "LoadedForgetSet", n_parts: int = 1
) -> "tuple[UnlearnTrace, LanguageModel]":
    """The trace and a copy of the model, unlearned with each batch in so many parts."""
    from unlearnbench.api import make_examiner
    from unlearnbench.models.devices.strategy import Strategy
    from unlearnbench.running.checks import MethodInputs, check_unlearned

    copied = model.copied()
    copied.strategy = Strategy(gradient_accumulation_steps=n_parts)
    examiner = make_examiner(copied, forget_set, stop="paper")
    inputs = MethodInputs.of(copied, forget_set)
    try:
        returned = method.unlearn(copied, forget_set, examiner)
        return check_unlearned(returned, copied, forget_set, inputs), copied
    except UserError as error:  # what a run checks after every method
        raise ContractError(f"{method.name}: {error}") from error


def _have_close_losses(one: "UnlearnTrace", other: "UnlearnTrace") -> bool:
    """Whether the mean losses of the first epoch are equal within rounding."""
    first, second = (trace.epochs[min(1, trace.n_epochs)].losses for trace in (one, other))
    return first.keys() == second.keys() and all(
        math.isclose(first[name], second[name], rel_tol=1e-3, abs_tol=1e-5) for name in first
    )


def _are_close(one: "LanguageModel", other: "LanguageModel", tolerance: float) -> bool:
    """Whether two models have the same weights, relative to the size of each tensor."""
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(
        float((a - b).detach().norm()) <= tolerance * float(a.detach().norm()) for a, b in pairs
    )


def _measured(task: "Task", model: "LanguageModel", forget_set: "LoadedForgetSet") -> "Measurement":
    """What a task finds out about two documents of the nano world, checked."""
    from unlearnbench.api import load_model, make_examiner
    from unlearnbench.experiments.data_choice import evaluation_data
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.metrics.task import Measurement, TaskContext, columns_of

    texts, sets, _ = evaluation_data(Experiment(), FORGET_SET, task.needs)
    context = TaskContext(
        forget_set,
        texts,
        sets=sets,
        splits=_splits(task, model, forget_set),
        load_retrained=lambda: load_model("nano-retrained"),
        protocol=forget_set.protocol,
        limit=N_ROWS,
        examiner=make_examiner(model, forget_set, stop="paper"),
    )
    try:
        measurement = Measurement.of(task, task.measure(model, context))
        columns_of(task, measurement)
        return measurement
    except UserError as error:  # what a run says of scores that are none
        raise ContractError(f"{task.name}: {error}") from error


def _splits(
    task: "Task", model: "LanguageModel", forget_set: "LoadedForgetSet"
) -> "tuple[Split, ...]":
    """The forget set's rows as questions and answers, of which all is measured that it knows."""
    from unlearnbench.data.items import Item, Split
    from unlearnbench.data.templates import Template

    rows = forget_set.rows
    texts = [(model.decode(rows.prefix(i)), model.decode(rows.suffix(i))) for i in range(N_ROWS)]
    items = tuple(
        Item(
            doc_id,
            question,
            answer,
            paraphrases=(answer[::-1],),
            wrong=(answer[1:], answer[::-1], question),
            position=0,
            asked_as="mmlu_anatomy",
        )
        for doc_id, (question, answer) in zip(rows.doc_ids, texts, strict=False)
    )
    plain, measures = Template("plain", prompt="{question}", separator=""), frozenset(task.measures)
    return (
        Split("forget", "forget", items, plain, measures, new_tokens=8),
        Split("retain", "retain", items, plain, measures, new_tokens=8),
    )


def _mean_nll(model: "LanguageModel", forget_set: "ForgetSet") -> float:
    """Mean NLL of the rows to forget, nats."""
    import torch

    from unlearnbench.unlearning.batch import UnlearnBatch

    with torch.no_grad():
        batch = UnlearnBatch.of(model, forget_set, list(range(len(forget_set.rows))))
        return float(batch.target_nll_per_row.mean())


@contextmanager
def _process_untouched(plugin: str) -> Iterator[None]:
    """Raise `ContractError` if what runs inside changed the process it runs in."""
    before = _process_state()
    yield
    after = _process_state()
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        raise ContractError(
            f"{plugin} changed {changed[0]}; leave the process as it was, and draw from a "
            "generator of your own (a method: batch.random)"
        )


def _process_state() -> dict[str, Any]:
    import numpy
    import torch

    state = numpy.random.get_state(legacy=False)
    return {
        "Python's random generator": random.getstate(),
        "NumPy's random generator": str(state),
        "torch's random generator": torch.random.get_rng_state().tolist(),
        "torch's default dtype": torch.get_default_dtype(),
        "whether torch records gradients": torch.is_grad_enabled(),
        "torch's number of threads": torch.get_num_threads(),
        "the working folder": os.getcwd(),  # noqa: PTH109 (a string to compare)
        "the environment variables": dict(os.environ),
        "the import path": list(sys.path),
        "the standard streams": (id(sys.stdout), id(sys.stderr)),
    }


def _check_text(report: "type[Report]", text: Any) -> None:
    if not isinstance(text, str) or not text.endswith("\n"):
        raise ContractError(f"{report.name}.render() gave no text that ends in a newline")
    if report.suffix not in FOR_PEOPLE:
        return
    for control in ("\x1b", "\x00", "\u202e"):
        if control in text:
            raise ContractError(
                f"{report.name} printed the data's control character {control!r}; "
                "see unlearnbench.files.safe_text.visible"
            )


def _document() -> "Document":
    """One block of every kind, with hostile texts, over the results of a run of two rows."""
    from unlearnbench.analysis.table import Note
    from unlearnbench.reporting.document import Case, Document, Findings, Listing, Passage

    findings = Findings(_results())
    listing = Listing(
        "listing", HOSTILE, ("Name", "Value ↓"), ((HOSTILE, "-1.5"), ("漢字 " * 40, "–"))
    )
    passages = (Passage(HOSTILE, HOSTILE, (("MA (%)", "98.0"),)), Passage("empty", ""))
    case = Case("case", "One prefix", HOSTILE, "what follows", passages)
    notes = (Note("note", HOSTILE),)
    return Document("Conformance", (findings.table, listing, case), findings, notes)


@cache
def _results() -> "tuple[Result, ...]":
    """Of a reference row and a method, whose label is hostile."""
    from unlearnbench.api import run

    with tempfile.TemporaryDirectory() as folder:
        results = run(
            methods=["kumpr"], model=MODEL, limit=N_ROWS, max_epochs=1, runs=["0"],
            tasks=["forgetting"], references=["before"], out=folder,
        )  # fmt: skip
        return tuple(
            result.model_copy(update={"label": HOSTILE}) if result.role == "method" else result
            for result in results
        )
