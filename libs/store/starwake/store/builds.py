"""Rows as records, and what is read of them without writing."""

from datetime import datetime
from typing import cast

import msgspec

from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.ids import BuildId, PlayerId, Revision
from starwake.contracts.queued import QueuedOrder
from starwake.store.database import Connection, Database, Record
from starwake.store.sql import load

_SQL = load("builds")
_follow_ups_decoder = msgspec.json.Decoder(tuple[FollowUp, ...])
_encoder = msgspec.json.Encoder()


def encode_follow_ups(follow_ups: tuple[FollowUp, ...]) -> str | None:
    """Follow-ups as their jsonb column holds them: null where there are none."""
    return _encoder.encode(follow_ups).decode() if follow_ups else None


def decode_follow_ups(column: object) -> tuple[FollowUp, ...]:
    """The inverse of `encode_follow_ups`."""
    return _follow_ups_decoder.decode(cast("str", column)) if column is not None else ()


def build_from_row(row: Record, duration_ms: int | None = None) -> BuildRecord:
    """A row of `build` (`id::text`, then the columns by name) as a record; `duration_ms` only where it may be moved."""
    return BuildRecord(
        id=BuildId(row["id"]),
        player=PlayerId(row["player"]),
        kind=row["kind"],
        site=row["site"],
        state=BuildState(row["state"]),
        revision=Revision(row["revision"]),
        started_at=row["started_at"],
        due_at=row["due_at"],
        completed_at=row["completed_at"],
        cancelled_at=row["cancelled_at"],
        follow_ups=decode_follow_ups(row["follow_ups"]),
        trace=row["trace"],
        duration_ms=duration_ms,
    )


def queued_from_row(row: Record) -> QueuedOrder:
    """A row of `queued_order` (`id::text`, then the columns by name) as a record."""
    return QueuedOrder(
        id=BuildId(row["id"]),
        player=PlayerId(row["player"]),
        site=row["site"],
        kind=row["kind"],
        duration_ms=row["duration_ms"],
        created_at=row["created_at"],
        follow_ups=decode_follow_ups(row["follow_ups"]),
        trace=row["trace"],
    )


def as_seen(build: BuildRecord, now: datetime) -> BuildRecord:
    """The row as readers see it at `now`: one that was completed ahead of its time is still building until then."""
    if build.completed_at is None or build.completed_at <= now:
        return build
    return msgspec.structs.replace(
        build, state=BuildState.BUILDING, revision=Revision(build.revision - 1), completed_at=None
    )


async def list_builds(
    database: Database, player: PlayerId, *, state: str | None, limit: int, after: str | None
) -> tuple[list[BuildRecord], str | None]:
    """A page of a player's builds, newest first, and the `after` of the next page (None: this was the last).

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.connection() as connection:
        rows = await _page(connection, player, state, limit + 1, after)
    builds = [as_seen(build_from_row(row), row["now"]) for row in rows[:limit]]
    return builds, builds[-1].id if len(rows) > limit else None


async def list_queued(
    database: Database, player: PlayerId, *, limit: int, after: int = 0
) -> tuple[list[tuple[int, QueuedOrder]], bool]:
    """A page of what waits for a player's sites, first come first: each with its place, and whether more stand behind.

    Args:
        database: where the rows are.
        player: whose orders.
        limit: how many at most.
        after: the place of the last one of the page before.

    Raises:
        StoreUnavailable: the database is away.
    """
    async with database.connection() as connection:
        rows = await connection.fetch(_SQL.list_queued, player, after, limit + 1)
    return [(row["position"], queued_from_row(row)) for row in rows[:limit]], len(rows) > limit


async def _page(
    connection: Connection, player: PlayerId, state: str | None, limit: int, after: str | None
) -> list[Record]:
    if state is None:
        return await connection.fetch(_SQL.list_all, player, after, limit)
    if state == BuildState.BUILDING:
        return await connection.fetch(_SQL.list_building, player, after, limit)
    return await connection.fetch(_SQL.list_state, player, after, limit, state)
