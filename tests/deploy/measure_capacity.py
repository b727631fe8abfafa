"""Measures what the capacity table of deploy/README.md is computed from; prints JSON.

    uv run python -m tests.deploy.measure_capacity

Bytes a pending build takes in Postgres and in NATS (memory, disk), bytes a player's connection takes in a gateway.
"""

import asyncio
import json
import secrets
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import psutil
from websockets.asyncio.client import connect as connect_websocket

from starwake.bus.alarms import Alarms
from starwake.bus.connection import Bus, BusOptions
from starwake.bus.feed import begin_epoch
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher
from starwake.contracts.alarms import build_alarm
from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.ids import BuildId, PlayerId, Revision, new_id
from tests.support.nats import LocalNats
from tests.support.postgres import LocalPostgres, connect
from tests.support.service_process import ServiceProcess

BUILDS = 100_000
BATCH = 5_000
CONNECTIONS = 1_500

_INSERT = """
INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at)
SELECT gen_random_uuid(), 'player-' || lpad((n / 10)::text, 8, '0'), 'shipyard', 'luna-' || n % 10, 'building', 1,
       now(), now() + interval '3 days'
FROM generate_series(1, $1::int) AS n
"""


async def postgres_bytes(directory: Path) -> float:
    """Bytes that a pending build takes in its table and indexes."""
    server = LocalPostgres(directory)
    await server.start()
    try:
        async with server.database() as url:
            connection = await connect(url)
            await connection.execute(_INSERT, BUILDS)
            await connection.execute("VACUUM build")
            size = await connection.fetchval("SELECT pg_total_relation_size('build')")
            await connection.close()
            assert isinstance(size, int)
            return size / BUILDS
    finally:
        await server.stop()


async def nats_bytes(directory: Path) -> tuple[float, float]:
    """Bytes that a pending alarm takes in the server's memory and on its disk."""
    server = LocalNats(directory)
    await server.start()
    try:
        bus = await Bus.connect(BusOptions(url=server.address.url))
        await provision(bus, 1)
        process = psutil.Process(server.pid)
        before = process.memory_info().rss
        alarms = Alarms(bus, JetStreamPublisher(bus))
        for start in range(0, BUILDS, BATCH):
            await alarms.arm([build_alarm(_build(number)) for number in range(start, start + BATCH)])
        memory = process.memory_info().rss - before
        await bus.close()
        disk = await asyncio.to_thread(_bytes_below, directory)
        return memory / BUILDS, disk / BUILDS
    finally:
        await server.stop()


def _bytes_below(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _build(number: int) -> BuildRecord:
    now = datetime.now(UTC)
    return BuildRecord(
        id=BuildId(new_id()),
        player=PlayerId(f"player-{number // 10:08}"),
        kind="shipyard",
        site=f"luna-{number % 10}",
        state=BuildState.BUILDING,
        revision=Revision(1),
        started_at=now,
        due_at=now + timedelta(days=3),
    )


async def gateway_bytes(directory: Path) -> float:
    """Bytes that one player's idle, authenticated connection takes in a gateway's memory."""
    server, secret = LocalNats(directory), secrets.token_hex(32)
    await server.start()
    try:
        bus = await Bus.connect(BusOptions(url=server.address.url))
        await provision(bus, 1)
        await begin_epoch(bus, above=0)
        await bus.close()
        gateway = ServiceProcess(
            "gateway",
            {"STARWAKE_NATS_URL": server.address.url, "STARWAKE_JWT_SECRET": secret, "STARWAKE_PORT": "0"},
            directory,
        )
        await gateway.start()
        process = psutil.Process(gateway.pid)
        async with AsyncExitStack() as sockets:
            before = 0
            for number in range(CONNECTIONS + 100):
                if number == 100:  # what the first ones bring with them is not theirs alone
                    before = process.memory_info().rss
                claims = {"sub": f"player-{number}", "exp": time.time() + 3600, "iat": time.time()}
                token = jwt.encode(claims, secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType] - partly untyped
                socket = await sockets.enter_async_context(
                    connect_websocket(
                        f"ws://127.0.0.1:{gateway.port}/ws",
                        additional_headers={"Authorization": f"Bearer {token}"},
                        proxy=None,
                    )
                )
                await socket.recv()
            grown = process.memory_info().rss - before
        await gateway.stop()
        return grown / CONNECTIONS
    finally:
        await server.stop()


async def measure(directory: Path) -> dict[str, int]:
    """All figures, in bytes."""
    row = await postgres_bytes(directory / "postgres")
    memory, disk = await nats_bytes(directory / "nats")
    connection = await gateway_bytes(directory / "gateway")
    return {
        "postgres_bytes_per_build": round(row),
        "nats_memory_bytes_per_build": round(memory),
        "nats_disk_bytes_per_build": round(disk),
        "gateway_bytes_per_connection": round(connection),
    }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="starwake-capacity-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        for folder in ("postgres", "nats", "gateway"):
            (directory / folder).mkdir(mode=0o711)
        json.dump(asyncio.run(measure(directory)), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
