"""The three services as processes, each with its own key, its own role, TLS, and no right but those of deploy/."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from deploy.credentials.identities import Slot
from starwake.bus.connection import Bus, BusOptions
from starwake.bus.provision import provision
from tests.deploy.support.nats import NatsServer
from tests.deploy.support.postgres import GuardedDatabase
from tests.support.service_process import ServiceProcess

TIME_SCALE = "600"
Frame = dict[str, Any]


@dataclass
class GuardedStack:
    """Services that share NATS servers with least privileges and a database with least privileges."""

    servers: Sequence[NatsServer]
    database: GuardedDatabase
    directory: Path
    running: list[ServiceProcess] = field(default_factory=list[ServiceProcess])

    def settings(self, identity: str, slot: Slot = "a") -> dict[str, str]:
        """What the manifests give a service of this name."""
        server = self.servers[0]
        settings = {
            "STARWAKE_NATS_URL": ",".join(each.url for each in self.servers),
            "STARWAKE_NATS_TLS_CA": str(server.tls.authority),
            "STARWAKE_NATS_INBOX_PREFIX": f"_INBOX.{identity}",
            "STARWAKE_NKEY_SEED_FILE": str(server.vault.seed_file(identity, slot)),
            "STARWAKE_STREAM_REPLICAS": str(len(self.servers)),
            "STARWAKE_DRAIN_SECONDS": "3",
        }
        if identity == "gateway":
            settings |= {"STARWAKE_PORT": "0", "STARWAKE_JWT_SECRET": server.vault.jwt_secret_file.read_text()}
            del settings["STARWAKE_STREAM_REPLICAS"]
        else:
            settings["STARWAKE_DATABASE_URL"] = self.database.url(f"starwake_{identity}")
        if identity == "command":
            settings["STARWAKE_TIME_SCALE"] = TIME_SCALE
        return settings

    async def provision(self) -> None:
        """Make the streams as the identity that is there for it."""
        settings = self.settings("gateway")
        options = BusOptions(
            url=settings["STARWAKE_NATS_URL"],
            nkey_seed_file=str(self.servers[0].vault.seed_file("provision")),
            tls_ca_file=settings["STARWAKE_NATS_TLS_CA"],
            inbox_prefix="_INBOX.provision",
        )
        bus = await Bus.connect(options)
        try:
            await provision(bus, len(self.servers))
        finally:
            await bus.close()

    async def start(self, name: str, more: Mapping[str, str] | None = None) -> ServiceProcess:
        """Start one service, with `more` in its environment, and wait until it is ready."""
        service = ServiceProcess(name, self.settings(name) | dict(more or {}), self.directory)
        self.running.append(service)
        return await service.start()

    async def stop(self) -> None:
        for service in reversed(self.running):
            if service.exit_code is None:
                await service.stop()

    def token(self, player: str) -> str:
        """A token for a player, signed with the gateway's secret."""
        claims = {"sub": player, "iat": time.time(), "exp": time.time() + 3600}
        secret = self.servers[0].vault.jwt_secret_file.read_text()
        return jwt.encode(claims, secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType] - partly untyped


@asynccontextmanager
async def guarded_stack(
    servers: Sequence[NatsServer], database: GuardedDatabase, directory: Path
) -> AsyncGenerator[GuardedStack]:
    """Streams made, no service started yet; whatever gets started is stopped at the end."""
    stack = GuardedStack(servers, database, directory)
    await stack.provision()
    try:
        yield stack
    finally:
        await stack.stop()


class Player:
    """One socket of one player: sends commands, keeps what is pushed."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._answers: dict[str, asyncio.Future[Frame]] = {}
        self.pushes: list[Frame] = []
        self.hello: Frame = {}
        self.greeted = asyncio.Event()
        self.closed_with: int | None = None
        self._reading = asyncio.create_task(self._read())

    @property
    def position(self) -> Frame:
        """Where this socket's feed stands."""
        last = max([push["seq"] for push in self.pushes if push.get("feed") is None], default=self.hello["seq"])
        return {"epoch": self.hello["epoch"], "seq": last, "all": self.hello["all"]}

    async def command(self, command: str, **args: object) -> Frame:
        """Send a command; its reply or error frame."""
        identity = uuid.uuid4().hex
        answer = self._answers[identity] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps({"id": identity, "command": command, "args": args}))
        return await asyncio.wait_for(answer, 10)

    def events(self, event: str) -> list[Frame]:
        return [push for push in self.pushes if push["event"] == event]

    async def close(self) -> None:
        await self._socket.close()
        await self._reading

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            await self._dispatch()
        self.closed_with = self._socket.close_code

    async def _dispatch(self) -> None:
        async for text in self._socket:
            frame: Frame = json.loads(text)
            if frame["type"] == "hello":
                self.hello = frame
                self.greeted.set()
            elif frame["type"] == "push":
                self.pushes.append(frame)
            elif frame["type"] == "ping":
                await self._socket.send('{"command": "pong"}')
            elif frame["type"] in ("reply", "error") and (answer := self._answers.pop(str(frame["id"]), None)):
                answer.set_result(frame)


@asynccontextmanager
async def player(url: str, token: str, resume: Frame | None = None) -> AsyncGenerator[Player]:
    """A connected player whose hello has arrived."""
    headers = {"Authorization": f"Bearer {token}"}
    if resume is not None:
        headers["Starwake-Resume"] = json.dumps(resume)
    async with AsyncExitStack() as stack:
        socket = await stack.enter_async_context(connect(url, additional_headers=headers, proxy=None))
        one = Player(socket)
        stack.push_async_callback(one.close)
        await asyncio.wait_for(one.greeted.wait(), 10)
        yield one
