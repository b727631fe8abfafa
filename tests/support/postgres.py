"""A Postgres for the whole run; every test gets a database of its own, copied from one that was migrated once."""

import asyncio
import secrets
import shutil
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, cast
from uuid import uuid4

import asyncpg

from starwake.cli.embedded.ports import free_ports
from starwake.cli.embedded.postgres import PostgresServer
from starwake.cli.embedded.process import Child, start
from tests.support.eventually import eventually

_TEMPLATE = "starwake_template"


class Connection(Protocol):
    """What tests use of asyncpg's connection, which brings no types."""

    async def execute(self, query: str, *args: object) -> str: ...
    async def fetch(self, query: str, *args: object) -> list[dict[str, object]]: ...
    async def fetchval(self, query: str, *args: object) -> object: ...
    async def close(self) -> None: ...


connect = cast("Callable[[str], Awaitable[Connection]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]


class LocalPostgres:
    """The wheel's Postgres as a child process; fsync is off, only a power failure could tell the difference."""

    def __init__(self, directory: Path) -> None:
        (port,) = free_ports(1)
        self.server = PostgresServer(
            directory=directory / "postgres",
            log=directory / "postgres.log",
            port=port,
            password=secrets.token_urlsafe(12),
            durable=False,
        )
        self._child: Child | None = None
        self._migrated = False

    @property
    def url(self) -> str:
        """The maintenance database; tests work in databases of their own (`database`)."""
        return self.server.database_url("postgres")

    @property
    def pid(self) -> int:
        """Of the running postmaster."""
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Start it (again, on the same data) and wait until it answers."""
        child = self._child = await start(await self.server.prepare())

        async def healthy() -> bool:
            if child.exit_code is not None:
                raise RuntimeError(f"postgres ended:\n{self.server.log.read_text()}")
            return await self.server.is_healthy()

        await eventually(healthy, within_s=30)

    async def stop(self) -> None:
        """End it in order, if it runs."""
        if self._child is not None:
            await self._child.stop(within=20)
            self._child = None

    async def back_up(self) -> Path:
        """A copy of all that it holds now; it is stopped for it, and runs again."""
        directory = self.server.directory
        copy = directory.with_name(f"{directory.name}-{uuid4().hex}")
        await self.stop()
        await asyncio.to_thread(_copy, directory, copy)
        await self.start()
        return copy

    async def restore(self, copy: Path) -> None:
        """Go back to what `back_up` kept, as an operator would: stopped, and started again on the older data."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self.server.directory)
        await asyncio.to_thread(_copy, copy, self.server.directory)
        await self.start()

    @asynccontextmanager
    async def database(self, *, migrated: bool = True) -> AsyncGenerator[str]:
        """The URL of a fresh database, dropped at the end whoever is still connected to it."""
        if migrated and not self._migrated:
            await self._make_template()
        name = f"test_{uuid4().hex}"
        template = _TEMPLATE if migrated else "template1"
        await self._administer(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        try:
            yield self.server.database_url(name)
        finally:
            await self._administer(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _make_template(self) -> None:
        from starwake.store.migrate import migrate  # noqa: PLC0415 - alembic takes a second that unit tests need not pay

        await self._administer(f'DROP DATABASE IF EXISTS "{_TEMPLATE}" WITH (FORCE)')
        await self._administer(f'CREATE DATABASE "{_TEMPLATE}"')
        await asyncio.to_thread(migrate, self.server.database_url(_TEMPLATE))
        self._migrated = True

    async def _administer(self, statement: str) -> None:
        connection = await connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def _copy(source: Path, target: Path) -> None:
    """With its owner: Postgres does not run as root."""
    subprocess.run(["cp", "-a", source, target], check=True, timeout=60)
