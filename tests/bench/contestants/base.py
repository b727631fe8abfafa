"""What every contestant offers, and the servers that several of them lean on."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from starwake.cli.embedded.ports import LOOPBACK, free_ports
from starwake.cli.embedded.postgres import PostgresServer
from starwake.cli.embedded.process import start as start_child
from tests.bench.harness.processes import SERVER_CORE, Server, cpu_seconds, pin, pinned, resident_bytes, server
from tests.bench.load.player import Dialect
from tests.support.nats import LocalNats

SECRET = secrets.token_urlsafe(32)
"""Signs the players' tokens of one benchmark run."""


@dataclass
class Running:
    """A contestant that is up.

    Attributes:
        url: the players' WebSocket endpoint.
        parts: its processes by role, whose descendants count with them; `web` is the one that holds the sockets.
        secret: signs its players' tokens.
        dialect: how its frames are wrapped.
        addresses: where its inner servers are (`redis`, `postgres`, `nats`, `http`).
        source: how pushes get into it, `load/source.py` has the ways.
    """

    url: str
    parts: dict[str, list[psutil.Process]] = field(default_factory=dict[str, list[psutil.Process]])
    secret: str = SECRET
    dialect: Dialect = "plain"
    addresses: dict[str, str] = field(default_factory=dict[str, str])
    source: dict[str, str] = field(default_factory=dict[str, str])

    def cpu_seconds(self, part: str | None = None) -> float:
        """CPU used so far by one part, or by all."""
        return cpu_seconds(self.processes(part))

    def resident_bytes(self, part: str) -> int:
        """Memory that only this part's processes hold."""
        return resident_bytes(self.processes(part))

    def processes(self, part: str | None = None) -> list[psutil.Process]:
        """One part's processes, or all; with those that they started since."""
        chosen = self.parts.values() if part is None else [self.parts[part]]
        roots = [process for processes in chosen for process in processes]
        return list(dict.fromkeys(each for root in roots for each in (root, *root.children(recursive=True))))


async def until(condition: Callable[[], Awaitable[bool]], within_s: float, what: str) -> None:
    """Poll `condition` every 50 ms.

    Raises:
        RuntimeError: it did not come true in time.
    """
    deadline = time.monotonic() + within_s
    while not await condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} was not there within {within_s:.0f} s")
        await asyncio.sleep(0.05)


async def accepts(port: int) -> bool:
    """Whether something listens on this loopback port."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@asynccontextmanager
async def listening(
    name: str, argv: Iterable[str], port: int, folder: Path, env: dict[str, str]
) -> AsyncGenerator[Server]:
    """A server process that listens on `port`."""
    async with server(name, argv, env=env, log_folder=folder) as running:
        await until(lambda: accepts(port), 60, name)
        yield running


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncGenerator[tuple[str, Server]]:
    """Redis with its append-only file on, synced every second, as its documentation recommends."""
    [port] = free_ports(1)
    store = folder / "redis"
    store.mkdir(exist_ok=True)
    argv = (
        *("redis-server", "--port", str(port), "--bind", LOOPBACK, "--dir", str(store)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
    )
    async with listening("redis", argv, port, folder, {}) as running:
        yield f"redis://{LOOPBACK}:{port}/0", running


@asynccontextmanager
async def postgres_server(folder: Path) -> AsyncGenerator[tuple[PostgresServer, list[psutil.Process]]]:
    """A fresh Postgres with fsync on, on the server core."""
    [port] = free_ports(1)
    postgres = PostgresServer(folder / "postgres", folder / "postgres.log", port, secrets.token_hex(8))
    child = await start_child(await postgres.prepare())
    try:
        pin(child.pid, SERVER_CORE)
        await until(postgres.is_healthy, 60, "postgres")
        await postgres.ensure_database()
        yield postgres, [psutil.Process(child.pid)]
    finally:
        await child.stop(within=20)


@asynccontextmanager
async def nats_server(folder: Path) -> AsyncGenerator[tuple[str, list[psutil.Process]]]:
    """A nats-server of its own, on the server core."""
    store = folder / "bare-nats"
    store.mkdir(exist_ok=True)
    nats = LocalNats(store)
    with pinned(SERVER_CORE):
        await nats.start()
    try:
        yield nats.url, [psutil.Process(nats.pid)]
    finally:
        await nats.stop()
