"""Natural batching."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starwake.command.batcher import Batcher


class Worker:
    """Carries out batches when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.permits = asyncio.Semaphore(0)
        self.begun = asyncio.Event()

    async def work(self, batch: list[int]) -> None:
        self.batches.append(batch)
        self.begun.set()
        await self.permits.acquire()


@asynccontextmanager
async def running(batcher: Batcher[int]) -> AsyncGenerator[None, None]:
    task = asyncio.create_task(batcher.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_while_one_batch_is_carried_out_the_next_collects() -> None:
    worker = Worker()
    batcher = Batcher(worker.work, most=3)
    async with running(batcher):
        assert batcher.offer(0)
        await worker.begun.wait()
        for number in range(1, 6):
            assert batcher.offer(number)
        for _ in range(3):
            worker.permits.release()
        assert await batcher.drain(5)
    assert worker.batches == [[0], [1, 2, 3], [4, 5]]


async def test_what_comes_at_once_goes_into_one_batch() -> None:
    worker = Worker()
    batcher = Batcher(worker.work)
    async with running(batcher):
        for number in range(5):
            batcher.offer(number)
        worker.permits.release()
        assert await batcher.drain(5)
    assert worker.batches == [[0, 1, 2, 3, 4]]


async def test_what_does_not_fit_is_not_taken() -> None:
    batcher = Batcher(Worker().work, room=2)
    assert [batcher.offer(number) for number in range(3)] == [True, True, False]


async def test_draining_gives_up_in_time() -> None:
    worker = Worker()
    batcher = Batcher(worker.work)
    async with running(batcher):
        batcher.offer(1)
        assert not await batcher.drain(0.01)
        worker.permits.release()
        assert await batcher.drain(5)


async def test_a_batch_under_way_is_finished_before_the_batcher_ends() -> None:
    worker = Worker()
    batcher = Batcher(worker.work)
    task = asyncio.create_task(batcher.run())
    batcher.offer(1)
    await worker.begun.wait()
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=0.05)
    assert not done
    worker.permits.release()
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
