"""The periodic tasks of a scheduler, and how each comes through an outage of NATS or Postgres."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

from starwake.bus.alarm_consumer import AlarmConsumer, read_lag
from starwake.bus.errors import BusError, StreamRefused
from starwake.runtime.health import Health
from starwake.runtime.logs import get_logger
from starwake.scheduler import metrics
from starwake.scheduler.settings import SchedulerSettings
from starwake.scheduler.sweep.run import PRELOAD_EVERY_S
from starwake.scheduler.upkeep.retention import delete_expired
from starwake.scheduler.wiring import Parts
from starwake.store.due import count_overdue, count_pending
from starwake.store.errors import StoreError
from starwake.store.outbox import Backlog, read_backlog

log = get_logger("scheduler")

_SWEEP_EVERY_S = 1.0
_DATABASE_EVERY_S = 1.0
_COUNT_EVERY_S = 5.0
_COUNT_PENDING_EVERY = 6
_RETENTION_EVERY_S = 600.0
_OVERDUE_AFTER_S = 1.0
_RETRY_S = 0.5
_RECONCILE_RETRY_S = 5.0
_RECONCILE_REST_S = 5.0


class Loops:
    """The tasks of a running scheduler.

    A dependency that comes back means that something may have been missed: the streams are checked first, and nothing
    is published before; then the outbox, then the whole table.
    """

    def __init__(self, parts: Parts, settings: SchedulerSettings, health: Health) -> None:
        self._parts = parts
        self._settings = settings
        self._repair = asyncio.Event()
        self._losses = 0
        self._losses_handled = -1
        self._bus_returned = False
        self._outbox = asyncio.Event()
        self._reconcile = asyncio.Event()
        self._trouble: dict[str, str] = {}
        self._refused: str | None = None
        self._revocations_equal = False
        self._began = time.monotonic()
        self._unpublished_s = 0.0
        self._refused_since: float | None = None
        metrics.ALARMS_REFUSED_SECONDS.set_function(lambda: self._refused_s)
        health.add_check("bus", lambda: None if parts.bus.connected else "not connected to NATS")
        health.add_check("database", lambda: self._trouble.get("database"))
        health.add_check("streams", lambda: self._refused)
        health.add_check("outbox", self._outbox_stuck)
        health.add_check("alarms", self._alarms_refused)

    def want_reconcile(self) -> None:
        """Request a comparison of table and alarms."""
        self._reconcile.set()

    def all(self) -> dict[str, Coroutine[Any, Any, None]]:
        """The tasks by name; to be started once the streams are in order."""
        sweep = self._parts.sweep
        return {
            "consume": self._consume(),
            "preload": self._every("preload", PRELOAD_EVERY_S, sweep.preload_due),
            "overdue": self._every("overdue", _SWEEP_EVERY_S, sweep.drain_overdue),
            "stranded": self._every("stranded", _SWEEP_EVERY_S, sweep.start_stranded),
            "outbox": self._every("outbox", _SWEEP_EVERY_S, sweep.publish_outbox, self._outbox),
            "streams": self._repair_streams(),
            "reconcile": self._reconcile_periodically(),
            "count": self._count(),
            "database": self._every("database", _DATABASE_EVERY_S, self._parts.database.now),
            "alarms": self._every("alarms", _COUNT_EVERY_S, self._probe_alarms),
            "lag": self._every("lag", _COUNT_EVERY_S, self._observe_lag),
            "retention": self._every("retention", _RETENTION_EVERY_S, self._delete_expired),
        }

    def watch_connections(self) -> None:
        """After each reconnect to NATS or Postgres, have the streams checked before anything is published."""
        self._parts.bus.on_connection_change(self._on_connection_change)
        self._parts.database.on_loss(self._on_database_loss)

    async def repair(self) -> None:
        """Check and repair the streams now.

        Raises:
            BusError, StoreError: not possible now; StreamRefused: not possible at all.
        """
        losses = self._losses
        repaired = await self._parts.streams.repair(in_doubt=self._losses_handled != losses)
        self._losses_handled = losses
        self._refused = None
        if losses == self._losses:  # else a connection was lost meanwhile, and all is checked again
            self._parts.relay.resume()
        if repaired.changes or repaired.epoch:
            self._reconcile.set()
        if not self._revocations_equal:
            await self._compare_revocations()

    async def _compare_revocations(self) -> None:
        """A failure is retried a moment later, and holds up nothing else."""
        try:
            await self._parts.streams.compare_revocations()
        except (BusError, StoreError) as error:
            self._failed("revocations", error)
        else:
            self._revocations_equal = True
            self._worked("revocations")

    def _on_connection_change(self, connected: bool) -> None:  # noqa: FBT001 - the bus's listener
        self._losses += 1
        self._parts.relay.pause()
        self._revocations_equal = False  # NATS may come back with an older store
        if connected:
            self._bus_returned = True
            self._repair.set()

    def _on_database_loss(self) -> None:
        """The next statement may reach another database, or an older copy of this one."""
        self._losses += 1
        self._parts.relay.pause()
        self._repair.set()

    async def _delete_expired(self) -> int:
        return await delete_expired(self._parts.database, self._settings.inbox_days)

    async def _every(
        self, name: str, seconds: float, work: Callable[[], Awaitable[object]], hurry: asyncio.Event | None = None
    ) -> None:
        """`work()` for ever, `seconds` apart or sooner when there is a hurry; a failure is logged once, and passes."""
        await asyncio.sleep(seconds * random.random())  # noqa: S311 - copies that start together need not stay so
        while True:
            try:
                await work()
            except (StoreError, BusError) as error:
                self._failed(name, error)
            else:
                self._worked(name)
            await _pause(seconds, hurry)

    async def _consume(self) -> None:
        """Take alarms; a consumer that is gone is made again."""
        while True:
            try:
                await AlarmConsumer(self._parts.bus).run(self._parts.intake.take)
            except BusError as error:
                log.warning("consumer.interrupted", error=str(error))
                self._repair.set()
            await asyncio.sleep(_RETRY_S)

    async def _repair_streams(self) -> None:
        while True:
            await _pause(self._settings.check_seconds, self._repair)
            reconnected, self._bus_returned = self._bus_returned, False
            held_back = self._parts.relay.paused
            try:
                await self.repair()
            except StreamRefused as error:
                self._refused = str(error)
                self._parts.relay.resume()
                log.error("stream.refused", reason=str(error))  # noqa: TRY400 - one line, it says all
            except (BusError, StoreError) as error:
                self._bus_returned = self._bus_returned or reconnected
                self._failed("streams", error)
                if self._parts.bus.connected:
                    await asyncio.sleep(_RETRY_S)
                    self._repair.set()
            else:
                self._worked("streams")
                if held_back:
                    self._outbox.set()
                if reconnected:
                    self._reconcile.set()

    async def _reconcile_periodically(self) -> None:
        while True:
            await _pause(self._settings.reconcile_seconds, self._reconcile)
            await self._compare_revocations()
            try:
                report = await self._parts.reconciler.run()
            except (BusError, StoreError) as error:
                self._failed("reconcile", error)
                await asyncio.sleep(_RECONCILE_RETRY_S)
                self._reconcile.set()
                continue
            self._worked("reconcile")
            if report is None:
                log.info("reconcile.left_to_another")
            else:
                log.info(
                    "reconcile.done",
                    rows=report.rows,
                    alarms=report.alarms,
                    armed=report.arm,
                    tombstoned=report.tombstone,
                    overdue=report.overdue,
                    seconds=round(report.seconds, 3),
                )
            await asyncio.sleep(_RECONCILE_REST_S)  # where something comes and goes, not once each time

    async def _count(self) -> None:
        turn = 0
        while True:
            with suppress(StoreError):
                async with self._parts.database.connection() as connection:
                    metrics.OVERDUE.set(await count_overdue(connection, _OVERDUE_AFTER_S))
                    self._observe_backlog(await read_backlog(connection))
                    if turn % _COUNT_PENDING_EVERY == 0:
                        metrics.PENDING.set(await count_pending(connection))
            turn += 1
            await asyncio.sleep(_COUNT_EVERY_S)

    def _observe_backlog(self, backlog: Backlog) -> None:
        metrics.UNPUBLISHED.set(backlog.unpublished)
        metrics.UNPUBLISHED_SECONDS.set(backlog.oldest_s)
        metrics.SET_ASIDE.set(backlog.set_aside)
        # What waited before this process was there says nothing of it yet.
        self._unpublished_s = min(backlog.oldest_s, time.monotonic() - self._began)

    async def _probe_alarms(self) -> None:
        tried = time.monotonic()
        try:
            await self._parts.alarms.probe()
        except BusError:
            if self._refused_since is None:
                self._refused_since = tried
            raise
        self._refused_since = None

    @property
    def _refused_s(self) -> float:
        return 0.0 if self._refused_since is None else time.monotonic() - self._refused_since

    def _outbox_stuck(self) -> str | None:
        if self._unpublished_s < self._settings.silence_seconds:
            return None
        return f"pushes wait in the outbox for {self._unpublished_s:.0f} s: the stream NOTIFICATIONS does not take them"

    def _alarms_refused(self) -> str | None:
        if self._refused_s < self._settings.silence_seconds:
            return None
        return f"no alarm could be set for {self._refused_s:.0f} s: {self._trouble.get('alarms', 'no answer')}"

    async def _observe_lag(self) -> None:
        """Apart from what the database is asked: the lag says most while that does not answer."""
        lag = await read_lag(self._parts.bus)
        if lag is not None:
            metrics.CONSUMER_UNTAKEN.set(lag.untaken)
            metrics.CONSUMER_UNACKNOWLEDGED.set(lag.unacknowledged)

    def _failed(self, name: str, error: StoreError | BusError) -> None:
        if name not in self._trouble:
            log.warning("work.interrupted", work=name, error=str(error))
        self._trouble[name] = str(error)
        if isinstance(error, StoreError):
            self._trouble["database"] = str(error)

    def _worked(self, name: str) -> None:
        if self._trouble.pop(name, None) is not None:
            log.info("work.resumed", work=name)
        if self._trouble.pop("database", None) is not None:
            # What happened meanwhile is not known: compare the whole table again.
            # And the database may be another one, or an older copy of itself: the streams are compared with it first.
            self._repair.set()
            self._outbox.set()
            self._reconcile.set()


async def _pause(seconds: float, hurry: asyncio.Event | None) -> None:
    if hurry is None:
        await asyncio.sleep(seconds)
        return
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await hurry.wait()
    hurry.clear()
