"""The studies that lie in a results folder, and what the ratings of one of them say.

RESULTS/human/NAME/            the sheet's folder, with the ratings that came back
RESULTS/human/NAME-key.json    its key
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unlearnbench.errors import UserError, unknown
from unlearnbench.ratings.human.comparison import (
    JudgeComparison,
    compare_items,
    judge_of,
    read_judge_scores,
)
from unlearnbench.ratings.human.ratings import Filled, files_in, read_filled
from unlearnbench.ratings.human.rehearsal import why_mixed
from unlearnbench.ratings.human.scores import CellName, StudyScores, cells_of, study_scores
from unlearnbench.ratings.human.sheet import SHEET_NAME, Key, read_key
from unlearnbench.ratings.judge.replies import Judge, JudgeFiles
from unlearnbench.results.store import Store


@dataclass(frozen=True)
class Study:
    """A key and the ratings that can be used with it."""

    name: str
    key: Key
    filled: tuple[Filled, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_rehearsal(self) -> bool:
        """Whether rules rate in it."""
        return bool(self.key.stand_ins)

    def within(self, result_keys: Collection[str]) -> "tuple[Study, list[str]]":
        """What of it was drawn from those results, and a sentence if that is not all."""
        items = {i: e for i, e in self.key.items.items() if e.result_key in result_keys}
        outside = [e for i, e in self.key.items.items() if i not in items]
        if not outside:
            return self, []
        names = dict.fromkeys(f"{entry.model}, {entry.method}" for entry in outside)
        told = f"left out {len(outside)} items of study {self.name}, which come from results that "
        told += f"are not in this report: {'; '.join(list(names)[:3])}{'; …' * (len(names) > 3)}"
        key = self.key.model_copy(update={"items": items})
        filled = (one.only(items) for one in self.filled)
        kept = replace(self, key=key, filled=tuple(one for one in filled if one.scores))
        return kept, [told]


@dataclass(frozen=True)
class Stored:
    """The readable studies of a folder, and a sentence for each that is none."""

    studies: tuple[Study, ...]
    warnings: tuple[str, ...]


NONE = "none"  # for a judge or a study: leave it out


@dataclass(frozen=True)
class StudyFindings:
    """What people said of the results in a folder; or rules, where `is_rehearsal`."""

    name: str = ""  # the study's folder
    scores: StudyScores | None = None  # None: there are studies, and none with usable ratings
    judge: JudgeComparison | None = None
    judge_name: str = ""
    result_keys: Mapping[CellName, frozenset[str]] = field(default_factory=dict)  # drawn from
    warnings: tuple[str, ...] = ()  # a sentence for each thing that was left out

    @property
    def is_rehearsal(self) -> bool:
        """Whether rules rated in people's place."""
        return self.scores is not None and bool(self.scores.stand_ins)


def read_studies(
    folder: Path,
    judge_id: str | None = None,
    study: str | None = None,
    result_keys: Collection[str] | None = None,
) -> StudyFindings | None:
    """The ratings that belong to a results folder, with the judge beside them; None without any.

    With `study` it is that one ('none': none); else the only one that people have rated, and a
    rehearsal only where there is none.  Damaged files, and a judge that cannot be set beside the
    study, are left out and named in `warnings`.  `result_keys` keeps of a study what was drawn
    from these results, an experiment's say.  Raises `UserError` for a name that no study has,
    and naming them all if several are rated and none was chosen.
    """
    if study == NONE:
        return None
    stored = stored_studies(folder / FOLDER)
    chosen = _only_one(stored.studies, folder) if study is None else _named(stored, study, folder)
    told = [one for one in stored.studies if study in (None, one.name)]
    warnings = [*stored.warnings, *(warning for one in told for warning in one.warnings)]
    if chosen is None:
        return StudyFindings(warnings=tuple(warnings)) if warnings else None
    warnings += _passed_over(told, chosen)
    chosen = replace(chosen, key=chosen.key.renamed(Store(folder).renamed()))
    if result_keys is not None:
        chosen, outside = chosen.within(result_keys)
        warnings += outside
    return _findings(chosen, folder, judge_id, warnings)


def _named(stored: Stored, name: str, folder: Path) -> Study | None:
    known = {study.name: study for study in stored.studies}
    if name not in known:
        command = f"unlearnbench human sheet {folder} --out {folder / FOLDER / name}"
        raise unknown("study", name, known, f"ls {folder / FOLDER}, or make it: {command}")
    return known[name] if known[name].filled else None


