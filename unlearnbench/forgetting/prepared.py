"""A request made into experiments: the data and texts it means, and each way to try a method."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench import registry
from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.data_choice import OFF, DataChoice, choose_data
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import read_learning_rates, tuned_rates_for
from unlearnbench.experiments.model_choice import ModelChoice, choose_model
from unlearnbench.experiments.planner import Plan, Planner
from unlearnbench.files.cache import cache_root
from unlearnbench.files.tables import read_table
from unlearnbench.files.whole_files import write_whole
from unlearnbench.forgetting.chain import MODEL, PRIVATE, Link, read_chain
from unlearnbench.forgetting.request import (
    DEFAULT_ATTACKS,
    DEFAULT_LOSS,
    OF_ONE_REQUEST,
    Request,
    items,
    share,
)
from unlearnbench.forgetting.trials import Rung, Size, default_methods, rungs_of
from unlearnbench.models.aliases import aliases
from unlearnbench.nano import World, find_world

if TYPE_CHECKING:
    from unlearnbench.experiments.learning_rates import LearningRates

KEEP = "keep"
_LORA = "lora"
# What a request decides itself, method by method.
_OWN = ("methods", "settings", "attacks", "learning_rates", "keep")


@dataclass
class Prepared:
    """Everything that is known of a request before a model is loaded."""

    request: Request
    links: tuple[Link, ...]  # earlier requests of the chain
    world: World | None
    values: dict[str, Any]  # of `Experiment`, for every cell
    given: dict[str, Any]  # what the user wrote, now and in earlier requests
    keep: str | None
    download: bool = True
    rungs: dict[str, tuple[Rung, ...]] = field(default_factory=dict)
    not_tried: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._look_up = cache(choose_model), cache(choose_data)

    @property
    def number(self) -> int:
        """Of the request in its chain."""
        return len(self.links) + 1

    @property
    def max_loss(self) -> float:
        """The share of utility that may go: the request's, that of the one before, or 5%."""
        if self.request.max_loss is not None:
            return self.request.max_loss
        return self.links[-1].certificate.max_utility_loss if self.links else share(DEFAULT_LOSS)

    @property
    def private(self) -> Path:
        """Where results, models that were tried and rows lie."""
        return self.request.out / PRIVATE

    @property
    def attacks(self) -> tuple[str, ...]:
        """Those requested, or the default ones."""
        return tuple(items(self.given.get("attacks"))) or DEFAULT_ATTACKS

    @property
    def settings(self) -> tuple[str, ...]:
        """What --set says."""
        return tuple(items(self.given.get("settings"), commas=False))

    def experiment(self, **more: Any) -> Experiment:
        """The experiment of every cell, with what one of them is."""
        return Experiment.parse({**self.values, **more})

    def of_rung(self, rung: Rung, **more: Any) -> Experiment:
        """The experiment that tries a method in one way."""
        shared = [text for text in self.settings if not _is_of(text, "methods", "attacks")]
        settings = [*shared, *rung.settings, *more.pop("settings", ())]
        if _LORA in self._wrappers(rung) and not any(t.startswith("lora.keep") for t in settings):
            settings.append("lora.keep=adapter")
        return self.experiment(methods=[rung.method], settings=settings, **more)

    def of_unseen(self, model: Path, n_rows: int, attack: str) -> Experiment | None:
        """The experiment that attacks a model with rows that it never saw as those to forget.

        None where these rows are in no file of texts.
        """
        given = self.values.get("unseen")
        path = given or (_unseen_of(self.world) if self.world is not None else None)
        if path is None or not Path(path).is_file():
            return None
        world = self.world
        of_world = {} if world is None else {
            "encoder": world.name, "data": world.name, "threads": world.threads
        }  # fmt: skip
        left_out = ("unseen", "pool", "runs", "rows", "revision", "adapter")
        shared = {name: value for name, value in self.values.items() if name not in left_out}
        return Experiment.parse(
            {
                **shared,
                **of_world,
                "model": [str(model)],
                "forget_set": str(path),
                "limit": n_rows,
                "methods": ["kumpr"],
                "stop": "paper",
                "pairing": "random",
                "attacks": [attack],
                "attack_tasks": ["forgetting"],
                "settings": of_attack(self.settings, attack),
            }
        )

    def _wrappers(self, rung: Rung) -> tuple[str, ...]:
        return (*rung.method.split(registry.WITH)[1:], str(self.values.get("adapter") or ""))

    def plan(self, experiment: Experiment) -> Plan:
        """Its cells; what several experiments share is resolved once."""
        planned = Planner(experiment, self.download, False, *self._look_up).plan()
        self.warnings += [line for line in planned.warnings if line not in self.warnings]
        return planned

    def look_up(self) -> tuple[ModelChoice, DataChoice]:
        """The model and the data, with their checks; raises `UserError` as planning does."""
        planner = Planner(self.experiment(methods=["kumpr"]), self.download, False, *self._look_up)
        experiment = replace(planner.experiment, methods=(), settings=())
        model = self._look_up[0](experiment, planner.experiment.model[0], self.download)
        data = planner.data(model)
        if len(data.runs) > 1:
            raise UserError(
                f"{data.source.name} holds {len(data.runs)} forget sets ({', '.join(data.runs)}), "
                f"and a request is one: --runs {data.runs[0]}"
            )
        if not data.texts:
            raise UserError(
                "there is no text to measure utility on, and without one nobody could say what a "
                "method breaks; give one: --keep FILE"
            )
        return model, data

    def cells_of(self, rung: Rung) -> tuple[Cell, Cell]:
        """The model before, and the one that the method makes."""
        cells = {cell.role: cell for cell in self.plan(self.of_rung(rung)).cells}
        return cells["before"], cells["method"]


