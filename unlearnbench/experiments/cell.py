"""A cell: one row and run of the comparison, and the identity its result is filed under."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, cast

from unlearnbench.files.hashing import files_sha256, text_sha256
from unlearnbench.files.software import (
    attacking_sha256,
    harness_sha256,
    package_versions,
    source_sha256,
    versions_of,
)
from unlearnbench.metrics.task import RETRAINED
from unlearnbench.protocol import Protocol
from unlearnbench.registry import find
from unlearnbench.results.record import TRAINED, Role, key_of

if TYPE_CHECKING:
    from unlearnbench.data.evaluation_sets import EvaluationSet
    from unlearnbench.experiments.data_choice import DataChoice
    from unlearnbench.experiments.model_choice import ModelChoice

# Of what an identity is made of, whatever the layout of the files: another one is another key.
IDENTITY_VERSION = 1


@dataclass(frozen=True)
class PlannedAttack:
    """What a cell's model is given before it is measured."""

    name: str
    label: str
    settings: dict[str, Any]  # all of them
    base: str  # key of the cell that measures the model itself, by which it is kept
    unlearned_by: str  # digest of the software that unlearned it


@dataclass(frozen=True)
class PlannedNoise:
    """What stands in place of a method's update, in a sham row."""

    settings: dict[str, Any]  # all of them
    base: str  # key of the method's own cell, by which its model may be kept


@dataclass(frozen=True)
class Cell:
    """One row and run of the comparison: everything needed to make its numbers."""

    role: Role
    group: str
    label: str
    model: "ModelChoice"
    main: "ModelChoice"  # whose unlearning the row is compared in; its stop line counts
    method: str  # 'none' for a reference row
    method_label: str
    settings: dict[str, Any]  # of the method, all of them
    origins: dict[str, str]
    data: "DataChoice"
    run: str
    protocol_name: str
    protocol: Protocol
    stop: Literal["paper", "calibrated", "rows"]
    seed: int
    threads: int
    position: int  # of the method among those asked for; orders rows, changes no number
    tasks: dict[str, dict[str, Any]]  # name -> settings that are not the default
    el_epochs: Literal["all", "deciding"] = "all"
    limit: int | None = None
    task_limit: int | None = None
    retrained: "ModelChoice | None" = None  # if a task needs it and there is one
    models: str | None = None  # folder to keep the unlearned model in; changes no number
    must_keep_model: bool = False  # a result without its model in that folder is not enough
    attack: PlannedAttack | None = None
    noise: PlannedNoise | None = None
    after: "Cell | None" = None  # of a sequence: the step whose model is unlearned further
    request: str | None = None  # then the forget set that is unlearned now; `run` is all so far
    traces: str | None = None  # folder to write a trace of the run into; changes no number
    trackers: tuple[str, ...] = ()  # a folder for each, of its name; they change no number
    variant: str = ""  # of a named experiment; tells titles apart, changes no number
    identity: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """sha256 of the identity."""
        return key_of(self.identity)

    @property
    def is_trained(self) -> bool:
        """Whether a method changes its model before it is measured."""
        return self.role in TRAINED

    @property
    def model_key(self) -> str:
        """By which the unlearned model is kept that it takes: its own, or another cell's."""
        taken = self.attack or self.noise
        return taken.base if taken else self.key

    @property
    def title(self) -> str:
        """What a person calls it: 'nano-neo: NEO + ICU, forget set 0, seed 42'."""
        seed = f", seed {self.seed}" if self.is_trained else ""
        label = f"{self.label} {self.variant}".strip()
        if self.after is not None:
            return f"{self.group}: {label}, request {self.request} after {self.after.run}{seed}"
        attack = f", under {self.attack.label}" if self.attack else ""
        return f"{self.group}: {label}, forget set {self.run}{seed}{attack}"


