"""Runs what a request needs: the model before, method after method, attacks on the best one."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unlearnbench.data.row_limit import (
    RowLimit,
    RowState,
    known,
    nll_limit,
    row_limit,
)
from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.model_choice import ModelChoice, choose_model
from unlearnbench.experiments.planner import Plan
from unlearnbench.forgetting.certificate import EarlierRow
from unlearnbench.forgetting.chain import retested
from unlearnbench.forgetting.choice import Judged, choose, named, why_not
from unlearnbench.forgetting.evidence import measure_rows, measure_unseen, unseen_nll
from unlearnbench.forgetting.prepared import Prepared, of_attack
from unlearnbench.forgetting.trials import Rung
from unlearnbench.registry import find
from unlearnbench.results.record import ROW_FIELDS, Result
from unlearnbench.running.launching.requested import RequestedRun

Tell = Callable[[str], object]
_UNLEARN, _FORGETTING, _PERPLEXITY = "unlearn", "forgetting", "perplexity"
_LEAST = 1.0  # seconds: less than that starts nothing
_BUDGET_ENDED = "the budget ended before it was tried"


@dataclass
class Trial:
    """One way that was tried, and what came of it."""

    rung: Rung
    cell: Cell
    result: Result
    judged: Judged
    earlier: list[EarlierRow] = field(default_factory=list)
    after: dict[str, RowState] = field(default_factory=dict)  # of the best: by its saved model
    limit: RowLimit | None = None  # of a row under that model


@dataclass
class Trying:
    """A request while it is carried out: what was measured so far."""

    prepared: Prepared
    tell: Tell
    show_progress: bool = True
    before: Result = field(init=False)
    cell: Cell = field(init=False)  # of the model before
    rows: dict[str, RowState] = field(init=False)
    limit: RowLimit = field(init=False)
    known: tuple[str, ...] = field(init=False)
    trials: list[Trial] = field(default_factory=list)
    not_tried: dict[str, str] = field(default_factory=dict)
    attacks: list[Result] = field(default_factory=list)
    controls: dict[str, Result] = field(default_factory=dict)  # by attack, on unseen rows
    not_attacked: dict[str, str] = field(default_factory=dict)

    def measure_before(self) -> None:
        """The model as it was given: its utility, its stop line, and each row.

        Raises `UserError` where it cannot be measured.
        """
        rung = next(iter(self.prepared.rungs.values()))[0]
        self.cell = self.prepared.cells_of(rung)[0]
        self.before = self._run(self.prepared.of_rung(rung), self.cell)
        if self.before.status == "failed":
            raise UserError(f"the model cannot be measured: {self.before.error}")
        source = self.cell.data.source
        sets = {"rows": source.targets(self.cell.run, self.cell.limit)}
        stop = self.before.stop
        unseen = measure_unseen(self.cell) if stop.source != "paper" else []
        self.rows = measure_rows(self.cell, self.cell.main, sets)["rows"]
        self.limit = row_limit(unseen, stop.el, stop.ma)
        self.known = known(self.rows, self.limit)

    def try_methods(self) -> None:
        """Every method, the rates of each from small to large, as long as the budget lasts.

        Of each the first rate is tried before any second one.  What was tried before, in an
        interrupted run of the same request, counts with the time that it took.
        """
        self.not_tried = dict(self.prepared.not_tried)
        climbing = {method: list(rungs) for method, rungs in self.prepared.rungs.items()}
        while climbing:
            for method in list(climbing):
                rung = climbing[method].pop(0)
                trial = self._try(rung)
                if trial is None:
                    self.not_tried[rung.title] = _BUDGET_ENDED
                elif trial.result.status == "not_forgotten" and climbing[method]:
                    continue  # a larger rate may reach the line
                del climbing[method]

    def _try(self, rung: Rung) -> Trial | None:
        _, cell = self.prepared.cells_of(rung)
        experiment = self.prepared.of_rung(rung)
        store = RequestedRun((experiment,), Plan((cell,), (), 0)).store
        stored = store.load(cell.key)
        left = self.prepared.request.budget - sum(t.result.seconds for t in self.trials)
        if not isinstance(stored, Result) or stored.status == "failed":
            if left < _LEAST:
                return None
            if self.prepared.experiment(methods=[rung.method]).jobs:
                experiment = replace(experiment, cell_timeout=left / 60)
        result = self._run(experiment, cell)
        trial = Trial(rung, cell, result, self._judged(cell, result))
        self._test_earlier(trial)
        self.trials.append(trial)
        reason = why_not(trial.judged, self.prepared.max_loss)
        self.tell(f"{rung.title}: {reason or _qualifies(trial.judged)}")
        return trial

    def _run(self, experiment: Experiment, *cells: Cell) -> Result:
        return self._run_all(experiment, cells)[0]

    def _run_all(self, experiment: Experiment, cells: tuple[Cell, ...]) -> list[Result]:
        jobs = experiment.jobs or 0
        requested = RequestedRun((experiment,), Plan(cells, (), jobs))
        outcome = requested.run(show_progress=self.show_progress)
        return [outcome.results[cell.key] for cell in cells]

    def model_of(self, cell: Cell) -> Path:
        """The folder where a trial's model is kept."""
        return Path(str(cell.models)) / cell.key

    def _judged(self, cell: Cell, result: Result) -> Judged:
        tokens = 0
        if (cost := result.costs.get(_UNLEARN)) is not None:
            tokens = cost.forward_tokens + cost.generated_tokens
        if result.status == "failed":
            collapsed = result.trace.reason if result.trace else ""
            return Judged(result.key, False, problem=f"failed: {result.error or collapsed}")
        if result.trace is not None and result.trace.outcome == "collapsed":
            return Judged(result.key, False, problem=f"collapsed: {result.trace.reason}")
        if not (self.model_of(cell) / "config.json").is_file():
            return Judged(
                result.key, False, problem="is two networks, which no other program loads as one"
            )
        after = row_states(result)
        left = tuple(doc_id for doc_id in known(after, self.limit) if doc_id in self.known)
        return Judged(
            key=result.key,
            reached=result.status == "ok",
            rows_left=left,
            utility_loss=utility_loss(self.before, result),
            tokens=tokens,
        )

    def _test_earlier(self, trial: Trial) -> None:
        """Measure the rows of earlier requests, where the model would else qualify."""
        if not self.prepared.links or why_not(trial.judged, self.prepared.max_loss):
            return
        sets = {str(link.kept.number): link.kept.open(link.folder) for link in self.prepared.links}
        model = self.choice_of(trial.cell)
        states = measure_rows(self.cell, model, sets)
        for link in self.prepared.links:
            trial.earlier += retested(
                link, states[str(link.kept.number)], self.limit_under(trial.cell)
            )
        came_back = tuple(f"{r.request}:{r.doc_id}" for r in trial.earlier if r.came_back)
        trial.judged = replace(trial.judged, came_back=came_back)

    def choice_of(self, cell: Cell) -> ModelChoice:
        """A trial's model, to be loaded as any other."""
        experiment = replace(self.prepared.experiment(methods=["kumpr"]), methods=(), revision=None)
        return choose_model(experiment, str(self.model_of(cell)), download=False)

    def best(self) -> Trial | None:
        """The trial that the rule takes, if its saved model, read again, knows no row either."""
        while (
            chosen := choose([t.judged for t in self.trials], self.prepared.max_loss)
        ) is not None:
            trial = next(t for t in self.trials if t.judged.key == chosen.key)
            trial.after = self._rows_under(trial)
            trial.limit = self.limit_under(trial.cell)
            left = tuple(d for d in known(trial.after, trial.limit) if d in self.known)
            if not left:
                return trial
            trial.judged = replace(chosen, rows_left=left)
            self.tell(f"{trial.rung.title}, saved and read again: {named(left)} still known")
        return None

    def limit_under(self, cell: Cell) -> RowLimit:
        """The limit of a row under a trial's model: NLL is compared under that very model."""
        if self.limit.nll is None:
            return self.limit
        nll = nll_limit(unseen_nll(self.cell, self.choice_of(cell)))
        return self.limit.model_copy(update={"nll": nll})

    def _rows_under(self, trial: Trial) -> dict[str, RowState]:
        """The rows of the request under a trial's saved model."""
        source = self.cell.data.source
        rows = source.targets(self.cell.run, self.cell.limit)
        return measure_rows(self.cell, self.choice_of(trial.cell), {"rows": rows})["rows"]

    def attack(self, trial: Trial) -> None:
        """Attack the best model, and the one before unlearning alike."""
        for experiment, plan in self.attack_plans(trial.rung, trial.cell.key):
            self.attacks += self._run_all(experiment, plan.cells)
            if plan.cells:  # none, where the attack needs a retrained model
                self._teach_unseen(trial, plan.cells[-1])

    def _teach_unseen(self, trial: Trial, cell: Cell) -> None:
        """Give an attack that trains on the rows as many that the model never saw: the control.

        It is left out where it cannot be planned: what was measured by then is worth more.
        """
        assert cell.attack is not None
        name = cell.attack.name
        attack: Any = find("attacks", name)
        if not attack(**cell.attack.settings).teaches_rows or not self.limit.n_unseen:
            return
        n_rows = min(len(self.rows), self.limit.n_unseen)
        try:
            experiment = self.prepared.of_unseen(self.model_of(trial.cell), n_rows, name)
            if experiment is None:
                return
            plan = self.prepared.plan(experiment)
        except UserError as error:
            self.tell(f"{name} on unseen rows is left out: {error}")
            return
        label = f"{trial.cell.label}, unseen rows"
        cells = [
            replace(planned, group=trial.cell.group, label=label)
            for planned in plan.cells
            if planned.attack is not None and planned.role == "before"
        ]
        if cells:
            self.controls[name] = self._run(experiment, *cells)

    def attack_plans(self, rung: Rung, key: str | None) -> Iterator[tuple[Experiment, Plan]]:
        """For each attack the cells on that model and on the one before.

        One that nobody named and that cannot be made is left out.  Raises `UserError` for another.
        """
        for name in self.prepared.attacks:
            settings = of_attack(self.prepared.settings, name)
            try:
                experiment = self.prepared.of_rung(
                    rung, attacks=[name], attack_tasks=[_FORGETTING], settings=settings
                )
                plan = self.prepared.plan(experiment)
            except UserError as error:
                if self.prepared.given.get("attacks"):
                    raise
                self.not_attacked[name] = str(error)
                continue
            bases = {key or plan.cells[-1].model_key, plan.cells[0].key}
            cells = tuple(c for c in plan.cells if c.attack and c.attack.base in bases)
            yield experiment, replace(plan, cells=cells)


