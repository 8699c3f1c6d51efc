"""Which results of a folder are rows of the table, and which are trials of tuning."""

from collections.abc import Container, Iterator, Sequence

from unlearnbench.analysis.build_table import comparable
from unlearnbench.analysis.derived import with_derived
from unlearnbench.analysis.table import Note
from unlearnbench.results.record import Result
from unlearnbench.results.tunings import Tunings, question_sha256


def trials_apart(
    results: Sequence[Result], tunings: Tunings
) -> tuple[list[Result], Sequence[Result]]:
    """The results of the table, and the trials with their references and derived scores.

    Trials are rows of the table where a run asked for them, too, or where there are no others.
    References of trials go with them, unless rows have the same ones or a run asked for them.
    """
    rest, trials = tunings.apart(results)
    if not trials:
        return rest, ()
    references = [result for result in rest if result.role not in ("method", "sham")]
    of_trials, of_rows = (set(map(comparable, of)) for of in (trials, _without(rest, references)))
    references = [result for result in references if comparable(result) in of_trials]
    rows = list(results)
    if of_rows:
        others = [result for result in references if comparable(result) not in of_rows]
        mere = [r for r in others if question_sha256(r.identity) not in tunings.requested]
        rows = _without(rest, mere)
    return rows, with_derived([*trials, *references])


def _without(results: Sequence[Result], others: Sequence[Result]) -> list[Result]:
    keys = {result.key for result in others}
    return [result for result in results if result.key not in keys]


def notes_on_trials(
    results: Sequence[Result], keys: Container[str], tunings: Tunings
) -> Iterator[Note]:
    """Which trials are rows of the table, and why, and which are none.

    `results` are the trials with their references, `keys` those of the table.
    """
    trials = [result for result in results if result.role == "method"]
    rows = [trial for trial in trials if trial.key in keys]
    others = [trial for trial in trials if trial.key not in keys]
    see = "what they found is in: unlearnbench report --sections budgets"
    if rows and tunings.apart(rows)[0]:
        yield Note("trials", f"A run asked for these rows, too: {_counted(rows)}.")
    elif rows:
        yield Note(
            "trials",
            f"The rows are {_counted(rows)}: the best of a method's many is the best by chance, "
            f"too, and no measure of the method; {see}.",
        )
    if others:
        yield Note("trials", f"{_counted(others)} are no rows of this table; {see}.")


def _counted(trials: Sequence[Result]) -> str:
    names = ", ".join(dict.fromkeys(trial.forget_set.name for trial in trials))
    return f"{len(trials)} trial{'s' * (len(trials) > 1)} of tuning on forget set {names}"
