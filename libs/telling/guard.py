"""Whether the stream may be published to: it must not have gone backwards unnoticed.

A push that is stored in a stream that lost its tail lifts its sequence past what was told, and the loss would never
show. So every publisher looks at the stream after each connect, before it publishes; the scheduler mends what it finds.
"""

import asyncio

from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.bus.feed import FeedState, read_feed
from libs.bus.streams import NOTIFICATIONS
from libs.runtime.logs import get_logger
from libs.store.database import Database
from libs.store.errors import StoreError
from libs.store.feed_mark import FeedMark, read_mark
from libs.telling.teller import Teller

log = get_logger("guard")

_RETRY_S = 0.25


def why_new_epoch(state: FeedState, mark: FeedMark | None) -> str | None:
    """PURE: why the feed needs a new epoch; None where it goes on."""
    if state.epoch is None:
        return "the stream has none"
    if mark is None:
        return None
    if state.last_seq < mark.last_seq:
        return f"the stream stands at {state.last_seq}, but {mark.last_seq} was told"
    if state.epoch != mark.epoch:
        return "the stream has another one than was told of"
    return None


class Guard:
    """Holds a teller back after each connect until the stream stands where the mark says; for those who cannot mend."""

    def __init__(self, database: Database, bus: Bus, teller: Teller) -> None:
        self._database = database
        self._bus = bus
        self._teller = teller
        self._look = asyncio.Event()
        self._look.set()
        teller.pause()
        bus.on_connection_change(self._on_connection_change)

    async def run(self) -> None:
        """Look at the stream after each connect, again and again until it is in order; until cancelled."""
        told = ""
        while True:
            await self._look.wait()
            self._look.clear()
            reason = await self._why_not()
            if reason is not None:
                if reason != told:
                    log.warning("telling.held_back", reason=reason)
                self._look.set()
                await asyncio.sleep(_RETRY_S)
            elif not self._look.is_set() and self._bus.connected:
                self._teller.resume()
            told = reason or ""

    def _on_connection_change(self, connected: bool) -> None:  # noqa: FBT001 - the bus's listener
        self._teller.pause()
        if connected:
            self._look.set()

    async def _why_not(self) -> str | None:
        try:
            async with self._database.connection() as connection:
                mark = await read_mark(connection, NOTIFICATIONS)
            # After the mark, which follows the stream: the other way round, it could have passed what was read before.
            state = await read_feed(self._bus)
        except (BusError, StoreError) as error:
            return str(error)
        return None if mark is None else why_new_epoch(state, mark)
