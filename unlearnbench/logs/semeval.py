"""The leaderboards of SemEval-2025 task 4: final = mean of task aggregate, MIA score and MMLU."""

from collections.abc import Mapping

from unlearnbench.analysis.derived import aggregates
from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, need, number
from unlearnbench.logs.log import Check, Log, Verification, impossible_shares

KIND = "SemEval-2025 task 4"
LOOKS_FOR = "a table with the columns final, task_aggregate, mia, mmlu"
_PARTS = ("task_aggregate", "mia", "mmlu")


def fits(contents: Contents) -> bool:
    """Whether a file looks like this table."""
    return bool(contents.rows) and {"final", *_PARTS} <= set(contents.rows[0])


def read(contents: Contents) -> list[Log]:
    """Teams' submissions are no models of one's own: nothing to import."""
    raise UserError(
        f"{contents.path.name} is a leaderboard of {KIND}, which is printed beside results and not "
        "imported; check it with: unlearnbench verify FILE"
    )


def verify(contents: Contents, reference: Contents | None) -> Verification:  # noqa: ARG001
    """Each row's final score from its three parts, to the digits that are printed."""
    checks, problems, n_equal = [], [], 0
    # A zero at the end may be left out, so the longest number of the table says how they round.
    digits = max(_decimals(row, part) for row in contents.rows for part in _PARTS)
    for at, row in enumerate(contents.rows):
        where = f"{contents.path.name}, row {at}"
        values = {
            name: number(need(row, name, where, KIND), f"{where}: {name}")
            for name in ("final", *_PARTS)
        }
        # Half a unit of the last digit each, of the mean of three parts and of the final score.
        half_units = 10.0**-digits / 2, 10.0 ** -max(digits, _decimals(row, "final")) / 2
        name = f"{row.get('team', at)} (row {at})"
        score = aggregates.semeval_score(*(values[part] for part in _PARTS))
        checks.append(Check(name, score, values["final"], tolerance=sum(half_units) * (1 + 1e-9)))
        n_equal += checks[-1].agrees
        problems += impossible_shares(values, name)
    n = len(contents.rows)
    note = (
        f"the numbers are printed to {digits} decimals, so the mean is known to ±{10.0**-digits:g}"
    )
    return Verification(f"{KIND}: {n} rows", tuple(checks), tuple(problems), (note,),
                        f"{n_equal} of {n} rows")  # fmt: skip


def _decimals(row: Mapping[str, str], name: str) -> int:
    return len(row.get(name, "").partition(".")[2])
