"""How the results were made, and what is absent from them and why."""

from collections import Counter
from collections.abc import Iterable, Sequence

from unlearnbench.analysis.footnotes import differing_protocol_settings, format_value, listed, runs
from unlearnbench.analysis.table import EPOCHS, SCORE_NAMES, Group, Table
from unlearnbench.reporting.document import Document
from unlearnbench.results.record import Environment, Result

MAKING = ("stop_line", "protocol", "epoch_limit", "learning_rate", "means")
Facts = tuple[tuple[str, str], ...]  # names and values


def protocols(table: Table) -> dict[str, Facts]:
    """Every protocol setting by group; those that depart from the named protocol are marked."""
    made: dict[str, Facts] = {}
    for group in (group for group in table.groups if group.protocol):
        own = differing_protocol_settings(group.protocol_name, dict(group.protocol))
        settings = (
            (name, format_value(value) + (" (set for this run)" if name in own else ""))
            for name, value in group.protocol.items()
        )
        made[group.title] = (("protocol", group.protocol_name), *settings)
    return made


def software(results: Sequence[Result]) -> Facts:
    """What ran where and when; of versions that differ, how many results each has."""
    environments = [result.environment for result in results]
    names = dict.fromkeys(name for e in environments for name in e.packages)
    started = sorted(result.started_at for result in results)
    versions = ((name, _counted(e.packages.get(name, "absent") for e in environments))
                for name in names)  # fmt: skip
    return (
        ("Results", str(len(results))),
        ("Started", listed(dict.fromkeys((started[0], started[-1])), " to ") if started else ""),
        ("Device", _counted(result.model.device for result in results)),
        ("Platform", _counted(e.platform for e in environments)),
        ("Threads", _counted(str(e.n_threads) for e in environments)),
        ("Git commit", _counted(map(_commit, environments))),
        ("Python", _counted(e.python for e in environments)),
        *versions,
    )


def absent(document: Document) -> tuple[str, ...]:
    """Sentences on what one would look for in vain."""
    table = document.findings.table
    sentences = [sentence for group in table.groups for sentence in _absent(group, table)]
    return (*sentences, *(note.text for note in document.notes))


def _absent(group: Group, table: Table) -> Iterable[str]:
    for row in group.rows:
        total = len(row.failures) + len(row.runs)
        for reason, n in Counter(row.failures).items():
            yield f"{group.title}, {row.label}: {n} of {runs(total)} left out: {reason}"
    skipped = (EPOCHS.name, *SCORE_NAMES)
    for column in table.columns:
        without = [r.label for r in group.rows if r.runs and column.name not in r.cells]
        if column.name not in skipped and without:
            whose = listed(without) if len(without) < len(group.rows) else "any row"
            yield f"{group.title}: {column.label} was not measured for {whose}."


def _commit(environment: Environment) -> str:
    if environment.git_commit is None:
        return "none: not run from a checkout"
    return environment.git_commit + (" with uncommitted changes" if environment.git_dirty else "")


def _counted(values: Iterable[str]) -> str:
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return listed((f"{value} ({runs(n)})" for value, n in counts.most_common()), "; ")
