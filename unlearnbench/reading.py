"""From a results folder to findings, frames and reports: what counts, with judges and people."""

import html
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from unlearnbench.errors import UserError, unknown
from unlearnbench.files.safe_text import visible

if TYPE_CHECKING:
    from pandas import DataFrame

    from unlearnbench.analysis.table import Note
    from unlearnbench.reporting.document import Document, Findings
    from unlearnbench.results.record import Result
    from unlearnbench.results.tunings import Tunings

DEFAULT, ATTACKS, VARIATION = ("table",), "attacks", "variation"  # sections
NONE = "none"  # for a judge or a study: leave it out
Warn = Callable[[str], object]


def to_stderr(message: str) -> None:
    """Print a warning or a note of the command line."""
    print(f"unlearnbench: {message}", file=sys.stderr)


@dataclass(frozen=True)
class Results(Sequence["Result"]):
    """Results in the order of their table: a sequence of `Result`, a frame, a report.

    A failed cell is one of them: its `status` is 'failed' and its `error` says why.  Documents,
    which are most of a result, are read when it is taken out of the sequence.
    """

    findings: "Findings"
    sections: tuple[str, ...] = DEFAULT  # of its report
    notes: "tuple[Note, ...]" = ()
    n_damaged: int = 0  # files left out that should have been part of it

    @overload
    def __getitem__(self, index: int) -> "Result": ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[Result]": ...
    def __getitem__(self, index: int | slice) -> "Result | Sequence[Result]":
        results = self.findings.results
        if isinstance(index, slice):
            return [result.in_full() for result in results[index]]
        return results[index].in_full()

    def __len__(self) -> int:
        return len(self.findings.results)

    @property
    def attacked(self) -> "Sequence[Result]":
        """The results of these models under attack."""
        return self.findings.attacked

    def to_frame(self, documents: bool = False, attacks: bool = False) -> "DataFrame":
        """A pandas frame: one row a cell, or with `documents` one per cell, metric and document.

        Values are as they are stored: shares of 0.123, not 12.3 per cent.  With `attacks` it is of
        the models under attack instead: one per row of the table, attack, point and metric, with
        recovery and all intervals.
        """
        if attacks:
            from unlearnbench.analysis.attacks.frames import attacks_frame

            return attacks_frame(self.findings.panels)
        from unlearnbench.analysis.frames import cells_frame, documents_frame

        return documents_frame(self) if documents else cells_frame(self.findings.results)

    def export(self, folder: str | Path, form: str = "parquet", texts: bool = False) -> list[Path]:
        """Write these results into a new folder for other tools; the files.

        'parquet': what `datasets.load_dataset(folder, "cells")` loads, or "documents", "metrics",
        "attacks"; 'lm-eval': results_*.json and samples_*.jsonl as lm-eval writes them.  With
        `texts` also what the models wrote, which may be what was to be forgotten.
        Raises `UserError` for another form, and for a folder in which something else lies.
        """
        from unlearnbench.exporting.lm_eval_files import write_lm_eval
        from unlearnbench.exporting.parquet import write_dataset

        if form == "lm-eval":
            return write_lm_eval(Path(folder), self, texts)
        if form != "parquet":
            raise unknown("form", form, ["parquet", "lm-eval"], "unlearnbench export --help")
        return write_dataset(Path(folder), self.findings.title or "results", self._frames(texts))

    def _frames(self, texts: bool) -> "dict[str, DataFrame]":
        from unlearnbench.analysis.frames import metrics_frame

        documents = self.to_frame(documents=True)
        if not texts:
            documents = documents.drop(columns="output", errors="ignore")
        return {
            "cells": self.to_frame(),
            "documents": documents,
            "metrics": metrics_frame(self.findings.results),
            "attacks": self.to_frame(attacks=True),
        }

    def table(self) -> "Printed":
        """The comparison table; raises `UserError` where there are no results."""
        return self.report("table")

    def report(self, *sections: str) -> "Printed":
        """The report of those sections; without any, the named experiment's own, or the table.

        Raises `UserError` for one that `unlearnbench list sections` does not name.
        """
        from unlearnbench.reporting.sections import make_document

        return Printed(make_document(self.findings, sections or self.sections, self.notes))

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass(frozen=True)
class Printed:
    """A report's blocks, to be printed in any registered format."""

    document: "Document"

    def to(self, report: str) -> str:
        """The text in the format of that name; raises `UserError` for an unknown one."""
        from unlearnbench.registry import find

        text: str = find("reports", report)().render(self.document)
        return text

    def to_latex(self) -> str:
        """A LaTeX document."""
        return self.to("latex")

    def to_markdown(self) -> str:
        """Markdown with tables."""
        return self.to("markdown")

    def to_html(self) -> str:
        """A page of its own, with everything it needs in it."""
        return self.to("html")

    def to_text(self) -> str:
        """What the command line prints."""
        return self.to("plain")

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        # The page of `to_html` brings a script and a style that would reach into a notebook.
        return f'<pre style="overflow-x: auto; white-space: pre">{html.escape(str(self))}</pre>'


