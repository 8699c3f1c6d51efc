"""OpenUnlearning's logs, TOFU_EVAL.json and MUSE_EVAL.json: metric -> agg_value, value_by_index.

Membership scores have both for forget and holdout, and as aggregate the AUC, which is 1 where every
forget text is better known than every holdout text.  A truth ratio's aggregate is `closer_to_1` for
the forget set and `true_better` for the others.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, need, number, numbers, read_contents
from unlearnbench.logs.log import Log

KIND = "OpenUnlearning"
LOOKS_FOR = "metrics with agg_value and value_by_index"

SPLITS = {"forget": "forget", "retain": "retain", "ra": "real_authors", "wf": "world_facts"}
ATTACKS = {
    "mia_loss": "loss",
    "mia_zlib": "zlib",
    "mia_min_k": "min_k",
    "mia_min_k_plus_plus": "min_k_plus_plus",
    "mia_gradnorm": "gradient_norm",
    "mia_reference": "reference",
}
SIDES = ("forget", "holdout")
_SHARES = {  # the end of a metric's name -> field of an item, the end of ours
    "Q_A_Prob": ("prob", "probability"),
    "Q_A_Prob_normalised": ("prob", "probability_normalised"),
    "Q_A_PARA_Prob": ("prob", "paraphrase_probability"),
}
_MEMORISED = {
    "exact_memorization": "forget_exact_memorisation",
    "extraction_strength": "forget_extraction_strength",
}
_ROUGE = {"rougeL_recall": "rouge_l_recall", "rougeL_f1": "rouge_l_f1"}
_RELATIVE = ("forget_quality", "privleak")
_N_FORGET = {40: "forget01", 200: "forget05", 400: "forget10"}  # questions of TOFU's splits


class Measured(NamedTuple):
    """One metric as we name it, by item."""

    task: str
    name: str
    items: dict[str, float]


def fits(contents: Contents) -> bool:
    """Whether a file looks like one of these logs."""
    value = contents.value
    return isinstance(value, Mapping) and any(
        isinstance(part, Mapping) and "agg_value" in part for part in value.values()
    )


def read(contents: Contents) -> list[Log]:
    """The log; raises `UserError` naming the field that another version lacks."""
    items: dict[str, dict[str, dict[str, float]]] = {}
    for one in measured(contents):
        items.setdefault(one.task, {})[one.name] = one.items
    if not items:
        raise UserError(
            f"{contents.path.name}: none of its metrics has items of a kind that is known; see "
            "docs/import.md for those that are"
        )
    is_muse = any("knowmem" in name or "verbmem" in name for name in contents.value)
    n = len(items.get("answers", {}).get("forget_probability", {}))
    return [
        Log(
            contents.path,
            contents.sha256,
            KIND,
            _model(contents.path),
            "muse" if is_muse else "tofu",
            "" if is_muse else _N_FORGET.get(n, ""),
            items,
            stated={name: value for name, value, _ in stated(contents)},
            texts=dict(_answers(contents.value)),
            template="plain" if is_muse else "chat",
        )
    ]


def stated(contents: Contents) -> Iterator[tuple[str, float, str]]:
    """Every aggregate as the log states it, then as the summary beside it does: where, too."""
    for name, part in contents.value.items():
        aggregate = part.get("agg_value") if isinstance(part, Mapping) else None
        if aggregate is not None:
            yield name, number(aggregate, f"{contents.path.name}: {name}.agg_value"), ""
    summary = summary_of(contents)
    if summary is not None:
        for name, value in summary.value.items():
            if value is not None:
                yield name, number(value, f"{summary.path.name}: {name}"), summary.path.name


def summary_of(contents: Contents) -> Contents | None:
    """The summary that OpenUnlearning writes beside a log, if it is there."""
    if not contents.stem.endswith("_EVAL"):
        return None
    path = contents.beside(contents.stem.removesuffix("_EVAL") + "_SUMMARY.json")
    return read_contents(path) if path else None


def measured(contents: Contents) -> Iterator[Measured]:
    """Every metric of the log that we know, by item."""
    for metric, part in contents.value.items():
        where = f"{contents.path.name}: {metric}"
        prefix, _, end = metric.partition("_")
        split = SPLITS.get(prefix, prefix)
        if metric in ATTACKS:
            for side in SIDES:
                half = need(part, side, where, KIND)
                name = f"{side}_{ATTACKS[metric]}"
                yield Measured("membership", name, by_item(half, f"{where}.{side}", "score"))
        elif metric in _MEMORISED:
            yield Measured("answers", _MEMORISED[metric], by_item(part, where, "score"))
        elif end in _SHARES:
            field, name = _SHARES[end]
            yield Measured("answers", f"{split}_{name}", by_item(part, where, field))
        elif end == "Q_A_PERT_Prob":
            losses = lists_by_item(part, where, "avg_loss")
            geometric = {item: math.exp(-fmean(of)) for item, of in losses.items()}
            arithmetic = {item: fmean(math.exp(-x) for x in of) for item, of in losses.items()}
            yield Measured("answers", f"{split}_wrong_probability", geometric)
            yield Measured("answers", f"{split}_wrong_probability_arithmetic", arithmetic)
        elif end.endswith("ROUGE"):  # Q_A_ROUGE; knowmem_ROUGE and verbmem_ROUGE
            kind = end.removesuffix("ROUGE").removesuffix("_").removeprefix("Q_A").lower()
            name = "_".join(filter(None, (split, kind.strip("_"))))
            for field, ending in _ROUGE.items():
                yield Measured("replies", f"{name}_{ending}", by_item(part, where, field))


def by_item(part: Any, where: str, field: str) -> dict[str, float]:
    """A field of every item; items without an answer, which the log has as null, are left out."""
    found = {}
    for item, fields in _entries(part, where):
        value = need(fields, field, f"{where}.value_by_index.{item}", KIND)
        if value is not None:
            found[item] = number(value, f"{where}.value_by_index.{item}.{field}")
    return found


def lists_by_item(part: Any, where: str, field: str) -> dict[str, list[float]]:
    """A field of every item that is a list: one value per wrong answer."""
    return {
        item: numbers(need(fields, field, f"{where}.{item}", KIND), f"{where}.{item}.{field}")
        for item, fields in _entries(part, where)
    }


def _entries(part: Any, where: str) -> Iterator[tuple[str, Any]]:
    items = need(part, "value_by_index", where, KIND)
    if not isinstance(items, Mapping) or not items:
        raise UserError(f"{where}.value_by_index holds no items: not a log as {KIND} writes it")
    return iter(items.items())


def _answers(value: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """The true answers by split and item, which tell whether two logs are of the same items."""
    for metric, part in value.items():
        if not metric.endswith("ROUGE") or not isinstance(part, Mapping):
            continue
        texts = {
            item: fields["ground_truth"]
            for item, fields in part.get("value_by_index", {}).items()
            if isinstance(fields, Mapping) and isinstance(fields.get("ground_truth"), str)
        }
        split = metric.removesuffix("_ROUGE").removesuffix("_Q_A")
        yield SPLITS.get(split, split), texts


def _model(path: Path) -> str:
    """The folder that the harness wrote into, which has the model's name."""
    folders = (folder for folder in path.resolve().parts[-2::-1] if not _IS_NO_MODEL(folder))
    return next(folders, path.name)


_IS_NO_MODEL = re.compile(r"^(forget|retain|holdout)\d+$|^evals?(_.*)?$|^saves$|^/$").match


def relative(name: str) -> bool:
    """Whether an aggregate compares with a retrained model."""
    return name in _RELATIVE
