"""What runs for as long as the scheduler does, and how it comes through the failures of what it depends on."""

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
from starwake.scheduler.sweep.run import SOON_EVERY_S
from starwake.scheduler.upkeep.retention import keep_house
from starwake.scheduler.wiring import Parts
from starwake.store.due import count_overdue, count_pending
from starwake.store.errors import StoreError
from starwake.store.outbox import Backlog, read_backlog

log = get_logger("scheduler")

_SWEEP_EVERY_S = 1.0
_DATABASE_EVERY_S = 1.0
_COUNT_EVERY_S = 5.0
_COUNT_PENDING_EVERY = 6
_HOUSEKEEPING_EVERY_S = 600.0
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
        self._mend = asyncio.Event()
        self._doubts = 0
        self._settled = -1
        self._bus_returned = False
        self._outbox = asyncio.Event()
        self._reconcile = asyncio.Event()
        self._trouble: dict[str, str] = {}
        self._refused: str | None = None
        self._revocations_alike = False
        self._began = time.monotonic()
        self._unpublished_s = 0.0
        self._refused_since: float | None = None
        metrics.ALARMS_REFUSED_SECONDS.set_function(lambda: self._refused_s)
        health.add_check("bus", lambda: None if parts.bus.connected else "not connected to NATS")
        health.add_check("database", lambda: self._trouble.get("database"))
        health.add_check("streams", lambda: self._refused)
        health.add_check("outbox", self._silence)
        health.add_check("alarms", self._no_alarms)

    def want_reconcile(self) -> None:
        """Have table and alarms compared soon."""
        self._reconcile.set()

    def all(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What is to be run, by name; begins once boot has looked after the streams."""
        sweep = self._parts.sweep
        return {
            "consume": self._consume(),
            "soon": self._every("soon", SOON_EVERY_S, sweep.bring_soon),
            "overdue": self._every("overdue", _SWEEP_EVERY_S, sweep.drain_overdue),
            "stranded": self._every("stranded", _SWEEP_EVERY_S, sweep.start_stranded),
            "outbox": self._every("outbox", _SWEEP_EVERY_S, sweep.publish_outbox, self._outbox),
            "upkeep": self._look_after_streams(),
            "reconcile": self._reconcile_again_and_again(),
            "count": self._count(),
            "database": self._every("database", _DATABASE_EVERY_S, self._parts.database.now),
            "alarms": self._every("alarms", _COUNT_EVERY_S, self._try_alarms),
            "lag": self._every("lag", _COUNT_EVERY_S, self._observe_lag),
            "housekeeping": self._every("housekeeping", _HOUSEKEEPING_EVERY_S, self._keep_house),
        }

    def watch_connections(self) -> None:
        """After each reconnect to NATS or Postgres, have the streams checked before anything is published."""
        self._parts.bus.on_connection_change(self._on_connection_change)
        self._parts.database.on_loss(self._on_database_loss)

    async def mend(self) -> None:
        """Look after the streams now.

        Raises:
            BusError, StoreError: not possible now; StreamRefused: not possible at all.
        """
        doubts = self._doubts
        mended = await self._parts.upkeep.mend(in_doubt=self._settled != doubts)
        self._settled = doubts
        self._refused = None
        if doubts == self._doubts:  # else something was lost meanwhile, and it is looked at again
            self._parts.relay.resume()
        if mended.changes or mended.epoch:
            self._reconcile.set()
        if not self._revocations_alike:
            await self._compare_revocations()

    async def _compare_revocations(self) -> None:
        """What fails here is done again a moment later, and holds up nothing else."""
        try:
            await self._parts.upkeep.compare_revocations()
        except (BusError, StoreError) as error:
            self._failed("revocations", error)
        else:
            self._revocations_alike = True
            self._worked("revocations")

    def _on_connection_change(self, connected: bool) -> None:  # noqa: FBT001 - the bus's listener
        self._doubts += 1
        self._parts.relay.pause()
        self._revocations_alike = False  # NATS may come back with an older store
        if connected:
            self._bus_returned = True
            self._mend.set()

    def _on_database_loss(self) -> None:
        """It may be another one, or an older copy of itself, by the next statement."""
        self._doubts += 1
        self._parts.relay.pause()
        self._mend.set()

    async def _keep_house(self) -> int:
        return await keep_house(self._parts.database, self._settings.inbox_days)

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
                self._mend.set()
            await asyncio.sleep(_RETRY_S)

    async def _look_after_streams(self) -> None:
        while True:
            await _pause(self._settings.check_seconds, self._mend)
            reconnected, self._bus_returned = self._bus_returned, False
            held_back = self._parts.relay.paused
            try:
                await self.mend()
            except StreamRefused as error:
                self._refused = str(error)
                self._parts.relay.resume()
                log.error("stream.refused", reason=str(error))  # noqa: TRY400 - one line, it says all
            except (BusError, StoreError) as error:
                self._bus_returned = self._bus_returned or reconnected
                self._failed("upkeep", error)
                if self._parts.bus.connected:
                    await asyncio.sleep(_RETRY_S)
                    self._mend.set()
            else:
                self._worked("upkeep")
                if held_back:
                    self._outbox.set()
                if reconnected:
                    self._reconcile.set()

    async def _reconcile_again_and_again(self) -> None:
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
                    self._take_stock(await read_backlog(connection))
                    if turn % _COUNT_PENDING_EVERY == 0:
                        metrics.PENDING.set(await count_pending(connection))
            turn += 1
            await asyncio.sleep(_COUNT_EVERY_S)

    def _take_stock(self, backlog: Backlog) -> None:
        metrics.UNPUBLISHED.set(backlog.unpublished)
        metrics.UNPUBLISHED_SECONDS.set(backlog.oldest_s)
        metrics.SET_ASIDE.set(backlog.set_aside)
        # What waited before this process was there says nothing of it yet.
        self._unpublished_s = min(backlog.oldest_s, time.monotonic() - self._began)

    async def _try_alarms(self) -> None:
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

    def _silence(self) -> str | None:
        if self._unpublished_s < self._settings.silence_seconds:
            return None
        return f"pushes wait in the outbox for {self._unpublished_s:.0f} s: the stream NOTIFICATIONS does not take them"

    def _no_alarms(self) -> str | None:
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
            self._mend.set()
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
