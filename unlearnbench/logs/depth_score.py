"""The table of the unlearning depth score (UDS): 152 models, and aggregates of aggregates.

Every harmonic mean but memorisation has 1e-12 added to its parts; relative utility is cut
at 1.  Source: gnueaj/unlearning-depth-score, method_results.json.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unlearnbench.analysis.derived import aggregates
from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, need, number
from unlearnbench.logs.log import Check, Log, Verification, impossible_shares

KIND = "UDS"
LOOKS_FOR = "'models' with 'uds', and 'full_utility'"
Totals = dict[str, tuple[float, float | None]]
_EPSILON = 1e-12
_SLACK = 1e-11  # the added 1e-12 leaves a share a little above 1

_ATTACKS = {"s_loss": "loss", "s_zlib": "zlib", "s_mink": "min_k", "s_minkpp": "min_k_plus_plus"}
_KINDS = {"q_prob": "probability", "q_rouge": "rouge_l_recall", "truth_ratio": "truth_ratio"}
_SPLITS = {"retain": "retain", "ra": "real_authors", "wf": "world_facts"}
_NINE = tuple(f"{split}_{kind}" for split in _SPLITS for kind in _KINDS)
_MEMORISED = {
    "one_minus_es": "forget_extraction_strength",
    "one_minus_em": "forget_exact_memorisation",
    "one_minus_paraprob": "forget_paraphrase_probability",
}
_STATED = {
    "mem": "memorisation",
    "privacy_mia": "mia",
    "privacy": "privacy",
    "uds": "unlearning_depth_score",
    "model_utility": "model_utility",
    "fluency": "fluency",
    "utility": "utility",
    "utility_rel": "relative_utility",
    "overall": "overall",
    "one_minus_truth": "one_minus_truth_ratio_prob_mean",
}
_SETTINGS = {"lr": "learning_rate", "alpha": "alpha", "epoch": "epochs"}  # 'ep10' as it is
_SHARES = (*_MEMORISED, *_STATED, *_ATTACKS, *_NINE)


def fits(contents: Contents) -> bool:
    """Whether a file looks like this table."""
    value = contents.value
    return isinstance(value, Mapping) and "full_utility" in value and "models" in value


def read(contents: Contents) -> list[Log]:
    """One log a model; none has items."""
    return [_log(contents, row) for row in _rows(contents)]


def verify(contents: Contents, reference: Contents | None) -> Verification:  # noqa: ARG001
    """Each model's aggregates from its other columns; the table has its own reference rows."""
    before = need(contents.value, "full_utility", contents.path.name, KIND)
    checks: list[Check] = []
    problems: list[str] = []
    n_equal = n_cut = 0
    rows = _rows(contents)
    for row in rows:
        name, own = str(row["model"]), {}
        for column, recompute in _AGGREGATES.items():
            value = recompute(row)
            own[column] = Check(f"{name}.{column}", value, row[column])
        utility_before = number(need(before, row["epoch"], "full_utility", KIND), "full_utility")
        useful = aggregates.relative_utility(row["utility"], utility_before + _EPSILON)
        n_cut += useful > 1
        stated = row["utility_rel"]
        own["utility_rel"] = Check(f"{name}.utility_rel", min(useful, 1.0), stated)
        checks += own.values()
        shares = {column: row[column] for column in _SHARES}
        problems += impossible_shares(shares, name, _SLACK)
        n_equal += all(check.agrees for check in own.values())
    note = f"relative utility is cut at 1 in {n_cut} rows, whose model became better"
    return Verification(
        f"{KIND} table of {len(rows)} models",
        tuple(checks),
        tuple(problems),
        (note,) if n_cut else (),
        f"{n_equal} of {len(rows)} rows",
    )


def _mean(row: Mapping[str, Any], columns: Sequence[str]) -> float:
    return aggregates.harmonic_mean([row[column] + _EPSILON for column in columns])


_AGGREGATES: dict[str, Callable[[Mapping[str, Any]], float]] = {
    "mem": lambda row: aggregates.harmonic_mean(
        [row[column] for column in (*_MEMORISED, "one_minus_truth")]
    ),
    "privacy_mia": lambda row: _mean(row, tuple(_ATTACKS)),
    "privacy": lambda row: _mean(row, ("privacy_mia", "uds")),
    "model_utility": lambda row: _mean(row, _NINE),
    "utility": lambda row: _mean(row, ("model_utility", "fluency")),
    "overall": lambda row: _mean(row, ("mem", "privacy", "utility_rel")),
}


def _rows(contents: Contents) -> list[dict[str, Any]]:
    models = need(contents.value, "models", contents.path.name, KIND)
    if not isinstance(models, list) or not models:
        raise UserError(f"{contents.path.name}: models is no list of rows: not as {KIND} writes it")
    rows = []
    for at, fields in enumerate(models):
        where = f"{contents.path.name}: models[{at}]"
        row = {column: need(fields, column, where, KIND) for column in ("model", "epoch", "method")}
        row |= {c: number(need(fields, c, where, KIND), f"{where}.{c}") for c in _SHARES}
        said = {ours: fields.get(theirs) for theirs, ours in _SETTINGS.items()}
        row["settings"] = {name: value for name, value in said.items() if value is not None}
        rows.append(row)
    return rows


def _log(contents: Contents, row: Mapping[str, Any]) -> Log:
    answers: Totals = {ours: (1 - row[theirs], None) for theirs, ours in _MEMORISED.items()}
    replies: Totals = {}
    stated = {ours: row[theirs] for theirs, ours in _STATED.items()}
    stated |= {f"s_mia_{ours}": row[theirs] for theirs, ours in _ATTACKS.items()}
    for short, split in _SPLITS.items():
        end = "" if split == "retain" else "_normalised"
        answers[f"{split}_probability{end}"] = (row[f"{short}_q_prob"], None)
        replies[f"{split}_rouge_l_recall"] = (row[f"{short}_q_rouge"], None)
        stated[f"{split}_truth_ratio"] = row[f"{short}_truth_ratio"]
    totals = {"answers": answers, "replies": replies}
    model = str(row["model"])
    return Log(contents.path, contents.sha256, KIND, model, "tofu", "forget10", totals=totals,
               stated=stated, method=str(row["method"]), settings=row["settings"])  # fmt: skip
