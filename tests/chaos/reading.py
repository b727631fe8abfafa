"""What is left after a run, read from the table and the stream, and put beside the clients' own logs."""

import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol, cast

from starwake.bus.connection import Bus
from starwake.bus.feed import read_feed, read_pushes
from starwake.bus.jetstream import stream_info
from starwake.bus.options import BusOptions
from starwake.bus.streams import TIMERS
from starwake.contracts.ids import PlayerId
from tests.chaos.history import EventRow, Happening, History, Order, Remembered, Row, Session, Stored
from tests.support.postgres import connect

_ALL_KEPT = 100_000


class Place(Protocol):
    """Where it happened: a database, a NATS server, and what was done to them."""

    @property
    def database_url(self) -> str:
        """For somebody who may read every table."""
        ...

    @property
    def bus_options(self) -> BusOptions:
        """For somebody who may look at both streams and read the feeds."""
        ...

    @property
    def happenings(self) -> Sequence[Happening]: ...

    async def count_deadlocks(self) -> int:
        """How many the database has had since the run began."""
        ...


class Witness(Protocol):
    """Whoever heard something."""

    @property
    def sessions(self) -> list[Session]: ...


async def query(world: Place, text: str, *args: object) -> list[dict[str, Any]]:
    """Ask the table."""
    connection = await connect(world.database_url)
    try:
        return [dict(row) for row in await connection.fetch(text, *args)]
    finally:
        await connection.close()


@asynccontextmanager
async def bus_of(world: Place) -> AsyncGenerator[Bus]:
    """A connection of one's own to the NATS server there."""
    bus = await Bus.connect(world.bus_options, timeout_s=30)
    try:
        yield bus
    finally:
        await bus.close()


async def read_stored(bus: Bus, player: str | None) -> list[Stored]:
    """One feed, whole."""
    pushes = await read_pushes(bus, None if player is None else PlayerId(player), 0, limit=_ALL_KEPT)
    bodies: list[dict[str, Any]] = [json.loads(push.body) for push in pushes]
    return [
        Stored(
            player=player,
            seq=push.seq,
            message_id=push.message_id,
            event=body["event"],
            at=body["at"],
            data=body["data"],
            stored_at=push.stored_at,
        )
        for push, body in zip(pushes, bodies, strict=True)
    ]


async def alarms_left(world: Place) -> int:
    """How many messages the stream of alarms holds."""
    async with bus_of(world) as bus:
        info = await stream_info(bus, TIMERS)
        return 0 if info is None else info["state"]["messages"]


async def pending(world: Place, players: Sequence[str]) -> int:
    """How much these players still wait for: rows, orders and pushes; announcements of everybody's count too."""
    (found,) = await query(
        world,
        "SELECT (SELECT count(*) FROM build WHERE player = ANY($1::text[]) AND state = 'building')"
        " + (SELECT count(*) FROM queued_order WHERE player = ANY($1::text[]))"
        " + (SELECT count(*) FROM world_event WHERE state = 'scheduled')"
        " + (SELECT count(*) FROM outbox) AS waiting",
        list(players),
    )
    return cast("int", found["waiting"])


async def read_history(  # noqa: PLR0913 - whose it is, and what only the run knows
    world: Place,
    players: Sequence[str],
    witnesses: Iterable[Witness],
    orders: Iterable[Order],
    *,
    alarms: int = 0,
    lost_until: datetime | None = None,
    gone_back: Iterable[str] = (),
) -> History:
    """Everything that is known of these players."""
    names = list(players)
    rows = await query(world, "SELECT * FROM build WHERE player = ANY($1::text[]) ORDER BY id", names)
    inbox = await query(world, "SELECT * FROM inbox WHERE player = ANY($1::text[])", names)
    queued = await query(world, "SELECT id::text FROM queued_order WHERE player = ANY($1::text[])", names)
    events = await query(world, "SELECT * FROM world_event WHERE player IS NULL OR player = ANY($1::text[])", names)
    untold = await query(world, "SELECT message_id FROM outbox WHERE player IS NULL OR player = ANY($1::text[])", names)
    async with bus_of(world) as bus:
        epoch = (await read_feed(bus)).epoch or ""
        stored = [push for player in (*names, None) for push in await read_stored(bus, player)]
    return History(
        epoch=epoch,
        rows=[_row(row) for row in rows],
        events=[
            EventRow(
                id=str(row["id"]),
                player=row["player"],
                state=row["state"],
                revision=row["revision"],
                due_at=row["due_at"],
            )
            for row in events
        ],
        inbox=[
            Remembered(
                player=row["player"],
                command_id=row["command_id"],
                command=row["command"],
                outcome=json.loads(row["outcome"]),
            )
            for row in inbox
        ],
        stored=stored,
        sessions=[session for witness in witnesses for session in witness.sessions],
        orders=list(orders),
        queued=[row["id"] for row in queued],
        untold=[row["message_id"] for row in untold],
        alarms=alarms,
        lost_until=lost_until,
        gone_back=list(gone_back),
        deadlocks=await world.count_deadlocks(),
        happenings=list(world.happenings),
    )


def _row(row: dict[str, Any]) -> Row:
    follow_ups = row["follow_ups"]
    return Row(
        id=str(row["id"]),
        player=row["player"],
        kind=row["kind"],
        site=row["site"],
        state=row["state"],
        revision=row["revision"],
        started_at=row["started_at"],
        due_at=row["due_at"],
        completed_at=row["completed_at"],
        cancelled_at=row["cancelled_at"],
        follow_ups=0 if follow_ups is None else len(json.loads(follow_ups)),
    )
