"""The studies that lie in a results folder, and what the ratings of one of them say.

RESULTS/human/NAME/            the sheet's folder, with the ratings that came back
RESULTS/human/NAME-key.json    its key
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unlearnbench.errors import UserError, unknown
from unlearnbench.ratings.human.comparison import JudgeComparison, compare_with_judge
from unlearnbench.ratings.human.ratings import Filled, files_in, read_filled
from unlearnbench.ratings.human.rehearsal import why_mixed
from unlearnbench.ratings.human.scores import CellName, StudyScores, cells_of, study_scores
from unlearnbench.ratings.human.sheet import SHEET_NAME, Key, read_key
from unlearnbench.ratings.judge.replies import JudgeFiles
from unlearnbench.results.store import Store

FOLDER = "human"
NONE = "none"  # for a judge or a study: leave it out
_KEY = "-key.json"


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

    def within(self, result_keys: Collection[str]) -> "Study":
        """What of it was drawn from those results, with a warning if that is not all."""
        items = {i: e for i, e in self.key.items.items() if e.result_key in result_keys}
        outside = [e for i, e in self.key.items.items() if i not in items]
        if not outside:
            return self
        names = list(dict.fromkeys(f"{entry.model}, {entry.method}" for entry in outside))
        warning = (
            f"left out {len(outside)} items of study {self.name}, which come from results that "
            f"are not in this report: {'; '.join(names[:3])}{'; …' * (len(names) > 3)}"
        )
        filled = (
            replace(one, scores={item: s for item, s in one.scores.items() if item in items})
            for one in self.filled
        )
        return replace(
            self,
            key=self.key.model_copy(update={"items": items}),
            filled=tuple(one for one in filled if one.scores),
            warnings=(*self.warnings, warning),
        )


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
    studies, warnings = stored_studies(folder / FOLDER)
    if study is None:
        rated = [one for one in studies if one.filled]
        candidates = [one for one in rated if not one.is_rehearsal] or rated
        if len(candidates) > 1:
            names = ", ".join(one.name for one in candidates)
            raise UserError(
                f"{len(candidates)} studies in {folder / FOLDER} are rated; choose one with "
                f"unlearnbench report --study NAME, or --study none: {names}"
            )
        chosen = next(iter(candidates), None)
    else:
        available = {one.name: one for one in studies}
        if study not in available:
            command = f"unlearnbench human sheet {folder} --out {folder / FOLDER / study}"
            see = f"ls {folder / FOLDER}, or make it: {command}"
            raise unknown("study", study, available, see)
        studies = [available[study]]
        chosen = studies[0] if studies[0].filled else None
    warnings += [warning for one in studies for warning in one.warnings]
    if chosen is None:
        return StudyFindings(warnings=tuple(warnings)) if warnings else None
    if not chosen.is_rehearsal:
        rehearsals = [one.name for one in studies if one.is_rehearsal]
        warnings += [f"left out study {name}: a rehearsal by rules" for name in rehearsals]
    chosen = replace(chosen, key=chosen.key.renamed(Store(folder).renamed()), warnings=())
    if result_keys is not None:
        chosen = chosen.within(result_keys)
    return _findings(chosen, folder, judge_id, [*warnings, *chosen.warnings])


def _findings(
    study: Study, folder: Path, judge_id: str | None, warnings: Sequence[str]
) -> StudyFindings:
    """The scores of a study, and the judge beside it, or a warning why there is none."""
    if not study.filled:  # of other results only
        return StudyFindings(warnings=tuple(warnings))
    comparison, judge_name = None, ""
    try:
        if judge_id != NONE and JudgeFiles(folder).judges():
            judge, comparison = compare_with_judge(study.key, study.filled, folder, judge_id)
            judge_name = f"{judge.judge_model} at {judge.endpoint} (judge {judge.id})"
            if judge.is_rule:
                judge_name = f"{judge.judge_model}, {judge.endpoint}: {judge.prompt.rstrip('.')}"
    except UserError as error:
        warnings = [*warnings, f"no judge beside study {study.name}: {error}"]
    return StudyFindings(
        name=study.name,
        scores=study_scores(study.key, study.filled),
        judge=comparison,
        judge_name=judge_name,
        result_keys={
            name: frozenset(entry.result_key for entry in items.values())
            for name, items in cells_of(study.key).items()
        },
        warnings=tuple(warnings),
    )


def stored_studies(folder: Path) -> tuple[list[Study], list[str]]:
    """Every study NAME whose key is FOLDER/NAME-key.json, with the ratings in FOLDER/NAME.

    The second list has a sentence for each study that cannot be read.
    """
    studies = []
    warnings = [
        f"left out study {sheet.parent.name}: its key is not at {sheet.parent}{_KEY}; put it there"
        for sheet in sorted(folder.glob(f"*/{SHEET_NAME}"))
        if not (folder / f"{sheet.parent.name}{_KEY}").exists()
    ]
    for path in sorted(folder.glob(f"*{_KEY}")):
        name = path.name.removesuffix(_KEY)
        try:
            studies.append(_read_study(folder / name, read_key(path)))
        except UserError as error:
            warnings.append(f"left out study {name}: {error}")
    return studies, warnings


def _read_study(folder: Path, key: Key) -> Study:
    filled, warnings = [], []
    # The sheet itself is among them: somebody may have filled it instead of a copy.
    for annotator, path in files_in(folder).items():
        try:
            one = read_filled(annotator, path, key.items)
        except UserError as error:
            warnings.append(f"left out ratings: {error}")
            continue
        wrong = [problem for problem in one.problems if not problem.is_missing]
        if wrong:  # half a file could be the wrong half
            warnings.append(f"left out ratings with {len(wrong)} problems, the first: {wrong[0]}")
        elif one.scores and (reason := why_mixed(key, one)) is not None:
            warnings.append(f"left out ratings: {path}: {reason}")
        elif one.scores:
            filled.append(one)
    if not filled and not warnings:
        warnings.append(
            f"nobody has rated study {folder.name} yet; do: unlearnbench human serve {folder}"
        )
    return Study(folder.name, key, tuple(filled), tuple(warnings))
