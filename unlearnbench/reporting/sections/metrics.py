"""Which metrics can be believed: faithfulness, robustness, redundancy on models of known past."""

from collections.abc import Iterator, Sequence

from unlearnbench.analysis.footnotes import listed
from unlearnbench.analysis.meta.table import MetaTable, TestedMetric
from unlearnbench.analysis.table import ABSENT, Note
from unlearnbench.errors import UserError
from unlearnbench.registry import find
from unlearnbench.reporting import printing
from unlearnbench.reporting.document import Data, Findings, Listing, Picture

_MAP = "redundancy-map"
MOST_PRINTED = 24  # metrics in a matrix that people read; files for programs hold all


def blocks(findings: Findings) -> Iterator[Listing | Picture]:
    """The table that was given, or the shipped one of the results' world.

    Raises `UserError` where there is none.
    """
    if findings.tested is None:
        raise UserError(
            "no shipped table of metrics fits these results; make one with: unlearnbench meta "
            "POOLS.toml (see: unlearnbench show pools), and give it: --metrics OUT/meta.json"
        )
    yield from blocks_of(findings.tested)
    yield Picture(_MAP, find("reports", _MAP)().caption(findings))


def blocks_of(table: MetaTable) -> Iterator[Listing]:
    """Listings of faithfulness, by kind, of R and Q, of what is kept, and of redundancy."""
    forgetting = [metric for metric in table.metrics if metric.about == "forgotten"]
    kept = [metric for metric in table.metrics if metric.about == "kept"]
    if forgetting:
        yield _faithfulness(table, forgetting)
        yield from _kinds(table, forgetting)
    if any(metric.n_unlearned for metric in forgetting):
        yield _robustness(forgetting)
    if kept:
        yield _controls(kept)
    yield _groups(table)
    yield _matrix(table)


# ---- faithfulness


def _faithfulness(table: MetaTable, metrics: Sequence[TestedMetric]) -> Listing:
    ordered = sorted(metrics, key=lambda metric: -metric.faithfulness)
    return Listing(
        "metrics",
        f"Faithfulness: does a metric tell models that know the forget set? {table.title}",
        ("Metric", "Task", "AUC", "95% interval", "Told apart", "Threshold", "Right by it"),
        tuple(_line(metric) for metric in ordered),
        n_labels=2,
        notes=printing.notes(
            ("pools", _about_pools(table)),
            ("interval", _INTERVAL),
            ("left_out", _about_left_out(table)),
            ("command", f"Made with: {table.command}"),
        ),
    )


_INTERVAL = (
    "AUC: the probability that a model with the knowledge shows more of it than one without. The "
    "95% interval is over models and kinds: it covers other models of these kinds, and other kinds"
    " where a pool has several. Told apart: the interval lies above 0.5; wrong way: below. "
    "Threshold: the value that parts the pools best, in the metric's printed units. Right by it: "
    "the mean of both pools' shares that it gets right, on these very models."
)


def _line(metric: TestedMetric) -> tuple[str, ...]:
    return (
        metric.label,
        metric.task,
        _share(metric.faithfulness),
        _interval(metric),
        _verdict(metric),
        f"{metric.threshold * metric.scale:.4g}",
        printing.share(metric.accuracy),
    )


def _interval(metric: TestedMetric) -> str:
    if metric.low is None or metric.high is None:
        return ABSENT
    return f"[{metric.low:.2f}, {metric.high:.2f}]"


