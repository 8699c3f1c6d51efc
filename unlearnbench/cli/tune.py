"""`unlearnbench tune`: search settings on a forget set that is in no table, by a stated budget."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearnbench.cli.carrying_out import INTERRUPTED, terminating_as_interrupt
from unlearnbench.cli.options import explicit, options_of
from unlearnbench.errors import UserError
from unlearnbench.experiments.experiment import Experiment
from unlearnbench.reading import to_stderr
from unlearnbench.settings import Setting, parse_value

if TYPE_CHECKING:
    from unlearnbench.experiments.learning_rates import LearningRates
    from unlearnbench.experiments.trials import Trials
    from unlearnbench.running.tuning import Search

# What has no meaning here: the run is --run, reference rows are those that the score needs.
_LEFT_OUT = ("runs", "split", "references", "learning_rates", "shard", "save_models", "profile",
             "attacks", "attack_tasks")  # fmt: skip
_GRID = Setting("grid", tuple[float, ...], (), "learning rates to try", bounds={"above": 0})
_OPTIONS = tuple(n for n in Experiment.__dataclass_fields__ if n not in _LEFT_OUT)
_SEED = 0
_WORDS = {"tasks": "tasks to measure, with --score  [default: the benchmark's, or all]"}


@click.command()
@options_of(Experiment, only=_OPTIONS, words=_WORDS)
@click.option(
    "--run",
    "run_name",
    metavar="NAME",
    help="forget set, or split of a benchmark, to tune on  [default: tuning]",
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
@click.option(
    "--random",
    "n_random",
    metavar="N",
    type=click.IntRange(min=1),
    help="N configurations of every method instead, drawn from its own spaces",
)
@click.option(
    "--optuna",
    "n_optuna",
    metavar="N",
    type=click.IntRange(min=1),
    help="N configurations of every method instead, chosen by optuna's TPE as it learns",
)
@click.option(
    "--seed",
    "search_seed",
    metavar="S",
    type=click.IntRange(min=0),
    help=f"of what --random and --optuna draw  [default: {_SEED}]",
)
@click.option(
    "--space",
    "spaces",
    metavar="METHOD.SETTING=SPACE",
    multiple=True,
    help="where --random and --optuna look: LOW..HIGH (by the logarithm), even:LOW..HIGH, A,B,C or "
    "none; METHOD may be all; repeatable  [default: as the method says: unlearnbench show METHOD]",
)
@click.option(
    "--score",
    metavar="NAME",
    help="choose the best by this score, measured or derived; a,b: by their harmonic mean  "
    "[default: the stop line's rule]",
)
@click.option("--dry-run", is_flag=True, help="print the trials and what they cost; run nothing")
@click.option("-o", "output", type=click.Path(path_type=Path), help="file to write the rates to")
def tune(
    run_name: str | None,
    grid: str | None,
    tries: tuple[str, ...],
    n_random: int | None,
    n_optuna: int | None,
    search_seed: int | None,
    spaces: tuple[str, ...],
    score: str | None,
    dry_run: bool,
    output: Path | None,
    **options: Any,
) -> int:
    """Choose each method's learning rate, and settings, and write learning_rates.json.

    They are tried with the code that makes the table, on a forget set that is in no
    table: a grid of rates, or as many configurations of every method.  One rule chooses, and
    every result that uses the choice repeats it with the budget.  Without -o
    the file is written beside a nano model's weights, else into --out.  What a file holds
    already of other methods, tuned alike, is kept.

    Trials that have a result in --out already are not run again.  `unlearnbench report
    --sections budgets` shows what more or fewer of them would have found.
    """
    from unlearnbench.experiments.learning_rates import FILE_NAME, shipped_path
    from unlearnbench.experiments.model_choice import choose_model
    from unlearnbench.running.tuning import Search

    _check(grid, tries, n_random, n_optuna, search_seed, spaces)
    experiment = _experiment(explicit(options), run_name, score)
    model = choose_model(experiment, experiment.model[0])
    path = output or shipped_path(model) or Path(experiment.out) / FILE_NAME
    methods = _methods(experiment)
    search = Search(experiment, score or "", path, to_stderr)
    n = n_random or n_optuna
    if n is None:
        trials = _grid(grid, tries, methods)
        return _carry_out(search, trials, dry_run)
    rates = model.world.learning_rates if model.world else ""
    return _search(search, methods, n, search_seed or _SEED, spaces, rates, n_optuna, dry_run)


def _check(
    grid: str | None,
    tries: Sequence[str],
    n_random: int | None,
    n_optuna: int | None,
    seed: int | None,
    spaces: Sequence[str],
) -> None:
    """Raise `UserError` for options of which one would be ignored."""
    given = {"--grid": grid is not None, "--try": bool(tries)}
    of_draws = {"--seed": seed is not None, "--space": bool(spaces)}
    sampler = "--random" if n_random else "--optuna" if n_optuna else ""
    if n_random and n_optuna:
        raise UserError("--random and --optuna are two ways to search; give one of them")
    for flag in (flag for flag, is_given in given.items() if is_given and sampler):
        raise UserError(
            f"{flag} names a grid, and {sampler} draws; give one of them, or say where it draws: "
            "--space all.learning_rate=1e-5,1e-4"
        )
    for flag in (flag for flag, is_given in of_draws.items() if is_given and not sampler):
        raise UserError(f"{flag} is of draws; say how many: --random 12")


def _experiment(values: dict[str, Any], run: str | None, score: str | None) -> Experiment:
    """What every trial measures; raises `UserError` for what has no meaning in tuning."""
    from unlearnbench.experiments.data_choice import benchmark_with_splits
    from unlearnbench.models.devices.strategy import n_processes

    if n_processes() > 1:
        raise UserError("tune runs in one process; leave the launcher of processes out")
    experiment = Experiment.parse(values)
    if len(experiment.model) != 1:
        raise UserError("tune takes one --model at a time: unlearnbench tune --model nano-neo")
    if len(experiment.seeds) != 1:
        raise UserError("tune tries each configuration once; give one seed: --seeds 42")
    of_splits = benchmark_with_splits(experiment) is not None
    if of_splits and score is None:
        raise UserError(
            f"tune goes by the stop line and perplexity, and --benchmark {experiment.benchmark} by "
            "neither; say which score is to be best: --score model_utility, or the harmonic mean "
            "of several: --score memorisation,model_utility"
        )
    if of_splits and run is None:
        raise UserError("say which split to tune on, one that no table is of: --run NAME")
    if score is not None:
        return replace(experiment, runs=(run or "tuning",), split=())
    if values.get("tasks"):
        raise UserError(
            "--tasks: the stop line's rule goes by perplexity alone; say which score is to be "
            "best: --score NAME"
        )
    if experiment.until != "line":
        raise UserError(
            f"--until {experiment.until}: the rule is of runs that end at the stop line; say which "
            "score is to be best: --score NAME"
        )
    return replace(
        experiment,
        runs=(run or "tuning",),
        references=("before",),
        tasks=("perplexity",),
        el_epochs="deciding",
    )


def _methods(experiment: Experiment) -> tuple[str, ...]:
    """By the names that their cells and a later run have: 'kumpr+lora' by --adapter."""
    from unlearnbench.experiments.method_settings import chosen_plugins
    from unlearnbench.experiments.shams import is_sham
    from unlearnbench.experiments.wrapped import adapted
    from unlearnbench.registry import load_plugin_file

    for file in experiment.plugin:
        load_plugin_file(Path(file))
    methods = chosen_plugins("methods", experiment.methods)
    for name in (name for name, method in methods.items() if is_sham(method)):
        raise UserError(
            f"--methods {name}: a sham is not tuned; a run with --references shams gives it the "
            "methods' median rate"
        )
    return tuple(adapted(methods, experiment.adapter))


def _grid(grid: str | None, tries: tuple[str, ...], methods: tuple[str, ...]) -> "Trials":
    from unlearnbench.experiments.learning_rates import GRID
    from unlearnbench.experiments.trials import grid_trials, parse_tries

    rates = GRID
    if grid is not None:
        rates = parse_value(_GRID, grid, "--grid ", "unlearnbench tune --help")
    return grid_trials(methods, rates, parse_tries(tries, methods))


def _search(
    search: "Search",
    methods: tuple[str, ...],
    n: int,
    seed: int,
    overrides: tuple[str, ...],
    rates: str,
    n_optuna: int | None,
    dry_run: bool,
) -> int:
    from unlearnbench.experiments.search_spaces import spaces_of
    from unlearnbench.experiments.trials import random_trials
    from unlearnbench.running.tuning import run_rounds

    fixed = [one.partition("=")[0] for one in search.experiment.settings]
    spaces = spaces_of(methods, overrides, fixed, rates)
    if n_optuna is None:
        return _carry_out(search, random_trials(spaces, n, seed), dry_run)
    if dry_run:
        to_stderr(f"random configurations in the place of {n} that optuna will choose as it learns")
        return _carry_out(search, random_trials(spaces, n, seed), dry_run)
    return _finish(search, lambda: run_rounds(search, spaces, n, seed))


def _carry_out(search: "Search", trials: "Trials", dry_run: bool) -> int:
    from unlearnbench.cli.dry_run import print_plan
    from unlearnbench.running.launching.grid import is_finished
    from unlearnbench.running.token_bounds import forward_tokens
    from unlearnbench.running.tuning import run_trials

    if not dry_run:
        return _finish(search, lambda: run_trials(search, trials))
    search.lay_out(trials)
    print_plan(search.plan, search.store, ())  # of trials nothing is to be shown
    every = [cell for cell in search.plan.cells if cell.role == "method"]
    missing = [c for c in every if not is_finished(search.store.load(c.key))]
    tokens = sum(map(forward_tokens, missing))
    click.echo(
        f"{len(every)} trials of {len(search.by_method)} methods, {len(missing)} to do: "
        f"{tokens:.3g} forward tokens at most"
    )
    return 0


def _finish(search: "Search", run: Any) -> int:
    try:
        with terminating_as_interrupt():
            trials = run()
    except KeyboardInterrupt:
        to_stderr("interrupted; run the same command to go on")
        return INTERRUPTED
    rates = search.tuned(trials)
    _write(search.path, rates)
    _print(rates, list(trials.by_method))
    failed = [r for r in search.results if r.status == "failed" and r.trace is None]
    for result in failed:  # a collapsed candidate is an answer, not a failure of the run
        log = search.store.folder / "logs" / f"{result.key}.log"
        to_stderr(f"failed: {result.label}: {result.error} (log: {log})")
    to_stderr(f"rule: {rates.rule}")
    to_stderr(f"written to {search.path}")
    to_stderr(f"see what the budget bought: unlearnbench report {search.store.folder} "
              "--sections budgets")  # fmt: skip
    return 1 if failed else 0


def _write(path: Path, rates: "LearningRates") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(rates.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _print(rates: "LearningRates", methods: list[str]) -> None:
    """A line for each method: what was chosen, and of how many."""
    for name in sorted(set(methods) & rates.methods.keys()):
        one = rates.methods[name]
        settings = "".join(f"  {key}={value}" for key, value in one.settings.items())
        missed = "no configuration could be judged" if rates.score else "none reached the stop line"
        note = "" if one.reached else f"  ({missed})"
        click.echo(f"{name}  {one.learning_rate:g}{settings}{note}")
