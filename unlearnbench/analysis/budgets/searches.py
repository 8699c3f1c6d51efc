"""What tells several searches of one method apart, in words."""

from collections import Counter
from collections.abc import Sequence

from unlearnbench.analysis.footnotes import format_value, listed
from unlearnbench.results.tunings import TuningRecord

_KINDS = {"grid": "grid", "random": "random", "tpe": "TPE"}


def differing_words(records: Sequence[TuningRecord]) -> list[str]:
    """Of each search: the settings that it held fixed otherwise than another, else how it drew.

    'max_epochs=2', 'random, seed 1'; '' where there is one search only, and a number at last.
    """
    if len(records) < 2:
        return [""] * len(records)
    every = dict.fromkeys(name for record in records for name in record.settings)
    differing = [n for n in every if len({repr(r.settings.get(n)) for r in records}) > 1]
    words = [
        listed(f"{n}={format_value(r.settings[n])}" for n in differing if n in r.settings)
        for r in records
    ]
    pairs = list(zip(words, map(_drawn, records), strict=True))
    ways = {own: {drawn for other, drawn in pairs if other == own} for own in words}
    words = [
        listed(filter(None, (own, drawn))) if len(ways[own]) > 1 else own for own, drawn in pairs
    ]
    counts = Counter(words)
    return [
        listed(filter(None, (own, f"search {words[: at + 1].count(own)}")))
        if counts[own] > 1
        else own
        for at, own in enumerate(words)
    ]


def _drawn(record: TuningRecord) -> str:
    kind = _KINDS[record.sampler]
    return kind if record.seed is None else f"{kind}, seed {record.seed}"
