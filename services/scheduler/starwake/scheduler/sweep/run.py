"""The sweep: completes rows that no alarm woke, publishes what is left in the outbox, works off a backlog.

It asks the table, again and again, so that nothing depends on an alarm: the store may have been full when it should
have fired, the process that took it may have been killed, the stream may be lost.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from starwake.contracts.ids import Revision
from starwake.contracts.subjects import AlarmKey, AlarmKind
from starwake.outbox import Relay
from starwake.runtime.logs import get_logger
from starwake.scheduler.due.completion import Completer
from starwake.scheduler.due.hold import Added
from starwake.scheduler.due.worker import CompletionWorker
from starwake.scheduler.rows import Row, key_of
from starwake.scheduler.sweep.fair_pager import FairPager
from starwake.store import due
from starwake.store.clock import DatabaseClock
from starwake.store.database import Database
from starwake.store.due import NIL_ID, DueKey
from starwake.store.outbox import OutboxRow, read_unpublished

log = get_logger("sweep")

PRELOAD_EVERY_S = 0.25
PRELOAD_S = 0.4
"""How far ahead rows are loaded: the interval, the time that it takes, and how long before its time a row is completed.
An alarm has come by then (it fires 244 ms before due at the latest), so that hardly a row is read twice."""
_PRELOAD_IN_BACKLOG_S = 1.5
"""The same while a backlog is worked off: all takes longer then, and no alarm comes in time, since it waits behind
those of the backlog."""
_AFTER_BACKLOG_S = 10.0
"""How long after that the alarms of the backlog may still have to be acknowledged."""
LATE_S = 2.0
"""Rows overdue by more are backlog: completed straight from the table, without a place in the hold."""
_OVERLAP_S = 1.0
_KEYS = 5_000
_ROWS = 1_000
_OUTBOX_AFTER_S = 1.0
_OUTBOX_ROWS = 1_000
_PUBLISHING_AT_ONCE = 4
_STRANDED_AFTER_S = 0.5
_STOP_SECONDS = 5.0


class Sweep:
    """Searches the table for rows that are due, and the outbox for pushes that are overdue."""

    def __init__(  # noqa: PLR0913 - it joins all that there is, keyword-only
        self,
        *,
        database: Database,
        completer: Completer,
        relay: Relay,
        worker: CompletionWorker,
        clock: DatabaseClock,
        batch_size: int,
    ) -> None:
        self._database = database
        self._completer = completer
        self._relay = relay
        self._worker = worker
        self._clock = clock
        self._batch_size = batch_size
        self._publishing: set[asyncio.Task[object]] = set()
        self._draining = False
        self._drained_at = float("-inf")

    async def preload_due(self) -> int:
        """Put rows into the hold that are due within a moment and that no alarm has brought; how many.

        Raises:
            StoreError: the database does not answer.
        """
        now = self._clock.now()
        start = DueKey(NIL_ID, 0, _moment(now - LATE_S - _OVERLAP_S))
        until = _moment(now + (_PRELOAD_IN_BACKLOG_S if self._in_backlog(now) else PRELOAD_S))
        return await self._preload_builds(start, until) + await self._preload_events(start, until)

    async def drain_overdue(self, since_s: float = LATE_S) -> int:
        """Complete what is overdue by more than `since_s` seconds, oldest first, players in turn, until none is left.

        Returns:
            How many rows; none where another call is at it.

        Raises:
            StoreError: the database does not answer; what was done so far stays done.
        """
        if self._draining:
            return 0
        self._draining = True
        try:
            return await self._drain_overdue(since_s)
        finally:
            self._draining = False

    @property
    def draining(self) -> bool:
        """Whether a backlog is being worked off."""
        return self._draining

    def _in_backlog(self, now: float) -> bool:
        return now < self._drained_at + _AFTER_BACKLOG_S

    async def _drain_overdue(self, since_s: float) -> int:
        total = 0
        pager = FairPager(self._batch_size)
        more = True
        while more:
            before = _moment(self._clock.now() - since_s)
            outcome = await self._completer.complete_overdue(before, pager.excluded, self._batch_size)
            total += len(outcome.completed)
            if outcome.completed:
                self._drained_at = self._clock.now()
            more = pager.next(outcome.players, events=len(outcome.completed) - sum(outcome.players.values()))
            task = asyncio.create_task(self._completer.publish(outcome), name="sweep-publish")
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
            while self._publishing and (not more or len(self._publishing) >= _PUBLISHING_AT_ONCE):
                await asyncio.wait(self._publishing, return_when=asyncio.FIRST_COMPLETED)
        if total:
            log.info("backlog.completed", rows=total)
        return total

    async def stop(self) -> None:
        """Wait until what was completed is published, or left to another scheduler."""
        if self._publishing:
            await asyncio.wait(self._publishing, timeout=_STOP_SECONDS)

    async def start_stranded(self) -> int:
        """Start orders that wait for a site that is free; how many.

        Raises:
            StoreError: the database does not answer.
        """
        outcome = await self._completer.start_stranded(_STRANDED_AFTER_S, self._batch_size)
        if outcome.started:
            await self._completer.publish(outcome)
        return len(outcome.started)

    async def publish_outbox(self, older_than_s: float = _OUTBOX_AFTER_S) -> int:
        """Publish what should have been published a moment ago, page by page, oldest first; how many.

        Raises:
            StoreError: the database does not answer.
        """
        published = 0
        after = 0
        while True:
            async with self._database.connection() as connection:
                rows = await read_unpublished(connection, after, older_than_s, _OUTBOX_ROWS)
            result = await self._relay.publish(self._not_under_way(rows))
            published += result.published
            if len(rows) < _OUTBOX_ROWS or result.left:
                return published
            after = rows[-1].id

    def _not_under_way(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        return [row for row in rows if row.id not in self._relay]

    async def _preload_builds(self, start: DueKey, until: datetime) -> int:
        loaded = 0
        while True:
            async with self._database.connection() as connection:
                keys = await due.soon_builds(connection, start, until, _KEYS)
                to_load = self._not_held("build", keys)
                for page in range(0, len(to_load), _ROWS):
                    loaded += self._hold(await due.read_building(connection, to_load[page : page + _ROWS]))
            if len(keys) < _KEYS:
                return loaded
            start = keys[-1]

    async def _preload_events(self, start: DueKey, until: datetime) -> int:
        async with self._database.connection() as connection:
            to_load = self._not_held("event", await due.soon_events(connection, start, until, _KEYS))
            return self._hold(await due.read_scheduled(connection, to_load)) if to_load else 0

    def _not_held(self, kind: AlarmKind, keys: Sequence[DueKey]) -> list[str]:
        hold = self._worker.hold
        recently_completed = self._completer.recently_completed
        to_load: list[str] = []
        for each in keys:
            key = AlarmKey(kind, each.id, Revision(each.revision))
            if key not in hold and key not in recently_completed:
                to_load.append(each.id)
        return to_load

    def _hold(self, rows: Sequence[Row]) -> int:
        hold = self._worker.hold
        held = 0
        now = self._clock.now()
        prompt = self._in_backlog(now)
        for row in rows:
            added = hold.add(key_of(row), row.player, row.due_at.timestamp(), row, now=now, prompt=prompt)
            held += added is Added.HELD
        if held:
            self._worker.wake()
        return held


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
