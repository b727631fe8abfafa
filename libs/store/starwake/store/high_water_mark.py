"""The highest sequence ever published into a stream: a stream below its mark has gone backwards."""

from collections.abc import Sequence
from typing import NamedTuple

from starwake.store.database import Connection
from starwake.store.sql import load

SQL = load("high_water_mark")


class HighWaterMark(NamedTuple):
    """The epoch that the mark was last set in, and the highest sequence that was ever published."""

    epoch: str
    last_seq: int


async def read_mark(connection: Connection, stream: str) -> HighWaterMark | None:
    """The mark of `stream`; None before its first epoch."""
    row = await connection.fetchrow(SQL.read, stream)
    return None if row is None else HighWaterMark(row[0], row[1])


class PublishedPush(NamedTuple):
    """What a stored push says of the table: its row had come to this revision, and its message was in the outbox.

    Attributes:
        id: of the row.
        revision: to which it had come.
        kept: whether such rows are never deleted.
        seq: of the push in its stream.
        message_id: of the push; one that names nothing but row and revision says nothing of the outbox.
    """

    id: str
    revision: int
    kept: bool
    seq: int
    message_id: str


async def find_unknown(connection: Connection, stream: str, pushes: Sequence[PublishedPush]) -> PublishedPush | None:
    """One of `pushes` that the table does not know of: it has gone backwards. None where it knows of all.

    `pushes` must have been read from `stream` before: a push is published once its row is committed, and its outbox row
    is deleted in the statement that lifts the mark to its sequence. So above the mark, each has its outbox row.
    """
    row = await connection.fetchrow(
        SQL.went_back,
        [each.id for each in pushes],
        [each.revision for each in pushes],
        [each.kept for each in pushes],
        [each.seq for each in pushes],
        [each.message_id for each in pushes],
        stream,
    )
    return None if row is None else next(each for each in pushes if each.seq == row[0])


async def raise_mark(connection: Connection, stream: str, last_seq: int) -> None:
    """Lift the mark of `stream` to `last_seq`; it never sinks."""
    await connection.execute(SQL.lift, stream, last_seq)


async def begin_epoch(connection: Connection, stream: str, epoch: str, last_seq: int) -> None:
    """Note a new epoch of `stream`, which begins above `last_seq`."""
    await connection.execute(SQL.begin_epoch, stream, epoch, last_seq)
