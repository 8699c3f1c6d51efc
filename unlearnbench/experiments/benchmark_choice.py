"""What a benchmark decides of a plan: its methods' settings, and the models it compares with."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from unlearnbench import registry
from unlearnbench.errors import UserError, unknown
from unlearnbench.metrics.task import SPLITS
from unlearnbench.registry import ALL, WITH
from unlearnbench.settings import parse_setting, settings_of

if TYPE_CHECKING:
    from unlearnbench.data.benchmarks.definition import Benchmark
    from unlearnbench.experiments.data_choice import DataChoice
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.results.record import Role


def settings_in(benchmark: "Benchmark", method: Any) -> dict[str, Any]:
    """What a benchmark sets of a method: what it sets of all that have it, then of its own.

    Raises `UserError` for a setting that the method does not have, or a value that is none.
    """
    of_all = benchmark.definition.settings.get(ALL, {})
    bare = method.name.partition(WITH)[0]
    own = {name: value for name, value in of_all.items() if name in settings_of(method)}
    for name in dict.fromkeys((bare, method.name)):
        own |= benchmark.definition.settings.get(name, {})
    try:
        return {n: parse_setting(method, method.name, n, value) for n, value in own.items()}
    except UserError as error:
        raise UserError(f"benchmark {benchmark.name}, settings: {error}") from error


def check_measures(benchmark: "Benchmark") -> None:
    """Raise `UserError` for a measure that no installed task knows."""
    tasks: Iterable[Any] = registry.tasks().values()
    known = {measure for task in tasks for measure in task.measures}
    for name, split in benchmark.definition.splits.items():
        for measure in split.measures:
            if measure not in known:
                where = f"measure in benchmark {benchmark.name}, splits.{name}:"
                raise unknown(where, measure, known, "unlearnbench list tasks")


def check_is_requested(task: Any, benchmark: "Benchmark | None") -> None:
    """Raise `UserError` for a task of splits of which none asks for what it measures."""
    splits = benchmark.definition.splits.values() if benchmark else ()
    requested = {measure for split in splits for measure in split.measures}
    if SPLITS not in task.needs or not requested.isdisjoint(task.measures):
        return
    if benchmark is None:
        raise UserError(
            f"task '{task.name}' measures the splits of a benchmark; name one: --benchmark "
            "nano-tofu (all: unlearnbench list benchmarks), or leave it out of --tasks"
        )
    raise UserError(
        f"no split of benchmark {benchmark.name} asks for what task '{task.name}' measures "
        f"({', '.join(task.measures)}); leave it out of --tasks"
    )


def reference_name(
    role: "Role",
    experiment: "Experiment",
    model: "ModelChoice",
    data: "DataChoice",
    run: str,
) -> str | None:
    """The model of a reference row: the one asked for, a benchmark's, or that of a nano model.

    Raises `UserError` for one that was retrained without another split.
    """
    if role == "retrained" and experiment.retrained:
        return _requested(experiment, data, run)
    alias = model.alias
    # "Retrained" means without these very rows, which only a world's own data can promise.
    is_own = data.world is not None and data.world is model.world
    if data.benchmark is not None and role in ("retrained", "null"):
        own = data.benchmark.definition.run.get("model", ())
        models = [own] if isinstance(own, str) else own
        if alias is not None and alias.retraining_of in models and is_own:
            return alias.references.get(role)
        if model.requested not in models:
            return None  # another model than the one that those of the benchmark are comparable to
        part = data.benchmark.definition.forget[run]
        return part.retrained if role == "retrained" else part.null
    name = alias.references.get(role) if alias else None
    return None if role in ("retrained", "null") and not is_own else name


def _requested(experiment: "Experiment", data: "DataChoice", run: str) -> str | None:
    """The model that --retrained names for a run; raises `UserError` where it is of another."""
    if len(experiment.model) > 1:
        raise UserError(
            f"--retrained is compared with one model, and there are {len(experiment.model)}; run "
            f"them one at a time: --model {experiment.model[0]}"
        )
    by_run: dict[str, str] = {}
    for text in experiment.retrained:
        name, equals, model = text.partition("=")
        if equals and name in data.source.runs:
            by_run[name] = model
        elif equals and data.benchmark is not None and name in data.benchmark.definition.forget:
            continue  # of a split that this run leaves out
        elif equals and not text.startswith((".", "/", "~")):
            raise unknown(
                f"split in --retrained {text}:", name, data.source.runs, "unlearnbench run --help"
            )
        elif len(data.runs) > 1:
            raise UserError(
                f"--retrained {text} is retrained without one forget set, and there are "
                f"{len(data.runs)}; say which: --retrained {data.runs[0]}={text}"
            )
        else:
            by_run[data.runs[0]] = text
    chosen = by_run.get(run)
    parts = data.benchmark.definition.forget if data.benchmark else {}
    for other, part in parts.items():
        if chosen is not None and chosen == part.retrained and other != run:
            raise UserError(
                f"--retrained {chosen} was trained without {other}, not without {run}; take "
                f"{parts[run].retrained or 'the one of that split'}"
            )
    return chosen


@lru_cache(maxsize=64)  # every cell of a plan asks it
def read_alike(model: "ModelChoice", other: "ModelChoice") -> bool:
    """Whether two models read the same token ids, of which both have as many scores."""
    from unlearnbench.experiments.data_choice import without_weights
    from unlearnbench.models.vocabulary import vocabulary_sha256

    if model.source.weights_sha256 == other.source.weights_sha256:
        return True
    read = [_tokens_and_size(each) for each in (model, other)]
    if None not in read and read[0] == read[1]:  # no tokenizer need be loaded to see it
        return True
    unloaded = [without_weights(each) for each in (model, other)]
    sizes = {each.network.config.get_text_config().vocab_size for each in unloaded}
    longest = max(len(each.tokenizer) for each in unloaded)
    tokens = {vocabulary_sha256(each.tokenizer, longest) for each in unloaded}
    return len(sizes) == len(tokens) == 1


def _tokens_and_size(model: "ModelChoice") -> tuple[bytes, int] | None:
    """The tokenizer's file and the number of scores per token; None where files do not tell."""
    from unlearnbench.models.source import find_folder

    folder = find_folder(model.requested, model.source.revision, False, model.allow_pickle)
    try:
        if folder is None:
            return None
        size = json.loads((folder / "config.json").read_bytes())["vocab_size"]
        return (folder / "tokenizer.json").read_bytes(), size
    except (OSError, ValueError, LookupError, TypeError):
        return None


def check_same_tokens(reference: "ModelChoice", model: "ModelChoice", data: "DataChoice") -> None:
    """Raise `UserError` for a retrained model that reads the items as other tokens."""
    from unlearnbench.experiments.data_choice import without_weights
    from unlearnbench.models.vocabulary import vocabulary_sha256

    if data.benchmark is None or reference.source.weights_sha256 == model.source.weights_sha256:
        return
    own, other = (without_weights(each).tokenizer for each in (model, reference))
    size = max(len(own), len(other))
    if vocabulary_sha256(own, size) != vocabulary_sha256(other, size):
        raise UserError(
            f"retrained reference {reference.source.name} has another tokenizer than "
            f"{model.source.name}, so nothing per token can be compared; take one that was "
            "trained from the same base: --retrained MODEL, or leave it out: --references before"
        )
    templates = [getattr(each, "chat_template", None) for each in (own, other)]
    if data.request.template != "plain" and templates[0] != templates[1]:
        raise UserError(
            f"retrained reference {reference.source.name} has another chat template than "
            f"{model.source.name}; give both the same tokenizer files, or take --template plain"
        )