def row_states(result: Result) -> dict[str, RowState]:
    """EL and MA of each row, as the task measured them."""
    scores = result.with_outcomes().scores[_FORGETTING]
    fields = {field: scores[name].documents for name, field in ROW_FIELDS.items() if name in scores}
    return {doc_id: RowState(el=el, ma=fields["ma"][doc_id]) for doc_id, el in fields["el"].items()}


def text_nll(result: Result) -> dict[str, float]:
    """By text its NLL per token in nats."""
    scores = result.scores.get(_PERPLEXITY, {})
    return {name: _log(score.value) for name, score in scores.items()}


def utility_loss(before: Result, after: Result) -> float | None:
    """The largest share by which a text's NLL rose; None where no text was measured."""
    start, end = text_nll(before), text_nll(after)
    shares = [loss_of(start[name], end[name]) for name in start if name in end]
    return max(shares, default=None)


def loss_of(before: float, after: float) -> float:
    """after / before - 1, infinite for a model that no longer gives a number."""
    return after / before - 1 if math.isfinite(after) and before > 0 else math.inf


def _log(perplexity: float) -> float:
    return math.log(perplexity) if perplexity > 0 else math.nan


def _qualifies(one: Judged) -> str:
    n = len(one.came_back)
    back = f"; {n} earlier row{'' if n == 1 else 's'} came back" if n else ""
    return f"qualifies, utility {-(one.utility_loss or 0.0):+.1%}{back}"
