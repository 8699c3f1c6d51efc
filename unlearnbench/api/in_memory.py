"""One model in memory: loaded, made to forget, measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnbench.api.options import experiment_of, protocol_settings, warn
from unlearnbench.data.benchmarks.definition import is_benchmark
from unlearnbench.data.forget_set import ForgetSet
from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.method_settings import chosen_plugins, construct
from unlearnbench.experiments.planner import Planner, plan_cell
from unlearnbench.experiments.schedule_choice import FIELDS
from unlearnbench.metrics.task import RETRAINED
from unlearnbench.models.devices.device import cores
from unlearnbench.protocol import PAPER, Protocol
from unlearnbench.registry import find
from unlearnbench.settings import plain, quoted, settings_of
from unlearnbench.unlearning.method import Method

if TYPE_CHECKING:
    from unlearnbench.experiments.model_choice import ModelChoice
    from unlearnbench.models.language_model import LanguageModel
    from unlearnbench.results.record import UnlearnTrace
    from unlearnbench.results.score import Score
    from unlearnbench.unlearning.examiner import Examiner


def load_model(
    name: str | Path,
    *,
    revision: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    trust_remote_code: bool = False,
    allow_pickle: bool = False,
    quantise_base: str = "no",
    mixed_precision: str = "no",
    gradient_checkpointing: bool = False,
    gradient_accumulation_steps: int = 1,
) -> "LanguageModel":
    """Load a causal language model with its tokenizer: by alias, hub id, folder or file.

    The options are those of `unlearnbench run`; the last three say how it is trained.
    `model.copied()` gives a second network with the same weights, to be changed on its own.
    Raises `UserError` where the model cannot be had, is damaged or is no causal language model.
    """
    from unlearnbench.experiments.model_choice import choose_model

    experiment = experiment_of(
        model=(name,),
        revision=revision,
        device=device,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        allow_pickle=allow_pickle,
        quantise_base=quantise_base,
        mixed_precision=mixed_precision,
        gradient_checkpointing=gradient_checkpointing,
        gradient_accumulation_steps=gradient_accumulation_steps,
    )
    choice = choose_model(experiment, str(name))
    model = choice.load()
    model.choice, model.strategy = choice, choice.strategy
    return model


@dataclass(kw_only=True)
class LoadedForgetSet(ForgetSet):
    """A forget set with what it was asked for: what is done with it later goes by that."""

    experiment: Experiment
    cell: Cell  # the one that would measure the model before unlearning


def load_forget_set(
    name: str | Path,
    model: "LanguageModel",
    *,
    run: str | None = None,
    limit: int | None = None,
    rows: str | None = None,
    pool: str | None = None,
    unseen: str | None = None,
    refusals: str | None = None,
    encoder: str | None = None,
    pairing: str | None = None,
    data: str | None = None,
    template: str | None = None,
    protocol: str | Protocol = "paper",
) -> LoadedForgetSet:
    """Read one forget set and tokenise it for one model (and for its copies).

    `name` is 'nano', a folder, a file of texts, hf:owner/name, or a benchmark's name or .toml
    file; `run` is which of its forget sets, by default the first; `protocol` is 'paper',
    'released' or a `Protocol`.  `data` is of benchmarks; the other options are
    those of `unlearnbench run`.
    Raises `UserError` naming file and row of what is wrong with the data.
    """
    of_benchmark = {"benchmark": name, "data": data}
    experiment = experiment_of(
        **(of_benchmark if is_benchmark(name) else {"forget_set": name, "tasks": ("forgetting",)}),
        template=template,
        runs=() if run is None else (run,),
        limit=limit,
        rows=rows,
        pool=pool,
        unseen=unseen,
        refusals=refusals,
        encoder=encoder,
        pairing=pairing,
        settings=protocol_settings(protocol),
        references=("before",),
    )
    cell = _planned(experiment, model)
    read = cell.data.read_forget_set(cell.run, cell.limit, model, cell.protocol)
    parts = {field.name: getattr(read, field.name) for field in fields(read)}
    return LoadedForgetSet(**parts, experiment=replace(experiment, runs=(cell.run,)), cell=cell)


def make_examiner(
    model: "LanguageModel",
    forget_set: ForgetSet,
    *,
    stop: str = "auto",
    el_epochs: str = "auto",
    bert: str | None = None,
) -> "Examiner":
    """What measures how well a model knows rows, and says when a method may stop.

    `stop`, `el_epochs` and `bert` are the options of `unlearnbench run`.  A calibrated stop line
    is that of the model as its files hold it, whatever was unlearned since.
    """
    from unlearnbench.running.environment import randomness_put_back

    loaded = _loaded(forget_set, model)
    options = experiment_of(stop=stop, el_epochs=el_epochs, bert=bert)
    cell = loaded.cell
    if (stop, el_epochs, bert) != ("auto", "auto", None):
        experiment = replace(
            loaded.experiment, stop=options.stop, el_epochs=options.el_epochs, bert=options.bert
        )
        cell = _planned(experiment, model)
    with randomness_put_back():
        return _examiner(cell, model)


def unlearn(
    model: "LanguageModel",
    forget_set: ForgetSet,
    method: str | Method,
    examiner: "Examiner | None" = None,
    *,
    seed: int | None = None,
    progress: bool = False,
    **settings: Any,
) -> "UnlearnTrace":
    """Change `model` in place so that it forgets the set; the record of every epoch.

    A method by name gets the settings that a cell of `unlearnbench run` would get: those given
    here, then a learning rate tuned for the model, then the method's own.  A method object keeps
    its own.  The options of `unlearnbench run` that say how a run is trained and when it ends
    (optimizer, lr_schedule, until, ...) stand among the settings; `text` and `data` name the texts
    of a utility budget.  `seed` is 42 by default.  Without an examiner, `make_examiner` makes one.
    Raises `UserError` for an unknown method or setting, for a value that a setting cannot have, and
    for what a plugin does wrong.
    """
    from unlearnbench.running.environment import fix_randomness, randomness_put_back
    from unlearnbench.running.progress import progress as progress_bar
    from unlearnbench.running.scheduled import scheduled
    from unlearnbench.running.unlearned import unlearn

    loaded = _loaded(forget_set, model, examiner)
    cell = loaded.cell
    options = _taken_options(settings, method)
    if isinstance(method, str):
        made = _make_method(loaded, model, method, settings, seed)
    elif not isinstance(method, Method):
        raise UserError(f"{quoted(method)} is no method; give its name, or ub.methods['icu']()")
    elif settings or seed is not None:
        raise UserError(
            f"a method object has its settings already; give them to it: "
            f"ub.methods['{method.name}'](alpha=0.1), or give its name"
        )
    else:
        made = method
    cell.data.check_method(made, cell.run, cell.limit, model, loaded.protocol)
    label = f"{_choice(model).family} + {made.label}"
    title = f"{cell.group}: {label}, forget set {cell.run}, seed {made.seed}"
    place = cell.data.world.name if cell.data.world else "hub"
    of_benchmark = {name: getattr(loaded.experiment, name) for name in FIELDS}
    schedule = experiment_of(**{**of_benchmark, **options})
    trained = scheduled(model, schedule, made, len(loaded.rows), place)
    with trained as documents, progress_bar(1, progress) as bar, randomness_put_back():
        bar.start(title)
        examiner = examiner or make_examiner(model, forget_set)
        examiner = replace(examiner, budget_text=documents) if documents else examiner
        fix_randomness(made.seed, cell.threads)
        trace = unlearn(made, model, forget_set, examiner, title)
        outcome = f"{trace.outcome.replace('_', ' ')}, {trace.n_epochs} epochs"
        bar.finish(title, outcome, failed=trace.outcome == "collapsed")
    return trace


def evaluate(
    model: "LanguageModel",
    tasks: Sequence[str] = (),
    forget_set: ForgetSet | None = None,
    examiner: "Examiner | None" = None,
    *,
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    task_limit: int | None = None,
    text: Sequence[str] = (),
    data: str | None = None,
    data_revision: Sequence[str] = (),
    protocol: str | Protocol | None = None,
    seed: int = 42,
) -> "dict[str, dict[str, Score]]":
    """Measure a model: the scores by task and metric, as a cell of the command line measures it.

    Without `tasks` all built-in ones are measured; without a forget set, those that need none.
    `settings` are of tasks: {"perplexity.window": 256}.  The protocol is the forget set's;
    `protocol` says it where there is none.  The other options are those of `unlearnbench run`.
    With the examiner that a method was given, what its last examination measured is not measured
    again.
    Raises `UserError` for an unknown task, and for one whose data cannot be had.
    """
    from unlearnbench.experiments.data_choice import evaluation_data
    from unlearnbench.metrics.task import TaskContext, columns_of
    from unlearnbench.running.environment import randomness_put_back
    from unlearnbench.running.measuring import measure_tasks

    loaded = None if forget_set is None else _loaded(forget_set, model, examiner)
    experiment = experiment_of(
        tasks=_measurable(tasks, loaded),
        task_limit=task_limit,
        text=text,
        data=data,
        data_revision=data_revision,
        settings=[
            *plain(protocol_settings(protocol or PAPER)),
            *experiment_of(settings=settings).settings,
        ],
        seeds=(seed,),
    )
    planner = Planner(experiment)
    if loaded is not None and (protocol is not None or "protocol" in planner.overrides):
        raise UserError(
            "a forget set has its protocol; say it there: ub.load_forget_set(..., protocol=...)"
        )
    plugins = {
        name: kind(**planner.overrides.get(name, {})) for name, kind in planner.tasks.items()
    }
    world = loaded.cell.data.world if loaded else _choice(model).world
    place = world.name if world else "hub"
    texts, sets, problems = evaluation_data(experiment, place, planner.needs)
    warn(problems)
    with randomness_put_back():
        if loaded is not None and examiner is None:
            examiner = _examiner(replace(loaded.cell, stop="paper"), model)
        context = TaskContext(
            loaded,  # type: ignore[arg-type]  # a task of the model alone does not look at it
            texts,
            sets=sets,
            protocol=loaded.protocol if loaded else planner.protocol,
            splits=loaded.cell.data.splits(loaded.run, loaded.cell.limit) if loaded else (),
            load_retrained=_retrained(loaded, planner),
            limit=experiment.task_limit,
            examiner=examiner,
        )
        threads = loaded.cell.threads if loaded else world.threads if world else cores()
        measured = dict(measure_tasks(plugins, model, context, experiment.seeds[0], threads))
    for name, measurement in measured.items():
        columns_of(plugins[name], measurement)  # raises for a metric that is not declared
    unmeasured = {  # by default a distance is left out where there is no retrained model
        name
        for name, kind in planner.tasks.items()
        if RETRAINED in kind.needs and not (tasks or measured[name].scores)
    }
    return {name: m.scores for name, m in measured.items() if name not in unmeasured}


def _retrained(
    loaded: LoadedForgetSet | None, planner: Planner
) -> "Callable[[], LanguageModel] | None":
    """What loads the retrained model, if a task asks for it and there is one."""
    if loaded is None or RETRAINED not in planner.needs:
        return None
    needing = Planner(replace(loaded.experiment, tasks=planner.experiment.tasks, settings=()))
    cell = next(needing.of_model(loaded.cell.model, loaded.cell.data))
    return cell.retrained.load if cell.retrained else None


def _examiner(cell: Cell, model: "LanguageModel") -> "Examiner":
    from unlearnbench.running.environment import fix_randomness
    from unlearnbench.running.shared_measurements import make_examiner

    fix_randomness(cell.seed, cell.threads)
    return make_examiner(cell, model, is_fresh=False)


def _make_method(
    loaded: LoadedForgetSet,
    model: "LanguageModel",
    name: str,
    settings: Mapping[str, Any],
    seed: int | None,
) -> Method:
    """The method with the settings that the command line would run it with."""
    find("methods", name)  # an unknown one is told by its name, not by that of a setting
    requested = experiment_of(
        methods=(name,),
        settings={f"{name}.{setting}": value for setting, value in settings.items()},
        seeds=None if seed is None else (seed,),
    )
    experiment = replace(
        loaded.experiment,
        methods=requested.methods,
        settings=(*loaded.experiment.settings, *requested.settings),
    )
    planner = Planner(experiment)
    kind = planner.methods[name]
    chosen = planner.settings(kind, _choice(model), loaded.cell.data)
    warn(planner.warnings)
    method: Method = construct(kind, {**chosen.values, "seed": requested.seeds[0]})
    return method


def _taken_options(settings: dict[str, Any], method: str | Method) -> dict[str, Any]:
    """What among the settings is none of the method but an option of the run; taken out."""
    own = settings_of(find("methods", method)) if isinstance(method, str) else ()
    names = [n for n in (*FIELDS, "text", "data") if n in settings and n not in own]
    return {name: settings.pop(name) for name in names}


def _planned(experiment: Experiment, model: "LanguageModel") -> Cell:
    cell, problems = plan_cell(experiment, _choice(model))
    warn(problems)
    return cell


def _choice(model: "LanguageModel") -> "ModelChoice":
    choice: ModelChoice | None = getattr(model, "choice", None)
    if choice is None:
        raise UserError(
            f"{type(model).__name__} is no model of ub.load_model(NAME); a network of your own is, "
            "once it is saved with its tokenizer: save_pretrained(FOLDER), ub.load_model(FOLDER)"
        )
    return choice


def _loaded(
    forget_set: ForgetSet, model: "LanguageModel", examiner: "Examiner | None" = None
) -> LoadedForgetSet:
    """The forget set, if it and the examiner are of this door, this model and one protocol."""
    from unlearnbench.unlearning.examiner import Examiner

    if not isinstance(forget_set, LoadedForgetSet):
        raise UserError(
            f"{type(forget_set).__name__} is no forget set of ub.load_forget_set(NAME, model)"
        )
    source = forget_set.cell.model.source
    if source.weights_sha256 != _choice(model).source.weights_sha256:
        raise UserError(
            f"forget set '{forget_set.name}' was loaded for model '{source.name}', and is given "
            f"to '{model.source.name}'; load it again: ub.load_forget_set(NAME, model)"
        )
    if examiner is None:
        return forget_set
    if not isinstance(examiner, Examiner):
        raise UserError(f"{quoted(examiner)} is no examiner of ub.make_examiner(model, forget_set)")
    of = (examiner.known_as or [forget_set.cell.model.identity])[0]["weights_sha256"]
    if (of, examiner.protocol) != (source.weights_sha256, forget_set.protocol):
        raise UserError(
            f"the examiner is of another model or protocol than forget set '{forget_set.name}'; "
            "make one: ub.make_examiner(model, forget_set)"
        )
    return forget_set


def _measurable(tasks: str | Sequence[str], forget_set: LoadedForgetSet | None) -> tuple[str, ...]:
    """The tasks by name; where none is named the benchmark's, or all that can be measured."""
    names = experiment_of(tasks=tasks).tasks
    if not names and forget_set is not None and forget_set.cell.data.benchmark is not None:
        return tuple(forget_set.cell.tasks)
    chosen = chosen_plugins("tasks", names)
    if forget_set is not None:
        return tuple(chosen)
    alone = tuple(name for name, kind in chosen.items() if kind.is_of_model_alone)
    if missing := [name for name in names if name not in alone]:
        raise UserError(
            f"task '{missing[0]}' looks at a forget set; give one: "
            "forget_set=ub.load_forget_set(NAME, model)"
        )
    return alone