def _verdict(metric: TestedMetric) -> str:
    if metric.low is None or metric.high is None:
        return ABSENT
    if metric.low > 0.5:
        return "yes"
    return "wrong way" if metric.high < 0.5 else "no"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def _about_pools(table: MetaTable) -> str:
    sides = []
    for pool in ("with", "without"):
        models = table.of_pool(pool)
        kinds = [model.kind for model in models]
        counted = (f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        sides.append(f"{len(models)} {pool} the knowledge ({listed(counted)})")
    rows = listed(map(str, table.n_rows), " or ")
    sets = f"forget set{'s' if len(table.runs) > 1 else ''} {listed(table.runs)} of {rows} rows"
    limit = f", at most {table.limit} documents a task" if table.limit else ""
    relative = (
        f" Scores relative to a retrained model are relative to {table.retrained}, which is left "
        "out of them."
        if table.retrained
        else ""
    )
    return f"Models: {' and '.join(sides)}; {sets}{limit}.{relative}"


def _about_left_out(table: MetaTable) -> str:
    by_reason: dict[str, list[str]] = {}
    for place, reason in table.left_out.items():
        by_reason.setdefault(reason, []).append(place.partition(".")[2])
    parts = (f"{listed(names)} ({reason})" for reason, names in by_reason.items())
    return f"Not tested: {listed(parts, '; ')}." if by_reason else ""


def _kinds(table: MetaTable, metrics: Sequence[TestedMetric]) -> Iterator[Listing]:
    """What each kind of knowledge does to a metric, where there are several."""
    with_, without = (
        list(dict.fromkeys(model.kind for model in table.of_pool(pool)))
        for pool in ("with", "without")
    )
    if len(with_) + len(without) < 3:
        return
    headers = (*(f"with: {kind}" for kind in with_), *(f"without: {kind}" for kind in without))
    lines = tuple(
        (
            metric.label,
            *(_share(metric.kinds_with.get(kind)) for kind in with_),
            *(_share(metric.kinds_without.get(kind)) for kind in without),
        )
        for metric in sorted(metrics, key=lambda metric: -metric.faithfulness)
    )
    note = (
        "AUC of the models of one kind against all models of the other pool. Low under 'with': "
        "knowledge that the metric misses. Low under 'without': models that it takes for knowing."
    )
    yield Listing(
        "metrics-kinds", "Which kinds of knowledge a metric misses", ("Metric", *headers), lines,
        notes=(Note("kinds", note),),
    )  # fmt: skip


# ---- robustness


_ROBUSTNESS = (
    "R: under relearning the unlearned model gains no more than the retrained one. Q: under "
    "quantisation nothing comes back. Both are means over the unlearned models that kept 80% of "
    "the utility (over all where none is measured) and that the metric's threshold takes for "
    "unlearned; models: how many these are. HM: harmonic mean; overall: of AUC and HM(R, Q). In "
    "the symmetric forms (UDS) losing knowledge counts as gaining it."
)


def _robustness(metrics: Sequence[TestedMetric]) -> Listing:
    counted = [metric for metric in metrics if metric.n_unlearned]
    ordered = sorted(counted, key=lambda metric: -(metric.overall or 0.0))
    none = [metric.label for metric in metrics if not metric.n_unlearned]
    without = f"No unlearned model counts for {listed(none)}." if none else ""
    return Listing(
        "metrics-robustness",
        "Robustness: does a metric move under relearning and quantisation?",
        ("Metric", "R", "Q", "HM(R, Q)", "Overall", "Symmetric R", "Symmetric Q",
         "Symmetric HM", "Models"),
        tuple(
            (
                metric.label,
                *(
                    _share(value)
                    for value in (
                        metric.relearning, metric.quantisation, metric.aggregate, metric.overall,
                        metric.symmetric_relearning, metric.symmetric_quantisation,
                        metric.symmetric_aggregate,
                    )
                ),
                str(metric.n_unlearned),
            )
            for metric in ordered
        ),
        notes=printing.notes(("robustness", _ROBUSTNESS), ("none", without)),
    )  # fmt: skip


# ---- what is kept


_CONTROLS = (
    "A control: these metrics do not look at the forget set, so none should tell the pools apart. "
    "One that does says that the models differ in more than the knowledge, by which a forgetting "
    "metric may tell them, too. AUC: the probability that a model with the knowledge is better."
)


def _controls(metrics: Sequence[TestedMetric]) -> Listing:
    ordered = sorted(metrics, key=lambda metric: -abs(metric.faithfulness - 0.5))
    return Listing(
        "metrics-kept",
        "Metrics of what is to be kept: are the pools alike but for the knowledge?",
        ("Metric", "Task", "AUC", "95% interval"),
        tuple((m.label, m.task, _share(m.faithfulness), _interval(m)) for m in ordered),
        n_labels=2,
        notes=(Note("controls", _CONTROLS),),
    )


# ---- redundancy


def _groups(table: MetaTable) -> Listing:
    found = table.redundancy
    labels = dict(zip(found.metrics, found.labels, strict=True))
    note = (
        f"Spearman's rank correlation over {found.n_models} models, clustered with complete "
        "linkage: in a group every two metrics have |rho| of 0.9 or more, so one of them says what "
        "the others do."
    )
    return Listing(
        "metrics-groups",
        "Redundancy: metrics that put the models in the same order",
        ("Group", "Metrics"),
        tuple(
            (str(at), listed(labels[name] for name in group))
            for at, group in enumerate(found.groups, start=1)
        ),
        n_labels=2,
        notes=(Note("groups", note if found.groups else f"No two metrics are alike. {note}"),),
    )


def _matrix(table: MetaTable) -> Listing:
    """The correlations in the order of the clusters; numbers stand for the columns' metrics."""
    found = table.redundancy
    kind = Listing if len(found.metrics) <= MOST_PRINTED else Data
    numbers = [str(at) for at in range(1, len(found.metrics) + 1)]
    return kind(
        "metrics-correlations",
        "Rank correlations between metrics, in the order of their clusters",
        ("", "Metric", *numbers),
        tuple(
            (
                number,
                label,
                *(ABSENT if rho is None else f"{rho:.2f}" for rho in row),
            )
            for number, label, row in zip(numbers, found.labels, found.correlations, strict=True)
        ),
        n_labels=2,
    )
