"""What is wrong with forget sets, told before any model is loaded: else each cell would fail."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from unlearnbench.data.rows import TextRows
from unlearnbench.errors import UserError
from unlearnbench.files.tables import count_repeats

if TYPE_CHECKING:
    from unlearnbench.data.forget_source import ForgetSource, RowsOfRun
    from unlearnbench.data.rows import Rows
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol


def look_at(
    source: "ForgetSource", choice: "ModelChoice", protocol: "Protocol", limit: int | None
) -> list[str]:
    """Tokenise the rows of every run as this model will; warnings about what is odd in them.

    Raises `UserError` naming file and row of the first that cannot be used: too short, too
    long for the model, a pool that holds nothing but targets, unseen rows that are targets.
    """
    model = _without_weights(choice)
    unseen = source.unseen()
    fits: dict[Any, bool] = {}
    warnings = []
    for run in source.runs:
        found, title = source.read(run, limit), source.title(run)
        found.targets.encode(model, protocol)
        warnings += _repeats(found.targets, title, protocol)
        warnings += _look_at_pool(found, title, model, protocol, fits)
        if unseen is not None:
            _check_unseen(unseen, found.targets, title, protocol)
    return warnings


def _repeats(targets: "Rows", title: str, protocol: "Protocol") -> list[str]:
    told = count_repeats(targets.contents(protocol), targets.doc_ids)
    return [f"forget set '{title}': {told}"] if told else []


def _look_at_pool(
    found: "RowsOfRun",
    title: str,
    model: "LanguageModel",
    protocol: "Protocol",
    fits: dict[Any, bool],
) -> list[str]:
    """Warnings about a pool of text; that of the extraction benchmark is what it is.

    `fits` holds by content which rows are not too long: the runs of a source share most of them.
    """
    pool, n_targets = found.pool, len(found.targets)
    if pool is None or not len(pool):
        return []  # methods that ask for pairs say so
    known = set(found.targets.contents(protocol))
    new = [at for at, row in enumerate(pool.contents(protocol)) if row not in known]
    if not new:
        raise UserError(
            f"forget set '{title}': all {len(pool)} rows of its pool are rows to forget; "
            "give another: --pool FILE"
        )
    warnings = []
    if isinstance(pool, TextRows):
        n_fitting = _n_fitting(pool.select(new), model, protocol, fits)
        warnings = _left_out(len(pool), len(new), n_fitting, title, model)
    if len(new) < n_targets:
        warnings.append(
            f"forget set '{title}': {len(new)} rows in the pool for {n_targets} to forget, so "
            "some share a pair"
        )
    return warnings


def _n_fitting(
    pool: TextRows, model: "LanguageModel", protocol: "Protocol", fits: dict[Any, bool]
) -> int:
    contents = pool.contents(protocol)
    unknown = [at for at, row in enumerate(contents) if row not in fits]
    rows = pool.select(unknown)
    kept = set(rows.encode(model, protocol, only_fitting=True).doc_ids)
    for at, doc_id in zip(unknown, rows.doc_ids, strict=True):
        fits[contents[at]] = doc_id in kept
    return sum(fits[row] for row in contents)


def _left_out(
    n_pool: int, n_new: int, n_fitting: int, title: str, model: "LanguageModel"
) -> list[str]:
    if not n_fitting:
        raise UserError(
            f"forget set '{title}': all rows of its pool are longer than the {model.max_length} "
            f"tokens that {model.source.name} reads; give another: --pool FILE"
        )
    reasons = {"are rows to forget": n_pool - n_new, "are too long": n_new - n_fitting}
    return [
        f"forget set '{title}': {n_rows} of the {n_pool} rows of its pool {reason} and left out"
        for reason, n_rows in reasons.items()
        if n_rows
    ]


def _check_unseen(unseen: "Rows", targets: "Rows", title: str, protocol: "Protocol") -> None:
    known = dict(zip(targets.contents(protocol), targets.doc_ids, strict=True))
    for row, doc_id in zip(unseen.contents(protocol), unseen.doc_ids, strict=True):
        if row in known:
            raise UserError(
                f"unseen row {doc_id!r:.60} is row {known[row]!r:.60} of forget set '{title}', so "
                "the model saw it; give rows it never saw: --unseen FILE, or use --stop paper"
            )


@lru_cache(maxsize=8)
def _without_weights(choice: "ModelChoice") -> "LanguageModel":
    """The model's tokenizer and shape, with no memory taken for its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    from unlearnbench.models.configuration import read_configuration, read_tokenizer
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.source import absent, find_folder

    folder = find_folder(
        choice.asked, choice.source.revision, download=False, allow_pickle=choice.allow_pickle
    )
    if folder is None:
        raise absent(choice.asked, choice.source.revision)
    config = read_configuration(folder, choice.trust_remote_code)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(
            config, trust_remote_code=choice.trust_remote_code
        )
    tokenizer = read_tokenizer(folder, config.vocab_size, choice.trust_remote_code)
    return LanguageModel(network, tokenizer, choice.source)