def identity_of(cell: Cell) -> dict[str, Any]:
    """Everything that can change a cell's numbers; the software stands apart from the question."""
    is_trained = cell.is_trained
    training = cell.model.strategy.identity if is_trained or cell.attack else {}
    return {
        "schema_version": IDENTITY_VERSION,
        "role": cell.role,
        "group": cell.group,
        "model": cell.model.identity,
        "stop": {"line": cell.stop, "of": cell.main.identity},
        "el_epochs": cell.el_epochs if is_trained else "",
        "method": {"name": cell.method, "settings": cell.settings},
        "forget_set": {
            "run": cell.run,  # its folder's place and name can change no number
            "sha256": cell.data.forget_sha256[cell.run],
            "limit": cell.limit,
            # Only where it differs from the plain way, as below.
            **(_pairing(cell) if is_trained else {}),
            **_stock_refusals(cell),
            **_asked_by_chat(cell),
            **_requests(cell),
        },
        "protocol": asdict(cell.protocol),
        "seed": cell.seed,
        "tasks": {"settings": cell.tasks, "limit": cell.task_limit, **_beside(cell)},
        "texts": cell.data.texts_identity,
        "sets": {name: read.sha256 for name, read in _sets(cell).items()},
        # A reference row has no pairs.
        "encoders": {
            "bert": cell.data.bert_sha256,
            "pairs": cell.data.encoder_sha256 if is_trained else "",
        },
        "threads": cell.threads,
        # Only where it differs from the plain way: results of before it could are still the same.
        **({"training": training} if training else {}),
        **_benchmark(cell),
        **({"attack": _attack(cell)} if cell.attack else {}),
        **({"noise": cell.noise.settings} if cell.noise else {}),
        **({"sequence": _sequence(cell)} if cell.after else {}),
        "software": software_of(cell),
    }


def _beside(cell: Cell) -> dict[str, Any]:
    """The other models that tasks look at; of a benchmark the retrained one is said there."""
    needs = {need for name in cell.tasks for need in cast("Any", find("tasks", name)).needs}
    if cell.retrained is None or cell.data.benchmark is not None or RETRAINED not in needs:
        return _side_models(cell)
    return {**_side_models(cell), "retrained": cell.retrained.identity}


def _side_models(cell: Cell) -> dict[str, Any]:
    """Digests of models that tasks measure with, by task."""
    made: dict[str, Any] = {n: find("tasks", n)(**values) for n, values in cell.tasks.items()}
    digests_of = {name: task.side_models() for name, task in made.items()}
    named = {name: digests for name, digests in digests_of.items() if digests}
    return {"side_models": named} if named else {}


def _sets(cell: Cell) -> "dict[str, EvaluationSet]":
    """The sets that its tasks read: those under attack are fewer than the run's."""
    if cell.attack is None:
        return cell.data.sets
    needed = {need for name in cell.tasks for need in cast("Any", find("tasks", name)).needs}
    return {name: read for name, read in cell.data.sets.items() if name in needed}


def _attack(cell: Cell) -> dict[str, Any]:
    """What the model is given: the attack, and the other models that it looks at."""
    planned = cell.attack
    assert planned is not None
    looked_at = {"original model": cell.main, "retrained model": cell.retrained}
    needs = _attack_needs(cell)
    models = {n: m.identity for n, m in looked_at.items() if n in needs and m is not None}
    return {
        "name": planned.name,
        "settings": planned.settings,
        "files": attack_files(cell),
        "models": models,
        "unlearned_by": planned.unlearned_by if cell.is_trained else "",
    }


def _attack_needs(cell: Cell) -> tuple[str, ...]:
    assert cell.attack is not None
    kind: Any = find("attacks", cell.attack.name)
    splits = cell.data.splits(cell.run, cell.limit)
    needs: tuple[str, ...] = kind(**cell.attack.settings).needed(
        any(split.role == "retain" for split in splits)
    )
    return needs