def prepare(request: Request, download: bool = True) -> Prepared:
    """Plan a request: the data, the methods and their rates.  Loads no weights.

    Raises `UserError` for anything that cannot be had or used.
    """
    links = read_chain(request.on)
    given: dict[str, Any] = dict(request.options)
    if links:
        before = links[-1].kept.options
        given = {**{n: v for n, v in before.items() if n not in OF_ONE_REQUEST}, **given}
        given["model"] = [str(request.on.absolute() / MODEL)] if request.on else []
    if not given.get("model"):
        raise UserError("say which model is to forget: --model MODEL, or --on FOLDER of a request")
    keep = request.keep or (links[-1].kept.keep if links else None)
    for file in items(given.get("plugin"), commas=False):
        registry.load_plugin_file(Path(file))
    alias = aliases().get(items(given["model"])[0])
    world = find_world(given["forget_set"]) or (alias.world if alias else None)
    world = world or (find_world(links[-1].kept.world) if links else None)
    prepared = Prepared(request, links, world, {}, given, keep, download)
    prepared.values = {
        **_defaults(prepared),
        **{name: value for name, value in given.items() if name not in _OWN},
        **_texts(prepared),
    }
    model, data = prepared.look_up()
    prepared.values.setdefault("jobs", 0 if world else 1)
    _choose_trials(prepared, model, data)
    return prepared


def _defaults(prepared: Prepared) -> dict[str, Any]:
    """What a request leaves open."""
    given, world = prepared.given, prepared.world
    values: dict[str, Any] = {
        "references": ["before"],
        "tasks": ["forgetting", "perplexity"],
        "bert": "off",
        "el_epochs": "deciding",
        "save_models": True,
        "out": str(prepared.private),
    }
    if world is not None and find_world(given["forget_set"]) is None:
        values["encoder"] = world.name
        values["data"] = world.name
        values["threads"] = world.threads
        if not given.get("unseen") and given.get("stop") != "paper":
            values["unseen"] = _unseen_of(world)
    if given.get("unseen") or "unseen" in values:
        values["stop"] = "rows"
    if not given.get("encoder") and world is None:
        values["pairing"] = "random"  # neighbours would need a sentence encoder
    return values


def _texts(prepared: Prepared) -> dict[str, Any]:
    """The text that must stay known, where one is given; else the run's own."""
    if prepared.keep is None:
        return {}
    given = items(prepared.given.get("text"), commas=False)
    kept = _keep_file(Path(prepared.keep), prepared.private)
    return {"text": [f"{KEEP}={kept}", f"pile={OFF}", f"wikitext={OFF}", *given]}


