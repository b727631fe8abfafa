"""Keeps the stream REVOCATIONS equal to the table of revocations: for each player the later one wins.

The table is the truth; the stream is what gateways read. Only where nobody could ask a command service (`starwake
revoke` then writes into the stream alone) does the table learn from the stream.
"""

from datetime import datetime
from typing import Final

from starwake.bus.connection import Bus
from starwake.bus.revocations import Stored, revoked_players, store_revocations, stored_revocations
from starwake.contracts.ids import PlayerId, is_player_id
from starwake.runtime.logs import get_logger
from starwake.scheduler import metrics
from starwake.store import revocations as rows
from starwake.store.database import Connection, Database

log = get_logger("revocations")

_PAGE: Final = 1000


async def refill(connection: Connection, bus: Bus) -> bool:
    """Store what the table has into a stream that nobody can read yet; True, which opens it to be read.

    Raises:
        BusError, StoreError: it has to be done again, all of it.
    """
    restored = 0
    after = ""
    while page := await rows.read_page(connection, after, _PAGE):
        # A stream that was being filled before: `compare` looks at what it has already, once it can be read.
        restored += await store_revocations(bus, dict(page), {})
        after = page[-1].player
    _count(restored)
    return True


async def compare(database: Database, bus: Bus) -> None:
    """Bring into each what only the other has.

    Raises:
        BusError, StoreError: what was done stays done.
    """
    noted = 0
    async for players in revoked_players(bus):
        found = await stored_revocations(bus, [player for player in players if is_player_id(player)])
        async with database.connection() as connection:
            noted += await rows.note_found(connection, {player: each.at for player, each in found.items()})
    if noted:
        log.warning("revocations.noted", players=noted)
    restored = 0
    after = ""
    while True:
        async with database.connection() as connection:
            page = await rows.read_page(connection, after, _PAGE)
        if not page:
            break
        stored = await stored_revocations(bus, [each.player for each in page])
        restored += await store_revocations(bus, missing_or_older(page, stored), stored)
        after = page[-1].player
    _count(restored)


def missing_or_older(page: list[rows.Revocation], stored: dict[PlayerId, Stored]) -> dict[PlayerId, datetime]:
    """PURE: the table's revocations that the stream lacks, or has with an earlier moment."""
    return {each.player: each.at for each in page if each.player not in stored or stored[each.player].at < each.at}


def _count(restored: int) -> None:
    if restored:
        metrics.CHANGES.labels("revocation").inc(restored)
        log.warning("revocations.restored", players=restored)
