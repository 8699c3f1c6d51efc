"""`unlearnbench tune`: choose learning rates and weights on a forget set that is in no table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.options import explicit, options_of
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.schedule_choice import FIELDS
from unlearnbench.reading import to_stderr
from unlearnbench.settings import Setting, parse_value

if TYPE_CHECKING:
    from unlearnbench.experiments.learning_rates import LearningRates

# What has no meaning here: tuning trains no reference rows and measures perplexity only.  The rule
# is of runs that end at the stop line, and its rates are of the plain schedule.
_LEFT_OUT = ("runs", "references", "tasks", "learning_rates", "shard", "save_models",
             "profile", *FIELDS)  # fmt: skip
_GRID = Setting("grid", tuple[float, ...], (), "learning rates to try", bounds={"above": 0})
_OPTIONS = tuple(n for n in Experiment.__dataclass_fields__ if n not in _LEFT_OUT)


@click.command()
@options_of(Experiment, only=_OPTIONS)
@click.option(
    "--run", "run_name", default="tuning", show_default=True, help="forget set to tune on"
)
@click.option(
    "--grid", metavar="A,B", help="learning rates to try  [default: 1e-5 to 5e-4, six of them]"
)
@click.option(
    "--try",
    "tries",
    metavar="NAME.SETTING=A,B",
    multiple=True,
    help="values of a method's setting to try with every rate; repeatable: every combination",
)
@click.option("-o", "output", type=click.Path(path_type=Path), help="file to write the rates to")
def tune(
    run_name: str, grid: str | None, tries: tuple[str, ...], output: Path | None, **options: Any
) -> int:
    """Choose each method's learning rate, and settings, and write learning_rates.json.

    They are tried with the code that makes the table, on a forget set that is in no
    table, and chosen by one rule, which every result that uses them repeats.  Without -o
    the file is written beside a nano model's weights, else into --out.  What a file holds
    already of other methods, tuned alike, is kept.
    """
    from unlearnbench.experiments.learning_rates import FILE_NAME, GRID, RULE, shipped_path
    from unlearnbench.experiments.model_choice import choose_model

    experiment = Experiment.parse({**explicit(options), "runs": run_name})
    if len(experiment.model) != 1:
        raise UserError("tune takes one --model at a time: unlearnbench tune --model nano-neo")
    candidates = GRID
    if grid is not None:
        candidates = parse_value(_GRID, grid, "--grid ", "unlearnbench tune --help")
    path = output or shipped_path(choose_model(experiment, experiment.model[0]))
    path = path or Path(experiment.out) / FILE_NAME
    tuned, rates, n_failed = _tune(experiment, candidates, tries, path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rates.model_dump_json(indent=1) + "\n", encoding="utf-8")
    for name in tuned:
        one = rates.methods[name]
        settings = "".join(f"  {key}={value}" for key, value in one.settings.items())
        note = "" if one.reached else "  (no rate reached the stop line)"
        click.echo(f"{name}  {one.learning_rate:g}{settings}{note}")
    to_stderr(f"rule: {RULE}")
    to_stderr(f"written to {path}")
    return 1 if n_failed else 0


def _tune(
    experiment: Experiment, grid: tuple[float, ...], options: tuple[str, ...], path: Path
) -> tuple[list[str], "LearningRates", int]:
    """The methods tuned now, the file's content with those that it holds already, and failures."""
    from unlearnbench.experiments.data_choice import benchmark_with_splits
    from unlearnbench.experiments.learning_rates import (
        conditions_of,
        learning_rates,
        parse_tries,
        read_learning_rates,
        tuning_experiments,
    )
    from unlearnbench.experiments.method_settings import chosen_plugins
    from unlearnbench.experiments.planner import make_plans
    from unlearnbench.experiments.wrapped import adapted
    from unlearnbench.models.devices.strategy import n_processes
    from unlearnbench.registry import load_plugin_file
    from unlearnbench.results.store import Store
    from unlearnbench.running.launching.grid import run_grid
    from unlearnbench.running.launching.launcher import HowToRun

    if n_processes() > 1:
        raise UserError("tune runs in one process; leave the launcher of processes out")
    for file in experiment.plugin:
        load_plugin_file(Path(file))
    if benchmark_with_splits(experiment) is not None:
        raise UserError(
            f"tune goes by the stop line and perplexity, and --benchmark {experiment.benchmark} by "
            "neither; try rates with: unlearnbench run --set METHOD.learning_rate=RATE"
        )
    # By the names that their cells and a later run have: 'kumpr+lora' where --adapter makes it so.
    methods = tuple(adapted(chosen_plugins("methods", experiment.methods), experiment.adapter))
    tries = parse_tries(options, methods)
    before = read_learning_rates(path) if path.is_file() else None
    # An earlier tuning must not reach into this one: neither its rates nor its epoch limit.
    experiments = tuning_experiments(experiment, grid, methods, tries)
    plans = make_plans(experiments, with_tuned_rates=False)
    for warning in dict.fromkeys(w for plan in plans for w in plan.warnings):
        to_stderr(warning)
    cells = [cell for plan in plans for cell in plan.cells]
    if not all(cell.data.texts for cell in cells):
        raise UserError("tune chooses by perplexity and needs a text: --text wikitext=FILE")
    if before is not None:
        before.check_joins(path, conditions_of(cells), methods)
    store = Store(Path(experiment.out))
    with store.writing():
        outcome = run_grid(cells, store, HowToRun.of(experiment, plans[0].jobs))
    results = [outcome.results[c.key] for c in cells if c.key in outcome.results]
    if not results:
        raise UserError("no rate could be tried: the grid has no cells")
    # A collapsed candidate is an answer, not a failure of the run.
    n_failed = sum(r.status == "failed" and r.trace is None for r in results)
    rates = learning_rates(results, tries)
    return list(rates.methods), before.joined(rates) if before is not None else rates, n_failed
