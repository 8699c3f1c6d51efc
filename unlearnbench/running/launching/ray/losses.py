"""From Ray's errors to what became of a cell."""

from typing import Any

from unlearnbench.running.launching.launcher import Lost

MACHINE = "its machine was lost"
WORKER = "its Ray worker died: killed, crashed, or stopped by the system for want of memory"
MEMORY = (
    "Ray stopped it, its machine was running out of memory; take a smaller --batch-size or "
    "--gradient-accumulation-steps, or fewer --jobs"
)
NO_PACKAGE = (
    "its worker cannot import unlearnbench; every machine needs the same installation as the "
    "one that runs the command"
)


LOST_MACHINES = 10  # that a cell may see before it is suspected of making them go
RETURNS = 20  # in a row, of a cell that did not begin: more than two minutes


def pause_after(n_returns: int) -> float:
    """Seconds to wait before a cell is handed out that came back so many times: 1, 2, 4, 8, 8, ...

    For some seconds Ray still sends cells to a machine that is gone, and each comes back at once.
    """
    return float(2 ** min(n_returns - 1, 3))


def given_back(error: Any) -> Lost:
    """What becomes of a cell that Ray does not get to any machine."""
    text = " ".join(str(error).split())[:200]
    return Lost(f"Ray gave it back {RETURNS} times: {type(error).__name__}: {text}", again=False)


def lost(error: Any) -> Lost:
    """What an error that `ray.get` raised for a cell means.

    A task that Ray could not even run (its function fails to import) fails again anywhere.
    """
    from ray import exceptions as of_ray

    if is_loss_of_machine(error):
        return Lost(MACHINE)
    if isinstance(error, of_ray.OutOfMemoryError):
        return Lost(MEMORY)
    if isinstance(error, of_ray.WorkerCrashedError):
        return Lost(WORKER)
    if isinstance(error, of_ray.TaskCancelledError):
        return Lost("it was cancelled")
    text = " ".join(str(error).split())
    if "No module named 'unlearnbench" in text:
        return Lost(NO_PACKAGE, again=False)
    known = (of_ray.RayTaskError, of_ray.TaskUnschedulableError, of_ray.RuntimeEnvSetupError)
    return Lost(f"Ray: {type(error).__name__}: {text[-300:]}", again=not isinstance(error, known))


def is_loss_of_machine(error: Any) -> bool:
    """Whether a node is gone, with the cell or with the result of one: not the cell's fault."""
    from ray import exceptions as of_ray

    return isinstance(
        error,
        of_ray.NodeDiedError
        | of_ray.LocalRayletDiedError
        | of_ray.ObjectLostError,  # OwnerDiedError and others of its kind included
    )
