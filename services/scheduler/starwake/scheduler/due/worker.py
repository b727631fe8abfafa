"""The completion worker: takes due rows from the hold, completes them in the table, acknowledges their alarms."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from starwake.bus.alarm_consumer import DueAlarm
from starwake.runtime import crash_points
from starwake.runtime.logs import get_logger
from starwake.scheduler import metrics
from starwake.scheduler.due.completion import Completer, Outcome
from starwake.scheduler.due.hold import Held, Hold
from starwake.scheduler.rows import Row
from starwake.store.clock import DatabaseClock
from starwake.store.errors import StoreConflict, StoreError, StoreUnavailable

log = get_logger("worker")

HeldRow = Held[Row, DueAlarm]
AlarmHold = Hold[Row, DueAlarm]

_EARLY_PAUSE_S = 0.02
_FIRST_BACKOFF_S = 0.5
_LAST_BACKOFF_S = 10.0
_STOP_SECONDS = 8.0


class CompletionWorker:
    """Takes from the hold what is due, batch by batch, `concurrency` transactions at a time.

    When the turn of one row comes, those follow along whose turn comes within `gather_s`: a transaction costs far more
    than a row in it.
    """

    def __init__(  # noqa: PLR0913 - its bounds, keyword-only
        self,
        hold: AlarmHold,
        completer: Completer,
        clock: DatabaseClock,
        *,
        batch_size: int,
        concurrency: int,
        gather_s: float,
    ) -> None:
        self._hold = hold
        self._completer = completer
        self._clock = clock
        self._batch_size = batch_size
        self._transactions = asyncio.Semaphore(concurrency)
        self._gather_s = gather_s
        self._wake = asyncio.Event()
        self._capacity_freed = asyncio.Event()
        self._batches: set[asyncio.Task[None]] = set()
        self._failures = 0

    @property
    def hold(self) -> AlarmHold:
        """The rows that wait for their time."""
        return self._hold

    def wake(self) -> None:
        """Something was put into the hold."""
        self._wake.set()

    async def wait_for_capacity(self, timeout_s: float) -> bool:
        """Wait until something left the hold, for `timeout_s` seconds at most; whether it did."""
        self._capacity_freed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._capacity_freed.wait()
                return True
        return False

    async def run(self) -> None:
        """Complete until cancelled; `stop` then ends it in order."""
        while True:
            await self._until_ready()
            await self._transactions.acquire()
            batch = self._hold.take(self._clock.now(), self._batch_size, early_s=self._gather_s)
            metrics.HELD.set(len(self._hold))
            if not batch:
                self._transactions.release()
                continue
            task = asyncio.create_task(self._work(batch), name="batch")
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def stop(self) -> None:
        """Release all alarms that are not being worked on, so that another scheduler gets them; finish the rest."""
        for held in self._hold.release():
            for message in held.messages:
                message.nak(0)
        if self._batches:
            await asyncio.wait(self._batches, timeout=_STOP_SECONDS)

    async def _until_ready(self) -> None:
        """Wait until something's turn has come."""
        loop = asyncio.get_running_loop()
        while True:
            at = self._hold.next_at()
            left = None if at is None else at - self._clock.now()
            if left is not None and left <= 0:
                return
            self._wake.clear()
            timer = None if left is None else loop.call_later(left, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                if timer is not None:
                    timer.cancel()

    async def _work(self, batch: Sequence[HeldRow]) -> None:
        crash_points.reach(crash_points.BATCH_IN_HAND)
        try:
            outcome = await self._complete(batch)
        finally:
            self._transactions.release()
        for held in batch:
            if held.key in outcome.early:
                self._hold.put_back(held, self._clock.now() + self._gather_s + _EARLY_PAUSE_S)
                self._wake.set()
        await self._completer.publish(outcome)
        if outcome.completed:
            crash_points.reach(crash_points.BEFORE_ACK)
        for held in batch:
            if held.key in outcome.early or held.key in outcome.dropped:
                continue
            self._hold.finish(held)
            for message in held.messages:
                message.ack()
        self._capacity_freed.set()

    async def _complete(self, batch: Sequence[HeldRow]) -> Outcome:
        """The outcome of the batch; rows that could not be completed are released or discarded, and `dropped`."""
        recently_completed = self._completer.recently_completed
        rows = [held.row for held in batch if held.key not in recently_completed]
        try:
            outcome = await self._completer.complete(rows) if rows else Outcome()
        except (StoreUnavailable, StoreConflict) as error:
            return self._postpone(batch, error)
        except StoreError as error:
            return await self._complete_halves(batch, error)
        self._failures = 0
        return outcome

    async def _complete_halves(self, batch: Sequence[HeldRow], error: StoreError) -> Outcome:
        """One row makes the database refuse the batch: halve it until that row is alone, and complete the others."""
        if len(batch) == 1:
            held = batch[0]
            log.error("row.refused", id=held.key.id, revision=held.key.revision, error=str(error))
            metrics.POISON.inc()
            return self._dropped(batch, lambda message: message.term("the database refuses what this alarm says"))
        middle = len(batch) // 2
        outcome = await self._complete(batch[:middle])
        outcome.add(await self._complete(batch[middle:]))
        return outcome

    def _postpone(self, batch: Sequence[HeldRow], error: StoreError) -> Outcome:
        """The database is away: nothing is acknowledged, and alarms and sweep bring the rows again."""
        metrics.STORE_FAILURES.inc()
        pause = min(_LAST_BACKOFF_S, _FIRST_BACKOFF_S * 2**self._failures)
        self._failures += 1
        log.warning("batch.postponed", rows=len(batch), pause_s=pause, error=str(error))
        return self._dropped(batch, lambda message: message.nak(pause))

    def _dropped(self, batch: Sequence[HeldRow], answer: Callable[[DueAlarm], None]) -> Outcome:
        for held in batch:
            self._hold.finish(held)
            for message in held.messages:
                answer(message)
        self._capacity_freed.set()
        return Outcome(dropped={held.key for held in batch})
