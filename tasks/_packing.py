"""Which token sequences share a beginning, and which are worth one pass: plans, no tensors."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

# What one more pass costs beside its tokens, in tokens.
PASS_TOKENS = 48
_LEAST_SAVED = 8  # tokens; a beginning is not shared for less

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """Sequences of which the first `shared` tokens are the same; of one alone, none are."""

    members: tuple[int, ...]
    shared: int

    @property
    def saved(self) -> int:
        """Tokens that need not be read again where the shared ones are read once."""
        return self.shared * (len(self.members) - 1)


def families(sequences: Sequence[Ids], at_most: Sequence[int]) -> list[Family]:
    """All sequences, those with a long common beginning together.

    `at_most` says how much of each may be shared: the rest is needed for itself.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    common = [_common(sequences[a], sequences[b]) for a, b in itertools.pairwise(order)]
    # By place in the order: a family is known by its first and by its last one.
    starting = {place: Family((i,), at_most[i]) for place, i in enumerate(order)}
    first_of = {place: place for place in starting}
    # The longest common beginnings first, so that no stranger comes between a question's choices.
    for place in sorted(range(len(common)), key=lambda place: -common[place]):
        left, right = starting[first_of[place]], starting[place + 1]
        shared = min(left.shared, right.shared, common[place])
        joined = Family((*left.members, *right.members), shared)
        if joined.saved >= left.saved + right.saved + _LEAST_SAVED:
            del starting[place + 1]
            starting[first_of[place]] = joined
            first_of[place + len(right.members)] = first_of[place]
    return [f if len(f.members) > 1 else Family(f.members, 0) for f in starting.values()]


def _common(one: Ids, other: Ids) -> int:
    """Length of the common beginning."""
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def bundles(
    found: Sequence[Family], fits: Callable[[int, int], bool]
) -> Iterator[tuple[int, list[Family]]]:
    """Families whose beginnings are read in one pass, and how many tokens of each that are.

    The beginnings of a bundle are cut to one length, so that they need no padding; what is cut
    off is read with each member.  `fits(n_families, n_tokens)` says what may go together.
    """
    bundle: list[Family] = []
    cut = n_members = 0
    for family in sorted(found, key=lambda family: -family.shared):
        lost = n_members * (cut - family.shared)
        if bundle and (lost > PASS_TOKENS or not fits(len(bundle) + 1, cut)):
            yield cut, bundle
            bundle, n_members = [], 0
        bundle.append(family)
        cut, n_members = family.shared, n_members + len(family.members)
    if bundle:
        yield cut, bundle


def packs(lengths: Sequence[int], fits: Callable[[list[int]], bool]) -> Iterator[list[int]]:
    """Batches of rows with little padding: no more of it than another pass would cost.

    The longest rows come first.  `fits(rows)` says what may go together; one always may.
    """
    pack: list[int] = []
    padding = 0
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        added = lengths[pack[0]] - lengths[i] if pack else 0
        if pack and (padding + added > PASS_TOKENS or not fits([*pack, i])):
            yield pack
            pack, padding, added = [], 0, 0
        pack.append(i)
        padding += added
    if pack:
        yield pack
