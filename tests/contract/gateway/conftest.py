"""The gateway alone, as a process, against a real NATS server; the test plays the command service and the feed."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.feed import begin_epoch, read_feed
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from tests.support.eventually import eventually
from tests.support.nats import NatsAddress
from tests.support.service_process import ServiceProcess
from tests.support.shared_nats import shared_nats

SECRET = "contract-tests-secret-of-forty-characters"  # noqa: S105 - only these tests know it


class Player:
    """One player's socket, as a client sees it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.hello: dict[str, Any] = {}

    async def frame(self, within_s: float = 5.0) -> dict[str, Any]:
        """The next frame that is not a ping."""
        async with asyncio.timeout(within_s):
            while True:
                frame = json.loads(await self.connection.recv())
                if frame["type"] != "ping":
                    return frame

    async def send(self, frame: object) -> None:
        """Send any JSON, or text as it is."""
        await self.connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def ask(self, command: str, args: object = None, command_id: str = "c1") -> dict[str, Any]:
        """Send a command and wait for its answer; pushes in between are dropped."""
        frame: dict[str, Any] = {"id": command_id, "command": command}
        if args is not None:
            frame["args"] = args
        await self.send(frame)
        while True:
            answer = await self.frame()
            if answer["type"] in ("reply", "error"):
                return answer

    async def closed(self, within_s: float = 10.0) -> int:
        """Read until the end; the close code."""
        async with asyncio.timeout(within_s):
            try:
                while True:
                    await self.connection.recv()
            except ConnectionClosed:
                assert self.connection.close_code is not None
                return self.connection.close_code


class Gateway:
    """A running gateway and everything around it that a test plays."""

    def __init__(self, process: ServiceProcess, bus: Bus, sockets: AsyncExitStack) -> None:
        self.process = process
        self.bus = bus
        self.sockets = sockets
        self._publisher = JetStreamPublisher(bus)

    @property
    def url(self) -> str:
        """The players' socket."""
        return f"ws://127.0.0.1:{self.process.port}/ws"

    def token(self, player: str, *, ttl_s: float = 600, secret: str = SECRET, **claims: object) -> str:
        """A token as the gateway's own secret signs it."""
        now = time.time()
        return jwt.encode({"sub": player, "iat": now, "exp": now + ttl_s, **claims}, secret, algorithm="HS256")

    async def open(self, **headers: str) -> Player:
        """A socket without a token."""
        connection = await self.sockets.enter_async_context(
            connect(self.url, additional_headers=headers, proxy=None, compression=None, max_queue=None)
        )
        return Player(connection)

    async def connect(self, player: str, *, resume: object = None, ttl_s: float = 600) -> Player:
        """A socket with the token in the header, after its hello."""
        headers = {"Authorization": f"Bearer {self.token(player, ttl_s=ttl_s)}"}
        if resume is not None:
            headers["Starwake-Resume"] = json.dumps(resume)
        socket = await self.open(**headers)
        socket.hello = await socket.frame()
        assert socket.hello["type"] == "hello", socket.hello
        return socket

    async def push(self, player: str | None, event: str = "test.happened", **data: object) -> int:
        """Store a push in a feed; its sequence."""
        body = json.dumps({"event": event, "at": "2026-11-22T10:00:00.000Z", "data": data}, separators=(",", ":"))
        subject = subjects.notify(None if player is None else PlayerId(player))
        ack = await self._publisher.publish(subject, body.encode())
        return ack.seq


def settings(nats_url: str, **env: str) -> dict[str, str]:
    """A gateway's environment: limits that do not stand in a test's way, unless it says otherwise."""
    return {
        "STARWAKE_NATS_URL": nats_url,
        "STARWAKE_JWT_SECRET": SECRET,
        "STARWAKE_PORT": "0",
        "STARWAKE_COMMANDS_PER_S": "1000",
        "STARWAKE_COMMAND_BURST": "1000",
        "STARWAKE_DEV_SIGN_IN": "true",
        **env,
    }


async def prepare_streams(bus: Bus) -> None:
    """What the scheduler does in a whole stack."""
    await provision(bus, 1)
    if (await read_feed(bus)).epoch is None:
        await begin_epoch(bus, above=0)


@pytest.fixture(scope="session")
async def nats_server(server_directory: Path) -> AsyncIterator[NatsAddress]:
    """A server of these tests' own: here they answer for the command service, which other tests run for real."""
    async with shared_nats(server_directory / "gateway-nats") as (address, _):
        yield address


@pytest.fixture(scope="session")
async def shared_gateway(nats_server: NatsAddress, server_directory: Path) -> AsyncIterator[ServiceProcess]:
    """One process for all tests that need no settings of their own."""
    bus = await Bus.connect(BusOptions(url=nats_server.url, name="test"))
    await prepare_streams(bus)
    await bus.close()
    process = ServiceProcess("gateway", settings(nats_server.url), server_directory)
    await process.start()
    try:
        yield process
    finally:
        assert await process.stop() == 0
        assert "Traceback" not in process.log(), process.log()


@pytest.fixture
async def gateway(shared_gateway: ServiceProcess, bus: Bus) -> AsyncIterator[Gateway]:
    """A gateway with ordinary settings; sockets that the test leaves open are closed."""
    async with AsyncExitStack() as sockets:
        yield Gateway(shared_gateway, bus, sockets)


def read_ports(process: ServiceProcess) -> dict[str, int]:
    """The ports that the process has told of by now."""
    process._read_ports()  # pyright: ignore[reportPrivateUsage] - starting reads them once, perhaps too early for this
    return process.ports


StartGateway = Callable[..., Awaitable[Gateway]]


@pytest.fixture
async def start_gateway(
    bus: Bus, nats_server: NatsAddress, service_process: Callable[..., Awaitable[ServiceProcess]]
) -> AsyncIterator[StartGateway]:
    """Starts a gateway with settings of the test's own."""
    await prepare_streams(bus)
    async with AsyncExitStack() as sockets:

        async def start(*, on: Bus | None = None, until_ready: bool = True, **env: str) -> Gateway:
            environment = settings(nats_server.url, **env)
            process = await service_process("gateway", until_ready=until_ready, **environment)
            # The health port is told first; the players' port follows.
            await eventually(lambda: "players" in read_ports(process), within_s=20)
            return Gateway(process, on or bus, sockets)

        yield start
