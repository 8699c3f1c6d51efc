"""What cells say on a cluster while they run, on its way to the driver.

An actor on the driver's own machine takes it in: the two live and die together.  Whoever
speaks never waits for it, and a run without it goes on: a lost line is no harm.
"""

import asyncio
from typing import Any

Said = tuple[str, Any]  # the cell's key, and a log record or the time it began


class LogHub:
    """Keeps what was said until the driver takes it."""

    def __init__(self) -> None:
        self._said: list[Said] = []
        self._is_news = asyncio.Event()

    async def put(self, key: str, what: Any) -> None:
        """Something from a cell; in order for each."""
        self._said.append((key, what))
        self._is_news.set()

    async def take(self) -> list[Said]:
        """All there is, as soon as there is something."""
        await self._is_news.wait()
        return await self.rest()

    async def rest(self) -> list[Said]:
        """All there is, perhaps nothing."""
        said, self._said = self._said, []
        self._is_news.clear()
        return said


class Hearing:
    """The driver's side: one outstanding question, to be waited for beside the cells."""

    def __init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # Without a limit of restarts: it costs nothing, and the workers' handles stay good.
        hub: Any = ray.remote(LogHub)
        self.hub = hub.options(num_cpus=0, max_restarts=-1, scheduling_strategy=here).remote()
        self._failures = 0
        self.question: Any = self.hub.take.remote()

    def answer(self) -> list[Said]:
        """What the question brought, once it is ready; asks the next one."""
        said = self._get(self.question)
        # One that cannot live is left alone: a run needs no log.
        self.question = self.hub.take.remote() if self._failures < 5 else None
        return said

    def rest(self) -> list[Said]:
        """What was said up to now."""
        return self._get(self.hub.rest.remote()) if self.question is not None else []

    def _get(self, reference: Any) -> list[Said]:
        import ray
        from ray.exceptions import RayError

        try:
            said: list[Said] = ray.get(reference, timeout=5)
        except RayError:
            self._failures += 1
            return []
        self._failures = 0
        return said
