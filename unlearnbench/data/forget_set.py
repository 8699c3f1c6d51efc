"""A forget set: what to forget, and the pool of analogues."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unlearnbench.errors import UserError
from unlearnbench.models.devices import ranks
from unlearnbench.protocol import Protocol

if TYPE_CHECKING:
    from unlearnbench.data.open_source import ForgetSource
    from unlearnbench.data.rows import Rows
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


@dataclass
class ForgetSet:
    """The M sequences a model is asked to forget, tokenised for that model.

    `pairs()` gives one analogous sequence per target (eq. 2), found once.
    """

    name: str  # e.g. 'pile-extraction/lm_extraction_128_0'
    run: str  # which forget set of the source: '0', '1', ...
    rows: "Sequences"  # [M, L]
    pool: "Sequences"  # candidates for pairs; never contains a target
    protocol: Protocol
    content_sha256: str  # over the token ids of rows and pool
    find_pairs: Callable[[], list[int]]  # pool index of each row's neighbour
    refusals: tuple[str, ...] = ()  # "don't know" answers, for question-answer data
    _pairs: "Sequences | None" = field(default=None, repr=False)

    def pairs(self) -> "Sequences":
        """[M, L] the nearest neighbour of each row, in the rows' order.

        Processes that train together take the neighbours that the first of them finds.
        """
        if self._pairs is None:
            self._pairs = self.pool.select(ranks.from_first(self.find_pairs))
        return self._pairs


def read_forget_set(
    source: "ForgetSource",
    run: str,
    model: "LanguageModel",
    protocol: Protocol,
    limit: int | None = None,
    encoder: str | None = None,
) -> ForgetSet:
    """One run of a source, tokenised for one model.

    `limit` takes the first rows of the run; `encoder` is the hub id or folder of the sentence
    encoder that finds pairs.  The pool loses rows longer than the model's context and rows
    whose tokens are those of a target, which would teach again what is to be forgotten.
    Raises `UserError` naming file and row of what is wrong with the data.
    """
    from unlearnbench.data.pairs import find_neighbours
    from unlearnbench.models.sequences import sequences_sha256

    found = source.read(run, limit)
    rows = found.targets.encode(model, protocol)
    pool = _pool(found.pool, rows, model, protocol)
    title = source.title(run)

    def find_pairs() -> list[int]:
        if not len(pool):
            raise _no_pool(title, len(found.pool or ()))
        with model.meter.phase("pairs"):
            wanted, offered = _texts(model, rows), _texts(model, pool)
            return find_neighbours(wanted, offered, encoder, protocol.neighbour_metric)

    return ForgetSet(
        name=title,
        run=run,
        rows=rows,
        pool=pool,
        protocol=protocol,
        content_sha256=sequences_sha256(rows, pool),
        find_pairs=find_pairs,
        refusals=source.refusals,
    )


def read_unseen(
    source: "ForgetSource", model: "LanguageModel", protocol: Protocol, limit: int | None = None
) -> "Sequences | None":
    """[N, L] rows the model never saw, to calibrate the stop line on; None if there are none."""
    unseen = source.unseen()
    if unseen is None:
        return None
    rows = unseen.select(range(len(unseen))[:limit])
    fitting = rows.encode(model, protocol, only_fitting=True)
    if not len(fitting):
        raise UserError(
            f"all {len(rows)} unseen rows are longer than the {model.max_length} tokens that "
            f"{model.source.name} reads; give others: --unseen FILE, or use --stop paper"
        )
    return fitting


def _pool(
    rows: "Rows | None", targets: "Sequences", model: "LanguageModel", protocol: Protocol
) -> "Sequences":
    if rows is None:
        return targets.select([])
    return without_targets(rows.encode(model, protocol, only_fitting=True), targets)


def without_targets(pool: "Sequences", targets: "Sequences") -> "Sequences":
    """The pool without rows whose tokens are those of a target, whatever their doc_id.

    2,301 of the extraction benchmark's 15,000 rows repeat the last 100 tokens of an earlier one.
    """
    known = {tuple(targets.tokens(i)) for i in range(len(targets))}
    kept = [i for i in range(len(pool)) if tuple(pool.tokens(i)) not in known]
    return pool if len(kept) == len(pool) else pool.select(kept)


def _texts(model: "LanguageModel", rows: "Sequences") -> list[str]:
    return model.tokenizer.batch_decode([rows.tokens(i) for i in range(len(rows))])


def _no_pool(title: str, n_offered: int) -> UserError:
    if n_offered:
        return UserError(
            f"forget set '{title}' has no pool to draw pairs from: all {n_offered} rows offered "
            "are rows to forget or too long for the model; give others: --pool FILE"
        )
    return UserError(
        f"forget set '{title}' has no pool to draw pairs from; give one: --pool FILE, "
        "or leave rows over with --limit M"
    )
