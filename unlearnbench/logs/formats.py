"""Which kind of log a file is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from unlearnbench.errors import UserError
from unlearnbench.logs import (
    depth_score,
    lm_eval_results,
    muse,
    muse_checks,
    openunlearning,
    openunlearning_checks,
    semeval,
    tofu_original,
)
from unlearnbench.logs.contents import Contents, read_contents
from unlearnbench.logs.log import Log, Verification


@dataclass(frozen=True)
class Format:
    """One kind of file."""

    kind: str  # 'OpenUnlearning'
    looks_for: str  # what a file of this kind has, in words
    fits: Callable[[Contents], bool]
    read: Callable[[Contents], list[Log]]
    verify: Callable[[Contents, Contents | None], Verification]
    has_reference: bool = False  # it says something relative to another model's file


FORMATS = (
    Format(
        openunlearning.KIND,
        openunlearning.LOOKS_FOR,
        openunlearning.fits,
        openunlearning.read,
        openunlearning_checks.verify,
        has_reference=True,
    ),
    Format(
        tofu_original.KIND,
        tofu_original.LOOKS_FOR,
        tofu_original.fits,
        tofu_original.read,
        tofu_original.verify,
        has_reference=True,
    ),
    Format(muse.KIND, muse.SCORES_FOR, muse.fits_scores, muse.read_scores,
           muse_checks.verify_scores),
    Format(muse.KIND, muse.AUC_FOR, muse.fits_auc, muse.read_auc, muse_checks.verify_auc),
    Format(muse.KIND, muse.ROUGE_FOR, muse.fits_rouge, muse.read_rouge, muse_checks.verify_rouge),
    Format(muse.KIND, muse.SUMMARY_FOR, muse.fits_summary, muse.read_summary,
           muse_checks.verify_summary),
    Format(depth_score.KIND, depth_score.LOOKS_FOR, depth_score.fits, depth_score.read,
           depth_score.verify),
    Format(lm_eval_results.KIND, lm_eval_results.LOOKS_FOR, lm_eval_results.fits,
           lm_eval_results.read, lm_eval_results.verify),
    Format(semeval.KIND, semeval.LOOKS_FOR, semeval.fits, semeval.read, semeval.verify),
)  # fmt: skip


def recognise(path: Path) -> tuple[Format, Contents]:
    """The file's kind and content; raises `UserError` for one of no known kind."""
    contents = read_contents(path)
    for one in FORMATS:
        if one.fits(contents):
            return one, contents
    known = "; ".join(f"{one.kind}: {one.looks_for}" for one in FORMATS)
    raise UserError(f"{path} is of no known kind, which are {known}; see docs/import.md")


def read_logs(path: Path) -> list[Log]:
    """The models of a file."""
    one, contents = recognise(path)
    with _clear_errors(path, one):
        return one.read(contents)


def verify(path: Path, reference: Path | None = None) -> Verification:
    """Every aggregate of a file recomputed; raises `UserError` for a reference of another kind."""
    one, contents = recognise(path)
    if reference is None:
        with _clear_errors(path, one):
            return one.verify(contents, None)
    if not one.has_reference:
        raise UserError(
            f"{path.name} ({one.kind}) is compared with no other file; leave --reference out"
        )
    other, other_contents = recognise(reference)
    if other != one:
        raise UserError(
            f"--reference {reference.name} is of another kind ({other.kind}) than {path.name} "
            f"({one.kind}); give the retrained model's log of the same harness"
        )
    with _clear_errors(path, one):
        return one.verify(contents, other_contents)


@contextmanager
def _clear_errors(path: Path, kind: Format) -> Iterator[None]:
    """Tell of a number that nothing can be computed with, NaN among losses say, in one line."""
    try:
        yield
    except (ValueError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path.name}: a number in it is not as {kind.kind} writes it: {reason}"
        ) from error
