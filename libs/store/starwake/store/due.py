"""Completing what is due: the conditional UPDATE that alone decides, and the outbox rows that it leaves."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.events import BUILD_STARTED, Notification, build_event
from starwake.contracts.ids import BuildId, PlayerId
from starwake.contracts.queued import QueuedOrder
from starwake.contracts.times import truncate
from starwake.contracts.world_events import EventRecord
from starwake.store.database import Connection, Record
from starwake.store.outbox import OutboxRow, trace_column
from starwake.store.sql import load

SQL = load("due")

NIL_ID = "00000000-0000-0000-0000-000000000000"
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)

_follow_ups = msgspec.json.Decoder(tuple[FollowUp, ...])
_data = msgspec.json.Decoder(dict[str, Any])


class DueKey(msgspec.Struct, frozen=True):
    """A row that comes due, without the rest of it."""

    id: str
    revision: int
    due_at: datetime


class Verdict(msgspec.Struct):
    """What became of a batch that was to be completed.

    Attributes:
        completed: ids of the rows that are completed now.
        early: ids of the rows that were left alone because their time has not come.
        outbox_ids: for each message that was written, its place in the outbox.
        earlier: what stood in the outbox before, of the rows that are completed; it has to be published first.
        queue: whether any order waits for its site.

    A row in neither list has another revision or another state: there is nothing left to do about it.
    """

    completed: set[str]
    early: set[str]
    outbox_ids: dict[str, int]
    earlier: list[OutboxRow]
    queue: bool = False


async def complete_builds(
    connection: Connection,
    builds: Sequence[BuildRecord],
    messages: Mapping[str, Sequence[Notification]],
    ahead: timedelta,
) -> Verdict:
    """Complete those of `builds` that still stand so and are due within `ahead`, and write the pushes of their end.

    One statement, whole by itself.

    Args:
        connection: in a transaction or not.
        builds: rows as an alarm or a reader saw them, in state `building`.
        messages: by id, the pushes of a completion, in order.
        ahead: how long before `due_at` a row may be completed.
    """
    pushes = [(build.id, each) for build in builds for each in messages[build.id]]
    records = await connection.fetch(
        SQL.complete_builds,
        [build.id for build in builds],
        [build.revision for build in builds],
        [build.due_at for build in builds],
        [build.player for build in builds],
        ahead,
        *_message_columns(pushes),
    )
    return _verdict(records)


async def complete_events(
    connection: Connection,
    events: Sequence[EventRecord],
    messages: Mapping[str, Sequence[Notification]],
    ahead: timedelta,
) -> Verdict:
    """The same for world events: `scheduled -> told`."""
    pushes = [(event.id, each) for event in events for each in messages[event.id]]
    records = await connection.fetch(
        SQL.complete_events,
        [event.id for event in events],
        [event.revision for event in events],
        [event.due_at for event in events],
        ahead,
        *_message_columns(pushes),
    )
    return _verdict(records)


async def claim_builds(
    connection: Connection, due_before: datetime, without: Sequence[str], limit: int
) -> list[BuildRecord]:
    """Lock and read overdue builds that nobody works on, oldest first, none of the players `without`."""
    return [_build(row) for row in await connection.fetch(SQL.claim_builds, due_before, without, limit)]


async def claim_events(connection: Connection, due_before: datetime, limit: int) -> list[EventRecord]:
    """Lock and read overdue world events that nobody works on, oldest first."""
    return [_event(row) for row in await connection.fetch(SQL.claim_events, due_before, limit)]


async def soon_builds(connection: Connection, after: DueKey, until: datetime, limit: int) -> list[DueKey]:
    """A page of builds that are due behind `after` and not after `until`."""
    return _keys(await connection.fetch(SQL.soon_builds, after.due_at, after.id, until, limit))


async def soon_events(connection: Connection, after: DueKey, until: datetime, limit: int) -> list[DueKey]:
    """A page of world events that are due behind `after` and not after `until`."""
    return _keys(await connection.fetch(SQL.soon_events, after.due_at, after.id, until, limit))


async def read_building(connection: Connection, ids: Sequence[str]) -> list[BuildRecord]:
    """Those of the builds `ids` that are in state `building`, oldest due first."""
    return [_build(row) for row in await connection.fetch(SQL.building, ids)]


async def read_scheduled(connection: Connection, ids: Sequence[str]) -> list[EventRecord]:
    """Those of the world events `ids` that are in state `scheduled`, oldest due first."""
    return [_event(row) for row in await connection.fetch(SQL.scheduled, ids)]


class Started(msgspec.Struct, frozen=True):
    """An order that waited for its site and was started now: the build, and the push of its start."""

    build: BuildRecord
    notification: Notification
    outbox_id: int


TraceOf = Callable[[BuildRecord], str | None]
"""The trace that the push of a build's start bears, asked for before it is known whether it starts."""


