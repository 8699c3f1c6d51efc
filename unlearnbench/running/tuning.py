"""A search over settings of methods: its cells are run, judged and recorded as trials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from unlearnbench.analysis.budgets.scoring import (
    UTILITY_KEPT,
    Objective,
    objective_named,
    parts_of,
    utility_kept,
)
from unlearnbench.analysis.conditions import format_value
from unlearnbench.analysis.derived import with_derived
from unlearnbench.analysis.derived.score import METRICS
from unlearnbench.errors import UserError, unknown
from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.learning_rates import (
    LearningRates,
    Tried,
    candidate_of,
    conditions_of,
    learning_rates,
    read_learning_rates,
)
from unlearnbench.experiments.planner import Plan, make_plans
from unlearnbench.experiments.search_spaces import Spaces
from unlearnbench.experiments.tpe import by_the_line, searches_of
from unlearnbench.experiments.trials import Trials, budgets_of, tuning_experiments
from unlearnbench.metrics.task import SPLITS
from unlearnbench.registry import find
from unlearnbench.results.record import Result
from unlearnbench.results.store import Store
from unlearnbench.results.tunings import TuningRecord, keep, question_sha256, shared_by
from unlearnbench.running.launching.grid import Outcome, run_grid
from unlearnbench.running.launching.launcher import HowToRun


@dataclass
class Search:
    """A search into one results folder; the trials are added as they are laid out."""

    experiment: Experiment  # what every trial measures
    score: str  # of --score; empty: the rule of the stop line
    path: Path  # of the file that is written
    say: Callable[[str], object]
    cells: dict[str, Cell] = field(default_factory=dict)  # by key, reference rows among them
    by_method: dict[str, list[Cell]] = field(default_factory=dict)
    outcome: Outcome = field(default_factory=Outcome)
    jobs: int = 0
    _said: set[str] = field(default_factory=set)

    @property
    def store(self) -> Store:
        """The folder of the results."""
        return Store(Path(self.experiment.out))

    @property
    def plan(self) -> Plan:
        """All cells that were laid out."""
        return Plan(tuple(self.cells.values()), (), self.jobs)

    def lay_out(self, trials: Trials) -> list[Cell]:
        """Plan the trials; the cells that are new, or that another trial has as well.

        Raises `UserError` for what cannot be run, and for a text that the rule goes without.
        """
        plans = make_plans(
            tuning_experiments(self.experiment, trials.by_method), with_tuned_rates=False
        )
        for warning in (w for plan in plans for w in plan.warnings):
            if warning not in self._said:
                self._said.add(warning)
                self.say(warning)
        new = []
        for at, plan in enumerate(plans):
            self.jobs = max(self.jobs, plan.jobs)
            for cell in plan.cells:
                if cell.role == "method":
                    own = trials.by_method[cell.method][at]
                    cell = replace(cell, variant=_in_words(own))
                    self.by_method.setdefault(cell.method, []).append(cell)
                if cell.key not in self.cells:
                    new.append(cell)
                    self.cells[cell.key] = cell
        for cell in new:
            _check_score(self.score, cell)
        if not self.score and not all(cell.data.texts for cell in new):
            raise UserError("tune chooses by perplexity and needs a text: --text wikitext=FILE")
        return new

    def check_joins(self) -> None:
        """Raise `UserError` if the file to be written holds methods that were tuned otherwise."""
        if self.path.is_file():
            self._joinable(list(self.by_method))

    def _joinable(self, methods: list[str]) -> LearningRates:
        """The file that is there; raises `UserError` if what it keeps was tuned otherwise."""
        of_methods = [cell for own in self.by_method.values() for cell in own]
        before = read_learning_rates(self.path)
        before.check_joins(self.path, conditions_of(of_methods, self.score), methods)
        return before

    def run(self, cells: Sequence[Cell]) -> None:
        """Run the cells that have no result yet."""
        with self.store.writing():
            outcome = run_grid(cells, self.store, HowToRun.of(self.experiment, self.jobs))
        self.outcome.results |= outcome.results
        self.outcome.n_cached += outcome.n_cached

    def record(self, trials: Trials) -> None:
        """Keep which cells are trials, beside the results."""
        for method, own in self.by_method.items():
            budget, first = trials.budgets[method], own[0]
            questions = (question_sha256(cell.identity) for cell in own)
            settings, conditions = shared_by(first.identity, budget.space)
            record = TuningRecord(
                method=method,
                model=first.main.source.name,
                forget_set=first.data.source.title(first.run),
                run=first.run,
                score=self.score,
                sampler=budget.sampler,
                seed=budget.seed,
                space=dict(budget.space),
                n=budget.n,
                settings=settings,
                conditions=conditions,
                trials=list(dict.fromkeys(questions)),
            )
            keep(self.store.folder, record)

    @property
    def results(self) -> list[Result]:
        """The trials that have a result, method by method in their order; then reference rows."""
        trials = {cell.key: cell for own in self.by_method.values() for cell in own}
        every = {**trials, **self.cells}
        return [self.outcome.results[key] for key in every if key in self.outcome.results]

    def judged(self) -> tuple[Objective | None, dict[str, float | None]]:
        """What trials are judged by, None for the stop line's rule, and their scores by key.

        Raises `UserError` for a score that no result has.
        """
        results = self.results
        if not self.score:
            kept = Objective(UTILITY_KEPT)
            return None, {r.key: kept.value(r, results) for r in results if r.role == "method"}
        derived = with_derived(results)
        objective = objective_named(self.score, derived)
        return objective, {
            r.key: objective.value(r, derived) for r in derived if r.role == "method"
        }

    def tuned(self, trials: Trials) -> LearningRates:
        """The file's content: what was chosen, and everything that it was chosen from."""
        objective, scores = self.judged()
        of_methods = [r for r in self.results if r.role == "method"]
        if not of_methods:
            raise UserError("no configuration could be tried: the grid has no cells")
        tried = Tried(trials.beside_rates, trials.budgets, objective, scores, self.score)
        rates = learning_rates(of_methods, tried)
        if not self.path.is_file():
            return rates
        return self._joinable(list(rates.methods)).joined(rates)


