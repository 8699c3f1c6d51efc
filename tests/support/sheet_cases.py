"""Results with continuations, and sheets drawn from them."""

import random
from pathlib import Path

from stored_cases import make_result

from unlearnbench.cli import status_of
from unlearnbench.results.record import ForgetSetRecord
from unlearnbench.results.store import Store

DOCUMENTS = tuple(f"{n}" for n in range(900, 960))


LABELS = {
    "before": "NEO (before unlearning)",
    "dedup": "OPT",
    "kumpr": "NEO + KUMPR",
    "icu": "NEO + ICU",
}


def cell(name="icu", model="m-125", run="0", seed=42, documents=DOCUMENTS, order=0, **changes):
    """A finished cell whose texts say what wrote them; `order` shuffles its dictionaries."""
    role = name if name in ("before", "dedup") else "method"
    ids = random.Random(order).sample(documents, len(documents))
    settings = changes.pop("settings", {"learning_rate": 1e-4})
    made = make_result(cell=[name, model, run, seed], settings=settings, **changes.pop("own", {}))
    continuations = {d: f" {name} of {model} {seed} on {run}/{d}" for d in ids}
    forget_set = ForgetSetRecord(
        name=f"source/{run}",
        run=run,
        content_sha256=run * 64,
        doc_ids=list(documents),
        prefixes={d: f"prefix {run}/{d}" for d in documents},
        suffixes={d: f" reference {run}/{d}" for d in reversed(ids)},
    )
    parts = {"name": "none" if role != "method" else name, "settings": settings}
    fields = {
        "role": role,
        "label": LABELS[name],
        "group": model,
        "seed": seed,
        "method": made.method.model_copy(update=parts),
        "forget_set": forget_set,
        "scores": {},
        "continuations": continuations,
    }
    return made.model_copy(update={**fields, **changes})


def cells(*names, **changes):
    """One cell per name, each with its dictionaries in another order."""
    return [cell(name, order=n, **changes) for n, name in enumerate(names or LABELS)]


def saved(folder: Path, results) -> Path:
    for result in results:
        Store(folder).save(result)
    return folder


def make_sheet(folder: Path, results, *more: str) -> tuple[Path, Path]:
    """A study of the results by the command line: its folder and its key."""
    out = folder / "study"
    arguments = ["human", "sheet", str(saved(folder / "results", results)), "--out", str(out)]
    assert status_of([*arguments, "--rows", "5", *more]) == 0
    return out, folder / "study-key.json"
