"""Tasks that somebody owns: started here, watched for failures, awaited at the end."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_log = RateLimitedLogger(get_logger("gateway.tasks"))


class Tasks:
    """A set of running tasks; what one raises is logged, and `close` leaves none behind."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work`; after `close` it is dropped."""
        if self._closed:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._done)

    async def close(self) -> None:
        """Cancel what still runs and wait for it."""
        self._closed = True
        running = list(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=5)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("task.failed", task=task.get_name(), exc_info=error)
