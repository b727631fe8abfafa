"""Servers, a scheduler and a table full of builds, for the scheduler's benchmarks."""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg
import jwt
import psutil
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket

from starwake.bus.alarms import Alarms
from starwake.bus.connection import Bus
from starwake.bus.message import Message
from starwake.bus.options import BusOptions
from starwake.bus.publish import JetStreamPublisher
from starwake.contracts.alarms import build_alarm
from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.ids import BuildId, PlayerId, Revision, new_id
from starwake.contracts.times import truncate
from tests.support.nats import LocalNats
from tests.support.postgres import LocalPostgres
from tests.support.service_process import ServiceProcess

connect = cast("Callable[[str], Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
_COMPLETED = b'"event":"build.completed"'
_ARM_AT_ONCE = 5_000
_SECRET = "only-for-this-benchmark-on-this-machine"  # noqa: S105 - it opens nothing else


class World:
    """One NATS, one Postgres with fsync on, as many schedulers as are started."""

    def __init__(self, nats: LocalNats, postgres: LocalPostgres, database_url: str, bus: Bus, directory: Path) -> None:
        self.nats = nats
        self.postgres = postgres
        self.database_url = database_url
        self.bus = bus
        self._directory = directory
        self._alarms = Alarms(bus, JetStreamPublisher(bus, max_in_flight=1024))
        self._readers: list[asyncio.Task[None]] = []
        self.services: list[ServiceProcess] = []
        self.heard: list[tuple[float, float]] = []
        """(due, heard) of each completion, seconds since the epoch, as a gateway on this host would hear it."""

    async def start(self, name: str = "scheduler", *, until_ready: bool = True, **env: str) -> ServiceProcess:
        settings = {"STARWAKE_NATS_URL": self.nats.url, "STARWAKE_DATABASE_URL": self.database_url, **env}
        service = ServiceProcess(name, settings, self._directory)
        self.services.append(service)
        return await service.start(until_ready=until_ready)

    async def listen(self) -> None:
        """Note when each completion is heard."""

        def hear(message: Message) -> None:
            if _COMPLETED in message.payload:
                at = message.payload.find(b'"at":"') + 6
                due = datetime.fromisoformat(message.payload[at : at + 24].decode())
                self.heard.append((due.timestamp(), time.time()))

        await self.bus.subscribe("push.player.>", hear)
        await self.bus.flush()

    async def listen_at_sockets(self, players: Sequence[str]) -> None:
        """Note when each completion arrives at its player's own WebSocket, behind a gateway."""
        gateway = await self.start("gateway", STARWAKE_PORT="0", STARWAKE_JWT_SECRET=_SECRET)
        for player in players:
            claims = {"sub": player, "iat": time.time(), "exp": time.time() + 3600}
            token = jwt.encode(claims, _SECRET, algorithm="HS256")
            socket = await connect_socket(
                f"ws://127.0.0.1:{gateway.port}/ws",
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                proxy=None,
            )
            await socket.recv()
            self._readers.append(asyncio.create_task(self._read(socket)))

    async def _read(self, socket: ClientConnection) -> None:
        async for frame in socket:
            at = time.time()
            if '"event":"build.completed"' in str(frame):
                push = json.loads(frame)
                self.heard.append((datetime.fromisoformat(push["at"]).timestamp(), at))

    async def close(self) -> None:
        """End what listens and what was started."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)
        for service in self.services:
            if service.exit_code is None:
                await service.stop()

    async def fill(self, builds: Sequence[BuildRecord], *, armed: bool = True) -> None:
        """Put builds into the table and, mostly, their alarms into the stream."""
        connection = await connect(self.database_url)
        try:
            await connection.copy_records_to_table(
                "build",
                records=[
                    (each.id, each.player, each.kind, each.site, "building", 1, each.started_at, each.due_at)
                    for each in builds
                ],
                columns=["id", "player", "kind", "site", "state", "revision", "started_at", "due_at"],
            )
            await connection.execute("ANALYZE build")
        finally:
            await connection.close()
        if armed:
            for start in range(0, len(builds), _ARM_AT_ONCE):
                await self._alarms.arm([build_alarm(build) for build in builds[start : start + _ARM_AT_ONCE]])

    async def sql(self, query: str) -> Any:  # noqa: ANN401 - one value
        connection = await connect(self.database_url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def until_heard(self, count: int, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while len(self.heard) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self.heard)} of {count} completions heard within {within_s} s")
            await asyncio.sleep(0.05)

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far by each process and its children."""
        used = {"nats": _cpu(self.nats.pid), "postgres": _cpu(self.postgres.pid)}
        for number, service in enumerate(self.services):
            if service.exit_code is None:
                used[f"{service.name}-{number}"] = _cpu(service.pid)
        return used

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of each process."""
        sizes = {"nats": psutil.Process(self.nats.pid).memory_info().rss / 1e6}
        for number, service in enumerate(self.services):
            if service.exit_code is not None:
                continue
            sizes[f"{service.name}-{number}"] = psutil.Process(service.pid).memory_info().rss / 1e6
        return {name: round(size, 1) for name, size in sizes.items()}


@asynccontextmanager
async def world() -> AsyncGenerator[World]:
    """Fresh servers, gone at the end."""
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="starwake-bench-")))
        os.chmod(directory, 0o711)  # noqa: PTH101, S103 - Postgres runs as somebody else; before anything runs
        nats = LocalNats(directory)
        postgres = LocalPostgres(directory)
        postgres.server = replace(postgres.server, durable=True)
        await nats.start()
        stack.push_async_callback(nats.stop)
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        database_url = await stack.enter_async_context(postgres.database())
        bus = await Bus.connect(BusOptions(url=nats.url, name="bench"))
        stack.push_async_callback(bus.close)
        here = World(nats, postgres, database_url, bus, directory)
        try:
            yield here
        finally:
            await here.close()


def build(player: str, due_at: datetime) -> BuildRecord:
    """A build on a site of its own."""
    due_at = truncate(due_at)
    return BuildRecord(
        id=BuildId(new_id()),
        player=PlayerId(player),
        kind="dock",
        site=f"site-{new_id()[-12:]}",
        state=BuildState.BUILDING,
        revision=Revision(1),
        started_at=min(truncate(datetime.now(UTC)), due_at) - timedelta(seconds=60),
        due_at=due_at,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def in_ms(values: Sequence[float]) -> dict[str, float]:
    """Percentiles of durations in seconds, as milliseconds."""
    shares = {"min": 0.0, "p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {name: round(percentile(values, share) * 1000, 2) for name, share in shares.items()}


def show(result: dict[str, Any]) -> None:
    """The result as JSON on stdout."""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _cpu(pid: int) -> float:
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        total += times.user + times.system
    return round(total, 2)