def _only_one(studies: Iterable[Study], folder: Path) -> Study | None:
    rated = [study for study in studies if study.filled]
    candidates = [study for study in rated if not study.is_rehearsal] or rated
    if len(candidates) > 1:
        names = ", ".join(study.name for study in candidates)
        raise UserError(
            f"{len(candidates)} studies in {folder / FOLDER} are rated; choose one with "
            f"unlearnbench report --study NAME, or --study none: {names}"
        )
    return next(iter(candidates), None)


def _passed_over(studies: Iterable[Study], chosen: Study) -> list[str]:
    """The rehearsals that stand behind a study with people."""
    if chosen.is_rehearsal:
        return []
    rehearsals = [study.name for study in studies if study.is_rehearsal]
    return [f"left out study {name}: a rehearsal by rules" for name in rehearsals]


def _findings(
    study: Study, folder: Path, judge_id: str | None, warnings: Sequence[str]
) -> StudyFindings:
    if not study.filled:  # of other results only
        return StudyFindings(warnings=tuple(warnings))
    comparison, judge_name, why = _compare(study, folder, judge_id)
    drawn_from = {
        name: frozenset(entry.result_key for entry in items.values())
        for name, items in cells_of(study.key).items()
    }
    return StudyFindings(
        name=study.name,
        scores=study_scores(study.key, study.filled),
        judge=comparison,
        judge_name=judge_name,
        result_keys=drawn_from,
        warnings=(*warnings, *why),
    )


def _compare(
    study: Study, folder: Path, judge_id: str | None
) -> tuple[JudgeComparison | None, str, tuple[str, ...]]:
    """The comparison and who judged, or why there is none."""
    if judge_id == NONE:
        return None, "", ()
    files = JudgeFiles(folder)
    try:
        if not files.judges():
            return None, "", ()
        judge = judge_of(files, judge_id, study.key)
        scores = read_judge_scores(folder, judge.id, study.key)
        return compare_items(study.key, study.filled, scores), _name(judge), ()
    except UserError as error:
        return None, "", (f"no judge beside study {study.name}: {error}",)


def _name(judge: Judge) -> str:
    if judge.is_rule:
        return f"{judge.judge_model}, {judge.endpoint}: {judge.prompt.rstrip('.')}"
    return f"{judge.judge_model} at {judge.endpoint} (judge {judge.id})"


FOLDER = "human"


_KEY = "-key.json"


def stored_studies(folder: Path) -> Stored:
    """Every study NAME whose key is FOLDER/NAME-key.json, with the ratings in FOLDER/NAME."""
    studies, warnings = [], [*_without_key(folder)]
    for path in sorted(folder.glob(f"*{_KEY}")):
        name = path.name.removesuffix(_KEY)
        try:
            studies.append(_study(folder / name, read_key(path)))
        except UserError as error:
            warnings.append(f"left out study {name}: {error}")
    return Stored(tuple(studies), tuple(warnings))


def _without_key(folder: Path) -> list[str]:
    names = sorted(path.parent.name for path in folder.glob(f"*/{SHEET_NAME}"))
    return [
        f"left out study {name}: its key is not at {folder / name}{_KEY}; put it there"
        for name in names
        if not (folder / f"{name}{_KEY}").exists()
    ]


def _study(folder: Path, key: Key) -> Study:
    # The sheet itself is among them: somebody may have filled it instead of a copy.
    found = [_read(name, path, key) for name, path in files_in(folder).items()]
    filled = tuple(one for one in found if isinstance(one, Filled) and one.scores)
    warnings = [one for one in found if isinstance(one, str)]
    if not filled and not warnings:
        warnings.append(
            f"nobody has rated study {folder.name} yet; do: unlearnbench human serve {folder}"
        )
    return Study(folder.name, key, filled, tuple(warnings))


def _read(annotator: str, path: Path, key: Key) -> Filled | str:
    """Somebody's ratings, or why none of them are used: half a file could be the wrong half."""
    try:
        found = read_filled(annotator, path, key.items)
    except UserError as error:
        return f"left out ratings: {error}"
    wrong = [problem for problem in found.problems if not problem.is_missing]
    if wrong:
        return f"left out ratings with {len(wrong)} problems, the first: {wrong[0]}"
    why = why_mixed(key, found) if found.scores else None
    return found if why is None else f"left out ratings: {path}: {why}"