def run_trials(search: Search, trials: Trials) -> Trials:
    """Run configurations that are all known beforehand."""
    cells = search.lay_out(trials)
    search.check_joins()
    search.record(trials)
    search.run(cells)
    return trials


def run_rounds(search: Search, spaces: dict[str, Spaces], n: int, seed: int) -> Trials:
    """n configurations of every method, each chosen by what the earlier ones came to.

    A round is one configuration of each method; its cells run side by side.
    """
    searches = searches_of(spaces, seed)
    budgets = budgets_of(spaces, "tpe", n, seed)
    asked: dict[str, list[Any]] = {method: [] for method in spaces}
    for number in range(n):
        now = {method: one.ask() for method, one in searches.items()}
        for method, values in now.items():
            asked[method].append(values)
        this = Trials({method: [values] for method, values in now.items()}, budgets)
        cells = search.lay_out(this)
        if number == 0:
            search.check_joins()
        search.record(this)
        search.say(f"round {number + 1} of {n}: a configuration of each of {len(now)} methods")
        search.run(cells)
        _tell(search, searches)
    return Trials(asked, budgets)


def _tell(search: Search, searches: dict[str, Any]) -> None:
    objective, scores = search.judged()
    results = search.results
    for method, one in searches.items():
        key = search.by_method[method][-1].key
        result = search.outcome.results.get(key)
        score = scores.get(key)
        if result is None:
            one.tell(None)
        elif objective is None:
            one.tell(by_the_line(candidate_of(result), utility_kept(result, results)))
        else:
            one.tell(score if score is None or objective.higher_is_better else -score)


def _check_score(score: str, cell: Cell) -> None:
    """Raise `UserError` for a score that no task of a trial can have, before anything runs.

    A benchmark's tasks name their scores by split and measure: these are known by the split.
    """
    tasks = {name: cast("Any", find("tasks", name)) for name in cell.tasks}
    declared = {name: getattr(task, "metrics", ()) for name, task in tasks.items()}
    if any(not declared[n] and SPLITS not in task.needs for n, task in tasks.items()):
        return  # a task that only says what it measured
    own = [(name, m.name) for name, of in declared.items() for m in of]
    own += [("perplexity", f"{text}_ppl") for text in cell.data.texts if "perplexity" in tasks]
    names = dict.fromkeys([*(name for _, name in own), *METRICS, UTILITY_KEPT.name])
    full = {f"{task}.{name}" for task, name in own}
    splits = tuple(f"{split.name}_" for split in cell.data.splits(cell.run, cell.limit))
    for name in parts_of(score):
        is_of_split = bool(splits) and name.rpartition(".")[2].startswith(splits)
        if name not in names and name not in full and not is_of_split:
            raise unknown("--score", name, names, "unlearnbench list tasks")


def _in_words(values: Any) -> str:
    """'learning_rate=2e-5, alpha=0.3', as progress and plans show a trial."""
    return ", ".join(f"{name}={format_value(_number(text))}" for name, text in values.items())


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text
