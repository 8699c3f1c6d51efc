"""Cells as tasks on a Ray cluster: a machine that dies takes only its own cells along."""

import logging
import pickle
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unlearnbench.errors import UserError
from unlearnbench.experiments.cell import Cell
from unlearnbench.running.launching.launcher import Ended, Listener, Lost
from unlearnbench.running.launching.ray import session
from unlearnbench.running.launching.ray.parcels import Request, Resources, Sender
from unlearnbench.running.launching.worker import BEGAN, DONE
from unlearnbench.running.progress import logger

if TYPE_CHECKING:
    from unlearnbench.running.launching.launcher import HowToRun

END_SECONDS = 5.0  # that cancelled cells get to end
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


@dataclass
class _Task:
    """A cell that was handed to Ray, perhaps not for the first time."""

    cell: Cell
    has_begun: bool = False  # rather than waits in Ray
    deadline: float | None = None  # of the monotonic clock; known once the cell has begun
    n_lost_machines: int = 0  # while it ran on them
    n_returns: int = 0  # in a row, without having begun


class LogHub:
    """An actor that keeps what cells log, by their keys, until the driver takes it.

    Who speaks never waits for it, and a run without it goes on: a lost line is no harm.
    """

    def __init__(self) -> None:
        self._said: list[tuple[str, Any]] = []

    def put(self, key: str, *records: Any) -> None:
        """Log records of a cell, or BEGAN; in order for each."""
        self._said += [(key, record) for record in records]

    def take(self) -> list[tuple[str, Any]]:
        """All there is."""
        said, self._said = self._said, []
        return said


