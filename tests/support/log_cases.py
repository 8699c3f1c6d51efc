"""Small logs of other harnesses, made with plain loops: nothing of the package computes them."""

import json
import math
import random
from pathlib import Path

N = {"forget": 40, "retain": 12, "ra": 10, "wf": 11, "holdout": 40}
MODEL_SEED, RETAIN_SEED = 3, 4


def open_unlearning_log(seed=MODEL_SEED, known=0.2, n_forget=40, half=False, reference=None):
    """A TOFU_EVAL.json as a dict; `known` is the mean loss of the forget set's answers.

    With `reference`, another such log, it has forget quality and PrivLeak; with `half` PrivLeak
    relative to an AUC of one half.
    """
    draw = random.Random(seed)
    log = {}
    for split, n in {**N, "forget": n_forget}.items():
        if split == "holdout":
            continue
        own = [draw.expovariate(1 / (known if split == "forget" else 0.4)) for _ in range(n)]
        right = [draw.uniform(1, 3) for _ in range(n)]
        wrong = [[draw.uniform(1, 3.5) for _ in range(5)] for _ in range(n)]
        log[f"{split}_Q_A_Prob"] = _losses(own)
        log[f"{split}_Q_A_PERT_Prob"] = _lists(wrong)
        if split in ("ra", "wf"):
            right = own
            shares = [
                math.exp(-a) / (math.exp(-a) + sum(math.exp(-x) for x in b) + 1e-10)
                for a, b in zip(own, wrong, strict=True)
            ]
            log[f"{split}_Q_A_Prob_normalised"] = _of("prob", shares)
        else:
            log[f"{split}_Q_A_PARA_Prob"] = _losses(right)
        ratios = [
            math.exp(-sum(b) / 5) / (math.exp(-a) + 1e-10)
            for a, b in zip(right, wrong, strict=True)
        ]
        name = "forget_truth_ratio" if split == "forget" else f"{split}_Truth_Ratio"
        kept = [min(r, 1 / (r + 1e-10)) if split == "forget" else max(0, 1 - r) for r in ratios]
        log[name] = _of("score", ratios, kept)
        log[f"{split}_Q_A_ROUGE"] = _rouge(split, [draw.random() for _ in range(n)])
        if split == "forget":
            others = [draw.uniform(0.1, 4) for _ in range(N["holdout"])]
            log["extraction_strength"] = _of("score", [draw.random() for _ in range(n)])
            log["mia_min_k"] = _attack(own, others)
    nine = [log[f"{s}_{e}"]["agg_value"] for s, e in _nine()]
    log["model_utility"] = {"agg_value": 9 / sum(1 / x for x in nine)}
    own_area = 1 - log["mia_min_k"]["agg_value"]
    if half or reference is not None:
        area = 0.5 if half else 1 - reference["mia_min_k"]["agg_value"]
        log["privleak"] = {"agg_value": (own_area - area) / (area + 1e-10) * 100}
    if reference is not None:
        log["forget_quality"] = {"agg_value": _p(log, reference)}
    return log


def write(folder: Path, log, name="TOFU_EVAL.json") -> Path:
    """The log in a file of a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(log), encoding="utf-8")
    return path


def _nine():
    yield from (("retain", e) for e in ("Q_A_Prob", "Q_A_ROUGE", "Truth_Ratio"))
    for split in ("ra", "wf"):
        yield from ((split, e) for e in ("Q_A_Prob_normalised", "Q_A_ROUGE", "Truth_Ratio"))


def _of(field, values, kept=None):
    kept = values if kept is None else kept
    items = {str(i): {field: value} for i, value in enumerate(values)}
    return {"agg_value": sum(kept) / len(kept), "value_by_index": items}


def _losses(losses):
    part = _of("prob", [math.exp(-x) for x in losses])
    for item, loss in zip(part["value_by_index"].values(), losses, strict=True):
        item["avg_loss"] = loss
    return part


def _lists(losses):
    items = {
        str(i): {"prob": [math.exp(-x) for x in of], "avg_loss": of} for i, of in enumerate(losses)
    }
    means = [sum(item["prob"]) / 5 for item in items.values()]
    return {"agg_value": sum(means) / len(means), "value_by_index": items}


def _rouge(split, values):
    part = _of("rougeL_recall", values)
    for at, item in part["value_by_index"].items():
        item |= {"rougeL_f1": item["rougeL_recall"] / 2, "ground_truth": f"{split} answer {at}"}
    return part


def _attack(forget, holdout):
    above = sum((h > f) + (h == f) / 2 for f in forget for h in holdout)
    area = above / len(forget) / len(holdout)
    sides = {"forget": _of("score", forget), "holdout": _of("score", holdout)}
    return {**sides, "auc": area, "agg_value": area}


def _p(log, reference):
    """The exact p of D = k/n, of counted steps and big integers."""
    values = [
        [item["score"] for item in one["forget_truth_ratio"]["value_by_index"].values()]
        for one in (log, reference)
    ]
    n = len(values[0])
    at = sorted(values[0] + values[1])
    k = max(abs(sum(v <= x for v in values[0]) - sum(v <= x for v in values[1])) for x in at)
    terms = [(-1) ** (j - 1) * math.comb(2 * n, n - j * k) for j in range(1, n // k + 1)]
    return 2 * sum(terms) / math.comb(2 * n, n)
