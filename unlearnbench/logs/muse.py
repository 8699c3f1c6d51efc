"""MUSE's own outputs, one table of many models each.

Membership scores per text (`privleak_per_example.csv`) with their AUCs beside it
(`privleak_auc.json`), ROUGE per item (`knowmem_per_example*.jsonl`, `verbmem_per_example*.jsonl`)
with its means beside it (`rouge_summary.csv`).  A score is high for a text that the model does not
know; an AUC of A_B is the probability that a text of A scores above one of B, so it is 0 where
every forget text is better known: the other way round than OpenUnlearning's.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from unlearnbench.errors import UserError
from unlearnbench.logs.contents import Contents, need, number
from unlearnbench.logs.log import Log

KIND = "MUSE"
SCORES_FOR = "a table with the columns corpus, model, split, idx and Min-40%"
ROUGE_FOR = "a table with corpus, model, split, idx, rougeL and response"
SUMMARY_FOR = "a table with eval, corpus, model, split and mean_rougeL"
AUC_FOR = "'forget_holdout' with Min-40% by model"

ATTACKS = {"PPL": "loss", "PPL/zlib": "zlib", "Min-40%": "min_k"}
MIN_K = "Min-40%"  # the score of PrivLeak
_KEYS = ("corpus", "model", "split", "idx")
_ROUGE = {"rougeL": "rouge_l_f1", "rougeL_recall": "rouge_l_recall"}


def fits_scores(contents: Contents) -> bool:
    """Whether it is the table of membership scores."""
    return bool(contents.rows) and {*_KEYS, MIN_K} <= set(contents.rows[0])


def fits_rouge(contents: Contents) -> bool:
    """Whether it is a table of answers with their ROUGE."""
    return bool(contents.rows) and {*_KEYS, "rougeL", "response"} <= set(contents.rows[0])


def fits_summary(contents: Contents) -> bool:
    """Whether it is the table of mean ROUGE."""
    return bool(contents.rows) and {"eval", "corpus", "mean_rougeL"} <= set(contents.rows[0])


def fits_auc(contents: Contents) -> bool:
    """Whether it is the file of AUCs."""
    value = contents.value
    return isinstance(value, Mapping) and any(
        isinstance(part, Mapping) and "forget_holdout" in part for part in value.values()
    )


Scores = dict[str, dict[str, dict[str, float]]]  # split -> score -> item -> value


def scores_of(contents: Contents) -> dict[str, Scores]:
    """The membership scores of each model, 'news/target', by split, score and item."""
    found: dict[str, Scores] = {}
    names = [name for name in contents.rows[0] if name not in _KEYS]
    for at, row in enumerate(contents.rows):
        where = f"{contents.path.name}, row {at}"
        corpus, model, split, item = (str(need(row, key, where, KIND)) for key in _KEYS)
        by_score = found.setdefault(f"{corpus}/{model}", {}).setdefault(split, {})
        for name in names:
            by_score.setdefault(name, {})[item] = number(need(row, name, where, KIND), where)
    return found


def read_scores(contents: Contents) -> list[Log]:
    """One log a model: loss, zlib and Min-K of forget, holdout and retain texts.

    As MUSE has it, PPL is the loss, and zlib's ratio is of it.
    """
    logs = []
    for model, splits in scores_of(contents).items():
        membership = {
            f"{_split(split)}_{ours}": values[theirs]
            for split, values in splits.items()
            for theirs, ours in ATTACKS.items()
            if theirs in values
        }
        items = {"membership": membership}
        corpus, _, name = model.partition("/")
        logs.append(Log(contents.path, contents.sha256, KIND, name, "muse", corpus, items))
    return logs


def _split(name: str) -> str:
    return "retain" if name.startswith("retain") else name


def evaluation(contents: Contents) -> str:
    """'knowmem' or 'verbmem', which the file's name says."""
    return next((kind for kind in ("knowmem", "verbmem") if kind in contents.path.name), "knowmem")


def rouge_of(contents: Contents, field: str) -> dict[tuple[str, str, str], dict[str, float]]:
    """A column by item, of each corpus, model and split."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for at, row in enumerate(contents.rows):
        where = f"{contents.path.name}, row {at}"
        corpus, model, split, item = (str(need(row, key, where, KIND)) for key in _KEYS)
        of = found.setdefault((corpus, model, split), {})
        of[item] = number(need(row, field, where, KIND), f"{where}: {field}")
    return found


def read_rouge(contents: Contents) -> list[Log]:
    """One log a model and corpus: ROUGE-L of knowledge or of verbatim text, by item."""
    kind = evaluation(contents)
    by_model: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for field, ending in _ROUGE.items():
        for (corpus, model, split), items in rouge_of(contents, field).items():
            of = by_model.setdefault((corpus, model), {})
            of[f"{split}_{kind}_{ending}"] = items
    return [
        Log(contents.path, contents.sha256, KIND, model, "muse", corpus, {"replies": replies})
        for (corpus, model), replies in by_model.items()
    ]


def read_summary(contents: Contents) -> list[Log]:
    """One log a model and corpus: the means alone."""
    by_model: dict[tuple[str, str], dict[str, tuple[float, float | None]]] = {}
    for at, row in enumerate(contents.rows):
        where = f"{contents.path.name}, row {at}"
        kind, corpus, model, split = (
            str(need(row, key, where, KIND)) for key in ("eval", "corpus", "model", "split")
        )
        of = by_model.setdefault((corpus, model), {})
        for field, ending in _ROUGE.items():
            value = number(need(row, f"mean_{field}", where, KIND), f"{where}: mean_{field}")
            of[f"{split}_{kind}_{ending}"] = (value, None)
    return [
        Log(contents.path, contents.sha256, KIND, model, "muse", corpus,
            totals={"replies": replies})
        for (corpus, model), replies in by_model.items()
    ]  # fmt: skip


def read_auc(contents: Contents) -> list[Log]:
    """AUCs have no items; the table beside them has."""
    raise UserError(
        f"{contents.path.name} holds AUCs without the texts' scores; import "
        "privleak_per_example.csv.gz, from which they are computed"
    )


def areas_of(contents: Contents) -> Iterator[tuple[str, str, str, float]]:
    """Model, pair of splits, score and AUC, as the file states them."""
    for model, pairs in contents.value.items():
        for pair, values in _objects(pairs, f"{contents.path.name}: {model}"):
            for name, value in _objects(values, f"{contents.path.name}: {model}.{pair}"):
                yield model, pair, name, number(value, f"{model}.{pair}.{name}")


def _objects(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise UserError(f"{where} is no object: not a file as {KIND} writes it")
    return iter(value.items())
