"""The data as a run needs it: forget sets, texts and the two encoders, checked early."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

from unlearnbench.data.forget_source import JOIN
from unlearnbench.errors import UserError
from unlearnbench.files.hashing import stamp_of
from unlearnbench.nano import World, find_world
from unlearnbench.settings import name_and_value

if TYPE_CHECKING:
    from unlearnbench.data.benchmarks.definition import Benchmark
    from unlearnbench.data.evaluation_sets import EvaluationSet
    from unlearnbench.data.forget_set import ForgetSet
    from unlearnbench.data.forget_source import ForgetRequest, ForgetSource
    from unlearnbench.data.items import Split
    from unlearnbench.experiments.experiment import Experiment
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.protocol import Protocol
    from unlearnbench.unlearning.method import Method

Stamps = tuple[tuple[tuple[str, int, int], ...], ...]
OFF = "off"  # in place of a text's file: that one is not measured


@dataclass(frozen=True)
class DataChoice:
    """What a model is asked to forget and is measured with."""

    request: "ForgetRequest"
    runs: tuple[str, ...]
    stop: Literal["paper", "calibrated", "rows"]
    forget_sha256: dict[str, str]  # by run: of all its files, when the run was planned
    encoder: str | None  # of pairs; None: the default one
    bert: str | None  # of BERTScore; None: the default one
    encoder_sha256: str  # empty if none is asked for, or to be had: methods will say so
    bert_sha256: str
    texts: dict[str, tuple[str, ...]]
    texts_identity: dict[str, str]
    sets: "dict[str, EvaluationSet]"  # by name: what the chosen tasks need
    benchmark: "Benchmark | None" = None
    stamps: "Stamps" = ()  # of the request's files, when the run was planned

    def has_fixed_length(self, run: str) -> bool:
        """Whether a run's rows are the benchmark's spans of 100 or 200 tokens, not free text."""
        return self.source.targets(run, 1).has_fixed_length

    @property
    def source(self) -> "ForgetSource":
        """The source of the forget sets, opened once per process and plan."""
        return _open(self.request, self.stamps)

    @property
    def world(self) -> World | None:
        """The synthetic world that the forget sets are named by; None for any other source."""
        return find_world(self.request.forget_set)

    def splits(self, run: str, limit: int | None) -> "tuple[Split, ...]":
        """What tasks measure beside a run; none without a benchmark."""
        return self.source.splits(run, limit)

    def doc_ids(self, run: str, limit: int | None) -> tuple[str, ...]:
        """The rows a run asks to forget, in order."""
        return self.source.targets(run, limit).doc_ids

    def shared_with(self, title: str, other: str, protocol: "Protocol") -> dict[str, int]:
        """By run how many of its rows are in another forget set of this source, where any are.

        The other is named by its title and run.  Of a benchmark rows are compared, for its splits
        may lie within each other; else a forget set has all of its own rows and no others.
        """
        alike = [run for run in self.runs if self.source.title(run) == title]
        same = {run: len(self.doc_ids(run, None)) for run in alike}
        splits = self.benchmark.definition.forget if self.benchmark else ()
        if same or other not in splits or self.source.title(other) != title:
            return same
        theirs = set(map(str, self.source.targets(other).contents(protocol)))
        own = {run: self.source.targets(run).contents(protocol) for run in self.runs}
        counts = {run: sum(str(one) in theirs for one in of) for run, of in own.items()}
        return {run: n for run, n in counts.items() if n}

    def requests(self, run: str, limit: int | None) -> dict[str, int]:
        """The forget sets that a run joins, with the rows that each adds; itself alone if none."""
        parts = run.split(JOIN) if self.benchmark is None else [run]
        joined = [JOIN.join(parts[:n]) for n in range(1, len(parts) + 1)]
        if len(parts) == 1 or joined[0] == run:
            return {run: len(self.doc_ids(run, limit))}
        ends = [len(self.doc_ids(name, limit)) for name in joined]
        return {p: b - a for p, a, b in zip(parts, [0, *ends], ends, strict=False)}

    def read_forget_set(
        self,
        run: str,
        limit: int | None,
        model: "LanguageModel",
        protocol: "Protocol",
        request: str | None = None,
    ) -> "ForgetSet":
        """The forget set, tokenised for the model; with `request` the part of that name alone.

        Raises `UserError` where its files are no longer those of the cell's identity.
        """
        from unlearnbench.data.forget_set import read_forget_set

        if self.source.sha256(run) != self.forget_sha256[run]:
            raise UserError(
                f"the files of forget set '{self.source.title(run)}' have changed since this run "
                "began; run the same command again"
            )
        asked, among = (run, None) if request is None else (request, run)
        return read_forget_set(self.source, asked, model, protocol, limit, self.encoder, among)

    def check_method(
        self, method: "Method", run: str, limit: int | None, model: Any, protocol: "Protocol"
    ) -> None:
        """Raise `UserError` for a method that cannot be run with these data or this model.

        `model` is one that is loaded, or the choice of one.
        """
        from unlearnbench.experiments.model_choice import ModelChoice
        from unlearnbench.unlearning.method import check_needs

        check_needs(method, self.source, run, limit, protocol)
        looked_at = _UnloadedModel(model) if isinstance(model, ModelChoice) else model
        method.check(cast("LanguageModel", looked_at), self.source, run)


def choose_data(
    experiment: "Experiment",
    model: "ModelChoice",
    protocol: "Protocol",
    needs: Sequence[str],
) -> tuple[DataChoice, list[str]]:
    """Open the forget sets, texts, encoders and evaluation sets an experiment asks for; warnings.

    `needs` names the evaluation sets that its tasks read.
    Raises `UserError` for any that cannot be had or used; the encoder of pairs costs a
    warning only, because not every method asks for pairs.
    """
    from unlearnbench.data.forget_source import ForgetRequest, check_pairing
    from unlearnbench.data.validation_texts import texts_sha256
    from unlearnbench.metrics.bertscore_model import bert_sha256

    benchmark = benchmark_with_splits(experiment)
    _check_options(experiment, benchmark)
    request = ForgetRequest(
        forget_set=_forget_set(experiment, model, benchmark),
        runs=experiment.split or _steps(experiment) or experiment.runs,
        rows=experiment.rows,
        pool=experiment.pool,
        unseen=experiment.unseen,
        refusals=experiment.refusals,
        pairing=experiment.pairing,
        benchmark=experiment.benchmark if benchmark else None,
        data=experiment.data if benchmark else None,
        template=experiment.template,
    )
    world = find_world(request.forget_set)
    own = world.name if world else None  # its encoder, texts and sets go with its forget sets
    stamps = _stamps(request)
    source = _open(request, stamps)
    check_pairing(source, experiment.limit)
    digests = {run: source.sha256(run) for run in source.runs}
    warnings = _check_rows(source, experiment.limit, model, protocol)
    encoder = experiment.encoder or own
    bert = experiment.bert or own
    encoder_sha256, problem = "", ""
    if request.pairing == "nearest":  # nothing else is found by an encoder
        encoder_sha256, problem = _encoder_sha256(encoder)
    warnings += [problem] if problem else []
    texts, sets, more_warnings = evaluation_data(experiment, own or "hub", needs)
    choice = DataChoice(
        request=request,
        runs=source.runs,
        stop=_stop(experiment, source, world),
        forget_sha256=digests,
        encoder=encoder,
        bert=bert,
        encoder_sha256=encoder_sha256,
        bert_sha256=bert_sha256(bert),
        texts=texts,
        texts_identity=texts_sha256(texts),
        sets=sets,
        benchmark=benchmark,
        stamps=stamps,
    )
    return choice, warnings + more_warnings


def _check_rows(
    source: "ForgetSource", limit: int | None, model: "ModelChoice", protocol: "Protocol"
) -> list[str]:
    """Warnings about the forget sets' rows as this model reads them.

    What such a look at synthetic data gives is the same each time, and needs torch: it is kept.
    """
    from unlearnbench.files.cache import checked_once
    from unlearnbench.files.strict_json import canonical
    from unlearnbench.models.source import find_folder

    def check() -> list[str]:
        from unlearnbench.data.forget_set import check_rows

        return check_rows(source, without_weights(model), protocol, limit)

    folder = None
    if source.is_synthetic:
        folder = find_folder(model.requested, model.source.revision, download=False)
    if folder is None:
        return check()
    digests = {source.title(run): source.sha256(run) for run in source.runs}
    key = canonical([model.source.weights_sha256, digests, asdict(protocol), limit])
    warnings: list[str] = checked_once(folder, f"look {key}", check)
    return list(warnings)


class _UnloadedModel:
    """Stands for a model without weights, which is built when something of it is asked for."""

    def __init__(self, choice: "ModelChoice") -> None:
        self._choice = choice

    def __getattr__(self, name: str) -> Any:
        return getattr(without_weights(self._choice), name)


@lru_cache(maxsize=8)
def without_weights(choice: "ModelChoice") -> "LanguageModel":
    """The model's tokenizer and shape, with no memory taken for its weights."""
    import torch
    from transformers import AutoModelForCausalLM

    from unlearnbench.models.configuration import read_configuration, read_tokenizer
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.models.source import absent, find_folder

    folder = find_folder(
        choice.requested, choice.source.revision, download=False, allow_pickle=choice.allow_pickle
    )
    if folder is None:
        raise absent(choice.requested, choice.source.revision)
    config = read_configuration(folder, choice.trust_remote_code)
    with torch.device("meta"):
        network = AutoModelForCausalLM.from_config(
            config, trust_remote_code=choice.trust_remote_code
        )
    tokenizer = read_tokenizer(folder, config.vocab_size, choice.trust_remote_code)
    return LanguageModel(network, tokenizer, choice.source)


