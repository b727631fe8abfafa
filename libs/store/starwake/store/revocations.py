"""Who was revoked, and up to when: the truth that the stream REVOCATIONS is filled from."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple, cast

from starwake.contracts.ids import PlayerId
from starwake.store.database import Connection
from starwake.store.sql import load

SQL = load("revocations")

KEPT: Final = timedelta(days=30)
"""As long as the stream keeps one; a token that lives longer counts again after that."""


class Revocation(NamedTuple):
    """Tokens of `player` that were issued up to `at` no longer count."""

    player: PlayerId
    at: datetime


async def note(connection: Connection, player: PlayerId, at: datetime) -> None:
    """Note a revocation; one that is there with a later moment stays."""
    await connection.execute(SQL.note, player, at)


async def note_found(connection: Connection, found: Mapping[PlayerId, datetime]) -> int:
    """Note those that the table does not have, or has with an earlier moment; how many it were."""
    return len(await connection.fetch(SQL.note_found, list(found), list(found.values()), KEPT))


async def locked(connection: Connection, player: PlayerId) -> datetime | None:
    """The moment of a player's revocation; until the transaction ends, whoever else asks so waits."""
    return cast("datetime | None", await connection.fetchval(SQL.locked, player))


async def read_page(connection: Connection, after: str, limit: int) -> list[Revocation]:
    """A page of those not older than `KEPT`, in the order of players, above the player `after`."""
    return [Revocation(PlayerId(row[0]), row[1]) for row in await connection.fetch(SQL.page, after, KEPT, limit)]


async def forget(connection: Connection, limit: int) -> int:
    """Delete a page of those older than `KEPT`; how many it were."""
    return cast("int", await connection.fetchval(SQL.forget, KEPT, limit))
