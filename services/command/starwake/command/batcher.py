"""Natural batching: while one batch is carried out the next one collects."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Batcher(Generic[T]):
    """Collects items and hands them on in batches, in the order of their arrival.

    A lone item is handed on at once: nothing waits for a batch to fill. Under load the batches grow by themselves.

    Args:
        work: carries out one batch; it deals with its own failures.
        most: the size of a batch.
        room: how many items may wait.
        lanes: how many batches are carried out at the same time.
    """

    def __init__(
        self, work: Callable[[list[T]], Awaitable[None]], *, most: int = 128, room: int = 4096, lanes: int = 1
    ) -> None:
        self._work = work
        self._most = most
        self._room = room
        self._lanes = lanes
        self._waiting: deque[T] = deque()
        self._wake = asyncio.Event()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, item: T) -> bool:
        """Take `item` in; False if there is no room."""
        if len(self._waiting) >= self._room:
            return False
        self._waiting.append(item)
        self._idle.clear()
        self._wake.set()
        return True

    async def run(self) -> None:
        """Work until cancelled; a batch under way is finished first."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._lanes):
                group.create_task(self._lane())

    async def drain(self, timeout_s: float) -> bool:
        """Wait until all that was offered is carried out; whether that was so within `timeout_s` seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        return self._idle.is_set()

    async def _lane(self) -> None:
        while True:
            await self._wake.wait()
            # One turn of the event loop: what came over the wire together goes into one batch.
            await asyncio.sleep(0)
            batch = self._take()
            if not batch:
                continue
            self._busy += 1
            # Shielded: a stop in the middle of a transaction would leave its clients without an answer.
            work = asyncio.ensure_future(self._work(batch))
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                await work
                raise
            finally:
                self._busy -= 1
                if not self._busy and not self._waiting:
                    self._idle.set()

    def _take(self) -> list[T]:
        waiting = self._waiting
        batch = [waiting.popleft() for _ in range(min(len(waiting), self._most))]
        if not waiting:
            self._wake.clear()
        return batch