def _stamps(request: "ForgetRequest") -> "Stamps":
    """What tells whether a request's files are still those that were read."""
    places = (request.benchmark, request.data, request.forget_set, request.rows, request.pool)
    return tuple(stamp_of(place) for place in (*places, request.unseen, request.refusals))


@lru_cache(maxsize=8)
def _open(request: "ForgetRequest", stamps: "Stamps") -> "ForgetSource":  # noqa: ARG001 - a key
    from unlearnbench.data.forget_set import open_source

    return open_source(request)


def benchmark_with_splits(experiment: "Experiment") -> "Benchmark | None":
    """The experiment's benchmark, if its file says more than which options to run with."""
    if experiment.benchmark is None:
        return None
    from unlearnbench.data.benchmarks.definition import find_benchmark

    benchmark = find_benchmark(experiment.benchmark)
    return benchmark if benchmark.definition.forget else None


def _forget_set(
    experiment: "Experiment", model: "ModelChoice", benchmark: "Benchmark | None"
) -> str:
    if benchmark is not None:
        own = benchmark.definition.world if experiment.data is None else find_world(experiment.data)
        return own if isinstance(own, str) else own.name if own else benchmark.name
    if experiment.forget_set is not None:
        return experiment.forget_set
    if model.world:
        return model.world.name
    raise UserError(
        f"model '{model.requested}' needs to be told what to forget: --forget-set FOLDER with "
        "doc_id CSVs (and --rows FOLDER of the .npy files), a .jsonl, .csv or .parquet file of "
        "texts, or hf:owner/name"
    )


