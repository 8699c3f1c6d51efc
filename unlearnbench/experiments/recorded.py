"""The grid of a named experiment, and its record in the results folder, by which reports find it.

OUT/experiments/<name>.<id>.json holds one run's definition and what its cells ask.  A report
takes the cells of all runs of that name together, also of those that are still going, and
whichever command and version of the software measured them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.experiments.named import (
    Definition,
    Named,
    find_experiment,
    parse_definition,
    shipped,
)
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular, write_whole
from unlearnbench.results.record import Record, Result, question_in

if TYPE_CHECKING:
    from unlearnbench.experiments.cell import Cell
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.planner import Plan


class PlannedCell(Record):
    """A cell of an experiment, measured or not."""

    question: str  # sha256 of what it asks, whatever software answers it
    title: str
    position: int
    label: str | None = None  # of its variant


class Recorded(Record):
    """One run of a named experiment."""

    name: str
    definition: str  # the text of its file
    cells: list[PlannedCell]


def plan_experiment(
    definition: Definition, experiments: Sequence["Experiment"], download: bool = True
) -> tuple["Plan", tuple[PlannedCell, ...]]:
    """The grid of all variants, each with its experiment, and what the record keeps of its cells.

    A cell that several share, such as a reference row, stands once.  Raises `UserError` for what
    cannot be had, as `make_plan` does.
    """
    from unlearnbench.experiments.planner import Plan, make_plans

    plans = make_plans(experiments, download)
    step = 1 + max(cell.position for plan in plans for cell in plan.cells)
    cells: dict[str, Cell] = {}
    planned: dict[str, PlannedCell] = {}
    variants = zip(plans, definition.variants, definition.variant_names, strict=True)
    for number, (plan, variant, name) in enumerate(variants):
        for cell in plan.cells:
            if cell.key in cells:
                continue
            cell = replace(
                cell,
                position=cell.position + number * step,
                variant=name if cell.is_trained else "",
            )
            cells[cell.key] = cell
            planned[cell.key] = PlannedCell(
                question=_digest(question_in(cell.identity)),
                title=cell.title,
                position=cell.position,
                label=variant.label if cell.is_trained else None,
            )
    warnings = dict.fromkeys(warning for plan in plans for warning in plan.warnings)
    joint = Plan(tuple(cells.values()), tuple(warnings), max(plan.jobs for plan in plans))
    return joint, tuple(planned.values())


@dataclass(frozen=True)
class Selection:
    """The results of one experiment, and the cells that have none yet."""

    definition: Definition
    results: tuple[Result, ...]
    missing: tuple[PlannedCell, ...]
    damages: tuple[str, ...] = ()  # a sentence per record that could not be read


def record(folder: Path, named: Named, cells: Sequence[PlannedCell]) -> Path:
    """Keep the cells of a run that begins; the same ones are kept once."""
    recorded = Recorded(name=named.name, definition=named.text, cells=list(cells))
    text = recorded.model_dump_json(indent=1)
    path = folder / "experiments" / f"{named.name}.{_digest(text)[:12]}.json"
    if not path.exists():
        write_whole(path, text, "choose another --out")
    return path


def recorded_names(folder: Path) -> list[str]:
    """The experiments of which a folder holds runs."""
    return sorted({_name_of(path) for path in folder.glob("experiments/*.json")})


def _name_of(path: Path) -> str:
    return path.name.rsplit(".", 2)[0]  # NAME.<id>.json; a name may have dots of its own


def select(folder: Path, name: str, results: Sequence[Result]) -> Selection:
    """Of the folder's results those of the experiment, in its order, under its labels.

    Raises `UserError` if it was never run into this folder.
    """
    stem = Path(name).name.removesuffix(".toml")
    paths = [path for path in folder.glob("experiments/*.json") if _name_of(path) == stem]
    by_age = sorted(paths, key=lambda path: (path.lstat().st_mtime_ns, path.name))
    read = [_read(path) for path in by_age]
    records = [one for one in read if isinstance(one, Recorded)]
    damages = tuple(one for one in read if isinstance(one, str))
    if not records:
        raise _never_run(folder, name, stem, damages)
    planned = {cell.question: cell for one in records for cell in one.cells}
    answers = {_digest(question_in(result.identity)): result for result in results}
    placed, missing = [], []
    for question, cell in planned.items():
        if (result := answers.get(question)) is None:
            missing.append(cell)
        else:
            label = f"{result.label} {cell.label or ''}".rstrip()
            update = {"position": cell.position, "label": label}
            placed.append(result.model_copy(update=update))
    if name in shipped() or Path(name).is_file():  # it may show other sections by now
        definition = find_experiment(name).definition
    else:
        where = f"the kept definition of {stem}"
        definition = parse_definition(records[-1].definition, where)
    return Selection(definition, tuple(placed), tuple(missing), damages)


def _never_run(folder: Path, name: str, stem: str, damages: Sequence[str]) -> UserError:
    there = recorded_names(folder)
    near = get_close_matches(stem, there, n=1, cutoff=0.5)
    hint = f" (did you mean '{near[0]}'?)" if near and not damages else ""
    held = f"it holds {', '.join(there)}" if there else "it holds none"
    why = damages[0] if damages else f"{folder} holds no run of experiment '{stem}'{hint}; {held}"
    return UserError(f"{why}; run it with: unlearnbench run --experiment {name} --out {folder}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> Recorded | str:
    """The record in a file, or what is wrong with it."""
    try:
        content = read_regular(path)
        record = Recorded.model_validate(parsed(content), strict=True)
    except ValueError as error:
        return f"{path}: damaged: {first_error(error)}"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror}"
    if path.name != f"{record.name}.{_digest(content.decode())[:12]}.json":
        return f"{path}: damaged: its name is not that of its content; it was edited or renamed"
    return record