def load_results(
    folder: str | Path = "results",
    *,
    experiment: str | None = None,
    judge: str | None = None,
    study: str | None = None,
    benchmark: str | None = None,
    trainings: Sequence[Sequence[str]] = (),
) -> Results:
    """The current results of a folder, as `unlearnbench report` reads them.

    `benchmark` takes those of a benchmark ('none': of none); `experiment` those of a named
    experiment, with its sections; `judge` and `study` say whose scores and ratings count where
    there are several ('none': nobody's); each of `trainings` names models that are one model
    trained with several seeds.
    `folder` may also name results that come with the package: "nano-evidence".
    What is left out, such as a damaged file, is named by `warnings`.  Raises `UserError` for a
    folder without results and for a name that is not there.
    """
    from unlearnbench.results.shipped import results_folder

    folder, of_experiment = results_folder(Path(folder))
    experiment = experiment or of_experiment
    warn = partial(warnings.warn, stacklevel=3)  # at the caller's line
    results, _ = read_results(folder, warn, attacked=True)
    if experiment is None or benchmark is not None:
        results = of_benchmark(results, benchmark, folder)
    return choose_results(folder, results, experiment, judge, study, warn, trainings)


def results_of_run(
    folder: Path, results: "Sequence[Result]", experiment: str | None = None
) -> Results:
    """What a run shows: its results, or all that a named experiment has in the folder.

    Judges and studies are chosen in a report; here is no place to ask which.
    """
    from unlearnbench.results.record import attacked_model_in
    from unlearnbench.results.store import Store, newest

    are_attacks = bool(results) and all(result.attack for result in results)
    if experiment is not None or are_attacks:  # earlier results are part of what is shown
        every = newest(Store(folder).load_all(documents=False)[0])[0]
        shown = {result.attack.model for result in results if result.attack}
        if are_attacks:
            results = [r for r in every if attacked_model_in(r.identity) in shown]
        else:
            results = every
    return choose_results(folder, results, experiment, NONE, NONE)


def read_results(
    folder: Path, warn: Warn = to_stderr, attacked: bool = False
) -> "tuple[list[Result], int]":
    """The current results of a folder and how many files there are none; `warn` names them.

    Those of models under attack are among them only if asked for.  Raises `UserError` for a folder
    without results.
    """
    from unlearnbench.results.store import Store, newest

    results, damages = Store(folder).load_all(documents=False)
    for damage in damages:
        warn(f"left out {visible(f'{damage.path}: {damage.reason}')}")
    kept, superseded = newest(results)
    if superseded:
        warn(f"left out {len(superseded)} results of older software that were measured again")
    if not kept:
        raise UserError(f"no results in {folder}; make some with: unlearnbench run --out {folder}")
    return kept if attacked else [r for r in kept if r.attack is None], len(damages)


def of_benchmark(
    results: "Sequence[Result]", name: str | None, folder: str | Path
) -> "list[Result]":
    """The results of a benchmark, or of none; without a name those of the only one there is.

    Raises `UserError` where there are several, or none of that name.
    """
    names = dict.fromkeys(result.benchmark.name if result.benchmark else NONE for result in results)
    if name is None and len(names) == 1:
        return list(results)
    if name is None:
        listed = ", ".join(n if n != NONE else "none (no benchmark)" for n in names)
        raise UserError(
            f"{folder} holds results of several benchmarks: {listed}; a table is of one: "
            f"--benchmark {next(iter(names))}"
        )
    if name not in names:
        raise unknown("benchmark in the results", name, names, "unlearnbench report --help")
    return [r for r in results if (r.benchmark.name if r.benchmark else NONE) == name]


