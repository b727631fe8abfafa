"""All parts of a stack as real processes in one pair of hands, which may kill, stop and start each of them."""

import asyncio
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg
import jwt

from tests.chaos.history import Sabotage
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.postgres import LocalPostgres
from tests.support.service_process import ServiceProcess

connect = cast("Callable[[str], Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]

SERVERS = ("nats", "postgres")
_READY_SECONDS = 60.0


class Fleet:
    """NATS, Postgres, gateways, command services and schedulers.

    Args:
        directory: for their data and logs; others may walk through it.
        database_url: a database with the current schema.
        variants: by service, the name of a broken variant to run instead (see `variants`).
        env: further settings for all services.
    """

    def __init__(  # noqa: PLR0913 - what it is made of
        self,
        directory: Path,
        nats: LocalNats,
        postgres: LocalPostgres,
        database_url: str,
        *,
        variants: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.nats = nats
        self.postgres = postgres
        self.database_url = database_url
        self.sabotage: list[Sabotage] = []
        self._variants = dict(variants or {})
        self._secret = secrets.token_urlsafe(32)
        self._env = {
            "STARWAKE_NATS_URL": nats.url,
            "STARWAKE_DATABASE_URL": database_url,
            "STARWAKE_JWT_SECRET": self._secret,
            "STARWAKE_PORT": "0",
            "STARWAKE_TIME_SCALE": "120",
            "STARWAKE_LOG_FORMAT": "json",
            **(env or {}),
        }
        self.services: dict[str, ServiceProcess] = {}

    async def start(self, *names: str) -> None:
        """Start services (`gateway-1`, `scheduler-2`, ...) side by side, and wait until each is ready."""
        await asyncio.gather(*(self.start_service(name) for name in names))
        await asyncio.gather(*(self.ready(name) for name in names))

    async def start_service(self, name: str, **env: str) -> ServiceProcess:
        """Start one, on the port that it had before; it need not be ready."""
        kind = name.partition("-")[0]
        before = self.services.get(name)
        own = dict(env)
        if before is not None and kind == "gateway":
            own["STARWAKE_PORT"] = str(before.port)
        service = ServiceProcess(kind, {**self._env, **own}, self.directory)
        variant = self._variants.get(kind)
        if variant is not None:
            argv = (sys.executable, "-m", "tests.chaos.variants", variant, kind)
            service._launch = replace(service._launch, argv=argv)  # pyright: ignore[reportPrivateUsage]
        self.services[name] = service
        return await service.start(until_ready=False)

    async def ready(self, name: str, within_s: float = _READY_SECONDS) -> None:
        """Wait until a service says that it is ready."""
        service = self.services[name]

        async def is_ready() -> bool:
            service._read_ports()  # pyright: ignore[reportPrivateUsage]
            return await service.is_ready()

        await eventually(is_ready, within_s=within_s, every_s=0.1)

    def socket_urls(self) -> list[str]:
        """Of all gateways."""
        return [f"ws://127.0.0.1:{each.port}/ws" for name, each in self.services.items() if name.startswith("gateway")]

    def token(self, player: str) -> str:
        """A token that holds for hours."""
        now = datetime.now(UTC)
        claims = {"sub": player, "iat": now.timestamp(), "exp": now + timedelta(hours=6)}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def note(self, what: str) -> None:
        """Write down what was done."""
        self.sabotage.append(Sabotage(time.time(), what))

    async def kill(self, name: str) -> None:
        """`kill -9`, and start it again at once."""
        self.note(f"kill -9 {name}")
        if name == "nats":
            await self.nats.kill()
            await self.nats.start()
        elif name == "postgres":
            await self._kill_postgres()
        else:
            with suppress(ProcessLookupError):
                await self.services[name].kill()
            await self.start_service(name)
        self.note(f"{name} runs again")

    async def restart(self, name: str) -> None:
        """SIGTERM, and start it again when it has ended."""
        self.note(f"stop {name}")
        if name == "nats":
            await self.nats.stop()
            await self.nats.start()
        elif name == "postgres":
            await self.postgres.stop()
            await self.postgres.start()
        else:
            await self.services[name].stop()
            await self.start_service(name)
        self.note(f"{name} runs again")

    async def pause(self, name: str, seconds: float) -> None:
        """SIGSTOP for so long."""
        self.note(f"SIGSTOP {name} for {seconds:.1f} s")
        pid = self.pid(name)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
        self.note(f"SIGCONT {name}")

    def pid(self, name: str) -> int:
        """Of a part; of Postgres its postmaster."""
        if name == "nats":
            return self.nats.pid
        return self.postgres.pid if name == "postgres" else self.services[name].pid

    async def revive(self) -> None:
        """Start what has ended by itself; say so, it is none of the sabotage."""
        for name, service in list(self.services.items()):
            if service.exit_code is not None:
                self.note(f"{name} had ended by itself with {service.exit_code}")
                await self.start_service(name)

    async def stop(self) -> None:
        """End all services; the servers belong to who made them."""
        for service in self.services.values():
            if service.exit_code is None:
                await service.stop()

    async def fetch(self, query: str, *args: object) -> list[dict[str, Any]]:
        """Ask the database."""
        connection = await connect(self.database_url)
        try:
            return [dict(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    async def _kill_postgres(self) -> None:
        os.kill(self.postgres.pid, signal.SIGKILL)
        await self.postgres.stop()
        await eventually(self._start_postgres, within_s=30, every_s=0.2)

    async def _start_postgres(self) -> bool:
        # Its children notice the postmaster's death a moment later, and keep the data directory until then.
        try:
            await self.postgres.start()
        except RuntimeError:
            return False
        return True
