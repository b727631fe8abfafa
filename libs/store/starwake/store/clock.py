"""The database's clock, read without asking the database each time."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import cast

from starwake.runtime.logs import get_logger
from starwake.store.clock_estimate import ClockEstimate
from starwake.store.database import Database
from starwake.store.errors import StoreError

log = get_logger("clock")

_FIRST_READINGS = 5
_EVERY_S = 1.0


class DatabaseClock:
    """What the database's clock shows now, never ahead of it, behind it by the shortest round trip at most.

    Only this clock decides what is due: hosts' own clocks may be apart by any amount. It is measured against the
    monotonic clock of this host, again and again, and follows when somebody sets the database's clock.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._estimate = ClockEstimate()
        self._offset = 0.0

    @property
    def measured(self) -> bool:
        """Whether the clock was ever read."""
        return self._estimate.measured

    def now(self) -> float:
        """Seconds since the epoch; `measure` must have succeeded once."""
        return time.monotonic() + self._offset

    def datetime(self) -> datetime:
        """The same as an aware moment."""
        return datetime.fromtimestamp(self.now(), UTC)

    async def measure(self, readings: int = _FIRST_READINGS) -> None:
        """Read the clock a few times.

        Raises:
            StoreUnavailable: the database is away.
        """
        async with self._database.connection() as connection:
            for _ in range(readings):
                before = time.monotonic()
                shown = cast("datetime", await connection.fetchval("SELECT clock_timestamp()"))
                self._take(before, shown.timestamp(), time.monotonic())

    async def run(self) -> None:
        """Measure for ever, once a second; while the database is away the last estimate stands."""
        while True:
            await asyncio.sleep(_EVERY_S)
            with suppress(StoreError):
                await self.measure(1 if self.measured else _FIRST_READINGS)

    def _take(self, before: float, shown: float, after: float) -> None:
        known = self._estimate.measured
        was = self._offset
        stepped = self._estimate.add(before, shown, after)
        self._offset = self._estimate.offset(after)
        if known and stepped:
            log.warning("clock.stepped", by_s=round(self._offset - was, 3))
