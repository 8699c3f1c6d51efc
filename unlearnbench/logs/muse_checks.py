"""MUSE's aggregates recomputed: AUCs and PrivLeak of membership scores, ROUGE and its means."""

from collections.abc import Sequence
from typing import Any

from unlearnbench.analysis.derived.membership import privacy_leakage
from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, mean, number, read_contents
from unlearnbench.logs.log import Check, Verification, impossible_shares
from unlearnbench.logs.muse import (
    KIND,
    MIN_K,
    areas_of,
    evaluation,
    fits_rouge,
    rouge_of,
    scores_of,
)

RETRAINED = "retrain"
_AUC_FILE, _SCORES_FILE, _SUMMARY_FILE = (
    "privleak_auc.json", "privleak_per_example.csv", "rouge_summary.csv"
)  # fmt: skip
_PRINTED = {"rouge1": "rouge1", "rougeL": "rougeL"}


def verify_scores(contents: Contents, reference: Contents | None) -> Verification:  # noqa: ARG001
    """Every AUC of the file beside it, and PrivLeak relative to the table's own retrained model."""
    path = contents.beside(_AUC_FILE)
    return _areas(contents, read_contents(path) if path else None)


def verify_auc(contents: Contents, reference: Contents | None) -> Verification:  # noqa: ARG001
    """As `verify_scores`, from the file of AUCs; raises `UserError` where the scores are not."""
    path = contents.beside(_SCORES_FILE)
    if path is None:
        raise UserError(
            f"no {_SCORES_FILE} beside {contents.path.name}: AUCs are computed from the scores of "
            "single texts; put both into one folder"
        )
    return _areas(read_contents(path), contents)


def _areas(scores: Contents, stated: Contents | None) -> Verification:
    by_model, values, problems, notes = scores_of(scores), {}, [], []
    for model, pair, name, value in areas_of(stated) if stated else ():
        values[model, pair, name] = value
    checks, leaks = [], []
    for model, splits in by_model.items():
        pairs = {pair for of, pair, _ in values if of == model} or {"forget_holdout"}
        for pair in sorted(pairs):
            first, second = pair.split("_", 1)
            if first not in splits or second not in splits:
                problems.append(f"{model}: no scores of {pair.replace('_', ' and ')}")
                continue
            for name, of in splits[first].items():
                value = _area(list(of.values()), list(splits[second][name].values()))
                key = (model, pair, name)
                checks.append(Check(".".join(key), value, values.pop(key, None)))
    problems += [f"{'.'.join(key)} is stated, and there are no scores of it" for key in values]
    areas = {check.name: check.recomputed for check in checks}
    for model in by_model:
        retrained = f"{model.partition('/')[0]}/{RETRAINED}.forget_holdout.{MIN_K}"
        own = areas.get(f"{model}.forget_holdout.{MIN_K}")
        if own is not None and retrained in areas and areas[retrained]:
            leaks.append(Check(f"{model}.PrivLeak", privacy_leakage(own, areas[retrained])))
    if not leaks:
        notes.append(f"no model called '{RETRAINED}' in the table: no PrivLeak")
    stated_checks = [check for check in checks if check.stated is not None]
    problems += impossible_shares({c.name: c.stated or 0.0 for c in stated_checks}, "AUC")
    rows = f"{sum(c.agrees for c in stated_checks)} of {len(stated_checks)} AUCs"
    if stated is None:
        notes.append(f"no {_AUC_FILE} beside the table: nothing to compare with")
    title = f"{KIND}: membership scores of {len(by_model)} models"
    every = (*checks, *leaks)
    return Verification(title, every, tuple(problems), tuple(notes), rows if stated else "")


def _area(first: Sequence[float], second: Sequence[float]) -> float:
    """The AUC as MUSE counts, by scikit-learn as there; of a set against itself one half."""
    from sklearn.metrics import auc, roc_curve

    labels = [1] * len(first) + [0] * len(second)
    false_positives, true_positives, _ = roc_curve(labels, [*first, *second])
    return float(auc(false_positives, true_positives))


def verify_rouge(contents: Contents, reference: Contents | None) -> Verification:  # noqa: ARG001
    """Every item's ROUGE from its texts, and the means of the summary beside the file."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(_PRINTED), use_stemmer=False)  # OpenUnlearning stems, MUSE does not
    problems, n_equal = [], 0
    for at, row in enumerate(contents.rows):
        wrong = _unlike(scorer, row)
        n_equal += not wrong
        if wrong:
            problems.append(f"row {at} ({row['model']}, item {row['idx']}): {wrong}")
    path = contents.beside(_SUMMARY_FILE)
    checks, notes = (_means([contents], read_contents(path)) if path else
                     ((), (f"no {_SUMMARY_FILE} beside the file",)))  # fmt: skip
    n = len(contents.rows)
    title = f"{KIND}: {evaluation(contents)}, {n} answers"
    return Verification(title, checks, tuple(problems), notes, f"ROUGE of {n_equal} of {n} answers")


def _unlike(scorer: Any, row: Any) -> str:
    references = row["gt"] if isinstance(row["gt"], list) else [row["gt"]]
    scores = [scorer.score(text, row["response"]) for text in references]
    for name in _PRINTED:
        for end, measure in (("", "fmeasure"), ("_recall", "recall")):
            if name + end not in row:
                continue
            value = max(getattr(score[name], measure) for score in scores)
            stated = number(row[name + end], name + end)
            if abs(value - stated) > 1e-12:
                return f"{name}{end} is {stated!r}, its texts give {value!r}"
    return ""


def verify_summary(contents: Contents, reference: Contents | None) -> Verification:  # noqa: ARG001
    """The means whose answers lie beside the table."""
    folder = contents.path.parent
    every = (read_contents(path) for path in sorted(folder.glob("*mem_per_example*.jsonl*")))
    files = [one for one in every if fits_rouge(one)]
    checks, notes = _means(files, contents)
    problems = []
    for at, row in enumerate(contents.rows):
        shares = {name: number(row[name], name) for name in row
                  if name.startswith("mean_") and row[name]}  # fmt: skip
        problems += impossible_shares(shares, f"row {at}")
    n = sum(check.agrees for check in checks)
    title = f"{KIND}: ROUGE of {len(contents.rows)} rows"
    return Verification(title, checks, tuple(problems), notes, f"{n} of {len(checks)} means")


def _means(
    files: Sequence[Contents], summary: Contents
) -> tuple[tuple[Check, ...], tuple[str, ...]]:
    """The summary's means of which the items are there, and how many are not."""
    by_kind = {(evaluation(one), field): rouge_of(one, field)
               for one in files for field in ("rougeL", "rougeL_recall")}  # fmt: skip
    checks, n_rows = [], 0
    for row in summary.rows:
        key, of = (row["corpus"], row["model"], row["split"]), row["eval"]
        known = key in by_kind.get((of, "rougeL"), {})
        n_rows += known
        for field in ("rougeL", "rougeL_recall") if known else ():
            value, stated = mean(by_kind[of, field][key].values()), number(row[f"mean_{field}"], of)
            checks.append(Check(f"{of}.{'.'.join(key)}.mean_{field}", value, stated))
    n = len(summary.rows) - n_rows
    notes = (
        f"{n} rows of {summary.path.name} have no answers beside them and were not recomputed",
    )
    return tuple(checks), notes if n else ()
