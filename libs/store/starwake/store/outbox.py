"""Reads the outbox, the pushes that wait to be published, and deletes those that were."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

import msgspec

from starwake.contracts.events import Notification
from starwake.contracts.ids import PlayerId
from starwake.store.database import Connection, Record
from starwake.store.sql import load

SQL = load("outbox")


class OutboxRow(msgspec.Struct, frozen=True):
    """One push that waits to be published.

    Attributes:
        id: its place; rows of one source are published in this order.
        notification: the push.
        tell_at: not before this moment of the database's clock.
        source_id: the build or world event that it announces.
        created_at: when the row was written; it cannot have been published before.
    """

    id: int
    notification: Notification
    tell_at: datetime
    source_id: str
    created_at: datetime


async def read_earlier(connection: Connection, revisions: Sequence[tuple[str, int]]) -> list[OutboxRow]:
    """What stands in the outbox before these (id, revision), in order."""
    ids = [source for source, _ in revisions]
    return _rows(await connection.fetch(SQL.earlier, ids, [revision for _, revision in revisions]))


async def read_unpublished(connection: Connection, after: int, older_than_s: float, limit: int) -> list[OutboxRow]:
    """A page of what should have been published `older_than_s` seconds ago, behind the row `after`, oldest first."""
    return _rows(await connection.fetch(SQL.unpublished, after, timedelta(seconds=older_than_s), limit))


async def delete_published(connection: Connection, ids: Sequence[int], stream: str, last_seq: int) -> None:
    """Delete these rows, except those that another process is deleting; lift the mark of `stream` to `last_seq`."""
    await connection.fetch(SQL.delete_published, ids, stream, last_seq)


async def set_aside(connection: Connection, reasons: Sequence[tuple[int, str]]) -> None:
    """Take these rows (id, reason) out of publishing: the stream can never take them."""
    await connection.fetch(SQL.set_aside, [row_id for row_id, _ in reasons], [reason for _, reason in reasons])


class SetAside(NamedTuple):
    """A push that the stream could not take.

    Attributes:
        id: its row.
        message_id: names what it announces: the id and revision of a build or world event.
        player: whose feed it belongs to; None for everybody.
        event: its name.
        payload_bytes: how large the push is.
        created_at: when its row was written.
        reason: what the stream said.
    """

    id: int
    message_id: str
    player: str | None
    event: str
    payload_bytes: int
    created_at: datetime
    reason: str


async def list_set_aside(connection: Connection, limit: int) -> tuple[int, list[SetAside]]:
    """How many are set aside, and the oldest `limit` of them."""
    rows = await connection.fetch(SQL.list_set_aside, limit)
    total = cast("int", rows[0][7]) if rows else 0
    return total, [SetAside(row[0], row[1], row[2], row[3], row[4], row[5], row[6]) for row in rows]


async def lock_set_aside(connection: Connection, ids: Sequence[int] | None) -> list[int]:
    """Those of these rows (None: of all) that are set aside, locked until the transaction ends."""
    return [cast("int", row[0]) for row in await connection.fetch(SQL.lock_set_aside, ids)]


async def retry_set_aside(connection: Connection, ids: Sequence[int]) -> None:
    """Have the next sweep publish these rows."""
    await connection.execute(SQL.retry_set_aside, ids)


async def drop_set_aside(connection: Connection, ids: Sequence[int]) -> None:
    """Delete these rows unpublished."""
    await connection.execute(SQL.drop_set_aside, ids)


class Backlog(NamedTuple):
    """What waits in the outbox.

    Attributes:
        unpublished: rows that wait although their time has come.
        oldest_s: for how many seconds the oldest of them does.
        set_aside: rows that can never be published.
    """

    unpublished: int
    oldest_s: float
    set_aside: int


async def read_backlog(connection: Connection) -> Backlog:
    """What waits in the outbox at this moment."""
    row = await connection.fetchrow(SQL.backlog)
    if row is None:
        return Backlog(0, 0.0, 0)
    return Backlog(cast("int", row[0]), cast("float", row[1]), cast("int", row[2]))


def trace_column(notifications: Sequence[Notification]) -> list[str | None] | None:
    """The parameter for the rows' traces: None, which Postgres makes a column of NULLs, where nothing is traced."""
    traces = [each.trace for each in notifications]
    return traces if any(traces) else None


def _rows(records: Sequence[Record]) -> list[OutboxRow]:
    return [
        OutboxRow(
            id=record[0],
            notification=Notification(
                record[1],
                None if record[2] is None else PlayerId(record[2]),
                cast("str", record[3]).encode(),
                record[7],
            ),
            tell_at=record[4],
            source_id=record[6],
            created_at=record[5],
        )
        for record in records
    ]