def attack_files(cell: Cell) -> dict[str, str]:
    """Digests of the files that a cell's attack reads: those of its settings, and its texts."""
    assert cell.attack is not None
    kind: Any = find("attacks", cell.attack.name)
    files: dict[str, str] = kind(**cell.attack.settings).data_sha256()
    texts = cell.data.texts_identity if "texts" in _attack_needs(cell) else {}
    return files | {f"text {name}": sha256 for name, sha256 in texts.items()}


def _benchmark(cell: Cell) -> dict[str, Any]:
    """What a benchmark has measured, and how its questions become tokens."""
    if cell.data.benchmark is None:
        return {}
    splits = cell.data.splits(cell.run, cell.limit)
    retrained = {"retrained": cell.retrained.identity} if cell.retrained else {}
    source: Any = cell.data.source
    kinds = {source.template.kind, *(split.template.kind for split in splits)}
    return {
        "benchmark": {
            "splits": {split.name: split.sha256 for split in splits},
            "template": cell.data.request.template,
            **({} if kinds == {"plain"} else _chat_template(cell.model)),
            **retrained,
        }
    }


def _asked_by_chat(cell: Cell) -> dict[str, str]:
    """The chat template that questions of one's own may stand in, where it is a file of its own."""
    request, source = cell.data.request, cell.data.source
    if request.template == "plain" or not source.asks_questions(cell.run):
        return {}
    return _chat_template(cell.model)


def _chat_template(model: "ModelChoice") -> dict[str, str]:
    """Digest of the chat template where it is a file of its own.

    In tokenizer_config.json it is a part of the model's identity, as everything there.
    """
    from unlearnbench.models.source import find_folder

    folder = find_folder(
        model.requested, model.source.revision, download=False, allow_pickle=model.allow_pickle
    )
    files = sorted(folder.glob("**/*.jinja")) if folder else []
    return {"chat_template": files_sha256(files, folder)} if files else {}


def _requests(cell: Cell) -> dict[str, dict[str, int]]:
    """Of joined forget sets the rows that each adds, in order."""
    requests = cell.data.requests(cell.run, cell.limit)
    return {"requests": requests} if len(requests) > 1 else {}


def _sequence(cell: Cell) -> dict[str, str]:
    """What is unlearned, and the result of the step before: its model is where this one begins."""
    assert cell.after is not None
    return {"request": str(cell.request), "after": cell.after.key}


def _pairing(cell: Cell) -> dict[str, str]:
    """How rows and retain items go together; of a field its values, which are no text of a row."""
    pairing, source = cell.data.request.pairing, cell.data.source
    if pairing == "nearest":
        return {}
    kind, _, name = pairing.partition(":")
    if kind != "same":
        return {"pairing": pairing}
    rows = (source.targets(cell.run, cell.limit), source.pool(cell.run, cell.limit))
    values = [sorted(of.values_of(name).items()) if of else [] for of in rows]
    return {"pairing": pairing, "pairing_values": text_sha256(repr(values))}


def _stock_refusals(cell: Cell) -> dict[str, str]:
    """Digest of the source's own refusals, where the method takes them for want of others."""
    method: Any = find("methods", cell.method) if cell.method != "none" else None
    source = cell.data.source
    if method is None or "refusals" not in method.needs or source.refusals:
        return {}
    return {"refusals": text_sha256(*source.stock_refusals)}


def software_of(cell: Cell) -> dict[str, Any]:
    """What this process would compute the cell with."""
    # An edited method or task is another one.
    plugins = {name: source_sha256(find("tasks", name)) for name in cell.tasks}
    packages = package_versions()
    if cell.method != "none":
        method: Any = find("methods", cell.method)
        plugins[cell.method] = source_sha256(method)
        for wrapper in getattr(method, "wrapper_kinds", ()):
            packages = packages | versions_of(wrapper.packages)
    software = {"packages": packages, "harness": harness_sha256(), "plugins": plugins}
    if cell.attack is None:
        return software
    attack: Any = find("attacks", cell.attack.name)
    plugins[cell.attack.name] = source_sha256(attack)
    packages = packages | versions_of(attack.packages)
    return {**software, "packages": packages, "attacking": attacking_sha256()}
