"""What a scheduler finds around it, written by hand: rows in the table, alarms in the stream. No other service runs."""

import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from starwake.bus.alarms import Alarms
from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.feed import StoredPush, read_pushes
from starwake.bus.jetstream import stream_info
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.streams import TIMERS
from starwake.contracts.alarms import build_alarm
from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.events import BUILD_STARTED, build_event
from starwake.contracts.ids import BuildId, PlayerId, Revision, new_id
from starwake.contracts.times import truncate
from starwake.contracts.world_events import EventRecord, event_alarm
from tests.support.eventually import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tests.support.service_process import ServiceProcess

connect = cast("Callable[[str], Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]


@dataclass(frozen=True)
class Push:
    """A push as a client would see it."""

    seq: int
    event: str
    at: str
    data: dict[str, Any]
    stored_at: datetime
    message_id: str


def decoded(push: StoredPush) -> Push:
    body = json.loads(push.body)
    return Push(push.seq, body["event"], body["at"], body["data"], push.stored_at, push.message_id.partition("~")[0])


class Universe:
    """Hands to make rows and alarms, eyes to see what became of them."""

    def __init__(self, database_url: str, bus: Bus, process: "ServiceProcess | None" = None) -> None:
        self.database_url = database_url
        self.bus = bus
        self._process = process
        self.alarms = Alarms(bus, JetStreamPublisher(bus))

    async def sql(self, query: str, *args: object) -> list[dict[str, Any]]:
        connection = await connect(self.database_url)
        try:
            return [dict(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    async def build(  # noqa: PLR0913 - all have a default
        self,
        player: str,
        due_in_s: float,
        *,
        site: str | None = None,
        kind: str = "dock",
        follow_ups: tuple[FollowUp, ...] = (),
        armed: bool = True,
        told: bool = False,
    ) -> BuildRecord:
        """A row in state `building`; `told` False leaves its `build.started` in the outbox."""
        build = self.record(player, due_in_s, site=site, kind=kind, follow_ups=follow_ups)
        await self.insert(build)
        if not told:
            await self.outbox(build)
        if armed:
            await self.alarms.arm([build_alarm(build)])
        return build

    def record(
        self,
        player: str,
        due_in_s: float,
        *,
        site: str | None = None,
        kind: str = "dock",
        follow_ups: tuple[FollowUp, ...] = (),
    ) -> BuildRecord:
        """A build that is not in the table yet."""
        now = truncate(datetime.now(UTC))
        due_at = now + timedelta(milliseconds=round(due_in_s * 1000))
        return BuildRecord(
            id=BuildId(new_id()),
            player=PlayerId(player),
            kind=kind,
            site=site or f"site-{new_id()}",
            state=BuildState.BUILDING,
            revision=Revision(1),
            started_at=min(now, due_at) - timedelta(seconds=60),
            due_at=due_at,
            follow_ups=follow_ups,
        )

    async def insert(self, *builds: BuildRecord) -> None:
        connection = await connect(self.database_url)
        try:
            await connection.executemany(
                "INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, follow_ups)"
                " VALUES ($1, $2, $3, $4, 'building', $5, $6, $7, $8::jsonb)",
                [
                    (
                        each.id,
                        each.player,
                        each.kind,
                        each.site,
                        each.revision,
                        each.started_at,
                        each.due_at,
                        json.dumps([{"event": f.event, "data": f.data} for f in each.follow_ups])
                        if each.follow_ups
                        else None,
                    )
                    for each in builds
                ],
            )
        finally:
            await connection.close()

    async def outbox(self, build: BuildRecord, *, age_s: float = 0.0, message_id: str | None = None) -> None:
        """Its `build.started`, as a push of its own or, with its message id, one that was told already."""
        told = build_event(BUILD_STARTED, build.started_at, build)
        await self.sql(
            "INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at, created_at)"
            " VALUES ($1, 'build', $2, $3, $4, $5, now() - $6::interval, now() - $6::interval)",
            message_id or told.message_id,
            build.id,
            build.revision,
            build.player,
            told.body.decode(),
            timedelta(seconds=age_s),
        )

    async def event(self, player: str | None, due_in_s: float, *, armed: bool = True) -> EventRecord:
        """A world event in state `scheduled`."""
        event = EventRecord(
            id=new_id(),
            player=None if player is None else PlayerId(player),
            event="dragons.arrived",
            data={"strength": 3},
            due_at=truncate(datetime.now(UTC) + timedelta(seconds=due_in_s)),
            revision=Revision(1),
        )
        await self.sql(
            "INSERT INTO world_event (id, series, player, event, data, due_at, state, revision)"
            " VALUES ($1, $1, $2, $3, $4::jsonb, $5, 'scheduled', 1)",
            event.id,
            event.player,
            event.event,
            json.dumps(event.data),
            event.due_at,
        )
        if armed:
            await self.alarms.arm([event_alarm(event)])
        return event

    @property
    def process(self) -> "ServiceProcess":
        """The scheduler that runs here."""
        assert self._process is not None
        return self._process

    async def row(self, build_id: str) -> dict[str, Any]:
        (row,) = await self.sql("SELECT * FROM build WHERE id = $1", build_id)
        return row

    async def pushes(self, player: str | None) -> list[Push]:
        with suppress(BusError):
            found = await read_pushes(self.bus, None if player is None else PlayerId(player), 0)
            return [decoded(push) for push in found]
        return []

    async def events(self, player: str | None) -> list[str]:
        return [push.event for push in await self.pushes(player)]

    async def completed(self, *builds: BuildRecord, within_s: float = 10.0) -> None:
        """Wait until each of these has told of its completion."""
        players = {build.player for build in builds}
        wanted = {f"{build.id}.{build.revision + 1}" for build in builds}

        async def all_told() -> bool:
            told: set[str] = set()
            for player in players:
                told |= {push.message_id for push in await self.pushes(player)}
            return wanted <= told

        await eventually(all_told, within_s=within_s)

    async def outbox_empty(self, within_s: float = 10.0) -> None:
        async def empty() -> bool:
            return not await self.sql("SELECT 1 FROM outbox LIMIT 1")

        await eventually(empty, within_s=within_s)

    async def alarms_publish(self, subject: str, body: bytes) -> None:
        """Put any message before the scheduler, as if it had fired."""
        await JetStreamPublisher(self.bus).publish(subject, body)

    async def no_alarm_waits(self) -> bool:
        """Whether TIMERS is empty: all that was set has fired, and all that fired was acknowledged."""
        info = await stream_info(self.bus, TIMERS)
        return info is not None and info["state"]["messages"] == 0

    @asynccontextmanager
    async def database_away(self) -> "AsyncGenerator[None]":
        """Meanwhile the database refuses everybody."""
        parts = urlsplit(self.database_url)
        name = parts.path.removeprefix("/")
        elsewhere = urlunsplit(parts._replace(path="/postgres"))
        connection = await connect(elsewhere)
        try:
            await connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS false')
            await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
            try:
                yield
            finally:
                await connection.execute(f'ALTER DATABASE "{name}" WITH ALLOW_CONNECTIONS true')
        finally:
            await connection.close()

    async def set_database_clock(self, apart_s: int) -> None:
        """Let the database's clock, for all who connect from now on, show so many seconds more than it does."""
        name = urlsplit(self.database_url).path.removeprefix("/")
        await self.sql(
            "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS"
            f" $$ SELECT pg_catalog.clock_timestamp() + interval '{apart_s} seconds' $$"
        )
        await self.sql(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog')