async def start_next(connection: Connection, completed: Sequence[str], trace_of: TraceOf) -> list[Started]:
    """Start the order that waits behind each of these builds, at the very moment when that build was due."""
    if not completed or not await connection.fetchval(SQL.any_queued):
        return []
    return await _start(connection, await connection.fetch(SQL.next_queued, completed), trace_of)


async def start_stranded(connection: Connection, older_than_s: float, limit: int, trace_of: TraceOf) -> list[Started]:
    """Start orders that wait for a site that is free, given at least `older_than_s` seconds ago."""
    if not await connection.fetchval(SQL.any_queued):
        return []
    stranded = await connection.fetch(SQL.stranded_queued, timedelta(seconds=older_than_s), limit)
    return await _start(connection, stranded, trace_of)


async def count_overdue(connection: Connection, older_than_s: float) -> int:
    """How many rows wait beyond their time by more than `older_than_s` seconds."""
    return cast("int", await connection.fetchval(SQL.overdue, timedelta(seconds=older_than_s)))


async def count_pending(connection: Connection) -> int:
    """How many rows wait for their time; reads an index once, about 0.1 s for a million."""
    return cast("int", await connection.fetchval(SQL.pending))


async def _start(connection: Connection, orders: Sequence[Record], trace_of: TraceOf) -> list[Started]:
    if not orders:
        return []
    builds = [_queued_build(order) for order in orders]
    pushes = [build_event(BUILD_STARTED, build.started_at, build, trace_of(build)) for build in builds]
    records = await connection.fetch(
        SQL.start_queued,
        [build.id for build in builds],
        [build.started_at for build in builds],
        [build.due_at for build in builds],
        [each.message_id for each in pushes],
        [each.body.decode() for each in pushes],
        trace_column(pushes),
    )
    outbox_ids: dict[str, int] = {record[1]: record[0] for record in records}
    return [
        Started(build, each, outbox_ids[each.message_id])
        for build, each in zip(builds, pushes, strict=True)
        if each.message_id in outbox_ids
    ]


def _queued_build(order: Record) -> BuildRecord:
    queued = QueuedOrder(
        id=BuildId(order[0]),
        player=PlayerId(order[1]),
        kind=order[2],
        site=order[3],
        duration_ms=order[4],
        follow_ups=_decoded_follow_ups(order[5]),
        trace=order[6],
        created_at=order[7],
    )
    return queued.started(truncate(order[8]))


def _message_columns(
    pushes: Sequence[tuple[str, Notification]],
) -> tuple[list[str], list[str], list[str], list[str | None] | None]:
    return (
        [source for source, _ in pushes],
        [each.message_id for _, each in pushes],
        [each.body.decode() for _, each in pushes],
        trace_column([each for _, each in pushes]),
    )


def _verdict(records: Sequence[Record]) -> Verdict:
    verdict = Verdict(set(), set(), {}, [])
    for name, due, outbox_id, player, payload, tell_at, created_at, source_id, trace in records:
        if outbox_id is None:
            if name is None:
                verdict.queue = due
            else:
                (verdict.completed if due else verdict.early).add(name)
        elif source_id is None:
            verdict.outbox_ids[name] = outbox_id
        else:
            notification = Notification(name, player, payload.encode(), trace)
            verdict.earlier.append(OutboxRow(outbox_id, notification, tell_at, source_id, created_at))
    return verdict


def _build(row: Record) -> BuildRecord:
    return BuildRecord(
        id=row[0],
        player=row[1],
        kind=row[2],
        site=row[3],
        state=BuildState.BUILDING,
        revision=row[4],
        started_at=row[5],
        due_at=row[6],
        follow_ups=_decoded_follow_ups(row[7]),
        trace=row[8],
    )


def _event(row: Record) -> EventRecord:
    return EventRecord(
        id=row[0], player=row[1], event=row[2], data=_data.decode(row[3]), due_at=row[4], revision=row[5], trace=row[6]
    )


def _keys(records: Sequence[Record]) -> list[DueKey]:
    return [DueKey(record[0], record[1], record[2]) for record in records]


def _decoded_follow_ups(text: str | None) -> tuple[FollowUp, ...]:
    return () if text is None else _follow_ups.decode(text)