def _keep_file(path: Path, private: Path) -> Path:
    """A file of texts as it is; of questions and answers, one with a text for each."""
    from unlearnbench.data.text_files import text_rows
    from unlearnbench.files.tables import table_suffix

    if not path.is_file():
        raise UserError(f"--keep {path}: there is no such file")
    if not table_suffix(path):
        return path
    rows = read_table(path)
    if not rows or "text" in rows[0]:
        return path
    texts = [row.prefix + (row.suffix or "") for row in text_rows(rows, path.name).rows]
    content = _lines({"text": text} for text in texts)
    # By its content: what another request in the folder keeps is not written over.
    kept = private / f"keep-{sha256(content.encode()).hexdigest()[:12]}.jsonl"
    write_whole(kept, content, "choose another --out")
    return kept


def _unseen_of(world: World) -> str:
    """A file of the rows of a world that its models never saw."""
    from unlearnbench.data.extraction_benchmark import TokenRows
    from unlearnbench.data.forget_set import open_source
    from unlearnbench.data.forget_source import ForgetRequest

    if world.unseen:
        return str(world.data() / world.unseen)
    rows = open_source(ForgetRequest(world.name)).unseen
    assert isinstance(rows, TokenRows)
    spans = [[p.tolist(), s.tolist()] for p, s in zip(rows.prefix, rows.suffix, strict=True)]
    texts = rows.vocabulary.texts(spans)
    path = cache_root() / "unseen" / f"{world.name}.jsonl"
    named = zip(rows.doc_ids, texts, strict=True)
    content = _lines({"doc_id": f"unseen:{n}", "prefix": p, "suffix": s} for n, (p, s) in named)
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        write_whole(path, content, "set UNLEARNBENCH_CACHE to a folder that can be written")
    return str(path)


def _lines(rows: Any) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _choose_trials(prepared: Prepared, model: ModelChoice, data: DataChoice) -> None:
    """The methods and how each is tried; of the default ones those that can be."""
    named = items(prepared.given.get("methods"))
    experiment = prepared.experiment(methods=["kumpr"])
    pool = data.source.pool(data.runs[0], experiment.limit)
    n_rows = len(data.doc_ids(data.runs[0], experiment.limit))
    has_pool = pool is not None and len(pool) > 0
    size = Size(model.n_parameters, n_rows, experiment.batch_size, experiment.max_epochs, has_pool)
    methods = named or default_methods(has_pool)
    _check_owners(prepared.settings, methods)
    tuned = _tuned(prepared, model)
    adapter = bool(prepared.values.get("adapter"))
    inherited = prepared.links[-1].kept.settings if prepared.links else {}
    first: UserError | None = None
    for method in dict.fromkeys(methods):
        own = [text for text in prepared.settings if text.startswith(f"{method}.")]
        if method in inherited and not own and "learning_rates" not in prepared.request.options:
            before = inherited[method]
            rungs = tuple(Rung(method, tuple(s), "as in the request before") for s in before)
        else:
            rungs = rungs_of(method, prepared.settings, tuned, size, adapter)
        try:
            for rung in rungs:
                prepared.cells_of(rung)
        except UserError as error:
            if named:
                raise
            first = first or error
            prepared.not_tried[method] = str(error)
            continue
        prepared.rungs[method] = rungs
    if not prepared.rungs:
        raise first or UserError("no method is left to try; name some: --methods gd,npo")


def _tuned(prepared: Prepared, model: ModelChoice) -> "LearningRates | None":
    if prepared.given.get("learning_rates"):
        return read_learning_rates(Path(prepared.given["learning_rates"]))
    return tuned_rates_for(prepared.experiment(methods=["kumpr"]), model)[0]


def _check_owners(settings: Sequence[str], methods: Sequence[str]) -> None:
    """Raise `UserError` for a setting of a method that is not tried."""
    bare = {name.partition(registry.WITH)[0] for name in methods}
    for text in settings:
        owner = text.partition(".")[0]
        if owner in registry.methods() and owner not in bare:
            raise unknown("method of this request", owner, bare, "--methods")


def _is_of(text: str, *kinds: str) -> bool:
    owner = text.partition(".")[0]
    return any(owner in registry.plugins(kind) for kind in kinds)


def of_attack(settings: Sequence[str], attack: str) -> list[str]:
    """The settings of one attack."""
    return [text for text in settings if text.partition(".")[0] == attack]