def start_hub() -> Any:
    """A hub on the driver's own machine: the two live and die together."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # Without a limit of restarts: it costs nothing, and the workers' handles stay good.
    hub: Any = ray.remote(LogHub)
    return hub.options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()


class RayCluster:
    """Hands cells to Ray, one task each, at most as many as fit and a few that wait in Ray.

    Ray itself never runs a task again.  A cell whose machine was lost is handed out again
    from here, which is none of the tries a cell has; any other loss is told.
    """

    def __init__(self, how: "HowToRun", listener: Listener) -> None:
        self._how, self._listener = how, listener
        self._sender = Sender(how.plugins)
        self._tasks: dict[Any, _Task] = {}  # by the reference of its result
        self._resting: list[tuple[float, _Task]] = []  # and when each is handed out again
        self._request = Request(1, 0.0, 0)  # the last one; a grid's cells are much alike
        self._warned_of: set[Request] = set()
        self._session = session.connect(how.ray_address)
        try:
            self._hub = start_hub()
        except BaseException:
            self._session.close()
            raise

    def room(self) -> int:
        """As many as --jobs says; else as fit on all machines, and on a real cluster twice that.

        The second half waits in Ray: a machine that joins finds work at once, and a cluster
        that grows on demand sees one.
        """
        taken = len(self._tasks) + len(self._resting)
        if self._how.jobs:
            return self._how.jobs - taken
        capacity = room_for(self._request)
        return max(1, capacity if self._session.is_own else 2 * capacity) - taken

    def start(self, cell: Cell) -> None:
        """Hand the cell to Ray."""
        self._send(_Task(cell))

    def _send(self, task: _Task) -> None:
        self._request = self._request_of(task.cell)
        self._tasks[self._sender.send(task.cell, self._request, self._hub)] = task

    def wait(self, seconds: float) -> list[Ended]:
        """What has ended; hands on what the cells log in the meantime."""
        import ray

        self._start_rested()
        pause = self._until_next_moment(seconds)
        if not self._tasks:
            time.sleep(pause if self._resting else 0.0)
            return []
        ray.wait(list(self._tasks), timeout=pause)
        ready, _ = ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=0)
        self._hand_on_what_was_said()
        ended = [end for reference in ready if (end := self._end(reference))]
        return [*ended, *self._stop_overdue()]

    def close(self) -> None:
        """Kill what runs, and leave the cluster."""
        import ray

        try:
            for reference in self._tasks:
                ray.cancel(reference, force=True)
            if self._tasks:
                ray.wait(list(self._tasks), num_returns=len(self._tasks), timeout=END_SECONDS)
        finally:
            self._tasks, self._resting = {}, []
            self._session.close()

    def _request_of(self, cell: Cell) -> Request:
        """What to ask for; raises `UserError` for what will never be there."""
        request = Request.of(cell, self._how.gpus_per_cell)
        if self._session.is_own:
            request = request.within(machines()[0])
        if request in self._warned_of or room_for(request):
            return request
        if self._session.is_own:
            raise UserError(
                f"this machine has not {request.n_gpus:g} GPUs; take a smaller --gpus-per-cell, "
                "or a cluster that has them: --ray-address"
            )
        self._warned_of.add(request)
        logger.warning("no machine of the Ray cluster has %s; waiting for one to join", request)
        return request

    def _until_next_moment(self, seconds: float) -> float:
        """So long, or until a cell is overdue or has rested."""
        now = time.monotonic()
        moments = [task.deadline for task in self._tasks.values() if task.deadline is not None]
        moments += [due for due, _ in self._resting]
        return min([seconds, *(max(0.0, moment - now) for moment in moments)])

    def _start_rested(self) -> None:
        now = time.monotonic()
        rested = [task for due, task in self._resting if due <= now]
        self._resting = [(due, task) for due, task in self._resting if due > now]
        for task in rested:
            self._send(task)

    def _hand_on_what_was_said(self) -> None:
        import ray
        from ray.exceptions import RayError

        try:
            said = ray.get(self._hub.take.remote(), timeout=5)
        except RayError:
            return
        tasks = {task.cell.key: task for task in self._tasks.values()}
        for key, what in said:
            task = tasks.get(key)
            if task is None:
                continue  # the last words of one that was given up
            if what != BEGAN:
                self._listener(task.cell, what)
                continue
            task.has_begun, task.n_returns = True, 0
            if self._how.timeout is not None:
                task.deadline = time.monotonic() + self._how.timeout

    def _end(self, reference: Any) -> Ended | None:
        """What became of a cell; None if it will be handed out again."""
        import ray
        from ray.exceptions import RayError

        task = self._tasks.pop(reference)
        cell = task.cell
        try:
            kind, content = ray.get(reference)
        except RayError as error:
            is_suspect = task.n_lost_machines >= LOST_MACHINES or task.n_returns >= RETURNS
            if is_suspect or not is_loss_of_machine(error):
                return Ended(cell, lost(error))
            self._again(task)
            return None
        if kind == DONE:
            return Ended(cell, pickle.loads(content))
        return Ended(cell, Lost(content.decode(), again=False))

    def _again(self, task: _Task) -> None:
        """Hand a cell out again soon; one that a machine took along is told to who watches."""
        cell, text = task.cell, "Ray sent it to a machine that is gone; it is sent again"
        if task.has_begun:
            task.n_lost_machines += 1
            text = f"{cell.title}: {MACHINE}; it is run again"
            logger.warning(text)
        task.has_begun, task.deadline, task.n_returns = False, None, task.n_returns + 1
        self._resting.append((time.monotonic() + pause_after(task.n_returns), task))
        self._listener(cell, logging.makeLogRecord({"msg": text}))

    def _stop_overdue(self) -> list[Ended]:
        import ray

        now = time.monotonic()
        late = [r for r, t in self._tasks.items() if t.deadline is not None and now > t.deadline]
        for reference in late:
            ray.cancel(reference, force=True)
        why = Lost("it took longer than --cell-timeout allows", again=False)
        return [Ended(self._tasks.pop(reference).cell, why) for reference in late]


def machines() -> list[Resources]:
    """The resources of each machine of the cluster that is alive, used or not."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def room_for(request: Request) -> int:
    """How many such cells all machines could run at a time."""
    return sum(request.fits_in(machine) for machine in machines())


def pause_after(n_returns: int) -> float:
    """Seconds to wait before a cell is handed out that came back so many times: 1, 2, 4, 8, 8, ...

    For some seconds Ray still sends cells to a machine that is gone, and each comes back at once.
    """
    return float(2 ** min(n_returns - 1, 3))


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
    permanent = (of_ray.RayTaskError, of_ray.TaskUnschedulableError, of_ray.RuntimeEnvSetupError)
    return Lost(
        f"Ray: {type(error).__name__}: {text[-300:]}", again=not isinstance(error, permanent)
    )


def is_loss_of_machine(error: Any) -> bool:
    """Whether a node is gone, with the cell or with the result of one: not the cell's fault."""
    from ray import exceptions as of_ray

    return isinstance(
        error,
        of_ray.NodeDiedError
        | of_ray.LocalRayletDiedError
        | of_ray.ObjectLostError,  # OwnerDiedError and others of its kind included
    )
