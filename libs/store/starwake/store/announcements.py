"""World events: announced, remembered, cancelled. The scheduler publishes them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from starwake.contracts.batches import Remembered
from starwake.contracts.ids import PlayerId, Revision
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.world_events import EventRecord, Upcoming
from starwake.store.database import Connection, Database
from starwake.store.orders import player_lock
from starwake.store.sql import load

_SQL = load("announcements")
_LOCKS = load("orders")
_encoder = msgspec.json.Encoder()

MAX_LISTED_BYTES: Final = 262_144
"""Of one page's data: a reply has to fit into a message of NATS, 1 MiB by default."""
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_ID: Final = "00000000-0000-0000-0000-000000000000"


class Cancelled(NamedTuple):
    """What a cancel came to: the alarms that wake nothing any more, and the pushes that were published before."""

    outdated: list[AlarmKey]
    announced: list[str]


async def recall(connection: Connection, command_id: str) -> tuple[datetime, Remembered | None]:
    """The database's time, and what the inbox holds of an operator's command. Inside a transaction, under a lock."""
    await connection.execute(_LOCKS.lock_players, [player_lock("")])
    row = await connection.fetchrow(_SQL.remembered, command_id)
    assert row is not None  # noqa: S101 - the query has a row by construction
    return row[0], None if row[1] is None else Remembered(row[1], row[2], row[3].encode())


async def remember(connection: Connection, command_id: str, entry: Remembered) -> None:
    """Remember an operator's command and its outcome."""
    await connection.execute(_SQL.remember, command_id, entry.command, entry.fingerprint, entry.outcome.decode())


async def insert_events(
    connection: Connection, series: str, player: PlayerId | None, events: Sequence[EventRecord]
) -> None:
    """Write an announcement's rows, in state `scheduled`."""
    await connection.execute(
        _SQL.insert_events,
        series,
        player,
        [event.id for event in events],
        [event.event for event in events],
        [_encoder.encode(event.data).decode() for event in events],
        [event.due_at for event in events],
        events[0].trace,
    )


async def cancel_events(connection: Connection, event_id: str) -> Cancelled | None:
    """Cancel what is not pushed yet of an announcement; None where there is no such announcement. In a transaction."""
    rows = await connection.fetch(_SQL.cancel_events, event_id)
    known = await connection.fetch(_SQL.find_events, event_id)
    if not known:
        return None
    outdated = [AlarmKey("event", row[0], Revision(row[1] - 1)) for row in rows]
    return Cancelled(outdated, [row[0] for row in known if row[1] == "told"])


async def list_upcoming(
    database: Database, player: PlayerId, *, limit: int, after: tuple[datetime, str] | None
) -> tuple[list[Upcoming], bool]:
    """A page of what is announced to a player or to all and not pushed yet, soonest first, and whether more follows.

    Args:
        database: where.
        player: for whom.
        limit: how many at most; fewer where they would be more than `MAX_LISTED_BYTES`.
        after: `due_at` and id of the last one of the page before.

    Raises:
        StoreUnavailable: the database is away.
    """
    due_at, event_id = after or (_EVER, _FIRST_ID)
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL.list_upcoming, player, due_at, event_id, limit + 1)
    page: list[Upcoming] = []
    size = 0
    for row in rows[:limit]:
        data = row["data"].encode()
        size += len(data)
        if page and size > MAX_LISTED_BYTES:
            break
        whose = None if row["player"] is None else PlayerId(row["player"])
        page.append(Upcoming(row["id"], whose, row["event"], msgspec.Raw(data), row["due_at"], row["announced_at"]))
    return page, len(rows) > len(page)
