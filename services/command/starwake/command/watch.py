"""Looks after what the service depends on, so that readiness can be read without asking anybody."""

import asyncio
from collections.abc import Sequence
from typing import Final

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.provision import check_streams
from starwake.runtime.health import Health
from starwake.runtime.logs import get_logger
from starwake.store.database import Database
from starwake.store.errors import StoreError

log = get_logger("watch")

_EVERY_S: Final = 1.0
_STREAMS_EVERY: Final = 30
"""Streams that were found right are looked at again after so many rounds: the scheduler repairs them, not we."""


class Watch:
    """Probes the database and the streams; the bus knows by itself."""

    def __init__(self, bus: Bus, database: Database, streams: Sequence[str]) -> None:
        self._bus = bus
        self._database = database
        self._names = streams
        self._database_trouble: str | None = "not asked yet"
        self._streams_trouble: str | None = "not looked at yet"

    def register(self, health: Health) -> None:
        """Have readiness depend on what is seen here."""
        health.add_check("bus", lambda: None if self._bus.connected else "not connected")
        health.add_check("database", lambda: self._database_trouble)
        health.add_check("streams", lambda: self._streams_trouble)

    async def run(self) -> None:
        """Look, for ever."""
        rounds = 0
        while True:
            await self._look_at_database()
            if self._streams_trouble is not None or rounds % _STREAMS_EVERY == 0:
                await self._look_at_streams()
            rounds += 1
            await asyncio.sleep(_EVERY_S)

    async def _look_at_database(self) -> None:
        try:
            await self._database.now()
        except StoreError as error:
            self._database_trouble = str(error)
        else:
            self._database_trouble = None

    async def _look_at_streams(self) -> None:
        try:
            differences = await check_streams(self._bus, self._names)
        except BusError as error:
            trouble = str(error)
        else:
            trouble = "; ".join(f"{each.stream}: {each.field}" for each in differences) or None
        if trouble is not None and trouble != self._streams_trouble:
            log.warning("streams.not_as_needed", trouble=trouble)
        self._streams_trouble = trouble
