"""Due batch -> rows -> pushes, in that order; every step may be repeated.

The row decides. Alarms and sweep only name candidates: a conditional UPDATE completes those rows that are still at the
named revision and due by the database's clock.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starwake.bus.alarms import Alarms
from starwake.bus.errors import BusError
from starwake.contracts.alarms import build_alarm
from starwake.contracts.builds import BuildRecord
from starwake.contracts.events import Notification
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.world_events import EventRecord
from starwake.outbox import Relay, RelayResult
from starwake.runtime import crash_points
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger
from starwake.runtime.tracing import OFF, Tracing
from starwake.scheduler import metrics
from starwake.scheduler.due.recently_completed import RecentlyCompleted
from starwake.scheduler.due.spans import Spans
from starwake.scheduler.rows import Row, key_of, notifications_of
from starwake.store import due
from starwake.store.clock import DatabaseClock
from starwake.store.database import Connection, Database
from starwake.store.errors import StoreError
from starwake.store.outbox import OutboxRow, read_earlier

log = RateLimitedLogger(get_logger("completion"))


@dataclass
class Outcome:
    """What a transaction did.

    Attributes:
        completed: keys of the rows that are completed now, as they were before.
        early: keys of the rows whose time has not come, by the database's clock.
        outbox: what has to be published, in order; what stood before it in the outbox included.
        started: builds that began because the one before them on their site ended.
        outbox_of_started: what has to be published of those, after the rest.
        players: how many rows of each player were claimed (only by `complete_overdue`).
        dropped: keys of rows that were given up for now; whoever asked for them has been answered.
        spans: of this transaction; they end when it is committed.
    """

    completed: list[AlarmKey] = field(default_factory=list[AlarmKey])
    early: set[AlarmKey] = field(default_factory=set[AlarmKey])
    outbox: list[OutboxRow] = field(default_factory=list[OutboxRow])
    started: list[BuildRecord] = field(default_factory=list[BuildRecord])
    outbox_of_started: list[OutboxRow] = field(default_factory=list[OutboxRow])
    players: dict[str, int] = field(default_factory=dict[str, int])
    dropped: set[AlarmKey] = field(default_factory=set[AlarmKey])
    spans: Spans = field(default_factory=Spans)

    def add(self, other: "Outcome") -> None:
        """Put what another transaction did to this."""
        self.completed += other.completed
        self.early |= other.early
        self.outbox += other.outbox
        self.started += other.started
        self.outbox_of_started += other.outbox_of_started
        self.dropped |= other.dropped


class Completer:
    """Completes rows in the table, and publishes the pushes that follow."""

    def __init__(  # noqa: PLR0913 - wired once, by `wire`
        self,
        database: Database,
        alarms: Alarms,
        relay: Relay,
        clock: DatabaseClock,
        *,
        ahead_s: float,
        tracing: Tracing = OFF,
    ) -> None:
        self._database = database
        self._alarms = alarms
        self._relay = relay
        self._clock = clock
        self._ahead = timedelta(seconds=ahead_s)
        self._tracing = tracing
        self.recently_completed = RecentlyCompleted()
        self._queues = True

    async def complete(self, rows: Sequence[Row]) -> Outcome:
        """Complete those of `rows` that still stand so and are due.

        In one transaction with the start of the orders that wait behind them; or, while no order waits anywhere, in
        one statement, which is a transaction by itself and saves the others.

        Raises:
            StoreUnavailable: the database is away; nothing was done, or all of it.
            StoreConflict: deadlocked again and again.
        """
        if self._queues or not all(isinstance(row, BuildRecord) for row in rows):
            return await self._committed(lambda connection: self._complete(connection, rows))
        outcome = await self._committed(lambda connection: self._complete_alone(connection, rows), alone=True)
        if self._queues:  # the first of them: had it been known, this would have been done in the same transaction
            await self._follow(outcome)
        return outcome

    async def complete_overdue(self, due_before: datetime, without: Sequence[str], limit: int) -> Outcome:
        """Complete up to `limit` builds and as many events overdue since `due_before`, oldest first.

        Args:
            due_before: by the database's clock.
            without: players who are left out this time.
            limit: bound of each kind.

        Raises:
            StoreError: as `complete`.
        """

        async def work(connection: Connection) -> Outcome:
            builds = await due.claim_builds(connection, due_before, without, limit)
            events = await due.claim_events(connection, due_before, limit)
            outcome = await self._complete(connection, [*builds, *events])
            for build in builds:
                outcome.players[build.player] = outcome.players.get(build.player, 0) + 1
            return outcome

        return await self._committed(work)

    async def start_stranded(self, older_than_s: float, limit: int) -> Outcome:
        """Start orders that have waited so long for a site that is free.

        Raises:
            StoreError: as `complete`.
        """

        async def work(connection: Connection) -> Outcome:
            outcome = self._outcome()
            started = await due.start_stranded(connection, older_than_s, limit, outcome.spans.start)
            await self._add_started(connection, outcome, started)
            return outcome

        return await self._committed(work)

    async def publish(self, outcome: Outcome) -> RelayResult:
        """Publish what a transaction wrote into the outbox, each row at its time, and delete it then."""
        if outcome.completed:
            crash_points.reach(crash_points.AFTER_UPDATE)
        if outcome.started:
            await self._arm(outcome.started)
        result = await self._relay.publish(outcome.outbox)
        if not outcome.outbox_of_started:
            return result
        if result.left:
            return RelayResult(result.published, result.left + len(outcome.outbox_of_started))
        # Only now: the start of a site's next build is not pushed before the end of the one that made way for it.
        began = await self._relay.publish(outcome.outbox_of_started)
        return RelayResult(result.published + began.published, began.left)

    async def _committed(self, work: Callable[[Connection], Awaitable[Outcome]], *, alone: bool = False) -> Outcome:
        async def attempt() -> Outcome:
            async with self._database.connection() if alone else self._database.transaction() as connection:
                return await work(connection)

        began = time.perf_counter()
        outcome = await self._database.retrying(attempt)
        if outcome.completed:
            metrics.COMMIT_SECONDS.observe(time.perf_counter() - began)
            metrics.BATCH_SIZE.observe(len(outcome.completed))
        if self._tracing.enabled:
            outcome.spans.end([*(key.id for key in outcome.completed), *(build.id for build in outcome.started)])
        for key in outcome.completed:
            self.recently_completed.add(key)
        events = sum(key.kind == "event" for key in outcome.completed)
        metrics.COMPLETIONS.labels("event").inc(events)
        metrics.COMPLETIONS.labels("build").inc(len(outcome.completed) - events)
        return outcome

    async def _complete_alone(self, connection: Connection, builds: Sequence[Row]) -> Outcome:
        outcome = self._outcome()
        await self._complete_builds(connection, [row for row in builds if isinstance(row, BuildRecord)], outcome)
        return outcome

    async def _complete(self, connection: Connection, rows: Sequence[Row]) -> Outcome:
        """Builds before events, in each table by id: one lock order everywhere."""
        outcome = self._outcome()
        builds = [row for row in rows if isinstance(row, BuildRecord)]
        events = [row for row in rows if isinstance(row, EventRecord)]
        if builds:
            await self._complete_builds(connection, builds, outcome)
            started = await due.start_next(connection, [key.id for key in outcome.completed], outcome.spans.start)
            await self._add_started(connection, outcome, started)
        if events:
            messages = {event.id: notifications_of(event) for event in outcome.spans.complete(events)}
            verdict = await due.complete_events(connection, events, messages, self._ahead)
            self._add_verdict(outcome, events, messages, verdict)
        return outcome

    async def _complete_builds(self, connection: Connection, builds: Sequence[BuildRecord], outcome: Outcome) -> None:
        messages: dict[str, list[Notification]] = {
            build.id: notifications_of(build) for build in outcome.spans.complete(builds)
        }
        verdict = await due.complete_builds(connection, builds, messages, self._ahead)
        self._queues = verdict.queue
        outcome.outbox += verdict.earlier
        self._add_verdict(outcome, builds, messages, verdict)

    async def _follow(self, outcome: Outcome) -> None:
        """Start what waits behind builds that are completed already; what this misses, `start_stranded` finds."""

        async def work(connection: Connection) -> Outcome:
            followed = self._outcome()
            started = await due.start_next(connection, [key.id for key in outcome.completed], followed.spans.start)
            await self._add_started(connection, followed, started)
            return followed

        with suppress(StoreError):
            outcome.add(await self._committed(work))

    def _outcome(self) -> Outcome:
        return Outcome(spans=Spans(self._tracing))

    def _add_verdict(
        self,
        outcome: Outcome,
        rows: Sequence[Row],
        messages: Mapping[str, Sequence[Notification]],
        verdict: due.Verdict,
    ) -> None:
        now = self._clock.datetime()
        for row in rows:
            if row.id in verdict.completed:
                outcome.completed.append(key_of(row))
                outcome.outbox += [
                    OutboxRow(verdict.outbox_ids[each.message_id], each, row.due_at, row.id, now)
                    for each in messages[row.id]
                ]
            elif row.id in verdict.early:
                outcome.early.add(key_of(row))

    async def _add_started(self, connection: Connection, outcome: Outcome, started: Sequence[due.Started]) -> None:
        if not started:
            return
        now = self._clock.datetime()
        # Not even "queued" is pushed after "started": the command service that took the order may have died before.
        outcome.outbox += await read_earlier(connection, [(each.build.id, each.build.revision) for each in started])
        for each in started:
            outcome.started.append(each.build)
            row = OutboxRow(each.outbox_id, each.notification, each.build.started_at, each.build.id, now)
            outcome.outbox_of_started.append(row)

    async def _arm(self, builds: Sequence[BuildRecord]) -> None:
        """Set the alarms of builds that just began; one that does not get set is found by the sweep."""
        answers = await self._alarms.arm([build_alarm(build) for build in builds])
        failed = [answer for answer in answers if isinstance(answer, BusError)]
        if failed:
            log.warning("alarm.left_to_sweep", builds=len(failed), error=str(failed[0]))
