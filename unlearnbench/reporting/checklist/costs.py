"""The checklist on costs, software, and what failed or is missing."""

from collections import Counter
from collections.abc import Iterator, Sequence

from unlearnbench.analysis.build_table import failure_of
from unlearnbench.analysis.footnotes import LONGEST_REASON, listed
from unlearnbench.analysis.table import PARTIAL, UNEQUAL, Group
from unlearnbench.reporting import printing
from unlearnbench.reporting.checklist.lines import (
    NOT_RECORDED,
    Line,
    how_many,
    measured_here,
    methods_of,
    number,
    unsaid,
)
from unlearnbench.reporting.document import Findings
from unlearnbench.results.record import Result


def lines(findings: Findings) -> Iterator[Line]:
    """Compute of these results, hardware, software, failures, and the results themselves."""
    every = (*findings.results, *findings.attacked)
    yield from _compute(every)
    yield _tuning(findings)
    yield from _hardware(measured_here(every))
    yield from _software(measured_here(every))
    if any(result.imported for result in every):
        yield unsaid("Hardware")
        yield unsaid("Software")
    yield from _failures(findings)
    yield from _results(every)


def _compute(results: Sequence[Result]) -> Iterator[Line]:
    seconds = sum(result.seconds for result in results)
    n = number(len(results), "cell")
    answer = f"{printing.seconds(seconds)} s in all for {n}, one after the other"
    yield Line("Wall time", "yes" if seconds else "not recorded", answer, "seconds, section costs")
    costed = [result for result in results if result.costs]
    if not costed:
        for item in ("Tokens", "Peak memory"):
            yield Line(item, "not recorded", "the results have no costs", "costs")
        return
    # Measured once per model, and put on every cell that uses it.
    phases = [c for r in costed for name, c in r.costs.items() if name != "calibrate"]
    forward, generated = (
        sum(getattr(cost, name) for cost in phases)
        for name in ("forward_tokens", "generated_tokens")
    )
    unlearning = sum(r.costs["unlearn"].forward_tokens for r in costed if "unlearn" in r.costs)
    peak = max((cost.peak_memory_bytes for cost in phases), default=0)
    kinds = listed(sorted({r.peak_memory_of for r in costed} - {""})) or "kind not recorded"
    some = how_many(len(costed), len(results))
    answer = f"{forward:,} forward, {unlearning:,} of them to unlearn; {generated:,} generated"
    yield Line("Tokens", some, answer, "costs, section costs")
    yield Line("Peak memory", some, f"{printing.mebibytes(peak)} MiB ({kinds})", "costs")


def _tuning(findings: Findings) -> Line:
    """What the searches took whose trials lie in the same folder."""
    item, where = "Compute of tuning", "section budgets"
    if not findings.trials:
        answer = "not in the figures above: the results hold the runs of the table alone"
        return Line(item, NOT_RECORDED, answer, where)
    seconds = sum(result.seconds for result in findings.trials)
    cells = number(len(findings.trials), "cell")
    answer = f"{printing.seconds(seconds)} s in all for {cells} of the searches"
    if n := sum(result.key in findings.by_key for result in findings.trials):
        answer += f"; {n:,} of them are in the figures above, too"
    return Line(item, "yes" if seconds else NOT_RECORDED, answer, where)


def _hardware(results: Sequence[Result]) -> Iterator[Line]:
    found = sorted({
        f"{r.model.device}, {number(r.environment.n_threads, 'thread')}, {r.environment.platform}"
        for r in results
    })  # fmt: skip
    if found:
        yield Line("Hardware", "yes", "; ".join(found), "model.device, environment")


def _software(results: Sequence[Result]) -> Iterator[Line]:
    if not results:
        yield unsaid("Commit")
        return
    states = Counter(_state(result) for result in results)
    several = len(states) > 1
    answer = "; ".join(
        state + (f" ({number(n, 'cell')})" if several else "") for state, n in states.items()
    )
    n = sum(bool(result.environment.packages) for result in results)
    done = how_many(n, len(results)) if n else NOT_RECORDED
    yield Line("Software", done, answer, "environment.packages")
    commits = {(r.environment.git_commit, r.environment.git_dirty) for r in results}
    known = sorted(
        f"{commit[:12]}{', with uncommitted changes' if dirty else ''}"
        for commit, dirty in commits
        if commit
    )
    if not known:
        answer = "no checkout: the version above, and a digest of the code in identity.software"
        yield Line("Commit", "not recorded", answer, "environment.git_commit")
        return
    is_clean = not any(dirty for _, dirty in commits) and len(known) == len(commits)
    yield Line("Commit", "yes" if is_clean else "in part", "; ".join(known), "environment")


def _state(result: Result) -> str:
    environment = result.environment
    packages = {name: version for name, version in sorted(environment.packages.items()) if version}
    named = listed(f"{name} {version}" for name, version in packages.items())
    return f"Python {environment.python}, {named}" if named else f"Python {environment.python}"


# ---- what is not there


def _failures(findings: Findings) -> Iterator[Line]:
    every = (*findings.results, *findings.attacked)
    failed = [result for result in every if failure_of(result) is not None]
    done = how_many(len(every) - len(failed), len(every))
    answer = f"{len(failed) or 'none'} of {number(len(every), 'cell')} failed"
    yield Line("Every cell succeeded", done, answer, "status, error")
    for result in failed:
        reason = " ".join((failure_of(result) or "").split())[:LONGEST_REASON]
        place = f"{result.label}, forget set {result.forget_set.run}, seed {result.seed}"
        under = f", under {result.attack.label}" if result.attack else ""
        yield Line("Failed cell", "no", f"{place}{under}: {reason}", "status, error")
    item, where = "Every row has every run and metric", "section runs"
    missing = [text for group in findings.table.groups for text in _missing(group)]
    if not missing:
        yield Line(item, "yes", "no cell is missing", where)
    for text in missing:
        yield Line(item, "no", text, where)
    superseded = sum(row.n_superseded for group in findings.table.groups for row in group.rows)
    if superseded:
        answer = f"{number(superseded, 'older result')} of the same cells left out"
        yield Line("Measured again", "yes", answer, "started_at")


def _missing(group: Group) -> Iterator[str]:
    unequal = [row.label for row in group.rows if UNEQUAL in row.markers]
    partial = [row.label for row in group.rows if PARTIAL in row.markers]
    if unequal:
        yield f"{group.title}: means over other runs than the rest: {listed(unequal)}"
    if partial:
        yield f"{group.title}: a metric is missing in some run: {listed(partial)}"


def _results(results: Sequence[Result]) -> Iterator[Line]:
    begun = sorted(result.started_at for result in results)
    answer = f"{len(results)}, made from {begun[0][:10]} to {begun[-1][:10]}"
    n = len(methods_of(results))
    yield Line("Results", "yes", f"{answer}; {n} of unlearned models", "key, started_at")
