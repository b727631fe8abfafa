"""Whether the stream may be published to: neither it nor the table must have gone backwards unnoticed.

A push that is stored in a stream that lost its tail lifts its sequence past the mark, and the loss would never
show. A push of a table that was restored from an older copy lifts the mark past what that table does not know of, and
then that would not show. So every publisher compares the two after each connect, be it to NATS or to Postgres, before
it publishes; the scheduler mends what it finds.
"""

import asyncio
import re

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.feed import FeedState, read_feed, read_newest
from starwake.bus.streams import NOTIFICATIONS
from starwake.contracts.events import event_name
from starwake.contracts.ids import MAX_REVISION, push_place
from starwake.outbox.relay import Relay
from starwake.runtime.logs import get_logger
from starwake.store.database import Database
from starwake.store.errors import StoreError
from starwake.store.high_water_mark import HighWaterMark, PublishedPush, find_unknown, read_mark

log = get_logger("guard")

_RETRY_S = 0.25
COMPARED = 256
"""How many of the newest pushes are compared with the table where something may have gone back."""
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


def why_new_epoch(state: FeedState, mark: HighWaterMark | None) -> str | None:
    """PURE: why the feed needs a new epoch; None where it goes on."""
    if state.epoch is None:
        return "the stream has none"
    if mark is None:
        return None
    if state.last_seq < mark.last_seq:
        return f"the stream stands at {state.last_seq}, but {mark.last_seq} was published"
    if state.epoch != mark.epoch:
        return "the stream has another one than the table"
    return None


async def newest_published(bus: Bus, state: FeedState, limit: int = COMPARED) -> list[PublishedPush]:
    """What the stream's newest pushes, up to `limit`, say of the table; none is stored before its row is committed.

    Raises:
        BusError: JetStream does not answer.
    """
    found: list[PublishedPush] = []
    if state.last_seq == 0:
        return found
    for push in await read_newest(bus, state.last_seq, limit):
        place = push_place(push.message_id)
        if place is not None and _ID.match(place[0]) and place[1] <= MAX_REVISION:
            # Revision 0 is an order that waits: its row becomes a build, or goes.
            kept = place[1] > 0 and event_name(push.body).startswith("build.")
            found.append(PublishedPush(*place, kept=kept, seq=push.seq, message_id=push.message_id))
    return found


def why_gone_back(unknown: PublishedPush) -> str:
    """PURE: the reason in words, where the table lacks what a push announces."""
    return f"the table has gone backwards: row {unknown.id} was published at revision {unknown.revision}"


class Guard:
    """Pauses a relay after each connect until stream and table agree; for services that cannot repair the stream."""

    def __init__(self, database: Database, bus: Bus, relay: Relay) -> None:
        self._database = database
        self._bus = bus
        self._relay = relay
        self._look = asyncio.Event()
        self._look.set()
        relay.pause()
        bus.on_connection_change(self._on_connection_change)
        database.on_loss(self._on_database_loss)

    async def run(self) -> None:
        """Look after each connect, again and again until all is in order; until cancelled."""
        logged = ""
        while True:
            await self._look.wait()
            self._look.clear()
            reason = await self._why_not()
            if reason is not None:
                if reason != logged:
                    log.warning("outbox.held_back", reason=reason)
                self._look.set()
                await asyncio.sleep(_RETRY_S)
            elif not self._look.is_set() and self._bus.connected:
                self._relay.resume()
            logged = reason or ""

    def _on_connection_change(self, connected: bool) -> None:  # noqa: FBT001 - the bus's listener
        self._relay.pause()
        if connected:
            self._look.set()

    def _on_database_loss(self) -> None:
        self._relay.pause()
        self._look.set()

    async def _why_not(self) -> str | None:
        try:
            async with self._database.connection() as connection:
                mark = await read_mark(connection, NOTIFICATIONS)
            if mark is None:
                return None
            # After the mark, which follows the stream: the other way round, it could have passed what was read before.
            state = await read_feed(self._bus)
            reason = why_new_epoch(state, mark)
            if reason is not None:
                return reason
            newest = await newest_published(self._bus, state)
            async with self._database.connection() as connection:
                unknown = await find_unknown(connection, NOTIFICATIONS, newest)
        except (BusError, StoreError) as error:
            return str(error)
        return None if unknown is None else why_gone_back(unknown)