def _steps(experiment: "Experiment") -> tuple[str, ...]:
    """All rows requested so far, after each request of a sequence: '0', '0+1', '0+1+2'."""
    names = experiment.sequence
    return tuple(JOIN.join(names[:n]) for n in range(1, len(names) + 1))


def _check_options(experiment: "Experiment", benchmark: "Benchmark | None") -> None:
    """Raise `UserError` for options that a benchmark answers, or that only it gives a meaning."""
    if experiment.split and experiment.runs and experiment.split != experiment.runs:
        raise UserError("--split and --runs name the same thing, forget splits; leave one out")
    if experiment.sequence and (experiment.runs or experiment.split or benchmark is not None):
        of = "a benchmark's splits overlap" if benchmark else "--sequence names the forget sets"
        beside = "--benchmark" if benchmark else "--split" if experiment.split else "--runs"
        raise UserError(f"--sequence has no place beside {beside}: {of}; leave one of them out")
    if benchmark is None:
        return
    for name in ("forget_set", "rows", "pool", "unseen"):
        if getattr(experiment, name) is not None:
            raise UserError(
                f"--{name.replace('_', '-')} {getattr(experiment, name)}: the benchmark "
                f"{benchmark.name} says itself what is forgotten and kept; leave it out, or leave "
                "--benchmark out"
            )


def _stop(
    experiment: "Experiment", source: "ForgetSource", world: World | None
) -> Literal["paper", "calibrated", "rows"]:
    default = world.stop if world else "paper"
    stop = default if experiment.stop == "auto" else experiment.stop
    if stop == "paper":
        return "paper"
    if source.unseen is None:
        raise UserError(
            f"--stop {stop} needs rows the model never saw: --unseen FILE, or use --stop paper"
        )
    return stop


def _encoder_sha256(encoder: str | None) -> tuple[str, str]:
    """Digest of the encoder's weights; none, and why, where the default one cannot be had."""
    from unlearnbench.data.pairs import DEFAULT_ENCODER, encoder_folder
    from unlearnbench.models.source import weights_sha256

    try:
        return weights_sha256(encoder_folder(encoder or DEFAULT_ENCODER)), ""
    except UserError as error:
        if encoder is not None:
            raise
        return "", str(error)


def evaluation_data(
    experiment: "Experiment", place: str, needs: Sequence[str]
) -> "tuple[dict[str, tuple[str, ...]], dict[str, EvaluationSet], list[str]]":
    """Texts and evaluation sets alone, from 'hub' or a world where the experiment names no other.

    The last are warnings.  Raises `UserError` for any that cannot be had.
    """
    from unlearnbench.data.evaluation_sets.reading import read_sets
    from unlearnbench.data.validation_texts import default_texts, parse_text_option, read_texts
    from unlearnbench.metrics.task import NO_SETS, TEXTS

    texts: dict[str, tuple[str, ...]] = {}
    named = dict(map(parse_text_option, experiment.text))
    if TEXTS in needs:
        places = {**default_texts(place, experiment.data), **named}
        texts = read_texts({name: where for name, where in places.items() if where != OFF})
    revisions = dict(
        name_and_value(option, "--data-revision", "NAME=COMMIT", "piqa=COMMIT")
        for option in experiment.data_revision
    )
    warnings: list[str] = []
    wanted = tuple(name for name in needs if name not in NO_SETS)
    sets = read_sets(wanted, experiment.data or place, revisions, warnings)
    return texts, sets, warnings
