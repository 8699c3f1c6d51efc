"""From a results folder to findings: which results count, with judges, people and experiment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import visible

if TYPE_CHECKING:
    from unlearnbench.analysis.table import Note
    from unlearnbench.experiments.recorded import Selection
    from unlearnbench.reporting.document import Document
    from unlearnbench.reporting.findings import Findings
    from unlearnbench.results.record import Result

NONE = "none"  # for a judge or a study: leave it out


@dataclass(frozen=True)
class Shown:
    """Findings and what a report prints of them."""

    findings: "Findings"
    sections: tuple[str, ...] = ("table",)
    notes: "tuple[Note, ...]" = ()
    n_damaged: int = 0  # files left out that should have been part of it

    def document(self) -> "Document":
        """The report's blocks."""
        from unlearnbench.reporting.sections import make_document

        return make_document(self.findings, self.sections, self.notes)


def read_results(folder: Path) -> "tuple[list[Result], int]":
    """The current results of a folder and how many files there are none, named on stderr."""
    from unlearnbench.results.store import Store, newest

    results, damages = Store(folder).load_all(documents=False)
    for damage in damages:
        told = visible(f"{damage.path}: {damage.reason}")
        click.echo(f"unlearnbench: left out {told}", err=True)
    kept, superseded = newest(results)
    if superseded:
        click.echo(
            f"unlearnbench: left out {len(superseded)} results of older software that were "
            "measured again",
            err=True,
        )
    if not kept:
        raise UserError(f"no results in {folder}; make some with: unlearnbench run --out {folder}")
    return kept, len(damages)


def shown_in(
    folder: Path,
    results: "Sequence[Result]",
    experiment: str | None = None,
    judge_id: str | None = None,
    study: str | None = None,
) -> Shown:
    """What a report shows of a folder's results: all of them, or those of a named experiment.

    Without an id the judge is the only one there is, if there is one, and so is the study of
    people's ratings; 'none' leaves it out.  Raises `UserError` for an experiment that was not
    run into the folder, for an unknown judge or study, and if none was chosen of several.
    """
    from unlearnbench.experiments.recorded import select

    if experiment is None:
        return Shown(_findings(results, folder, judge_id, study))
    selection = select(folder, experiment, results)
    if not selection.results:
        raise UserError(
            f"none of the {len(selection.missing)} cells of {selection.named.name} has a result "
            f"yet; go on with: unlearnbench run --experiment {experiment} --out {folder}"
        )
    definition = selection.named.definition
    findings = replace(
        _findings(selection.results, folder, judge_id, study),
        title=definition.title,
        axes=definition.axes,
        published=definition.published.model_dump(exclude_none=True),
    )
    for damage in selection.damages:
        click.echo(f"unlearnbench: left out {visible(damage)}", err=True)
    return Shown(findings, definition.sections, _missing(selection), len(selection.damages))


def _findings(
    results: "Sequence[Result]", folder: Path, judge_id: str | None, study: str | None
) -> "Findings":
    from unlearnbench.ratings.human.studies import read_studies
    from unlearnbench.reporting.findings import Findings

    keys = {result.key for result in results}
    judged, notes = _judged(list(results), folder, judge_id)
    # Read when a section asks for them: two studies to choose from are no matter of a table.
    ratings = partial(read_studies, folder, judge_id, study, keys)
    return Findings(tuple(judged), notes=tuple(notes), read_human=ratings)


def _judged(
    results: "list[Result]", folder: Path, judge_id: str | None
) -> "tuple[list[Result], list[Note]]":
    """The results with a judge's scores from the folder, and what a table says about them."""
    from unlearnbench.ratings.judge.replies import JudgeFiles
    from unlearnbench.ratings.judge.scores import JudgeScores, judge_note, with_judge_scores

    files = JudgeFiles(folder)
    judge = None if judge_id == NONE else files.named(judge_id)
    if judge is None:
        return results, []
    scores = JudgeScores(judge, files.load(judge))
    return with_judge_scores(results, scores), [judge_note(results, scores)]


def _missing(selection: "Selection") -> "tuple[Note, ...]":
    """What a reader must know while the experiment is still going, or was cut short."""
    from unlearnbench.analysis.table import Note

    missing = selection.missing
    if not missing:
        return ()
    total = len(missing) + len(selection.results)
    named = ", ".join(cell.title for cell in missing[:3]) + ("" if len(missing) <= 3 else ", …")
    return (Note("missing", f"{len(missing)} of {total} cells have no result yet: {named}."),)
