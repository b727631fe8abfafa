"""Publishes the rows of the outbox: in order, not before their time; deletes them once the stream has stored them.

Any number of relays may publish the same row: it has one message id, and the stream keeps one message. A row that a
relay does not get to (its queue is full, the bus is away, the process dies) stays in the outbox, and the scheduler's
sweep publishes it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from starwake.bus import feed
from starwake.bus.connection import Bus
from starwake.bus.errors import BusError, BusUnavailable, is_final
from starwake.bus.notifications import Notifier
from starwake.bus.publish import JetStreamPublisher, PublishResult
from starwake.bus.streams import DUPLICATE_WINDOW_S, NOTIFICATIONS
from starwake.outbox.queue import Job, OutboxQueue
from starwake.outbox.traced_notifier import TracedNotifier
from starwake.runtime import crash_points
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.runtime.tracing import OFF, Tracing
from starwake.store.clock import DatabaseClock
from starwake.store.database import Database
from starwake.store.errors import StoreError
from starwake.store.outbox import OutboxRow, delete_published, set_aside

if TYPE_CHECKING:
    from starwake.contracts.ids import PlayerId

log = get_logger("outbox")
_limited = RateLimitedLogger(log)

QUEUE_LIMIT = 20_000
_AT_ONCE = 128
_IN_FLIGHT = 512
_PUBLISHING_AT_ONCE = 8
_LATE_AT_ONCE = 2
_LATE_BATCH = 64
_DELETE_AT_ONCE = 1_000
_DELETE_LINGER_S = 0.03
_SURELY_REMEMBERED_S = DUPLICATE_WINDOW_S * 0.8
_PAUSE_AFTER_FAILURE_S = 0.2
_LAST_ANSWERS_S = 6.0


@dataclass(frozen=True)
class RelayResult:
    """How many rows were published, and how many stay in the outbox for a later sweep."""

    published: int
    left: int


class Relay:
    """Publishes rows of the outbox through one connection to the bus.

    Args:
        database: where the outbox is.
        bus: where they are published.
        clock: decides when a row's time has come.
        limit: how many rows wait in memory at most.
        on_published: called with each row and the database's time at which the stream had acknowledged it.
        tracing: spans, if they are on.
    """

    def __init__(  # noqa: PLR0913 - wired once, by a composition root
        self,
        database: Database,
        bus: Bus,
        clock: DatabaseClock,
        *,
        limit: int = QUEUE_LIMIT,
        on_published: Callable[[OutboxRow, float], None] | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self._database = database
        self._bus = bus
        self._clock = clock
        publisher = JetStreamPublisher(bus, max_in_flight=_IN_FLIGHT)
        self._notifier = TracedNotifier(publisher, tracing) if tracing.enabled else Notifier(publisher)
        self._queue = OutboxQueue(limit)
        self._on_published = on_published
        self._wake = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._publishing: set[asyncio.Task[None]] = set()
        self._publishing_late = 0
        self._to_delete: list[Job] = []
        self._any_published = asyncio.Event()
        self._seq = 0
        self._over = False

    @property
    def waiting(self) -> int:
        """How many rows are in the queue."""
        return len(self._queue)

    @property
    def paused(self) -> bool:
        """True between `pause` and `resume`."""
        return not self._open.is_set()

    def __contains__(self, row_id: int) -> bool:
        """Whether the row is on its way already."""
        return row_id in self._queue

    def offer(self, rows: Sequence[OutboxRow]) -> int:
        """Queue rows, those of one source in order; how many fitted. The rest is left to the sweep."""
        taken = 0
        for row in rows:
            if not self._queue.add(row):
                break
            taken += 1
        self._wake.set()
        return taken

    async def publish(self, rows: Sequence[OutboxRow]) -> RelayResult:
        """Publish these rows, those of one source in order; return once each is published and deleted, or given up.

        `run` has to be running; when it has ended, all are given up.
        """
        if self._over:
            return RelayResult(0, len(rows))
        waiter = _Waiter(len(rows))
        for row in rows:
            if not self._queue.add(row, waiter):
                waiter.settle(published=False)
        self._wake.set()
        await waiter.done.wait()
        return RelayResult(waiter.published, len(rows) - waiter.published)

    async def until_resumed(self) -> None:
        """Wait, without limit, for `resume`; at once where nothing is paused."""
        await self._open.wait()

    def pause(self) -> None:
        """Publish nothing until `resume`: the stream is being checked, and may prove to be an older copy."""
        self._open.clear()

    def resume(self) -> None:
        """Publish again."""
        self._open.set()

    async def run(self) -> None:
        """Publish until cancelled. What is being published then still gets through, see `drain`."""
        deleting = asyncio.create_task(self._delete_published(), name="outbox-delete")
        try:
            while True:
                await self._until_due()
                await self._open.wait()
                late_limit = _LATE_BATCH if self._capacity_for_late else 0
                jobs = self._queue.take(self._clock.now(), _AT_ONCE, late_limit=late_limit)
                if jobs:
                    self._start(jobs)
                while len(self._publishing) >= _PUBLISHING_AT_ONCE:
                    await asyncio.wait(self._publishing, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Nobody here publishes these any more; they stay in the outbox.
            self._over = True
            for job in self._queue.give_up():
                job.settle(published=False)
            if self._publishing:
                await asyncio.wait(self._publishing, timeout=_LAST_ANSWERS_S)
            deleting.cancel()
            with suppress(asyncio.CancelledError):
                await deleting
            left, self._to_delete = self._to_delete, []
            for job in left:  # published, though not deleted: another relay repeats them under the same ids
                job.settle(published=True)

    async def drain(self, timeout_s: float) -> None:
        """Wait until all that was offered is published and deleted, for `timeout_s` seconds at most.

        Rows whose time comes later than that are not waited for, and none once `run` has ended.
        """
        until = self._clock.now() + timeout_s
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self._over and (self._publishing or self._to_delete or self._due_before(until)):
                    self._idle.clear()
                    await self._idle.wait()

    @property
    def _capacity_for_late(self) -> bool:
        """A backlog's publishes are few at a time: what is due just now waits behind those that the server has."""
        return self._publishing_late < _LATE_AT_ONCE

    def _start(self, jobs: list[Job]) -> None:
        late = jobs[0].late
        task = asyncio.create_task(self._publish(jobs), name="outbox-publish")
        self._publishing.add(task)
        self._publishing_late += late
        task.add_done_callback(partial(self._ended, late=late))

    def _ended(self, task: asyncio.Task[None], *, late: bool) -> None:
        self._publishing.discard(task)
        self._publishing_late -= late
        self._wake.set()
        self._idle.set()

    def _due_before(self, until: float) -> bool:
        at = self._queue.next_at()
        return at is not None and at <= until

    async def _until_due(self) -> None:
        """Wait until the first row's time has come."""
        loop = asyncio.get_running_loop()
        while True:
            at = self._queue.next_at(late=self._capacity_for_late)
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

    async def _publish(self, jobs: list[Job]) -> None:
        try:
            jobs = await self._without_stored(jobs)
            if self.paused:
                raise BusUnavailable("the stream is being looked at")
            answers = await self._stored(jobs)
        except (BusError, StoreError) as error:
            self._failed(jobs, error)
            return
        crash_points.reach(crash_points.AFTER_PUBLISH)
        now = self._clock.now()
        failure: BusError | None = None
        never: list[tuple[Job, BusError]] = []
        for job, answer in zip(jobs, answers, strict=True):
            if isinstance(answer, BusError) and is_final(answer):
                never.append((job, answer))
                continue
            if isinstance(answer, BusError):
                failure = answer
                self._give_up(job)
                continue
            self._seq = max(self._seq, answer.seq)
            self._mark_published(job)
            if self._on_published is not None:
                self._on_published(job.row, now)
        if never:
            await self._set_aside(never)
        self._any_published.set()
        self._wake.set()
        self._idle.set()
        if failure is not None:
            _limited.warning("outbox.left_to_sweep", error=str(failure))
            await asyncio.sleep(_PAUSE_AFTER_FAILURE_S)

    async def _stored(self, jobs: Sequence[Job]) -> list[PublishResult]:
        """Store the pushes; one that the stream refuses for what it is does not hold up the others."""
        answers = await self._notifier.publish([job.row.notification for job in jobs])
        refused = [
            place
            for place, answer in enumerate(answers)
            if isinstance(answer, BusError) and not isinstance(answer, BusUnavailable)
        ]
        if len(jobs) > 1:
            for place in refused:
                (answers[place],) = await self._notifier.publish([jobs[place].row.notification])
        return answers

    async def _set_aside(self, never: Sequence[tuple[Job, BusError]]) -> None:
        """What the stream refuses for what it is leaves the queue for ever; the next row of its source may follow."""
        try:
            async with self._database.connection() as connection:
                await set_aside(connection, [(job.row.id, str(error)) for job, error in never])
        except StoreError as error:
            self._failed([job for job, _ in never], error)
            return
        for job, error in never:
            log.error("outbox.set_aside", message_id=job.row.notification.message_id, reason=str(error))
            self._queue.published(job)
            job.settle(published=True)  # nothing is left to do

    def _mark_published(self, job: Job) -> None:
        self._queue.published(job)
        self._to_delete.append(job)

    def _failed(self, jobs: list[Job], error: Exception) -> None:
        _limited.warning("outbox.left_to_sweep", rows=len(jobs), error=str(error))
        for job in jobs:
            self._give_up(job)
        self._idle.set()

    def _give_up(self, job: Job) -> None:
        for left in self._queue.fail(job):
            left.settle(published=False)

    async def _without_stored(self, jobs: list[Job]) -> list[Job]:
        """Drop those that were published so long ago that the stream has forgotten their message id.

        The stream drops a second message only within its duplicate window, so a row that is older than that is looked
        for in the feed itself.
        """
        surely_remembered = self._clock.now() - _SURELY_REMEMBERED_S
        old: dict[PlayerId | None, list[Job]] = {}
        for job in jobs:
            if max(job.at, job.row.created_at.timestamp()) < surely_remembered:
                old.setdefault(job.row.notification.player, []).append(job)
        if not old:
            return jobs
        found: list[Job] = []
        for player, theirs in old.items():
            stored = {push.message_id: push.seq for push in await feed.read_pushes(self._bus, player, 0)}
            for job in theirs:
                seq = stored.get(job.row.notification.message_id)
                if seq is not None:
                    self._seq = max(self._seq, seq)  # the mark is lifted to it as its row is deleted
                    found.append(job)
        for job in found:  # only now: had a later read failed, all would have been given up
            self._mark_published(job)
        self._any_published.set()
        found_ids = {job.row.id for job in found}
        return [job for job in jobs if job.row.id not in found_ids]

    async def _delete_published(self) -> None:
        while True:
            await self._any_published.wait()
            if len(self._to_delete) < _DELETE_AT_ONCE:
                await asyncio.sleep(_DELETE_LINGER_S)  # a few more to share the statement
            self._any_published.clear()
            while self._to_delete:
                jobs, self._to_delete = self._to_delete[:_DELETE_AT_ONCE], self._to_delete[_DELETE_AT_ONCE:]
                try:
                    await self._delete([job.row.id for job in jobs])
                except StoreError as error:
                    # Published all the same: another relay may repeat them, and the stream drops the second message.
                    _limited.warning("outbox.not_deleted", rows=len(jobs), error=str(error))
                finally:
                    for job in jobs:
                        job.settle(published=True)
            self._idle.set()

    async def _delete(self, ids: list[int]) -> None:
        seq = self._seq
        async with self._database.connection() as connection:
            await delete_published(connection, ids, NOTIFICATIONS, seq)


class _Waiter:
    def __init__(self, rows: int) -> None:
        self.published = 0
        self.done = asyncio.Event()
        self._left = rows
        if rows == 0:
            self.done.set()

    def settle(self, *, published: bool) -> None:
        self.published += published
        self._left -= 1
        if self._left == 0:
            self.done.set()
