"""A forget set: opened from what the user names, looked at before a run, tokenised for a model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from unlearnbench.data.extraction_benchmark import open_extraction
from unlearnbench.data.forget_source import ForgetRequest, ForgetSource, Rows, no_item
from unlearnbench.data.text_files import open_texts
from unlearnbench.errors import UserError
from unlearnbench.files.tables import count_repeats
from unlearnbench.models.devices import ranks
from unlearnbench.nano import World, find_world
from unlearnbench.protocol import Protocol

if TYPE_CHECKING:
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.sequences import Sequences


def open_source(request: ForgetRequest) -> ForgetSource:
    """The source a request means, without loading a model; raises `UserError` for none."""
    if request.benchmark is not None:
        from unlearnbench.data.benchmarks.source import open_benchmark

        return open_benchmark(request)
    if world := find_world(request.forget_set):
        request = _of_world(world, request)
    if request.forget_set.startswith("hf:"):
        return open_texts(request)
    return _open_extraction(request) or open_texts(request)


def _open_extraction(request: ForgetRequest) -> ForgetSource | None:
    source = open_extraction(request)
    if source is not None and request.template != "auto":
        raise UserError(
            f"--template {request.template} is for questions, and {source.name} holds running "
            "text; leave --template out"
        )
    return source


def _of_world(world: World, request: ForgetRequest) -> ForgetRequest:
    """The request with the world's own files, but for those that the user names."""
    folder = world.data()
    return replace(
        request,
        forget_set=str(folder / world.forget_sets),
        pool=request.pool or (world.pool and str(folder / world.pool)),
        unseen=request.unseen or (world.unseen and str(folder / world.unseen)),
    )


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
    refusals: tuple[str, ...] = ()  # "don't know" answers that the user gave
    stock_refusals: tuple[str, ...] = ()  # the source's own, for who cannot do without any
    pairing: str = "nearest"  # which pool row stands beside a row: nearest, random, same:FIELD
    field_values: Mapping[str, str] = field(default_factory=dict)  # of that FIELD, by doc_id
    _pairs: "Sequences | None" = field(default=None, repr=False)

    def pairs(self) -> "Sequences":
        """[M, L] the nearest neighbour of each row, in the rows' order.

        Processes that train together take the neighbours that the first of them finds.
        """
        if self._pairs is None:
            self._pairs = self.pool.select(ranks.from_first(self.find_pairs))
        return self._pairs

    @property
    def drawable_pool(self) -> "Sequences":
        """[C, L'] what is drawn from where neighbours are not asked for; never empty."""
        if not len(self.pool):
            raise _no_pool(self.name, 0)
        return self.pool

    def offered(self, row: int) -> Sequence[int]:
        """The pool's rows that may stand beside a row: all of them, or those of its FIELD's value.

        Raises `UserError` where no row of the pool has that value.
        """
        if self.pairing == "random":
            return range(len(self.drawable_pool))
        name, value = self.pairing.removeprefix("same:"), self.field_values[self.rows.doc_ids[row]]
        offered = self._by_value.get(value)
        if not offered:
            raise no_item(self.name, self.rows.doc_ids[row], name, value)
        return offered

    @cached_property
    def _by_value(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, doc_id in enumerate(self.drawable_pool.doc_ids):
            places.setdefault(self.field_values[doc_id], []).append(place)
        return places


def read_forget_set(
    source: ForgetSource,
    run: str,
    model: "LanguageModel",
    protocol: Protocol,
    limit: int | None = None,
    encoder: str | None = None,
    among: str | None = None,
) -> ForgetSet:
    """One run of a source, tokenised for one model.

    `limit` takes the first rows of the run; `encoder` is the hub id or folder of the sentence
    encoder that finds pairs.  The pool loses rows longer than the model's context and rows
    whose tokens are those of a target, which would teach again what is to be forgotten; with
    `among`, a run that this one is part of, those of all its targets.
    Raises `UserError` naming file and row of what is wrong with the data.
    """
    from unlearnbench.data.pairs import find_neighbours
    from unlearnbench.models.sequences import sequences_sha256

    rows = source.targets(run, limit).encode(model, protocol)
    offered = source.pool(among or run, limit)
    pool = rows.select([])
    if offered is not None:
        taught = source.targets(among, limit).encode(model, protocol) if among else rows
        pool = without_targets(offered.encode(model, protocol, only_fitting=True), taught)
    title, pairing = source.title(run), source.pairing
    field_values: dict[str, str] = {}
    if pairing.startswith("same:"):
        for some in (source.targets(run, limit), offered):
            field_values |= some.values_of(pairing.removeprefix("same:")) if some else {}

    def find_pairs() -> list[int]:
        if not len(pool):
            raise _no_pool(title, len(offered or ()))
        with model.meter.phase("pairs"):
            targets, candidates = _texts(model, rows), _texts(model, pool)
            return find_neighbours(targets, candidates, encoder, protocol.neighbour_metric)

    return ForgetSet(
        name=title,
        run=run,
        rows=rows,
        pool=pool,
        protocol=protocol,
        content_sha256=sequences_sha256(rows, pool),
        find_pairs=find_pairs,
        refusals=source.refusals,
        stock_refusals=source.stock_refusals,
        pairing=pairing,
        field_values=field_values,
    )


def read_unseen(
    source: ForgetSource, model: "LanguageModel", protocol: Protocol, limit: int | None = None
) -> "Sequences | None":
    """[N, L] rows the model never saw, to calibrate the stop line on; None if there are none."""
    if source.unseen is None:
        return None
    rows = source.unseen.select(range(len(source.unseen))[:limit])
    fitting = rows.encode(model, protocol, only_fitting=True)
    if not len(fitting):
        raise UserError(
            f"all {len(rows)} unseen rows are longer than the {model.max_length} tokens that "
            f"{model.source.name} reads; give others: --unseen FILE, or use --stop paper"
        )
    return fitting


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


def check_rows(
    source: ForgetSource, model: "LanguageModel", protocol: Protocol, limit: int | None
) -> list[str]:
    """Tokenise every run's rows before anything is run; warnings about what is odd in them.

    `model` needs no weights.  Raises `UserError` naming file and row of the first that cannot be
    used, on which each cell would fail: too short, too long for the model, a pool that holds
    nothing but targets, unseen rows that are targets.
    """
    warnings = []
    for run in source.runs:
        source.check_roles(run)
        warnings += source.left_out(run)
        targets, title = source.targets(run, limit), source.title(run)
        targets.encode(model, protocol)
        if repeats := count_repeats(targets.contents(protocol), targets.doc_ids):
            warnings.append(f"forget set '{title}': {repeats}")
        pool = source.pool(run, limit)
        if pool is not None and len(pool):  # without one, methods that ask for pairs say so
            warnings += _check_pool(pool, targets, title, model, protocol)
        if source.unseen is not None:
            _check_unseen(source.unseen, targets, title, protocol)
    return warnings


def _check_pool(
    pool: Rows, targets: Rows, title: str, model: "LanguageModel", protocol: Protocol
) -> list[str]:
    known = set(targets.contents(protocol))
    new = [at for at, row in enumerate(pool.contents(protocol)) if row not in known]
    if not new:
        raise UserError(
            f"forget set '{title}': all {len(pool)} rows of its pool are rows to forget; "
            "give another: --pool FILE"
        )
    warnings = []
    if not pool.has_fixed_length:  # the extraction benchmark's pool is what it is
        n_fitting = len(pool.select(new).encode(model, protocol, only_fitting=True))
        if not n_fitting:
            raise UserError(
                f"forget set '{title}': all rows of its pool are longer than the "
                f"{model.max_length} tokens that {model.source.name} reads; "
                "give another: --pool FILE"
            )
        left_out = {
            "are rows to forget": len(pool) - len(new),
            "are too long": len(new) - n_fitting,
        }
        warnings += [
            f"forget set '{title}': {n_rows} of the {len(pool)} rows of its pool {reason} and "
            "left out"
            for reason, n_rows in left_out.items()
            if n_rows
        ]
    if len(new) < len(targets):
        warnings.append(
            f"forget set '{title}': {len(new)} rows in the pool for {len(targets)} to forget, so "
            "some share a pair"
        )
    return warnings


def _check_unseen(unseen: Rows, targets: Rows, title: str, protocol: Protocol) -> None:
    known = dict(zip(targets.contents(protocol), targets.doc_ids, strict=True))
    for row, doc_id in zip(unseen.contents(protocol), unseen.doc_ids, strict=True):
        if row in known:
            raise UserError(
                f"unseen row {doc_id!r:.60} is row {known[row]!r:.60} of forget set '{title}', so "
                "the model saw it; give rows it never saw: --unseen FILE, or use --stop paper"
            )
