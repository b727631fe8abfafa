"""Pages of waiting rows in the order of ids, for reconcile; locks of what one copy does at a time; retention."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

import msgspec

from starwake.store.database import Connection, Record
from starwake.store.sql import load

SQL = load("gather")

FIRST_ID = "00000000-0000-0000-0000-000000000000"
LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"

RECONCILE_LOCK = 0x5354_4152_0001
RETENTION_LOCK = 0x5354_4152_0002
STREAMS_LOCK = 0x5354_4152_0003


class WaitingKey(msgspec.Struct, frozen=True):
    """A row that waits for its time; `since` is when it came to be."""

    id: str
    revision: int
    due_at: datetime
    since: datetime


async def read_build_keys(connection: Connection, after: str, until: str, limit: int) -> list[WaitingKey]:
    """A page of builds in state `building` with ids above `after` and up to `until`."""
    return _keys(await connection.fetch(SQL.build_keys, after, until, limit))


async def read_event_keys(connection: Connection, after: str, until: str, limit: int) -> list[WaitingKey]:
    """A page of world events in state `scheduled` with ids above `after` and up to `until`."""
    return _keys(await connection.fetch(SQL.event_keys, after, until, limit))


async def lock(connection: Connection, which: int) -> None:
    """Wait for a lock that is held until the connection's transaction ends."""
    await connection.execute(SQL.lock, which)


async def forget_inbox(connection: Connection, older_than: timedelta, limit: int) -> int:
    """Delete a page of command ids that are older; how many it were."""
    return cast("int", await connection.fetchval(SQL.forget_inbox, older_than, limit))


async def forget_refusals(connection: Connection, older_than: timedelta, limit: int) -> int:
    """Delete a page of refusals that are older; how many it were."""
    return cast("int", await connection.fetchval(SQL.forget_refusals, older_than, limit))


async def forget_events(connection: Connection, older_than: timedelta, limit: int) -> int:
    """Delete a page of world events that ended that long ago; how many it were."""
    return cast("int", await connection.fetchval(SQL.forget_events, older_than, limit))


def _keys(records: Sequence[Record]) -> list[WaitingKey]:
    return [WaitingKey(record[0], record[1], record[2], record[3]) for record in records]
