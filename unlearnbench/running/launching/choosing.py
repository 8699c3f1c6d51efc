"""From a run's options to the launcher that runs its cells, and the part of the grid it takes."""

from collections.abc import Sequence

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.results.store import Store
from unlearnbench.running.launching.cell_logs import CellLogs
from unlearnbench.running.launching.grid_run import GridRun, Outcome, load_finished
from unlearnbench.running.launching.how_to_run import HowToRun
from unlearnbench.running.launching.launcher import Launcher
from unlearnbench.running.memory.tokens import forward_tokens
from unlearnbench.running.progress import progress


def run_grid(
    cells: Sequence[Cell], store: Store, how: HowToRun, show_progress: bool = True
) -> Outcome:
    """Run what is missing or failed of these cells; the results of all.

    Progress is shown on stderr.
    Raises `UserError` where nothing can be launched, or results cannot be written.
    """
    outcome = Outcome()
    missing = load_finished(cells, store, outcome)
    if missing:
        logs = CellLogs(store.folder / "logs")
        with progress(len(missing), show_progress) as told:
            launcher = _launcher(missing, how, logs)
            run = GridRun(store, launcher, told, logs, how.retries)
            run.run(in_order(missing, how), outcome)
    return outcome


def in_order(cells: Sequence[Cell], how: HowToRun) -> Sequence[Cell]:
    """Where several cells go at a time those that may take longest come first.

    So the short ones are left to share out at the end.  By the bound that --dry-run prints,
    times the model's parameters; equal ones stay as they are, but for a model before
    unlearning: what its row needs most of the others have measured by then.
    """
    if how.launcher != "ray" and how.jobs < 2:
        return cells

    def cost(cell: Cell) -> tuple[int, bool]:
        return cell.model.n_parameters * forward_tokens(cell), cell.role != "before"

    return sorted(cells, key=cost, reverse=True)


def _launcher(missing: Sequence[Cell], how: HowToRun, logs: CellLogs) -> Launcher:
    if how.launcher == "ray":
        from unlearnbench.running.launching.ray.cluster import RayCluster

        return RayCluster(how, logs)
    if how.jobs == 0 and how.timeout is not None:
        raise UserError("--cell-timeout needs a process that can be stopped; give --jobs 1 or more")
    # A single cell of ours needs nobody to survive it; a plugin may take its process along.
    if how.jobs == 0 or (len(missing) == 1 and how.timeout is None and not how.plugins):
        from unlearnbench.running.launching.in_process import InProcess

        return InProcess(logs)
    from unlearnbench.running.launching.local_processes import LocalProcesses

    jobs = min(how.jobs, len(missing))
    return LocalProcesses(jobs, logs, how.plugins, how.timeout, _n_gpus(missing))


def _n_gpus(cells: Sequence[Cell]) -> int:
    """The GPUs that worker processes share out; none if a certain one was asked for."""
    if not all(cell.model.device == "cuda" for cell in cells):
        return 0
    import torch

    return torch.cuda.device_count()


def share_of(cells: Sequence[Cell], shard: str | None) -> tuple[Cell, ...]:
    """The cells of shard 'i/n': every n-th from the i-th on; all without a shard.

    The shards of a grid have no cell in common and leave none out, whatever is done
    already.  Raises `UserError` for a text of another form.
    """
    if shard is None:
        return tuple(cells)
    first, _, count = shard.partition("/")
    if not (_is_number(first) and _is_number(count) and 1 <= int(first) <= int(count)):
        raise UserError(f"--shard {shard!r} is not i/n with i from 1 to n; e.g. --shard 1/4")
    return tuple(cells[int(first) - 1 :: int(count)])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10
