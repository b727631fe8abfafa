"""What somebody has yet to be told: reading the outbox, and forgetting what was told."""

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
    """One push that waits to be told.

    Attributes:
        id: its place; rows of one source are told in this order.
        notification: what is told.
        tell_at: not before this moment of the database's clock.
        source_id: the build or world event that it tells of.
        created_at: when the row was written; nobody can have told it before.
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


async def read_untold(connection: Connection, after: int, older_than_s: float, limit: int) -> list[OutboxRow]:
    """A page of what should have been told `older_than_s` seconds ago, behind the row `after`, oldest first."""
    return _rows(await connection.fetch(SQL.untold, after, timedelta(seconds=older_than_s), limit))


async def delete_told(connection: Connection, ids: Sequence[int], stream: str, last_seq: int) -> None:
    """Forget these rows, but for those that somebody else is deleting, and lift the mark of `stream` to `last_seq`."""
    await connection.fetch(SQL.delete_told, ids, stream, last_seq)


async def set_aside(connection: Connection, reasons: Sequence[tuple[int, str]]) -> None:
    """Have these rows (id, reason) tried by nobody any more: the stream can never take them."""
    await connection.fetch(SQL.set_aside, [row_id for row_id, _ in reasons], [reason for _, reason in reasons])


class Backlog(NamedTuple):
    """What waits in the outbox.

    Attributes:
        untold: rows that wait although their time has come.
        oldest_s: for how many seconds the oldest of them does.
        set_aside: rows that can never be told.
    """

    untold: int
    oldest_s: float
    set_aside: int


async def read_backlog(connection: Connection) -> Backlog:
    """What waits in the outbox at this moment."""
    row = await connection.fetchrow(SQL.backlog)
    if row is None:
        return Backlog(0, 0.0, 0)
    return Backlog(cast("int", row[0]), cast("float", row[1]), cast("int", row[2]))


def trace_column(told: Sequence[Notification]) -> list[str | None] | None:
    """The parameter for the rows' traces: None, which Postgres makes a column of NULLs, where nothing is traced."""
    traces = [each.trace for each in told]
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