def choose_results(
    folder: Path,
    results: "Sequence[Result]",
    experiment: str | None = None,
    judge_id: str | None = None,
    study: str | None = None,
    warn: Warn = to_stderr,
    trainings: Sequence[Sequence[str]] = (),
) -> Results:
    """What a report shows of a folder's results: all of them, or those of a named experiment.

    Without an id the judge is the only one there is, if there is one, and so is the study of
    people's ratings; 'none' leaves it out.  `trainings` names models that are one model trained
    with several seeds, beside those that the aliases know.  Raises `UserError` for an experiment
    that was not run into the folder, for an unknown judge or study, and if none was chosen of
    several.
    """
    from unlearnbench.analysis.budgets.apart import notes_on_trials
    from unlearnbench.analysis.table import Note
    from unlearnbench.experiments.recorded import select
    from unlearnbench.reporting.document import MANY
    from unlearnbench.results.tunings import read_tunings

    if experiment is None:
        base, attacked = _apart(results)
        base, trials = _trials_apart(base, read_tunings(folder), warn)
        findings = replace(_findings(base, folder, judge_id, study, attacked), **trials)
        about = notes_on_trials(findings.trials, findings.by_key.keys(), findings.tunings)
        findings = replace(findings, notes=(*findings.notes, *about))
        if n_lost := len(attacked) - len(findings.attacked):
            warn(
                f"left out {n_lost} results under attack: their models were unlearned again since; "
                f"attack these: unlearnbench attack {folder}"
            )
        findings = replace(findings, trainings=_trainings(findings.results, trainings))
        few = len(results) <= MANY
        more = {ATTACKS: bool(attacked), VARIATION: bool(findings.trainings) and few}
        return Results(findings, (*DEFAULT, *(name for name, is_there in more.items() if is_there)))
    selection = select(folder, experiment, results)
    definition, missing = selection.definition, selection.missing
    if not selection.results:
        raise UserError(
            f"none of the {len(missing)} cells of {experiment} has a result yet; go on with: "
            f"unlearnbench run --experiment {experiment} --out {folder}"
        )
    base, attacked = _apart(selection.results)[0], _apart(results)[1]
    findings = replace(
        _findings(base, folder, judge_id, study, attacked),
        title=definition.title,
        axes=definition.axes,
        published=definition.published.model_dump(exclude_none=True),
        **_trials_apart(_apart(results)[0], read_tunings(folder), warn)[1],
    )
    groups = {result.group for result in findings.results}  # it may still be going
    of_definition = [tuple(n for n in names if n in groups) for names in definition.trainings]
    given = trainings or [names for names in of_definition if len(names) > 1]
    findings = replace(findings, trainings=_trainings(findings.results, given))
    for damage in selection.damages:
        warn(f"left out {visible(damage)}")
    notes: tuple[Note, ...] = ()
    if missing:  # it is still going, or was cut short
        n = len(missing) + len(selection.results)
        named = ", ".join(cell.title for cell in missing[:3]) + ("" if len(missing) <= 3 else ", …")
        notes = (Note("missing", f"{len(missing)} of {n} cells have no result yet: {named}."),)
    sections = definition.sections
    if attacked and ATTACKS not in sections:
        sections = (*sections, ATTACKS)
    return Results(findings, sections, notes, len(selection.damages))


def _trainings(
    results: "Sequence[Result]", given: Sequence[Sequence[str]]
) -> tuple[tuple[str, ...], ...]:
    """The groups that are one model trained with several seeds: those given, and known aliases.

    Raises `UserError` for a name that no group has, or that is given twice.
    """
    from unlearnbench.analysis.variance.families import check_trainings
    from unlearnbench.models.aliases import aliases

    names = dict.fromkeys(result.group for result in results)
    check_trainings(given, names)
    mentioned = {name for of in given for name in of}
    known: dict[str, list[str]] = {}
    for alias in aliases().values():
        if alias.name in names and alias.name not in mentioned:
            known.setdefault(alias.retraining_of or alias.name, []).append(alias.name)
    return (*map(tuple, given), *(tuple(of) for of in known.values() if len(of) > 1))


def _apart(results: "Sequence[Result]") -> "tuple[list[Result], list[Result]]":
    """Results of models as they are, and of models under attack."""
    attacked = [result for result in results if result.attack is not None]
    return [result for result in results if result.attack is None], attacked


def _trials_apart(
    results: "Sequence[Result]", tunings: "Tunings", warn: Warn
) -> "tuple[list[Result], dict[str, Any]]":
    """The results of the table, and what findings know of trials of tuning."""
    from unlearnbench.analysis.budgets.apart import trials_apart

    for damage in tunings.damages:
        warn(f"left out {visible(damage)}")
    rows, trials = trials_apart(results, tunings)
    return rows, {"trials": tuple(trials), "tunings": tunings}


def _findings(
    results: "Sequence[Result]",
    folder: Path,
    judge_id: str | None,
    study: str | None,
    attacked: "Sequence[Result]",
) -> "Findings":
    from unlearnbench.analysis.attacks.describing import with_descriptions
    from unlearnbench.analysis.derived import derive
    from unlearnbench.ratings.human.studies import read_studies
    from unlearnbench.ratings.judge.replies import JudgeFiles
    from unlearnbench.ratings.judge.scores import JudgeScores, judge_note, with_judge_scores
    from unlearnbench.reporting.document import Findings
    from unlearnbench.results.record import attacked_model_in

    files, notes = JudgeFiles(folder), []
    judge = None if judge_id == NONE else files.named(judge_id)
    if judge is not None:
        scores = JudgeScores(judge, files.load(judge))
        notes = [judge_note(results, scores)]
        results = with_judge_scores(results, scores)
    if any(result.imported for result in results):
        from unlearnbench.logs.imports import imported_note

        notes += filter(None, [imported_note(results)])
    results, of_derived = derive(with_descriptions(results, attacked))
    notes += of_derived
    keys = {result.key for result in results}
    # Read when a section asks for them: two studies to choose from are no matter of a table.
    ratings = partial(read_studies, folder, judge_id, study, keys)
    models = {attacked_model_in(result.identity) for result in results}
    of_these = tuple(r for r in attacked if r.attack is not None and r.attack.model in models)
    return Findings(tuple(results), notes=tuple(notes), read_human=ratings, attacked=of_these)
