"""The checklist on data: what was forgotten and measured with, its digests and its licence."""

from collections.abc import Iterator, Sequence

from unlearnbench.nano import find_world
from unlearnbench.reporting.checklist.lines import (
    NOT_RECORDED,
    Line,
    digest,
    distinct,
    how_many,
    number,
    part_of,
)
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import Result


def lines(findings: Findings) -> Iterator[Line]:
    """Imports, benchmark, forget sets, what tasks measured with, licences."""
    results = findings.results
    yield _measured_here(results)
    yield from _benchmarks(results)
    yield from distinct(map(_forget_set, sorted(results, key=lambda r: r.forget_set.run)))
    yield from _splits(results)
    yield from _evaluation_sets(results)
    yield from _texts(results)
    yield from distinct(map(_licence, results))


def _measured_here(results: Sequence[Result]) -> Line:
    logs = {(r.imported.kind, r.imported.file, r.imported.sha256) for r in results if r.imported}
    if not logs:
        return Line("Measured here", "yes", f"all {number(len(results), 'result')}", "imported")
    read = "; ".join(f"{file} ({kind}, {digest(sha)})" for kind, file, sha in sorted(logs))
    n = sum(result.imported is None for result in results)
    done = how_many(n, len(results))
    return Line("Measured here", done, f"{n} of {len(results)}; read from logs: {read}", "imported")


def _benchmarks(results: Sequence[Result]) -> Iterator[Line]:
    found = {
        (b.name, b.title, b.split, b.template): None for r in results if (b := r.benchmark)
    }  # fmt: skip
    for name, title, split, template in found:
        answer = f"{title} ({name}), forget split {split}, {template} template"
        yield Line("Benchmark", "yes", answer, "benchmark")
    if not found:
        yield Line("Benchmark", "no", "none was named: sets and tasks by options", "benchmark")


def _forget_set(result: Result) -> Line:
    of, asked = result.forget_set, part_of(result, "forget_set")
    if result.imported and not of.doc_ids:
        answer = f"{of.name}: the log holds no items of it"
        return Line("Forget set", NOT_RECORDED, answer, "imported")
    limit, files = asked.get("limit"), asked.get("sha256")
    first = f", the first alone (--limit {limit})" if limit else ""
    own = digest(str(files) if files else of.content_sha256)
    answer = f"{of.name}: {number(len(of.doc_ids), 'row')}{first}, {own}"
    return Line("Forget set", "yes", answer, "forget_set, identity.forget_set")


def _splits(results: Sequence[Result]) -> Iterator[Line]:
    """Splits of benchmarks that tasks measured."""
    yield from distinct(
        Line(
            f"Split {name}",
            "yes" if split.n else NOT_RECORDED,
            f"role {split.role}, {split.source or 'no name'}: "
            + (
                f"{_of_all(split.n, _limit(result))}, {digest(split.sha256)}"
                if split.n
                else "its items are not in the log"
            ),
            "benchmark.splits",
        )
        for result in results
        for name, split in (result.benchmark.splits if result.benchmark else {}).items()
    )


def _evaluation_sets(results: Sequence[Result]) -> Iterator[Line]:
    yield from distinct(
        Line(
            f"Set {name}",
            "yes",
            f"{read.source}, {read.split}"
            f"{f', revision {read.revision[:12]}' if read.revision else ''}: "
            f"{_of_all(read.n, _limit(result))}, {digest(read.sha256)}",
            "sets",
        )
        for result in results
        for name, read in result.sets.items()
    )


def _texts(results: Sequence[Result]) -> Iterator[Line]:
    yield from distinct(
        Line(f"Text {name}", "yes", digest(str(sha256)), "identity.texts")
        for result in results
        for name, sha256 in part_of(result, "texts").items()
    )


def _limit(result: Result) -> int | None:
    limit = part_of(result, "tasks").get("limit")
    return limit if isinstance(limit, int) else None


def _of_all(n: int, limit: int | None) -> str:
    return f"{limit} of {n:,} items" if limit is not None and limit < n else number(n, "item")


# ---- licence


def _licence(result: Result) -> Line:
    """What the benchmark's file says; of a synthetic world what it comes with."""
    item, of = "Licence of the data", result.benchmark
    if of is not None and of.licence:
        return Line(item, "yes", f"{of.title}: {of.licence}", "benchmark.licence")
    source = result.forget_set.name.partition("/")[0]
    world = find_world(source)
    if world is None:
        name = of.title if of is not None else source
        answer = f"{name}: not in the results; say it beside the table"
        return Line(item, "not recorded", answer, "benchmark.licence")
    others = sorted({read.source for read in result.sets.values()} - {source})
    rest = f"; not recorded of {', '.join(others)}" if others else ""
    answer = f"{source}: {world.licence}{rest}"
    return Line(item, "in part" if others else "yes", answer, "forget_set.name, sets")
