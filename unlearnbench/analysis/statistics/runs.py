"""Which runs of two rows are the same run: same forget set, same seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from unlearnbench.results.record import Result


@dataclass(frozen=True)
class RunKey:
    """A forget set and a seed."""

    forget_set: str  # hash of its token ids
    seed: int | None  # None: a reference row, which draws nothing
    rows: str = ""  # the forget set by name and doc_ids

    def matches(self, other: "RunKey") -> bool:
        """Whether two rows' runs are of the same forget set and seed.

        A reference row's only run on a forget set stands beside every seed.  Its tokenizer may
        be another, and the hash of its token ids with it, so there the doc_ids decide.
        """
        is_reference = self.seed is None or other.seed is None
        if not is_reference and self.seed != other.seed:
            return False
        same_rows = is_reference and bool(self.rows) and self.rows == other.rows
        return self.forget_set == other.forget_set or same_rows


def run_key(result: Result) -> RunKey:
    """The run that a result is of."""
    given = result.forget_set
    seed = result.seed if result.role == "method" else None
    return RunKey(given.content_sha256, seed, f"{given.run}: {','.join(given.doc_ids)}")


@lru_cache(maxsize=1024)
def matching_runs(first: tuple[RunKey, ...], second: tuple[RunKey, ...]) -> list[tuple[int, int]]:
    """Positions (in the first, in the second) of the runs that both have."""
    return [(i, j) for i, a in enumerate(first) for j, b in enumerate(second) if a.matches(b)]


def common_runs(rows: Sequence[tuple[RunKey, ...]]) -> list[tuple[int, ...]]:
    """For each run that all rows have, its position in every row; by forget set and seed."""
    seeded = [keys for keys in rows if any(key.seed is not None for key in keys)]
    base = (seeded or list(rows))[0] if rows else ()
    found = []
    for key in sorted(base, key=lambda k: (k.forget_set, k.seed or 0)):
        places = [next((i for i, k in enumerate(keys) if k.matches(key)), -1) for keys in rows]
        if -1 not in places:
            found.append(tuple(places))
    return found
